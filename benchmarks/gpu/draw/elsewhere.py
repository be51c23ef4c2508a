"""What the other pages say of GPUs: support, TensorRT, and the README."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from benchmarks.gpu.draw import kernels, latency, overview, parity
from benchmarks.gpu.draw.runs import Card
from benchmarks.gpu.draw.words import NOTHING, error, micro, paragraphs, table, times

_BACKENDS = (
    ("`torch` on an NVIDIA GPU", "torch", "torch"),
    ("`onnxruntime` on an NVIDIA GPU", "onnxruntime", "onnxruntime"),
)
_PACKAGES = {**overview.PACKAGES, "onnx": "onnx", "cuda-bindings": "cuda-bindings"}


def support(cards: Sequence[Card]) -> str:
    """What ran on GPUs, and with which versions."""
    rows = [
        (title, _joined(_backend(card, side, package) for card in cards), "untested", "no GPU")
        for title, side, package in _BACKENDS
    ]
    rows += [
        (
            f"{title}: build and run an engine",
            _joined(_engines(card, package, flavor) for card in cards),
            "untested",
            "no package",
        )
        for title, package, flavor in (
            ("TensorRT for RTX", "tensorrt-rtx", "rtx"),
            ("TensorRT", "tensorrt", "tensorrt"),
        )
    ]
    rows += [
        ("The fused kernels", _joined(_kernels(card) for card in cards), "untested", "no GPU"),
        ("`lrn-server` on an NVIDIA GPU", _joined(map(_server, cards)), "untested", "no GPU"),
    ]
    tested = [
        (title, card.title, ", ".join(dict.fromkeys(found)))
        for package, title in _PACKAGES.items()
        for card in cards
        if (found := [told for run in card.runs if (told := run.version(package))])
    ]
    tested += [
        (
            "NVIDIA's driver",
            card.title,
            ", ".join(dict.fromkeys(run.gpu["driver"] for run in card.runs)),
        )
        for card in cards
    ]
    return paragraphs(
        table(("", "Linux x86-64", "Linux arm64, Windows", "macOS"), rows),
        table(("ran on a GPU", "card", "version"), tested) if tested else "",
    )


def tensorrt(cards: Sequence[Card]) -> str:
    """What of TensorRT ran, as a list."""
    lines = []
    for card in cards:
        found = parity.newest(card)
        mine = [one for one in parity.compared(card) if one.checks]
        ran = [one for one in mine if one.side == "tensorrt"]
        if found is None or not ran:
            continue
        names = [name for name in ("tensorrt-rtx", "tensorrt") if found[0].version(name)]
        told = ", ".join(f"{name} {found[0].version(name)}" for name in names)
        within = [f"{one.what} of {one.network}" for one in ran if one.is_within]
        listed = f": {', '.join(within)}" if within else ""
        lines.append(
            f"**Run on an {card.title}** ({told}, run {found[0].name}): {len(ran)} engines, of "
            f"which {len(within)} are within all limits against float64{listed}."
        )
        lines += [line for line in parity.over(mine) if line.startswith(_names(ran))]
        lines += slower(card)
    return "\n".join(f"- {line}" for line in lines or [NOTHING])


def _names(ran: Sequence[parity.Subject]) -> tuple[str, ...]:
    return tuple(f"{one.what} of {one.network} " for one in ran)


def slower(card: Card) -> list[str]:
    """The aims of the engines, and the share of LRN in their time."""
    content = card.stage("latency", "device")
    lines = [
        f"Aim, {item['asked']}: {'met' if item['met'] else '**missed**'}; {item['ours']} "
        f"{latency.aim(item)}."
        for item in content.get("findings", ())
    ]
    shares = []
    for name, fact in content.get("facts", {}).items():
        profile = fact.get("layers_ms")
        if profile and (whole := latency.lrn_layers(profile)[1]):
            shares.append(f"{whole / sum(profile.values()):.0%} in {name}")
    if shares:
        lines.append(
            "AlexNet's LRN layers, each a pooling over channels with what squares and scales "
            f"around it, take at batch 1 this share of the layers' time: {', '.join(shares)}."
        )
    return lines


def summary(cards: Sequence[Card]) -> str:
    """The README's sentences."""
    return paragraphs(*map(_in_short, cards)) or NOTHING


