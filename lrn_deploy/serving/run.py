"""The life of a server: load, listen, answer, drain, end."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lrn_deploy.errors import BadInputError, MissingError
from lrn_deploy.serving.app import App
from lrn_deploy.serving.errors import RequestError
from lrn_deploy.serving.repository import Repository
from lrn_deploy.serving.settings import ModelSettings, ServerSettings

if TYPE_CHECKING:
    from lrn_deploy.serving.http_front import HttpFront

_HANG_CHECK_SECONDS = 0.5
_FLUSH_SECONDS = 0.1  # for the last answers to leave the process
Say = Callable[[str], None]


def serve(
    bundles: Sequence[tuple[str, Path]],
    model_settings: ModelSettings,
    settings: ServerSettings,
    *,
    say: Say,
    on_ready: Callable[[dict[str, Any]], None] | None = None,
) -> int:
    """Serve bundles until SIGTERM or SIGINT.

    Args:
        bundles: The name (empty for the network's own) and the folder of each.
        model_settings: How each is run and queued.
        settings: How the server is reached and how it ends.
        say: Prints a line for people.
        on_ready: Called with the ports and models once requests are answered.

    Returns:
        0 if every request was finished in time, else 1.

    Raises:
        BadInputError: If no bundle can be served, or a port cannot be bound.
        MissingError: If the packages for serving are not installed.
    """
    repository = Repository(model_settings, settings.drain_seconds)
    app = App(repository, settings)
    fronts = _fronts(app, settings)  # a port in use is known before anything is loaded
    _load(repository, bundles, say)
    return asyncio.run(_run(app, fronts, settings, say, on_ready))


def _fronts(app: App, settings: ServerSettings) -> list[HttpFront]:
    try:
        from lrn_deploy.serving.http_front import HttpFront
    except ImportError as error:
        raise MissingError(
            f"Serving needs {error.name}, which is not installed.",
            "Install it with: pip install 'lrn-deploy[serve]'",
        ) from error
    return [HttpFront(app, settings.host, settings.http_port)]


def _load(repository: Repository, bundles: Sequence[tuple[str, Path]], say: Say) -> None:
    """Load every bundle; one that cannot be loaded does not keep the others from being served."""
    failures = []
    for name, path in bundles:
        name = repository.add(path, name)
        try:
            repository.load(name)
        except RequestError as error:
            failures.append(error)
            say(f"Error: {error.message}")
            continue
        model = repository.get(name)
        say(f"Serving '{name}' from {path} ({model.artifact}, batches up to {model.max_batch}).")
    if len(failures) == len(bundles):
        raise BadInputError("No bundle could be loaded.", failures[0].message)


async def _run(
    app: App,
    fronts: list[HttpFront],
    settings: ServerSettings,
    say: Say,
    on_ready: Callable[[dict[str, Any]], None] | None,
) -> int:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    serving = [asyncio.ensure_future(front.serve()) for front in fronts]
    watch = asyncio.ensure_future(_watch(app))
    for front in fronts:
        say(f"Ready: http://{front.host}:{front.port}")
    if on_ready is not None:
        on_ready({"host": settings.host, "http_port": fronts[0].port})
    await stop.wait()
    say("Stopping: finishing what is in flight.")
    finished = await _drain(app, settings)
    for front in fronts:
        front.stop()
    await asyncio.wait(serving, timeout=1)
    watch.cancel()
    finished &= await loop.run_in_executor(None, app.repository.close, 1.0)
    say("Stopped." if finished else "Stopped; some requests did not finish in time.")
    return 0 if finished else 1


async def _drain(app: App, settings: ServerSettings) -> bool:
    """``ready`` turns 503; requests are still taken, then refused, then all are finished."""
    app.stopping = True
    await asyncio.sleep(settings.pre_drain_seconds)
    app.draining = True
    loop = asyncio.get_running_loop()
    limit = loop.time() + settings.drain_seconds
    while app.in_flight and loop.time() < limit:
        await asyncio.sleep(0.01)
    await asyncio.sleep(_FLUSH_SECONDS)
    return not app.in_flight


async def _watch(app: App) -> None:
    while True:
        await asyncio.sleep(_HANG_CHECK_SECONDS)
        for model in app.repository.models():
            model.batcher.check_hangs()
