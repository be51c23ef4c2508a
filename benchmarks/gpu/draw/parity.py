"""How far each side was from float64, from the stages ``parity`` and ``made``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.gpu.draw.runs import Card, Row, Run
from benchmarks.gpu.draw.words import beginning, error, paragraphs, table

SIDES = {"torch": "PyTorch", "onnxruntime": "ONNX Runtime", "tensorrt": "TensorRT engine"}
JUDGED = ("onnxruntime", "tensorrt")
"""Sides that the stage judges; PyTorch's own precisions are told only."""
KINDS = {"ordinary": "ordinary inputs", "active": "where LRN acts", "extremes": "extremes"}


@dataclass(frozen=True)
class Subject:
    """All checks of one graph, engine or precision of PyTorch.

    Attributes:
        side: A key of :data:`SIDES`.
        network: The network.
        what: The artifact, or PyTorch's precision.
        precision: As asked for.
        checks: What was compared; empty if it did not run.
        reason: Why it did not run.
    """

    side: str
    network: str
    what: str
    precision: str
    checks: Sequence[Row]
    reason: str = ""

    @property
    def is_within(self) -> bool:
        """Whether it ran and no check is over its limit."""
        return bool(self.checks) and all(check["verdict"] != "fail" for check in self.checks)

    @property
    def errors(self) -> dict[tuple[str, int], Any]:
        """The relative L2 error by inputs and batch."""
        return {(one["inputs"], one["batch"]): _error(one) for one in self.checks}

    def worst(self, kind: str) -> tuple[Any, Any]:
        """The largest relative L2 error on a kind of inputs, and its limit; None without one."""
        mine = [check for check in self.checks if kind_of(check["inputs"]) == kind]
        if not mine:
            return None, None
        worst = max(mine, key=lambda check: order(_error(check)))
        budget = worst["budget"]
        return _error(worst), budget and budget["relative_l2"]


def subjects(content: Row) -> list[Subject]:
    """What was compared, by side and network, in the order of the record."""
    found: dict[tuple[str, str, str], dict[str, Any]] = {}
    for side in SIDES:
        for row in content.get(side, ()):
            if "realised" in row:
                continue
            key = (side, row["network"], row["what"])
            mine = found.setdefault(key, {"precision": "", "checks": [], "reason": ""})
            mine["precision"] = row.get("precision", mine["precision"])
            if row.get("check"):
                mine["checks"].append(row["check"])
            else:
                mine["reason"] = row.get("reason") or row.get("not_made_for_it", "")
    return [Subject(*key, **mine) for key, mine in found.items()]


def kind_of(inputs: str) -> str:
    """The kind of a set of inputs, a key of :data:`KINDS`."""
    return (
        "active"
        if inputs.startswith("active")
        else "extremes"
        if "extreme" in inputs
        else ("ordinary")
    )


def newest(card: Card) -> tuple[Run, Row] | None:
    """The newest comparison, with engines if one has them."""
    return card.newest("parity", "engines_run") or card.newest("parity", "torch")


def compared(card: Card) -> list[Subject]:
    """What was compared in it."""
    found = newest(card)
    return subjects(found[1]) if found else []


def section(card: Card) -> str:
    """Everything about errors."""
    found = newest(card)
    if found is None:
        return ""
    run, content = found
    mine = subjects(content)
    networks = dict.fromkeys(subject.network for subject in mine)
    ordered = [subject for network in networks for subject in mine if subject.network == network]
    return paragraphs(
        f"#### Errors against float64 ({run.name})",
        "The largest relative L2 error over all batches, with its limit in brackets. The verdict "
        "also counts the error over the signal and values that are not finite. PyTorch's own "
        "precisions are told and not judged.",
        table(
            ("network", "side", "graph or precision", *KINDS.values(), "limits"),
            [_row(subject) for subject in ordered],
        ),
        "\n".join(f"- {line}" for line in sentences(mine)),
        _alone(content.get("probes", ())),
        _side_by_side(content.get("side_by_side", ())),
        _validate(run.name, content.get("validate", ()), card),
        made(card, mine),
    )


def sentences(mine: Sequence[Subject]) -> list[str]:
    """What did not run, and what is over its limit, beside the same precision elsewhere."""
    absent: dict[tuple[str, str, str], list[str]] = {}
    for one in mine:
        if one.reason:
            key = (one.what, SIDES[one.side], beginning(one.reason))
            absent.setdefault(key, []).append(one.network)
    lines = [
        f"{what} of {', '.join(networks)} did not run on {side}: {reason}"
        for (what, side, reason), networks in absent.items()
    ]
    return lines + over(mine)


def over(mine: Sequence[Subject]) -> list[str]:
    """What is over its limit, beside the same precision elsewhere."""
    return [
        f"{one.what} of {one.network} is over its limit: {_beside(one, mine)}.{_twins(one, mine)}"
        for one in mine
        if one.side in JUDGED and one.checks and not one.is_within
    ]


