"""The life of a server: load, listen, answer, drain, end."""

from __future__ import annotations

import asyncio
import gc
import resource
import signal
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lrn_deploy.errors import BadInputError, MissingError
from lrn_deploy.extras import install
from lrn_deploy.serving import systemd
from lrn_deploy.serving.errors import RequestError
from lrn_deploy.serving.listener import check_port
from lrn_deploy.serving.repository.repository import Repository
from lrn_deploy.serving.rest.origins import Origins
from lrn_deploy.serving.security.guards import Guards
from lrn_deploy.serving.service import Service
from lrn_deploy.serving.settings import ModelSettings, ServerSettings
from lrn_deploy.serving.supervise import answer_parent
from lrn_deploy.serving.telemetry import spans, stderr

if TYPE_CHECKING:
    from lrn_deploy.serving.grpc.server import GrpcServer
    from lrn_deploy.serving.http.server import HttpServer
    from lrn_deploy.serving.telemetry.spans import Spans

_HANG_CHECK_SECONDS = 0.5
_LOOK_SECONDS = 0.25  # a change of keys is seen after one, of certificates after two
_WATCHERS = 64  # connections of the port of metrics
_MANY_FILES = 2**16  # that may be open, if the system lets us
_FLUSH_SECONDS = 0.1  # for the last answers to leave the process
Say = Callable[[str], None]


def serve(
    bundles: Sequence[tuple[str, Path, str]],
    model_settings: ModelSettings,
    settings: ServerSettings,
    *,
    say: Say,
    on_ready: Callable[[dict[str, Any]], None] | None = None,
) -> int:
    """Serve bundles until SIGTERM or SIGINT.

    Args:
        bundles: The name (empty for the network's own), the folder and the artifact (empty for what
            suits the machine) of each.
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
    Origins(settings)  # what is wrong with them is known before anything is loaded
    guards = Guards(settings, say)
    allow_files()
    repository = Repository(model_settings, settings.drain_seconds)
    exported = spans.start(say)
    for port in (settings.http_port, settings.grpc_port, settings.metrics_port):
        if port > 0:
            check_port(settings.host, port)  # one in use is known before anything is loaded
    with ThreadPoolExecutor(1, "load") as pool:
        loading = pool.submit(load_all, repository, bundles, say)
        service, fronts = _fronts(repository, settings, exported, guards, say)
        loading.result()
    gc.freeze()  # what is there now stays: the collector need not look at it again and again
    try:
        return asyncio.run(run(service, fronts, settings, guards, say, on_ready))
    finally:
        if exported is not None:
            exported.close()


@dataclass(frozen=True)
class Fronts:
    """What listens."""

    http: HttpServer
    grpc: GrpcServer | None
    metrics: HttpServer | None

    @property
    def ports(self) -> dict[str, int | None]:
        """By setting, where each listens; None where none does."""
        return {
            "http_port": self.http.port,
            "grpc_port": self.grpc.port if self.grpc else None,
            "metrics_port": self.metrics.port if self.metrics else None,
        }


def _fronts(
    repository: Repository,
    settings: ServerSettings,
    exported: Spans | None,
    guards: Guards,
    say: Say,
) -> tuple[Service, Fronts]:
    """What answers, imported here, since that takes as long as reading 200 MB of weights."""
    try:
        from lrn_deploy.serving.grpc.server import GrpcServer
        from lrn_deploy.serving.http.crowd import Crowd
        from lrn_deploy.serving.http.server import HttpServer
        from lrn_deploy.serving.rest.app import App
    except ImportError as error:
        raise MissingError(
            f"Serving needs {error.name}, which is not installed.",
            f"Install it with: {install('serve')}",
        ) from error
    service = Service(repository, settings, spans=exported, keys=guards.keys)
    host, crowd = settings.host, Crowd(settings.max_connections, settings.max_connections_per_peer)
    listen = partial(HttpServer, host=host, crowd=crowd, context=guards.context, say=say)
    http = listen(App(service), port=settings.http_port)
    grpc = None
    if settings.grpc_port >= 0:
        grpc = GrpcServer(service, host, settings.grpc_port, guards.tls)
    if settings.metrics_port < 0:
        return service, Fronts(http, grpc, None)
    # It answers to the end, and takes part in nothing.
    watched = Service(repository, settings, keys=guards.keys)
    watched.limiter = service.limiter  # whose refusals are among the metrics
    # It has connections of its own, so that a crowd at the other port does not blind who watches.
    metrics = listen(
        App(watched, metrics_only=True), port=settings.metrics_port, crowd=Crowd(_WATCHERS)
    )
    return service, Fronts(http, grpc, metrics)


def load_all(repository: Repository, bundles: Sequence[tuple[str, Path, str]], say: Say) -> None:
    """Load every bundle; one that cannot be loaded does not keep the others from being served.

    Raises:
        BadInputError: If none can be loaded.
    """
    failures = []
    for name, path, artifact in bundles:
        name = repository.add(path, name, artifact)
        try:
            repository.load(name)
        except RequestError as error:
            failures.append(error)
            say(f"Error: {error.message}")
            continue
        model = repository.get(name)
        source = model.source
        say(
            f"Serving '{name}' from {path}: {model.artifact} on {source.backend}, {source.device} "
            f"({source.reason}), batches up to {model.max_batch}."
        )
        for doubt in model.doubts:
            say(f"Warning: '{name}': {doubt}")
    if len(failures) == len(bundles):
        raise BadInputError("No bundle could be loaded.", "The reasons stand above.")


async def run(
    service: Service,
    fronts: Fronts,
    settings: ServerSettings,
    guards: Guards,
    say: Say,
    on_ready: Callable[[dict[str, Any]], None] | None,
) -> int:
    """Answer until SIGTERM or SIGINT, then drain; arguments and result as :func:`serve`'s."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    listening = [front for front in (fronts.http, fronts.metrics) if front]
    if fronts.grpc:
        fronts.grpc.start()
    watches = [
        asyncio.ensure_future(watching) for watching in (_watch(service), _look(guards, say))
    ]
    answer_parent(lambda: service.live)
    for front in listening:
        await front.start()
    names = [model.name for model in service.repository.models()]
    say(
        f"Ready: {'https' if guards.tls else 'http'}://{settings.host}:{fronts.http.port}"
        + (f", gRPC on port {fronts.grpc.port}" if fronts.grpc else "")
    )
    if on_ready is not None:
        on_ready({"host": settings.host, **fronts.ports, "models": names})
    systemd.tell(systemd.READY)
    await stop.wait()
    systemd.tell(systemd.STOPPING)
    say("Stopping: finishing what is in flight.")
    finished = await _drain(service, settings, listening)
    if fronts.grpc:
        await loop.run_in_executor(None, fronts.grpc.stop, _FLUSH_SECONDS)
    for front in listening:
        front.stop()
    for watch in watches:
        watch.cancel()
    finished &= await loop.run_in_executor(None, service.repository.close, 1.0)
    say("Stopped." if finished else "Stopped; some requests did not finish in time.")
    return 0 if finished else 1


