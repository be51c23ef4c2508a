"""``python -m benchmarks.planted_faults``: draw a sample, plant it, write what was noticed."""

from __future__ import annotations

import argparse
import datetime
import json
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.harness import RESULTS, write_result
from benchmarks.planted_faults.faults import Fault, draw
from benchmarks.planted_faults.notice import Tree
from benchmarks.planted_faults.rooms import ROOMS, Room, files
from benchmarks.planted_faults.touching import touching

_CHECKOUT = Path(__file__).parents[2]
_EQUIVALENT = Path(__file__).with_name("equivalent.json")
_NAME = "planted_faults"
_SHOWN = 200
_KNOWN_BY = ("path", "code", "before", "after")


def sample(tree: Tree, seed: int, count: int, without: Sequence[str]) -> list[dict[str, Any]]:
    """Draw faults and plant them one after the other.

    Args:
        tree: Where.
        seed: Decides which.
        count: How many.
        without: Beginnings of paths to leave out.
    """
    room_of = {
        path: room
        for room in ROOMS.values()
        for path in files(tree.top, room)
        if not path.startswith(tuple(without))
    }
    sources = {path: (tree.top / path).read_bytes() for path in room_of}
    rows = []
    for fault in draw(sources, count, seed):
        by = noticed(tree, fault, room_of[fault.path])
        rows.append(row(fault, by))
        print(json.dumps(rows[-1]), flush=True)
    return sure(tree, rows)


def noticed(tree: Tree, fault: Fault, room: Room) -> str | None:
    """The test that notices a fault; None if none does of those that run its module."""
    for tests in (*touching(tree.top, room, fault.path), room.wider):
        if tests and (by := tree.notice(fault, tests)) is not None:
            return by
    return None


def row(fault: Fault, by: str | None) -> dict[str, Any]:
    """A fault as the result file has it."""
    shown = {
        name: " ".join(text.split())[:_SHOWN]
        for name, text in asdict(fault).items()
        if name in ("path", "code", "kind", "before", "after")
    }
    return {"line": fault.line, **shown, "noticed_by": by}


def sure(tree: Tree, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows, without those of a test that fails without its fault, too."""
    names = sorted({by for one in rows if (by := one["noticed_by"] or "").startswith("tests/")})
    while names and (bad := tree.first_failure(names)) is not None:
        print(f"fails without a fault: {bad}", flush=True)
        names = [name for name in names if not bad.startswith(name)]
        rows = [one for one in rows if not bad.startswith(one["noticed_by"] or "-")]
    return rows


def judged(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """How many were noticed of those that make a difference, by hand's judgement of the rest."""
    reasons = {
        tuple(one[key] for key in _KNOWN_BY): one["reason"]
        for one in json.loads(_EQUIVALENT.read_text())
    }
    told = []
    for one in rows:
        reason = reasons.get(tuple(one[key] for key in _KNOWN_BY))
        told.append(one if one["noticed_by"] or reason is None else {**one, "equivalent": reason})
    equivalent = sum("equivalent" in one for one in told)
    found = sum(one["noticed_by"] is not None for one in told)
    return {
        "planted": len(told),
        "noticed": found,
        "by_unit_tests": sum(_is_unit_test(one["noticed_by"]) for one in told),
        "equivalent": equivalent,
        "share": round(found / max(1, len(told) - equivalent), 3),
        "faults": told,
    }


def _is_unit_test(name: str | None) -> bool:
    return name is not None and name.startswith("tests/unit/")


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, help="which sample; without it, judge the last again")
    parser.add_argument("--count", type=int, default=50)
    parser.add_argument("--without", action="append", default=[], help="beginning of a path")
    given = parser.parse_args()
    file = RESULTS / f"{_NAME}.json"
    last = json.loads(file.read_text()) if file.exists() else {"history": []}
    history = last["history"]
    if given.seed is None:
        seed, rows, without = last["seed"], last["faults"], last["without"]
        rows = [{key: one[key] for key in one if key != "equivalent"} for one in rows]
        history = history[:-1]
    else:
        seed, without = given.seed, given.without
        with tempfile.TemporaryDirectory() as folder:
            tree = Tree(Path(folder), _CHECKOUT)
            try:
                rows = sample(tree, seed, given.count, without)
            finally:
                tree.close()
    result = judged(rows)
    figures = {key: value for key, value in result.items() if key != "faults"}
    today = datetime.datetime.now(tz=datetime.UTC).date().isoformat()
    history = [*history, {"date": today, "seed": seed, **figures}]
    print(json.dumps(figures))
    write_result(_NAME, {"seed": seed, "without": without, "history": history, **result})


if __name__ == "__main__":
    main()
