"""The planter finds faults, plants them, and tells what tests notice."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from benchmarks.planted_faults import __main__ as command
from benchmarks.planted_faults.faults import draw, find
from benchmarks.planted_faults.notice import Tree
from benchmarks.planted_faults.rooms import Room, files
from benchmarks.planted_faults.touching import touching

CODE = b'''"""Twice 1."""
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    LIMIT = 1

__all__ = ["held"]


def held(value: int, low: int = 3, *, loud: bool = False) -> int:
    """At least 3 and at most 7."""
    if value > 7 and not loud:
        raise ValueError(f"{value + 1} is above {7 - 0}")
    return max(value, low)


def unused() -> int:
    return 5
'''
TESTS = """
import pytest
from held import held


def test_low():
    assert held(1) == 3
    assert held(4) == 4


def test_high():
    assert held(7) == 7
    with pytest.raises(ValueError):
        held(9)
"""
WIDER = """
import held


def test_unused():
    assert held.unused() == 5
"""


def test_every_kind_of_slip_is_found_and_no_text_is_touched() -> None:
    found = {(one.line, one.kind, one.before, one.after) for one in find("held.py", CODE)}
    assert found == {
        (10, "default", "3", "4"),
        (10, "default", "False", "True"),
        (12, "if", "value > 7 and not loud", "True"),
        (12, "if", "value > 7 and not loud", "False"),
        (12, "and/or", "value > 7 and not loud", "(value > 7 or not loud)"),
        (12, "comparison", "value > 7", "(value >= 7)"),
        (12, "comparison", "value > 7", "(value < 7)"),
        (12, "constant", "7", "8"),
        (12, "not", "not loud", "(loud)"),
        (13, "removed", 'raise ValueError(f"{value + 1} is above {7 - 0}")', "pass"),
        (14, "return", "max(value, low)", "(max(value, low)) + 1"),
        (18, "return", "5", "(5) + 1"),
        (18, "constant", "5", "6"),
    }


@pytest.mark.parametrize(
    ("code", "kind", "after"),
    [
        ("def f(a, b):\n    g(a, b, 1)", "swapped", "g(b, a, 1)"),
        ("def f(a, b):\n    a.b = 1\n    c = 1", "removed", "pass"),
        ("def f(a):\n    return (a + 1) * 2", "arithmetic", "((a + 1) / 2)"),
        ("def f(a) -> str | None:\n    return a", "return", "None"),
        ("LIMIT = 64", "constant", "128"),
    ],
)
def test_a_kind_reads_as_it_would_be_written(code: str, kind: str, after: str) -> None:
    (one, *_) = [one for one in find("held.py", code.encode()) if one.kind == kind]
    assert one.after == after
    compile(one.plant(code.encode()), "held.py", "exec")


def test_a_first_assignment_stays_for_nothing_runs_without_it() -> None:
    found = find("held.py", b"def f(a):\n    b = a\n    a = b\n    return b")
    assert [one.before for one in found if one.kind == "removed"] == ["a = b"]


def test_a_seed_decides_and_a_line_is_drawn_once() -> None:
    sources = {"held.py": CODE}
    assert draw(sources, 4, 1) == draw(sources, 4, 1)
    assert draw(sources, 4, 1) != draw(sources, 4, 2)
    assert [one.line for one in draw(sources, 50, 1)] == [10, 12, 13, 14, 18]


def test_faults_are_noticed_or_reported_and_the_copy_is_as_it_was(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    checkout = tmp_path / "checkout"
    checkout.mkdir()
    (checkout / "held.py").write_bytes(CODE)
    (checkout / "test_held.py").write_text(TESTS)
    (checkout / "test_wider.py").write_text(WIDER)
    (checkout / "pyproject.toml").write_text('[tool.pytest.ini_options]\npythonpath = ["."]\n')
    subprocess.run(["git", "init", "-q", checkout], check=True)
    tree = Tree(tmp_path / "copy", checkout, heavy=())
    request.addfinalizer(tree.close)
    wanted = [(10, "4"), (12, "(value >= 7)"), (12, "8"), (18, "6")]
    room = Room(("held.py",), ("test_held.py",), ("test_wider.py",))
    outcome = {
        (one.line, one.after): command.noticed(tree, one, room)
        for one in find("held.py", CODE)
        if (one.line, one.after) in wanted
    }
    assert outcome == {
        (10, "4"): "test_held.py::test_low",
        (12, "(value >= 7)"): "test_held.py::test_high",
        (12, "8"): None,  # nobody tries 8
        (18, "6"): "test_wider.py::test_unused",
    }
    assert (tree.top / "held.py").read_bytes() == CODE


def test_tests_touch_a_module_by_its_name_by_an_import_or_one_step_further(
    tmp_path: Path,
) -> None:
    for name, text in {
        "lrn_deploy/a/one.py": "",
        "lrn_deploy/a/two.py": "from lrn_deploy.a.one import x",
        "tests/unit/a/test_one_more.py": "",
        "tests/unit/a/test_imports.py": "from lrn_deploy.a import one",
        "tests/unit/a/test_two.py": "from lrn_deploy.a.two import y",
        "tests/unit/a/test_package.py": "from lrn_deploy.a import z",
        "tests/unit/a/test_none.py": "import lrn_deploy",
        "tests/unit/b/test_one.py": "from lrn_deploy.a import one",
    }.items():
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    room = Room(("lrn_deploy/a",), ("tests/unit/a",))
    near, far, rest = touching(tmp_path, room, "lrn_deploy/a/one.py")
    assert near == ["tests/unit/a/test_one_more.py", "tests/unit/a/test_imports.py"]
    assert far == ["tests/unit/a/test_package.py", "tests/unit/a/test_two.py"]
    assert rest == ["tests/unit/a/test_none.py"]
    assert files(tmp_path, room) == ["lrn_deploy/a/one.py", "lrn_deploy/a/two.py"]


def test_a_survivor_counts_as_missed_unless_a_reason_is_written_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reasons = tmp_path / "equivalent.json"
    reasons.write_text(
        '[{"path": "a.py", "code": "if x < 1:", "before": "x < 1", "after": "(x <= 1)",'
        ' "reason": "x is never 1"}]'
    )
    monkeypatch.setattr(command, "_EQUIVALENT", reasons)
    same = {"path": "a.py", "code": "if x < 1:", "kind": "comparison", "before": "x < 1"}
    told = command.judged(
        [
            {**same, "after": "(x <= 1)", "noticed_by": None},
            {**same, "after": "(x > 1)", "noticed_by": None},
            {**same, "after": "(x > 1)", "noticed_by": "tests/unit/test_a.py::test_x"},
            {**same, "after": "(x > 1)", "noticed_by": "tests/e2e/test_a.py::test_y"},
        ]
    )
    assert (told["planted"], told["noticed"], told["equivalent"]) == (4, 2, 1)
    assert told["by_unit_tests"] == 1
    assert told["share"] == 0.667
    assert told["faults"][0]["equivalent"] == "x is never 1"
