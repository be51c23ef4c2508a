"""Judge again what was recorded: every verdict follows from the samples beside it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.runtimes.verdicts import Measured, aims, judge_class, losses


def judged_again(result: Mapping[str, Any]) -> dict[str, Any]:
    """A result with verdicts, aims and losses made anew from its samples and errors.

    Args:
        result: As ``runtimes.json`` holds it.
    """
    networks = [
        network | {"batches": [_batch(network, batch) for batch in network["batches"]]}
        for network in result["networks"]
    ]
    return {**result, "aims": aims(networks), "losses": losses(networks), "networks": networks}


def _batch(network: Mapping[str, Any], batch: Mapping[str, Any]) -> dict[str, Any]:
    rows = {row["name"]: row for row in network["candidates"]}
    measured = [
        Measured(
            row["name"],
            row["side"],
            row["runtime"],
            row["error"]["relative_l2"],
            row["error"]["top1_agreement"] or 0.0,
            [timing["samples_s"][at] for at in batch["judging_rounds"]],
        )
        for timing in batch["timings"]
        if (row := rows[timing["candidate"]]) and timing["candidate"] not in batch["failed"]
    ]
    classes = [
        judge_class(measured, told["ours"], network["network"], told["class"])
        for told in batch["classes"]
    ]
    return {**batch, "classes": classes}
