"""The fused kernels on GPUs, from the stages ``kernels_right`` and ``kernels_fast``."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.gpu.draw.latency import copied
from benchmarks.gpu.draw.runs import Card, Row
from benchmarks.gpu.draw.words import NOTHING, paragraphs, ranged, table, times
from benchmarks.gpu.kernels.cases import BANDWIDTH_TARGET

RIVALS = {
    "onnxruntime": "ONNX Runtime's LRN node",
    "rtx": "TensorRT for RTX's LRN layer",
    "tensorrt": "TensorRT's LRN layer",
}
PEERS = ("torch eager", "unfused pair", "torch.compile")
_TYPES = {"float16": "fp16", "float32": "fp32", "bfloat16": "bf16"}
_NOTABLY = 1.05
"""A copy that is so many times as fast as the one that was the measure is told."""


def page(cards: Sequence[Card]) -> str:
    """Each card's kernels."""
    return paragraphs(*map(section, cards)) or NOTHING


def section(card: Card) -> str:
    """Results and times on one card."""
    found = card.newest("kernels_fast", "timings")
    right = checks(card)
    if found is None:
        return right and paragraphs(f"### On an {card.title}", right)
    run, content = found
    machine = (
        f"Run {run.name}, {run.date}: PyTorch {run.version('torch')}, Triton "
        f"{run.version('triton')}, ONNX Runtime {run.version('onnxruntime')}"
    )
    rtx = run.version("tensorrt-rtx")
    return paragraphs(
        f"### On an {card.title}",
        f"{machine}{f', TensorRT for RTX {rtx}' if rtx else ''}. {right}",
        verdict(content),
        other_copies(card, content),
        "TB/s counts the input read once and the output written once. The share is of a large "
        "copy's bandwidth; *copy* is a copy of the input. The last columns say how many times as "
        "fast as PyTorch eager, as the fused LRN and PyTorch's pool one after the other, and as "
        "`torch.compile`, which was timed at the first batch in fp16 only. All are replayed from a "
        "CUDA graph.",
        timings(content),
        rivals(content.get("rivals", ())),
    )


def checks(card: Card) -> str:
    """How many results were right, in a sentence; empty if none was checked."""
    rows = _checked(card)
    right = sum(row["verdict"] == "pass" for row in rows)
    return f"{right} of {len(rows)} checks against float64 are right." if rows else ""


def _checked(card: Card) -> list[Row]:
    content = card.stage("kernels_right", "equality")
    return [*content.get("equality", ()), *content.get("networks", ())]


def verdict(content: Row) -> str:
    """How many targets are missed, and which."""
    missed = content.get("missed")
    if missed is None:
        return "The stage did not come to its end."
    wrong = [f"{_case(row)}: {text}" for row in content["timings"] for text in row["wrong"]]
    lines = [f"- {text}" for text in (*wrong, *missed)]
    said = (
        f"{len(content['timings'])} cases were timed: {len(wrong)} wrong, "
        f"{len(missed)} targets missed, as the stage counts them."
    )
    return "\n".join([said, "", *lines]) if lines else said


def other_copies(card: Card, content: Row) -> str:
    """Whether another copy was faster than the one that was the measure, and what that means."""
    found = copies_of(card, content)
    if found is None:
        return ""
    measure, told, shares = found
    enough = sum(share >= BANDWIDTH_TARGET for share in shares)
    return (
        f"The large copy that these shares and targets are measured by moved "
        f"{measure / 1e12:.2f} TB/s. {' and '.join(told)}. Of the fastest of these the kernels "
        f"without a pool have {ranged(shares, '.0%')}; by it {enough} of {len(shares)} would reach "
        f"the target of {BANDWIDTH_TARGET:.0%}."
    )


