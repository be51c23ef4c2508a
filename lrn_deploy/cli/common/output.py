"""How commands talk: JSON for machines on stdout, tables and sentences for people, progress."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click
from pydantic import BaseModel

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

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
    if isinstance(value, BaseModel):
        click.echo(value.model_dump_json(indent=2))
    else:
        click.echo(json.dumps(value, indent=2, default=str))


def progress() -> Progress:
    """A progress bar on stderr that shows only when stderr is a terminal."""
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
