"""What ran on each card and how it ended; the whole of ``docs/gpu.md``'s part."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.gpu.draw import latency, parity
from benchmarks.gpu.draw.runs import Card, Run
from benchmarks.gpu.draw.words import beginning, paragraphs, table
from benchmarks.gpu_check import stages as in_order

PACKAGES = {
    "python": "Python",
    "torch": "PyTorch",
    "onnxruntime": "ONNX Runtime",
    "tensorrt-rtx": "TensorRT for RTX",
    "tensorrt": "TensorRT",
    "triton": "Triton",
}


def page(cards: Sequence[Card]) -> str:
    """All cards, each with tables of its own."""
    return paragraphs(*map(section, cards)) or "Nothing yet."


def section(card: Card) -> str:
    """One card."""
    return paragraphs(
        f"### {card.title}",
        versions(card),
        outcomes(card),
        parity.section(card),
        latency.section(card),
        "The fused kernels: [plugins.md](plugins.md#what-has-been-run-and-what-has-not)."
        if card.newest("kernels_fast", "timings")
        else "",
    )


def versions(card: Card) -> str:
    """The runs, with what was installed."""
    there = {
        package: title
        for package, title in PACKAGES.items()
        if any(run.version(package) for run in card.runs)
    }
    return table(
        ("run", "date", "driver", *there.values()),
        [
            (
                f"[{run.name}](../benchmarks/results/gpu/{run.name})",
                run.date,
                run.gpu["driver"],
                *(run.version(package) for package in there),
            )
            for run in card.runs
        ],
    )


def outcomes(card: Card) -> str:
    """How each stage ended in the newest run that has it."""
    ended = card.attempts()
    rows = [
        (f"`{name}`", ended[name].name, ended[name].outcome(name), said(ended[name], name))
        for name in stage_names(card)
    ]
    return table(("stage", "run", "outcome", "what it says"), rows)


def stage_names(card: Card) -> list[str]:
    """The stages that ran on a card, in the order of the check."""
    found = set(card.attempts())
    known = [stage.name for stage in in_order(sorted(found), ())]
    return known + sorted(found - set(known))


def said(run: Run, stage: str) -> str:
    """A stage's headline and what failed in it, or why it ended."""
    told = run.said(stage)
    failed = run.stages.get(stage, {}).get("failed") or []
    if len(failed) == 1:
        return f"{told}; {beginning(failed[0])}"
    return f"{told}; {len(failed)} findings" if failed else told
