"""Lists and facts that are printed for people, at the widths that terminals have."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from lrn_deploy import cli
from lrn_deploy.report.console.layout import Column, print_facts, print_list
from tests.support.exported import exported

COLUMNS = (
    Column("layer"),
    Column("size", "size="),
    Column("form"),
    Column("why", "because ", True),
)
ROWS = (
    ("features.norm1", "5", "kept", "-"),
    ("features.norm2", "4", "written out", "its size is even, which ONNX sees otherwise"),
)


def printed(width: int | None) -> list[str]:
    """The lines that a terminal of that width shows; None: a pipe."""
    stream = io.StringIO()
    terminal = width is not None
    console = Console(
        file=stream,
        width=width,
        force_terminal=terminal,
        no_color=True,
        markup=False,
        soft_wrap=True,
    )
    print_facts(console, [("digest", "0123456789" * 6), ("", "more")])
    print_list(console, "Layers", COLUMNS, ROWS)
    text = stream.getvalue().replace("\x1b[1m", "").replace("\x1b[0m", "")
    return [line.rstrip() for line in text.splitlines()]


@pytest.mark.parametrize("width", range(24, 200, 8))
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    assert max(map(len, printed(width))) <= width


def test_a_narrow_terminal_gets_paragraphs() -> None:
    assert printed(40) == [
        "  digest  012345678901234567890123456789",
        "          012345678901234567890123456789",
        "          more",
        "Layers",
        "  features.norm1",
        "    size=5, kept",
        "  features.norm2",
        "    size=4, written out, because its",
        "    size is even, which ONNX sees",
        "    otherwise",
    ]


def test_a_wide_terminal_gets_a_table() -> None:
    lines = printed(80)
    assert lines[3].strip("┃ ").split() == ["layer", "┃", "size", "┃", "form", "┃", "why"]
    assert "│ features.norm1 │ 5    │ kept        │ -" in lines[5]


def test_a_pipe_cuts_nothing() -> None:
    assert any("its size is even, which ONNX sees otherwise" in line for line in printed(None))


@pytest.mark.parametrize("width", [40, 80, 160])
def test_inspect_fits_any_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    bundle = exported("digits", tmp_path / "b")
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich then takes the output for a terminal
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.chdir(tmp_path)
    capsys.readouterr()
    assert cli.run(["inspect", "b"]) == 0
    lines = capsys.readouterr().out.replace("\x1b[1m", "").replace("\x1b[0m", "").splitlines()
    assert lines[0] == "digits in b"
    assert max(len(line.rstrip()) for line in lines) <= width
    digest = bundle.manifest.artifact("model").sha256[:12]
    words = {word.strip(",") for word in " ".join(lines).split()}
    assert {"model.onnx", "labels.txt", "norm2", digest} <= words
