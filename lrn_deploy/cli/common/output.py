"""How commands talk: JSON for machines on stdout, tables and sentences for people, progress."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from pydantic import BaseModel
    from rich.console import Console
    from rich.progress import Progress

    from lrn_deploy.progress import Progress as Told

Function = TypeVar("Function", bound=Callable[..., Any])


def json_option(function: Function) -> Function:
    """Add ``--json``, passed to the command as ``as_json``."""
    return click.option(
        "--json", "as_json", is_flag=True, help="Print JSON on stdout; text goes to stderr."
    )(function)


def people(as_json: bool) -> Console:
    """Where text for people goes: stdout, or stderr when stdout is for JSON.

    Markup is off, so that brackets in names and shapes are printed as they are.
    """
    from rich.console import Console

    return Console(stderr=as_json, highlight=False, markup=False, soft_wrap=True)


def emit(value: BaseModel | dict[str, Any] | list[Any]) -> None:
    """Print ``value`` as JSON on stdout."""
    if isinstance(value, dict | list):
        import json

        click.echo(json.dumps(value, indent=2, default=str))
    else:
        click.echo(value.model_dump_json(indent=2))


@contextmanager
def progress(first: str) -> Iterator[Told]:
    """A bar on stderr for as long as something goes on; it shows where stderr is a terminal.

    Args:
        first: What is being done at first.

    Yields:
        What is to be told how far it has come.
    """
    with bar() as shown:
        task = shown.add_task(first, total=None)

        def tell(what: str, done: int, total: int) -> None:
            shown.update(task, description=what, completed=done, total=total)

        yield tell


def bar() -> Progress:
    """A bar on stderr to which tasks can be added; it shows where stderr is a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        redirect_stdout=False,
        disable=not console.is_terminal,
    )