def _in_short(card: Card) -> str:
    used = ", ".join(
        f"{title} {found}"
        for package, title in overview.PACKAGES.items()
        if package in ("torch", "onnxruntime", "tensorrt-rtx", "tensorrt")
        and (found := _version(card, package))
    )
    days = sorted({run.date for run in card.runs})
    when = " to ".join(dict.fromkeys((days[0], days[-1])))
    parts = []
    for side, what in (("tensorrt", "engines"), ("onnxruntime", "graphs on ONNX Runtime")):
        asked = [one for one in parity.compared(card) if one.side == side]
        if asked:
            within = sum(one.is_within for one in asked)
            listed = f"; not {_list(_short_of(asked))}" if within < len(asked) else ""
            parts.append(f"{within} of {len(asked)} {what} are within every limit{listed}.")
        twins = [one.network for one in asked if not one.is_within and parity.twin(one, asked)]
        if twins:
            parts.append(
                f"The fp32 engines of {_list(twins)} compute with the accuracy of TF32, although "
                "TF32 was switched off."
            )
    parts += [_fastest(card), _aims(card), kernels.in_short(card)]
    ended = {name: run.outcome(name) for name, run in card.attempts().items()}
    failed = [f"`{name}`" for name in overview.stage_names(card) if ended[name] != "passed"]
    if failed:
        parts.append(f"Stages of the check that did not pass: {', '.join(failed)}.")
    return paragraphs(
        f"On an {card.title} ({used}; {when}; [all figures](docs/gpu.md#what-ran-where)):",
        "\n".join(f"- {part}" for part in parts if part),
    )


def _aims(card: Card) -> str:
    """How many aims of the engines are met, and how far the others are from it."""
    findings = card.stage("latency", "device").get("findings", ())
    met = sum(bool(item["met"]) for item in findings)
    missed = [f"{item['asked']} ({times(item['times'])})" for item in findings if not item["met"]]
    told = f"; not: {', '.join(missed)}" if missed else ""
    return f"{met} of {len(findings)} aims of the engines are met{told}." if findings else ""


def _short_of(asked: Sequence[parity.Subject]) -> list[str]:
    """What did not run, and the largest error of each precision that is over a limit."""
    absent = dict.fromkeys(f"{one.what}, which did not run" for one in asked if not one.checks)
    beyond: dict[str, tuple[float, str]] = {}
    for one in asked:
        if one.is_within or not one.checks:
            continue
        worst, limit = one.worst("ordinary")
        told = error(worst) + (f" where {error(limit)} is allowed" if limit else "")
        found = (parity.order(worst), f"{one.precision} ({told})")
        beyond[one.precision] = max(found, beyond.get(one.precision, found))
    return [*(told for _, told in beyond.values()), *absent]


def _list(items: Iterable[str]) -> str:
    return " and ".join(items)


def _fastest(card: Card) -> str:
    """AlexNet at the smallest batch: the engine that the aims are for, and the fastest of all."""
    content = card.stage("latency", "device")
    rows = content.get("device", ())
    if not rows:
        return ""
    medians = {
        name: value
        for name, value in rows[0]["medians_s"].items()
        if not name.startswith(latency.COPY)
    }
    named = [item.get("ours") for item in content.get("findings", ())[:1]]
    named += sorted(medians, key=medians.__getitem__)[:2]
    told = [
        f"{micro(medians[name])} µs in {name}" for name in dict.fromkeys(named) if name in medians
    ]
    meant = "; *fused* runs our kernels" if any("fused" in one for one in told) else ""
    return f"AlexNet at batch {rows[0]['batch']} takes {', '.join(told)}{meant}."


def _version(card: Card, package: str) -> str:
    return next((found for run in card.runs if (found := run.version(package))), "")


def _joined(cells: Iterable[str]) -> str:
    return "; ".join(cell for cell in cells if cell) or "not run yet"


def _backend(card: Card, side: str, package: str) -> str:
    asked = [one for one in parity.compared(card) if one.side == side]
    ran = [one for one in asked if one.checks]
    if not ran:
        return ""
    full = [one for one in ran if one.precision == "fp32"]
    right = bool(full) and all(one.is_within for one in full)
    told = f"run on an {card.title} with {_version(card, package)}; fp32 "
    told += "within its limits" if right else "over its limits"
    missing = [one.what for one in asked if not one.checks]
    return told + (f"; {', '.join(dict.fromkeys(missing))} did not run" if missing else "")


def _engines(card: Card, package: str, flavor: str) -> str:
    mine = [one for one in parity.compared(card) if one.side == "tensorrt" and one.checks]
    mine = [one for one in mine if one.what.startswith(f"{flavor}-")]
    if not mine:
        return ""
    within = sum(one.is_within for one in mine)
    return (
        f"run on an {card.title} with {_version(card, package)}; {within} of {len(mine)} engines "
        "within every limit"
    )


def _kernels(card: Card) -> str:
    told = kernels.checks(card)
    return f"run on an {card.title}; {told.rstrip('.')}" if told else ""


def _server(card: Card) -> str:
    """How the stage ended that serves."""
    run = card.attempts().get("server")
    if run is None:
        return ""
    return f"{run.outcome('server')} on an {card.title}: {run.said('server')}".removesuffix(": ")
