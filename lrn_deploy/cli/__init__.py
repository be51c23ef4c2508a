"""The command line: one thin file for each command, imported only when it is asked for.

A command parses its options, calls one function of the library and prints what it returns. Heavy
imports (torch, onnxruntime) happen inside the commands' functions, so ``--help`` is instant.
"""

from __future__ import annotations

import errno
import importlib
import os
import sys
from collections.abc import Sequence

import click

from lrn_deploy import __version__
from lrn_deploy.errors import (
    BAD_INPUT,
    CANNOT_WRITE,
    DONE,
    INTERNAL_ERROR,
    INTERRUPTED,
    LrnDeployError,
)

COMMANDS = {
    "models": "List the networks that can be exported by name.",
    "export": "Export a PyTorch network to a bundle with an ONNX graph.",
    "import": "Import an ONNX file, or a network of Caffe's, to a bundle.",
    "preprocess": "Show or correct how images become a network's input.",
    "build-engine": "Build a TensorRT engine; tensorrt-rtx needs no GPU for it.",
    "validate": "Compare every artifact of a bundle with the reference.",
    "profile": "Measure latency, throughput and memory of every artifact.",
    "optimize": "Make a variant of the graph for a target and a precision.",
    "tune": "Find the fastest way to run a bundle that is accurate enough.",
    "classify": "Classify images with a bundle's network.",
    "deploy": "Export or import, build an engine and validate, in one go.",
    "serve": "Answer requests with the networks of bundles: HTTP and gRPC.",
    "keys": "Add, revoke and list the API keys of a server.",
    "load": "Load a server: throughput, latencies, errors, and its knee.",
    "size": "Tell how many machines a rate of requests takes.",
    "package": "Make a bundle ready for Triton, Kubernetes, or as one file.",
    "report": "Draw what validate and profile found as one HTML page.",
    "push": "Copy a bundle to an object store, for servers to fetch.",
    "pull": "Copy a bundle from an object store to a folder.",
    "inspect": "Show what a bundle holds: graph, LRN layers, artifacts.",
    "doctor": "Tell what can run on this machine, and how to enable more.",
}
"""The commands in the order of the help, each with its line there; each is a file of this folder.

The lines stand here, so that the help imports no command: numpy alone would take half its time.
"""

_FILES = {
    "import": "import_",  # a word of Python's
    "keys": "server.keys",
    "pull": "store.pull",
    "push": "store.push",
    "load": "server.load",
    "package": "server.package",
    "size": "server.size",
}
"""The commands whose file is called otherwise."""


class LazyGroup(click.Group):
    """Imports the file of a command when that command is run or completed, and not before."""

    # click calls these three with a context by that name, which none of them needs.
    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """All commands, in the order of a first deployment rather than of the alphabet."""
        return list(COMMANDS)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's signature
        """Write the list of commands in the help."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        """The command called ``cmd_name``, or None."""
        if cmd_name not in COMMANDS:
            return None
        file = _FILES.get(cmd_name, cmd_name.replace("-", "_"))
        module = importlib.import_module(f"lrn_deploy.cli.{file}")
        command: click.Command = module.command
        return command


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="lrn-deploy")
@click.option("--debug", is_flag=True, envvar="LRN_DEPLOY_DEBUG", help="Show tracebacks.")
@click.pass_context
def cli(ctx: click.Context, debug: bool) -> None:
    """Deploy networks with Local Response Normalization, checked and measured.

    \b
    Start with:
      lrn-deploy deploy digits -o digits-bundle
      lrn-deploy classify digits-bundle IMAGE...
    """
    ctx.obj = {"debug": debug}


def run(
    arguments: Sequence[str] | None = None,
    command: click.Command = cli,
    program: str = "lrn-deploy",
) -> int:
    """Run the command line and return its exit code (see :mod:`lrn_deploy.errors`).

    Args:
        arguments: Those after the program's name; None: this process's own.
        command: All commands, or the only one of a program.
        program: What help and errors call it.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in words or bool(os.environ.get("LRN_DEPLOY_DEBUG"))
    try:
        code = _invoke(words, command, program)
    except click.exceptions.Exit as error:
        return error.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return BAD_INPUT
    except click.ClickException as error:
        error.show()
        return BAD_INPUT
    except (KeyboardInterrupt, click.Abort):
        click.echo("\nInterrupted; nothing was left half-written.", err=True)
        return INTERRUPTED
    except LrnDeployError as error:
        if debug:
            _print_traceback()
        _tell(error.message, error.hint)
        return error.exit_code
    except BrokenPipeError:
        # The reader of our output went away (``| head``), which is no failure of ours.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except Exception as error:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            _tell(f"The disk is full: {error}.", "Free some space and run the command again.")
            return CANNOT_WRITE
        if debug:
            _print_traceback()
        _tell(
            f"This is a bug in lrn-deploy: {type(error).__name__}: {error}.",
            "Run it again with 'lrn-deploy --debug ...' and report what it prints.",
        )
        return INTERNAL_ERROR
    return code if isinstance(code, int) else DONE


def _print_traceback() -> None:
    import traceback  # which a help need not wait for

    traceback.print_exc()


def _invoke(words: list[str], command: click.Command, program: str) -> object:
    """What ``cli.main`` does, but for its own idea of errors: it calls a closed pipe a failure."""
    if "_LRN_DEPLOY_COMPLETE" in os.environ:  # the shell asks for completions
        return command.main(args=words, prog_name=program)
    with command.make_context(program, words) as context:
        return command.invoke(context)


def main() -> None:
    """Entry point of ``lrn-deploy``."""
    code = run()
    if code == INTERRUPTED:
        # Libraries that were interrupted while they started may not survive an orderly end.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def _tell(message: str, hint: str) -> None:
    click.echo(f"Error: {message}", err=True)
    if hint:
        click.echo(f"Hint: {hint}", err=True)
