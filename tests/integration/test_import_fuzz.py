"""Mutated files: each imports or is refused in a sentence. ``benchmarks.import_fuzz`` has more."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from benchmarks import import_fuzz
from benchmarks.import_fuzz import attempt, mutated
from tests.support.import_bases import BASES

EACH = 10


@pytest.mark.parametrize(("kind", "files"), BASES)
def test_the_files_that_are_mutated_import(
    kind: str, files: dict[str, bytes], tmp_path: Path
) -> None:
    assert attempt(files, tmp_path) == ("imported", ""), kind
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("part", range(20))
def test_a_mutated_file_imports_or_is_refused_in_a_sentence(part: int, tmp_path: Path) -> None:
    for number in range(part * EACH, (part + 1) * EACH):
        _, files = mutated(BASES, 1, number)
        started = time.process_time()
        what, detail = attempt(files, tmp_path)
        assert what in ("imported", "refused"), (number, what, detail)
        assert time.process_time() - started < 20
    assert list(tmp_path.iterdir()) == []


def test_a_number_always_makes_the_same_files() -> None:
    assert mutated(BASES, 1, 7) == mutated(BASES, 1, 7) != mutated(BASES, 2, 7)


def test_what_must_not_be_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def careless(*_: object) -> None:
        (tmp_path / "left").touch()
        raise KeyError("x")

    monkeypatch.setattr(import_fuzz, "import_network", careless)
    what, detail = attempt(BASES[0][1], tmp_path)
    assert (what, detail) == ("something left behind", "{'left'}")
    (tmp_path / "left").unlink()
    monkeypatch.setattr(import_fuzz, "import_network", lambda *_: {}["x"])
    what, detail = attempt(BASES[0][1], tmp_path)
    assert what == "traceback"
    assert "KeyError" in detail