async def _drain(service: Service, settings: ServerSettings, listening: list[HttpServer]) -> bool:
    """``ready`` turns 503; requests are still taken, then refused, then all are finished."""
    service.stopping = True
    await asyncio.sleep(settings.pre_drain_seconds)
    await asyncio.gather(*(front.stop_listening() for front in listening))
    await asyncio.sleep(_FLUSH_SECONDS)  # who has connected already may still ask
    service.drained.set()
    loop = asyncio.get_running_loop()
    limit = loop.time() + settings.drain_seconds

    def busy() -> bool:  # in_flight counts no body that is still on its way
        return bool(service.in_flight) or any(front.busy for front in listening)

    while busy() and loop.time() < limit:
        await asyncio.sleep(0.01)
    await asyncio.sleep(_FLUSH_SECONDS)
    return not busy()


async def _watch(service: Service) -> None:
    while True:
        await asyncio.sleep(_HANG_CHECK_SECONDS)
        stderr.catch_up()
        for model in service.repository.models():
            model.batcher.check_hangs()
        if service.live:
            systemd.tell(systemd.ALIVE)


async def _look(guards: Guards, say: Say) -> None:
    """Take up keys and certificates that have changed."""
    loop = asyncio.get_running_loop()
    while guards:
        await asyncio.sleep(_LOOK_SECONDS)
        try:
            await loop.run_in_executor(None, guards.look)
        except Exception as error:  # a bug of ours must not leave a key valid for ever
            say(f"Warning: keys and certificates could not be looked at: {error!r}")


def allow_files() -> None:
    """Let the process have as many files and connections open as it may have at all."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < _MANY_FILES:
        most = _MANY_FILES if hard == resource.RLIM_INFINITY else min(hard, _MANY_FILES)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