def copies_of(card: Card, content: Row) -> tuple[float, list[str], list[float]] | None:
    """Bandwidth of the copy that was the measure, faster ones, and the kernels' shares of those.

    None where no copy was notably faster. Only kernels without a pool count: the target is theirs.
    """
    measure = content.get("copy_bandwidth")
    rates = [row.get("terabytes_per_s", {}) for row in content["timings"]]
    copies = [rate["copy"] * 1e12 for rate in rates if "copy" in rate]
    if not measure or not copies:
        return None
    told = [f"Copies of the inputs in the same stage reached {max(copies) / 1e12:.2f} TB/s"]
    fastest = max(copies)
    elsewhere = copied(card.stage("latency", "device"))
    if elsewhere is not None:
        told.append(f"the {elsewhere[0]} of the stage `latency` {elsewhere[1] / 1e12:.2f} TB/s")
        fastest = max(fastest, elsewhere[1])
    if fastest < _NOTABLY * measure:
        return None
    shares = [
        row["terabytes_per_s"]["fused"] * 1e12 / fastest
        for row in content["timings"]
        if "maxpool" not in row["fusion"] and "fused" in row.get("terabytes_per_s", {})
    ]
    return (measure, told, shares) if shares else None


def timings(content: Row) -> str:
    """A row for each case."""
    rows = []
    for row in content["timings"]:
        start = (
            row["fusion"],
            row["layer"],
            f"{_TYPES.get(row['dtype'], row['dtype'])}, {row['batch']}",
        )
        rate = row.get("terabytes_per_s", {})
        if "fused" not in rate:
            rows.append((*start, "not measured", "", "", *("" for _ in PEERS)))
            continue
        copy = rate.get("copy")
        rows.append(
            (
                *start,
                f"{rate['fused']:.2f}",
                "" if copy is None else f"{copy:.2f}",
                f"{row['share_of_floor']['fused']:.0%}",
                *(times(row["speedup"].get(peer)) for peer in PEERS),
            )
        )
    titles = ("kernel", "layer", "type, batch", "TB/s", "copy, TB/s", "share")
    return table((*titles, "eager", "fused LRN, pool", "compiled"), rows)


def rivals(rows: Sequence[Row]) -> str:
    """LRN alone beside the same layer of other runtimes."""
    told: list[tuple[str, ...]] = [
        (
            _rival(row),
            row["layer"],
            f"{_TYPES.get(row['dtype'], row['dtype'])}, {row['batch']}",
            f"{1e6 * row['median_s'][row['rival']]:.1f}",
            f"{1e6 * row['median_s']['fused']:.1f}",
            times(row["speedup"]),
        )
        for row in rows
        if "not_run" not in row
    ]
    absent = [f"{_rival(row)} was not timed: {row['not_run']}." for row in rows if "not_run" in row]
    if not told:
        return " ".join(absent)
    titles = ("LRN alone", "layer", "type, batch", "its µs", "the kernel's µs", "times as fast")
    return paragraphs(
        "Beside the same layer of other runtimes, whose calls are enqueued one by one; the "
        "kernel's come from a CUDA graph:",
        table(titles, told),
        " ".join(absent),
    )


def in_short(card: Card) -> str:
    """The kernels in a sentence or two; empty if none ran."""
    content = card.stage("kernels_fast", "timings")
    found: dict[str, list[float]] = {}
    for row in content.get("rivals", ()):
        if "speedup" in row:
            found.setdefault(_rival(row), []).append(row["speedup"])
    ratios = [f"{ranged(values, '.1f')} times as fast as {name}" for name, values in found.items()]
    parts = [f"Of the fused kernels {checks(card)}"] if checks(card) else []
    if ratios:
        parts.append(f"LRN alone is {' and '.join(ratios)}.")
    if content and (found_copies := copies_of(card, content)):
        measure, _, shares = found_copies
        parts.append(
            f"Without a pool they have {ranged(shares, '.0%')} of the fastest copy's bandwidth, "
            f"where the target is {BANDWIDTH_TARGET:.0%}; by the slower copy that the stage "
            f"measures with, {measure / 1e12:.2f} TB/s, {len(content.get('missed', ()))} targets "
            "are missed."
        )
    return " ".join(parts)


def _rival(row: Row) -> str:
    name: str = row["rival"]
    return RIVALS.get(name, name)


def _case(row: Row) -> str:
    return f"{row['fusion']} {row['layer']} {row['dtype']} batch {row['batch']}"