def _beside(subject: Subject, mine: Sequence[Subject]) -> str:
    worst, limit = subject.worst("ordinary")
    others = [
        f"{error(other.worst('ordinary')[0])} ({SIDES[other.side]}, {other.what})"
        for other in mine
        if other.side != subject.side
        and (other.network, other.precision) == (subject.network, subject.precision)
        and other.checks
    ]
    told = f"{error(worst)} on ordinary inputs"
    if limit is not None:
        told += f" where {error(limit)} is allowed"
    return f"{told}; {subject.precision} elsewhere: {', '.join(others)}" if others else told


def twin(subject: Subject, mine: Sequence[Subject]) -> str:
    """What TF32 was asked of and has the same errors as something in fp32; empty without one."""
    for other in mine if subject.precision == "fp32" else ():
        same = (other.side, other.network) == (subject.side, subject.network)
        if same and other.precision == "tf32" and other.errors == subject.errors:
            return other.what
    return ""


def _twins(subject: Subject, mine: Sequence[Subject]) -> str:
    other = twin(subject, mine)
    if not other:
        return ""
    return (
        f" Its errors equal those of {other} on every input: it computes with the accuracy of "
        "TF32, although TF32 was switched off."
    )


def made(card: Card, mine: Sequence[Subject]) -> str:
    """Precision asked for and realised, and what engines took to build."""
    found = card.newest("made", "networks")
    if found is None:
        return ""
    run, content = found
    errors = {(one.network, one.what): one.worst("ordinary")[0] for one in mine if one.checks}
    rows = []
    for network, name, engine, size in _engines(content):
        worst = errors.get((network, name))
        forms = sorted({layer["form"] for layer in engine["lrn"]})
        rows.append(
            (
                network,
                name,
                engine["precision"],
                ": ".join(filter(None, (engine["realised"], engine.get("difference")))),
                "" if worst is None else error(worst),
                ", ".join(forms) or "none",
                f"{engine['build_seconds']:.2f}",
                f"{size / 1e6:.1f}",
            )
        )
    titles = ("network", "engine", "asked for", "realised", "worst error, ordinary inputs")
    return paragraphs(
        f"#### Engines that were built ({run.name})",
        "*Realised* is what the engine's record says, after TensorRT's inspector.",
        table((*titles, "LRN layers", "build, s", "MB"), rows),
    )


def _engines(content: Row) -> Iterator[tuple[str, str, Mapping[str, Any], int]]:
    for network in content["networks"]:
        for name, artifact in network.get("artifacts", {}).items():
            if artifact["engine"]:
                yield network["network"], name, artifact["engine"], artifact["bytes"]


def _row(subject: Subject) -> tuple[str, ...]:
    start = (subject.network, SIDES[subject.side], subject.what)
    if not subject.checks:
        return (*start, "did not run", "", "", "")
    judged = subject.side in JUDGED
    if judged:
        verdict = "met" if subject.is_within else "**over**"
    else:
        verdict = "within, told" if subject.is_within else "over, told"
    return (*start, *(_worst(subject, kind) for kind in KINDS), verdict)


def _worst(subject: Subject, kind: str) -> str:
    worst, limit = subject.worst(kind)
    if worst is None and not any(kind_of(one["inputs"]) == kind for one in subject.checks):
        return ""
    return f"{error(worst)} ({'no limit' if limit is None else error(limit)})"


def _alone(probes: Sequence[Row]) -> str:
    """Each LRN alone."""
    rows = []
    for probe in probes:
        measured = [one for one in probe.get("amplitudes", ()) if one["metrics"]]
        worst = max((_error(one) for one in measured), key=order, default=None)
        amplitudes = [one["amplitude"] for one in measured]
        span = f"{min(amplitudes):g} to {max(amplitudes):g}" if measured else ""
        built = "" if probe["what"] == "probe" else f", {probe['what']}"
        rows.append((f"{probe['spec']}{built}", span, error(worst), probe["verdict"]))
    if not rows:
        return ""
    titles = ("LRN alone as a TensorRT engine", "amplitudes", "largest relative L2", "verdict")
    return table(titles, rows)


def _side_by_side(rows: Sequence[Row]) -> str:
    """fp32 on each side, each with each."""
    if not rows:
        return ""
    names = SIDES | {"tensorrt": "TensorRT"}
    told: list[tuple[str, ...]] = [
        (row["network"], *(_named(row[key], names) for key in ("one", "other")), error(_error(row)))
        for row in rows
    ]
    return paragraphs(
        "Side by side in fp32, on the same inputs:",
        table(("network", "one", "other", "relative L2"), told),
    )


def _named(key: str, names: Mapping[str, str]) -> str:
    return names.get(key, key)


def _validate(name: str, rows: Sequence[Row], card: Card) -> str:
    """The verdicts of ``validate``: a stage of its own, which older runs had in this one."""
    if own := card.newest("verdicts", "networks"):
        name, rows = own[0].name, own[1]["networks"]
    told = [
        f"{row['network']}: {row['reason']}"
        if "reason" in row
        else f"{row['network']}: {row['verdict']}, {len(row['failed'])} of {row['checks']} checks "
        "failed"
        for row in rows
    ]
    return f"`validate` on this card ({name}): {'; '.join(told)}." if told else ""


def _error(row: Row) -> Any:
    return (row["metrics"] or {}).get("relative_l2")


def order(value: Any) -> float:
    """A place for every error, those that are no number last."""
    return float(value) if isinstance(value, int | float) and value == value else float("inf")
