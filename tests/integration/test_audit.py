"""``make audit``: what is told of advisories, and that silence is never taken for none."""

from __future__ import annotations

import json
import runpy
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
CLEAN = {"name": "click", "version": "8.5.1", "vulns": []}
WEAK = {
    "name": "pillow",
    "version": "1.0",
    "vulns": [{"id": "PYSEC-1", "aliases": ["CVE-1"], "fix_versions": ["2.0"]}],
}
UNKNOWN = {"name": "torch", "skip_reason": "Dependency not found on PyPI"}


@pytest.fixture(scope="module")
def audit() -> Callable[..., int]:
    return runpy.run_path(str(ROOT / "scripts" / "audit.py"))["audit"]  # type: ignore[no-any-return]  # a script has no types


def told(tmp_path: Path, *dependencies: dict[str, Any], text: str = "") -> list[str]:
    """A program that answers as pip-audit does, if it is asked as pip-audit must be."""
    answer = text or json.dumps({"dependencies": dependencies, "fixes": []})
    program = tmp_path / "pip_audit.py"
    program.write_text(
        "import sys\n"
        "assert sys.argv[sys.argv.index('--requirement') + 1].endswith('constraints.txt')\n"
        "assert {'--no-deps', '--disable-pip', 'pypi', 'json'} <= set(sys.argv)\n"
        f"print({answer!r})\n"
    )
    return [sys.executable, str(program)]


def test_none_is_known_only_if_all_were_checked(
    tmp_path: Path, audit: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert audit(told(tmp_path, CLEAN, CLEAN)) == 0
    assert capsys.readouterr().out == "2 of 2 pinned versions checked.\n"
    assert audit(told(tmp_path, CLEAN, UNKNOWN)) == 3
    assert "PyPI told nothing of 1: torch" in capsys.readouterr().out


def test_an_advisory_is_told_with_what_mends_it(
    tmp_path: Path, audit: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert audit(told(tmp_path, CLEAN, WEAK, UNKNOWN)) == 1
    assert "pillow 1.0: PYSEC-1, CVE-1; mended in 2.0\n" in capsys.readouterr().out


@pytest.mark.parametrize("text", ["", "no JSON", "[]"])
def test_who_gets_no_answer_says_so(
    tmp_path: Path, audit: Callable[..., int], capsys: pytest.CaptureFixture[str], text: str
) -> None:
    assert audit(told(tmp_path, text=text or " ")) == 3
    assert "nothing was checked" in capsys.readouterr().out
