"""The life of a server on Ray: replicas started, requests handed on, replicas replaced, the end."""

from __future__ import annotations

import asyncio
import logging
import secrets
import signal
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from lrn_deploy.bundle import Bundle
from lrn_deploy.cluster import runtime
from lrn_deploy.cluster.serve import application
from lrn_deploy.cluster.serve.front import Front, FrontService
from lrn_deploy.cluster.serve.options import RayOptions
from lrn_deploy.cluster.serve.replica import Named, Replica, refusal
from lrn_deploy.errors import BadInputError, LrnDeployError
from lrn_deploy.serving.http.crowd import Crowd
from lrn_deploy.serving.http.server import HttpServer
from lrn_deploy.serving.listener import check_port
from lrn_deploy.serving.rest.origins import Origins
from lrn_deploy.serving.security.guards import Guards
from lrn_deploy.serving.server import Fronts, Say, allow_files, run
from lrn_deploy.serving.settings import ModelSettings, ServerSettings
from lrn_deploy.serving.telemetry import spans
from lrn_deploy.stores import local_bundle

_LOOK_SECONDS = 0.1
_ROOM_SECONDS = 20.0  # after which it is said that replicas wait for room
_OPEN = (
    "Warning: each replica of Ray Serve also listens at a random port of all addresses, and asks "
    "for no key there: keep others away by a firewall, or a network of Ray's own."
)
_QUIET = {"log_level": "ERROR", "enable_access_log": False}


def serve_on_ray(
    bundles: Sequence[Named],
    model: ModelSettings,
    settings: ServerSettings,
    options: RayOptions,
    *,
    say: Say,
    on_ready: Callable[[dict[str, Any]], None] | None = None,
    kind: type[Replica] = Replica,
) -> int:
    """Serve bundles by replicas on Ray until SIGTERM or SIGINT; SIGHUP loads them anew.

    Args:
        bundles: What to serve.
        model: How each is run and queued.
        settings: How the server is reached and how it ends.
        options: How many replicas there are, where, and what each takes.
        say: Prints a line for people.
        on_ready: Called with the ports and models once requests are answered.
        kind: What a replica is.

    Returns:
        0 if every request was finished in time, else 1.

    Raises:
        BadInputError: If a setting means nothing here, no replica can load a bundle, a port cannot
            be bound, or there is no cluster.
        MissingError: If Ray or the packages for serving are not installed.
    """
    _refuse(settings)
    runtime.need("serve")
    Origins(settings)  # what is wrong with them is known before anything is started
    guards = Guards(settings, say)
    names = [_checked(bundle) for bundle in bundles]
    allow_files()
    if settings.http_port > 0:
        check_port(settings.host, settings.http_port)
    exported = spans.start(say)
    most = max(options.replicas, options.max_replicas)
    with runtime.joined(options.ray_address, cpus=most * options.replica_cpus) as ours:
        replicas = Replicas(bundles, model, settings, options, say, kind)
        try:
            say("Starting Ray's replicas; they are asked by HTTP only, lrn-server has gRPC, too.")
            say(_OPEN)
            replicas.deploy()
            service = FrontService(settings, spans=exported, keys=guards.keys)
            seconds = 2 * model.hang_seconds or None
            http = HttpServer(
                Front(service, replicas.handle, seconds),
                settings.host,
                settings.http_port,
                crowd=Crowd(settings.max_connections, settings.max_connections_per_peer),
                context=guards.context,
                say=say,
            )

            def ready(ports: dict[str, Any]) -> None:
                if on_ready is not None:
                    on_ready({**ports, "models": names, "replicas": options.replicas})

            async def live() -> int:
                loop = asyncio.get_running_loop()
                loop.add_signal_handler(
                    signal.SIGHUP, lambda: loop.run_in_executor(None, replicas.renew)
                )
                return await run(service, Fronts(http, None, None), settings, guards, say, ready)

            return asyncio.run(live())
        finally:
            replicas.end(everything=ours)
            if exported is not None:
                exported.close()


