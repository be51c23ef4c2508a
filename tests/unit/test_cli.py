"""The command line as a whole: speed, help, and the exit code of each way to end."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
import sys
from typing import Any

import click
import pytest

from lrn_deploy import cli, errors
from lrn_deploy.errors import CannotWriteError, DamagedError, LrnDeployError, MissingError

PROGRAM = [sys.executable, "-m", "lrn_deploy"]


@pytest.fixture
def command_that(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Give ``lrn-deploy models`` a body that ends as a test wants it to end."""

    def install(action: Any) -> None:
        @click.command("models")
        def command() -> Any:
            return action()

        monkeypatch.setattr(cli.LazyGroup, "get_command", lambda *_: command)

    return install


def raising(error: BaseException) -> Any:
    def action() -> None:
        raise error

    return action


def without_coverage() -> dict[str, str]:
    """The environment for timing: measuring coverage of a subprocess slows its start."""
    return {name: value for name, value in os.environ.items() if not name.startswith("COV")}


def test_help_takes_hardly_longer_than_click_alone() -> None:
    """Of the processor's time, which does not depend on what else the machine does: 1.4 times."""

    def used() -> float:
        so_far = resource.getrusage(resource.RUSAGE_CHILDREN)
        return so_far.ru_utime + so_far.ru_stime

    def seconds(*words: str) -> float:
        before = used()
        command = [sys.executable, *words]
        subprocess.run(command, env=without_coverage(), check=True, capture_output=True)
        return used() - before

    ours, alone = (
        min(seconds(*words) for _ in range(3))
        for words in (("-m", "lrn_deploy", "--help"), ("-c", "import click"))
    )
    assert ours < 2.2 * alone


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from lrn_deploy.cli import COMMANDS, run; run(['--help']);"
        "[run([name, '--help']) for name in COMMANDS];"
        "heavy = {'torch', 'onnxruntime', 'onnx', 'onnx_ir', 'numpy', 'pydantic', 'rich', 'PIL'};"
        "heavy |= {'fsspec', 's3fs'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_help_lists_the_commands_in_the_order_of_a_first_deployment(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert cli.run(["--help"]) == 0
    lines = capsys.readouterr().out.partition("Commands:\n")[2].splitlines()
    assert [line.split(maxsplit=1) for line in lines] == [list(row) for row in cli.COMMANDS.items()]


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_has_an_example_and_json(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run([name, "--help"]) == 0
    text = capsys.readouterr().out
    assert "Example" in text
    assert f"lrn-deploy {name}" in text.partition("Example")[2]
    assert "--json" in text
    assert "\\b" not in text  # a raw docstring keeps click from seeing its marker


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["--version"]) == 0
    assert capsys.readouterr().out == "lrn-deploy, version 0.1.0\n"


def test_no_command_shows_the_help_as_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run([]) == 2
    assert "Commands:" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "named"),
    [(["bake"], "bake"), (["models", "--fast"], "--fast"), (["export"], "MODEL")],
)
def test_wrong_usage_is_2_and_names_what_is_wrong(
    words: list[str], named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(words) == 2
    assert named in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.CheckFailedError("Over budget."), 1),
        (errors.BadInputError("No model."), 2),
        (MissingError("No torch.", "Install it."), 3),
        (DamagedError("Damaged."), 4),
        (CannotWriteError("Full."), 5),
        (OSError(errno.ENOSPC, "No space left on device"), 5),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), 5),
        (OSError(errno.EIO, "Input/output error"), 70),
        (RuntimeError("boom"), 70),
        (EOFError(), 70),
        (KeyboardInterrupt(), 130),
        (click.Abort(), 130),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else str(value),
)
def test_each_way_to_end_has_its_exit_code_and_no_traceback(
    error: BaseException, code: int, command_that: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    command_that(raising(error))
    assert cli.run(["models"]) == code
    text = capsys.readouterr().err
    assert "Traceback" not in text
    assert text.strip()


def test_error_says_its_sentence_and_its_hint(
    command_that: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    command_that(raising(MissingError("PyTorch is not installed.", "Install it.")))
    cli.run(["models"])
    assert capsys.readouterr().err == "Error: PyTorch is not installed.\nHint: Install it.\n"


def test_bug_asks_for_a_report(command_that: Any, capsys: pytest.CaptureFixture[str]) -> None:
    command_that(raising(ZeroDivisionError("division by zero")))
    cli.run(["models"])
    text = capsys.readouterr().err
    assert "This is a bug in lrn-deploy: ZeroDivisionError: division by zero." in text
    assert "--debug" in text


@pytest.mark.parametrize("error", [RuntimeError("boom"), LrnDeployError("no")])
@pytest.mark.parametrize("how", ["option", "variable"])
def test_debug_shows_the_traceback(
    error: Exception,
    how: str,
    command_that: Any,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    command_that(raising(error))
    if how == "variable":
        monkeypatch.setenv("LRN_DEPLOY_DEBUG", "1")
    cli.run(["--debug", "models"] if how == "option" else ["models"])
    assert "Traceback (most recent call last)" in capsys.readouterr().err


def test_number_that_a_command_returns_is_its_exit_code(command_that: Any) -> None:
    command_that(lambda: 1)
    assert cli.run(["models"]) == 1
    command_that(lambda: None)
    assert cli.run(["models"]) == 0


def test_exit_of_a_command_is_its_exit_code(command_that: Any) -> None:
    command_that(lambda: click.get_current_context().exit(3))
    assert cli.run(["models"]) == 3


def test_closed_pipe_is_no_failure() -> None:
    code = (
        "import sys; import click; from lrn_deploy import cli;"
        "command = click.command('models')(lambda: [click.echo('x' * 1000) for _ in range(1000)]);"
        "cli.LazyGroup.get_command = lambda *_: command; sys.argv[1:] = ['models']; cli.main()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.read(10)
    process.stdout.close()
    complaint = process.stderr.read()
    assert (process.wait(timeout=60), complaint) == (0, b"")
    process.stderr.close()


def test_full_device_behind_stdout_is_5() -> None:
    with open("/dev/full", "w") as full:  # noqa: PTH123 - a device
        done = subprocess.run(
            [*PROGRAM, "models"], stdout=full, stderr=subprocess.PIPE, check=False
        )
    assert done.returncode == 5
    assert b"The disk is full" in done.stderr


def test_shell_completion_lists_the_commands() -> None:
    answer = subprocess.run(
        PROGRAM,
        env=os.environ
        | {
            "_LRN_DEPLOY_COMPLETE": "bash_complete",
            "COMP_WORDS": "lrn-deploy do",
            "COMP_CWORD": "1",
        },
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    assert answer == "plain,doctor\n"


@pytest.mark.parametrize(
    ("program", "called"),
    [
        ([*PROGRAM, "serve"], "lrn-deploy serve"),
        ([sys.executable, "-m", "lrn_deploy.lrn_server"], "lrn-server"),
    ],
)
def test_the_server_calls_itself_what_it_was_called(program: list[str], called: str) -> None:
    asked = subprocess.run([*program, "--help"], check=True, capture_output=True, text=True)
    assert asked.stdout.startswith(f"Usage: {called} [OPTIONS] BUNDLE...")
    refused = subprocess.run(program, check=False, capture_output=True, text=True)
    assert refused.returncode == errors.BAD_INPUT
    assert f"Try '{called} --help' for help." in refused.stderr
    assert "Missing argument 'BUNDLE...'." in refused.stderr
