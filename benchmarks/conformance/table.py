"""The whole table, the servers that are asked, and the record of what tritonserver answered."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

# Importing these puts their calls into the table, in this order.
from benchmarks.conformance import describing, inference, operating, refusals  # noqa: F401 - they register
from benchmarks.conformance.calls import CALLS, ask_all
from benchmarks.conformance.compare import ALLOWED, differences, judge
from benchmarks.conformance.networks import MAX_BATCH, OURS, TRITON, Networks
from benchmarks.harness import RESULTS
from benchmarks.peers.ours import lrn_server
from benchmarks.peers.triton import tritonserver

Answers = dict[str, Any]
RECORD = RESULTS / "conformance.json"


def ask_ours(networks: Networks) -> Answers:
    """What lrn-server answers to every call."""
    with lrn_server(*networks.paths, *OURS) as server:
        return _plain(dict(ask_all(server, CALLS)))


def ask_triton(networks: Networks, folder: Path) -> Answers:
    """What tritonserver answers; its repository is made in ``folder``."""
    with tritonserver(
        folder, networks.graphs, max_batch=MAX_BATCH, batching=TRITON, labels=networks.labels
    ) as server:
        return _plain(dict(ask_all(server, CALLS)))


def _plain(answers: Answers) -> Answers:
    """As they are when they have been written and read again."""
    plain: Answers = json.loads(json.dumps(answers))
    return plain


def recorded() -> Answers:
    """What tritonserver answered when the record was made."""
    return {row["name"]: row["theirs"] for row in json.loads(RECORD.read_text())["rows"]}


def compare(theirs: Answers, ours: Answers, tolerance: float) -> list[dict[str, Any]]:
    """A row for each call: the verdict, its reasons, and where the answers differ."""
    rows = []
    for name in {**theirs, **ours}:
        found = list(differences(theirs.get(name), ours.get(name), tolerance))
        verdict, used = judge(name, found)
        row: dict[str, Any] = {"name": name, "verdict": verdict}
        if found:
            row["reasons"] = [one.reason for one in used]
            row["differences"] = [vars(one) for one in found]
        message = ours[name].get("_message") if isinstance(ours.get(name), Mapping) else None
        rows.append(row | ({"our_message": message} if message else {}))
    return rows


def unused(rows: list[dict[str, Any]]) -> list[str]:
    """Reasons of differences that are allowed but were not met: nobody knows if they hold."""
    met = {reason for row in rows for reason in row.get("reasons", ())}
    return [one.reason for one in ALLOWED if one.reason not in met]
