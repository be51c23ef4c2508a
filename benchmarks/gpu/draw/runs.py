"""The recorded runs: a folder ``CARD-N`` for each, with a JSON file for each of its stages."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Row = Mapping[str, Any]

_NAME = re.compile(r"(?P<card>.+)-(?P<number>\d+)")
_ONNXRUNTIME = ("onnxruntime-gpu", "onnxruntime")
"""Packages of ONNX Runtime: where both are installed, the first is the one that ran."""
NOT_RUN = "not run"


@dataclass(frozen=True)
class Run:
    """One run of the GPU check.

    Attributes:
        card: The folder's name without its number.
        number: Counts the runs of a card.
        stages: What each stage has written, by name.
        outcomes: How stages ended, from ``summary.json``; not all stand there.
    """

    card: str
    number: int
    stages: Mapping[str, Row]
    outcomes: Mapping[str, Row]

    @property
    def name(self) -> str:
        """The folder's name."""
        return f"{self.card}-{self.number}"

    @property
    def gpu(self) -> Row:
        """What the driver tells of the card."""
        for content in self.stages.values():
            if gpus := content["machine"]["gpus"]:
                found: Row = gpus[0]
                return found
        return {"name": self.card, "driver": "?"}

    @property
    def date(self) -> str:
        """When the first stage began."""
        return min((content["date"] for content in self.stages.values()), default="")

    def version(self, package: str) -> str:
        """A package's version in this run; empty if it was not there."""
        names = _ONNXRUNTIME if package == "onnxruntime" else (package,)
        for name in names:
            for content in self.stages.values():
                if found := content["versions"].get(name):
                    return str(found)
        return ""

    def outcome(self, stage: str) -> str:
        """How a stage ended, in a word or two."""
        if stage in self.outcomes:
            return str(self.outcomes[stage]["state"])
        content = self.stages[stage]
        if not content.get("finished"):
            return "not finished"
        return "failed" if content.get("failed") else "passed"

    def said(self, stage: str) -> str:
        """A stage's headline, or why it ended."""
        told = self.stages.get(stage, {}).get("headline")
        return str(told or self.outcomes.get(stage, {}).get("reason", ""))


@dataclass(frozen=True)
class Card:
    """The runs on one kind of card.

    Attributes:
        runs: The newest first.
    """

    runs: Sequence[Run]

    @property
    def title(self) -> str:
        """The card's name."""
        return str(self.runs[0].gpu["name"])

    def newest(self, stage: str, key: str = "stage") -> tuple[Run, Row] | None:
        """The newest run whose stage has written ``key``, and what it wrote; None without one."""
        for run in self.runs:
            content = run.stages.get(stage, {})
            if content.get(key):
                return run, content
        return None

    def attempts(self) -> dict[str, Run]:
        """The stages, each with the newest run that began it, or else that could not begin it."""
        found: dict[str, Run] = {}
        for begun in (True, False):
            for run in self.runs:
                for name in sorted({*run.stages, *run.outcomes}):
                    if (run.outcome(name) != NOT_RUN) is begun:
                        found.setdefault(name, run)
        return found

    def stage(self, stage: str, key: str = "stage") -> Row:
        """What :meth:`newest` finds, without the run; empty without one."""
        found = self.newest(stage, key)
        return found[1] if found else {}


def read_cards(folder: Path) -> list[Card]:
    """All cards, in the order of their names; dry runs are left out."""
    runs: list[Run] = []
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        name = _NAME.fullmatch(path.name)
        if name is None or not path.is_dir():
            continue
        files = {file.stem: json.loads(file.read_text("utf-8")) for file in path.glob("*.json")}
        files = {stem: content for stem, content in files.items() if not content.get("dry")}
        outcomes = files.pop("summary", {}).get("stages", {})
        if files:
            stages = dict(sorted(files.items()))
            runs.append(Run(name["card"], int(name["number"]), stages, outcomes))
    return group(runs)


def group(runs: Iterable[Run]) -> list[Card]:
    """Runs by card."""
    cards: dict[str, list[Run]] = {}
    for run in sorted(runs, key=lambda run: (run.card, -run.number)):
        cards.setdefault(run.card, []).append(run)
    return [Card(mine) for mine in cards.values()]