class Replicas:
    """The replicas of one server, as Ray Serve keeps them.

    Args:
        bundles: What they serve.
        model: How each bundle is run and queued.
        settings: Limits and permissions.
        options: How many there are, and what each takes.
        say: Prints a line for people.
        kind: What one is.

    Attributes:
        handle: Ray Serve's handle of them, once they are deployed.
    """

    handle: Any

    def __init__(
        self,
        bundles: Sequence[Named],
        model: ModelSettings,
        settings: ServerSettings,
        options: RayOptions,
        say: Say,
        kind: type[Replica] = Replica,
    ) -> None:
        self._bundles = [(name, _absolute(place), artifact) for name, place, artifact in bundles]
        self._model = model
        self._settings = settings
        self._options = options
        self._say = say
        self._kind = kind
        self._changing = threading.Lock()
        self._name = f"{application.NAME}-{secrets.token_hex(4)}"  # others may serve there, too

    def deploy(self) -> None:
        """Start the replicas, or replace those that run, one by one; returns when that is done.

        Raises:
            BadInputError: If a replica cannot load its bundle. Those that ran before go on.
        """
        from ray import serve

        logging.getLogger("ray.serve").setLevel(logging.ERROR)  # what it retries, we count
        serve.start(proxy_location="Disabled", logging_config=_QUIET)
        made = application.deployed(
            application.arguments(self._bundles, self._model, self._settings, self._options),
            application.fields(self._model, self._settings, self._options),
            self._kind,
        )
        target = serve.RunTarget(made, name=self._name, route_prefix=None, logging_config=_QUIET)
        # Since it has no version, Ray Serve takes it for another one each time.
        (self.handle,) = serve.run_many([target], wait_for_applications_running=False)
        self._wait()

    def renew(self) -> None:
        """Load the bundles anew, in replicas beside those that run; tells what went wrong."""
        self._say("Replacing the replicas.")
        with self._changing:
            try:
                self.deploy()
            except LrnDeployError as error:
                self._say(f"Error: {error.message} The replicas of before go on.")
            except Exception as error:  # of Ray's; what runs is not to end for it
                self._say(f"Error: the replicas could not be replaced: {error!r}")
            else:
                self._say("Replaced the replicas.")

    def end(self, *, everything: bool) -> None:
        """Take the replicas away; with ``everything``, Ray Serve too."""
        from ray import serve

        if everything:
            serve.shutdown()
        else:
            serve.delete(self._name)

    def _wait(self) -> None:
        from ray import serve

        told, begun = False, time.monotonic()
        while True:
            found = serve.status().applications.get(self._name)
            status = str(found.status.value) if found else ""
            if status == "RUNNING":
                return
            deployment = found.deployments.get(application.NAME) if found else None
            text = f"{deployment.message if deployment else ''} {found.message if found else ''}"
            if status == "DEPLOY_FAILED" or (status == "UNHEALTHY" and refusal(text)):
                raise refusal(text) or BadInputError(
                    f"No replica could be started: {_sentence(text)}",
                    "Its log lies where 'ray logs' finds it.",
                )
            if not told and time.monotonic() - begun > _ROOM_SECONDS:
                told = True
                self._say(
                    "Warning: replicas are still to start; if none does, the cluster has too few "
                    f"CPUs or GPUs for {self._options.replicas} of them ('ray status' shows it)."
                )
            time.sleep(_LOOK_SECONDS)


def _refuse(settings: ServerSettings) -> None:
    """Settings that need the models and the sockets in one process."""
    for name in ("model_control", "shared_memory"):
        if getattr(settings, name):
            raise BadInputError(
                f"--{name.replace('_', '-')} is not possible with --engine ray.",
                "Send the process SIGHUP to load the bundles anew."
                if name == "model_control"
                else "Replicas may be on other machines; send tensors in the request.",
            )
    if settings.metrics_port >= 0:
        raise BadInputError(
            "--metrics-port is not possible with --engine ray.",
            "/metrics on the HTTP port has the counters of all replicas.",
        )


def _checked(bundle: Named) -> str:
    """The name that a bundle is served under; what is wrong with it is known before Ray starts."""
    name, place, artifact = bundle
    manifest = Bundle.open(local_bundle(place)).manifest
    if artifact:
        manifest.artifact(artifact)
    return name or manifest.model.name + (f"-{artifact}" if artifact else "")


def _absolute(place: str) -> str:
    """A folder as every process of this machine finds it."""
    return str(Path(place).resolve()) if Path(place).exists() else place


def _sentence(text: str) -> str:
    lines = [line.strip() for line in text.strip().splitlines() if line.strip()]
    return lines[-1] if lines else "Ray Serve does not say why."
