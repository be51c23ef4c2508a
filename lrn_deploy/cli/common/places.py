"""The argument BUNDLE: a folder, or a URL whose bundle is fetched before the command sees it."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lrn_deploy.cli.common.output import progress
from lrn_deploy.errors import BadInputError

if TYPE_CHECKING:
    from lrn_deploy.progress import Progress

Function = Callable[..., Any]
_URL = "lrn_deploy.cli.common.places.url"
_LINE_SECONDS = 10.0


def own_bundle(function: Function) -> Function:
    """Add BUNDLE, passed as the path ``bundle``, for a command that adds to it: no URL."""
    return _bundle(function, _refused)


def any_bundle(function: Function) -> Function:
    """Add BUNDLE, passed as the path ``bundle``, for a command that reads it."""
    return _bundle(function, _fetched)


def copied_bundle(function: Function) -> Function:
    """Add BUNDLE, passed as the path ``bundle``, for a command that reads it and writes a report.

    Of a URL it is a copy, which is gone when the command ends; see :func:`kept`.
    """
    return _bundle(function, _copied)


def kept(file: Path) -> str:
    """Where a report is, for people."""
    url = click.get_current_context().meta.get(_URL)
    if url is None:
        return str(file)
    return (
        f"not kept, since {url} is only read: --json prints it, "
        "and 'lrn-deploy pull' makes a folder that keeps it"
    )


def fetched(place: str) -> Path:
    """The folder of a bundle, fetched if that is a URL; progress goes to stderr.

    Raises:
        LrnDeployError: As :func:`lrn_deploy.stores.local_bundle` does.
    """
    with _fetched(place) as folder:
        return folder


@contextmanager
def told_on_stderr(first: str) -> Iterator[Progress]:
    """A bar where stderr is a terminal, else a line now and then, for a log."""
    with progress(first) as shown:
        if sys.stderr.isatty():
            yield shown
            return
        began = time.monotonic()
        lines = 0

        def tell(what: str, done: int, total: int) -> None:
            nonlocal lines
            if time.monotonic() - began > _LINE_SECONDS * (lines + 1):
                lines += 1
                click.echo(f"{what[:1].upper()}{what[1:]}: {done} of {total} MiB.", err=True)

        yield tell


def _bundle(function: Function, located: Callable[[str], Any]) -> Function:
    @wraps(function)
    def call(*args: Any, bundle: str, **others: Any) -> Any:
        with located(bundle) as folder:
            return function(*args, bundle=folder, **others)

    return click.argument("bundle", metavar="BUNDLE")(call)


@contextmanager
def _refused(place: str) -> Iterator[Path]:
    from lrn_deploy.stores import is_url, shown

    if is_url(place):
        command = click.get_current_context().info_name
        raise BadInputError(
            f"'{command}' needs a folder, and '{shown(place)}' is only read.",
            f"Run 'lrn-deploy pull {shown(place)} FOLDER' first, and 'lrn-deploy push' afterwards.",
        )
    yield Path(place)


@contextmanager
def _fetched(place: str) -> Iterator[Path]:
    from lrn_deploy.stores import is_url

    if not is_url(place):
        yield Path(place)
        return
    from lrn_deploy.stores import local_bundle

    with told_on_stderr("asking the store") as told:
        folder = local_bundle(place, told)
    yield folder


@contextmanager
def _copied(place: str) -> Iterator[Path]:
    from lrn_deploy.stores import is_url, shown

    if not is_url(place):
        yield Path(place)
        return
    from lrn_deploy.stores import working_copy

    click.get_current_context().meta[_URL] = shown(place)
    with ExitStack() as stack:
        with told_on_stderr("asking the store") as told:
            folder = stack.enter_context(working_copy(place, told))
        yield folder
