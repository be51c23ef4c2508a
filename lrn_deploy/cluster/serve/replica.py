"""One server inside Ray: the service and the routes of ``lrn-server``, without sockets of its own.

Whatever comes in goes through :class:`App`, so an answer has the same bytes wherever it was made.
Batches are formed here, by our own batcher: a replica behaves as one server does.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lrn_deploy.errors import BadInputError, LrnDeployError
from lrn_deploy.serving.errors import RequestError, UnsupportedError
from lrn_deploy.serving.http.message import Response, error_response
from lrn_deploy.serving.repository.repository import Repository
from lrn_deploy.serving.request import Request
from lrn_deploy.serving.rest.app import App
from lrn_deploy.serving.server import load_all
from lrn_deploy.serving.service import Service
from lrn_deploy.serving.settings import ModelSettings, ServerSettings
from lrn_deploy.stores import local_bundle

if TYPE_CHECKING:
    import starlette.requests
    import starlette.responses

Named = tuple[str, str, str]
"""A bundle: the name to serve it under or empty, its folder or URL, its artifact or empty."""

REFUSED = "lrn-deploy cannot serve: "
"""What stands before the reason, as JSON, in what Ray tells of a replica that did not start."""

_HANG_CHECK_SECONDS = 0.5


@dataclass(frozen=True)
class Asked:
    """A request on its way to a replica; the head's names are in lower case."""

    method: str
    path: str
    headers: Mapping[str, str]
    query: Mapping[str, str]
    body: bytes
    peer: str


class Replica:
    """Serves bundles; what Ray Serve makes a deployment of.

    Args:
        bundles: What to serve.
        model: Fields of :class:`ModelSettings`.
        server: Fields of :class:`ServerSettings`; those of sockets, keys and TLS mean nothing here.
        revision: Digest of the bundles as they were when they were deployed. Another one makes
            Ray Serve replace the replicas.

    Raises:
        RuntimeError: If no bundle can be loaded; its text has :data:`REFUSED` and the reason, since
            text is all that Ray Serve keeps of it.
    """

    def __init__(
        self,
        bundles: Sequence[Sequence[str]],
        model: Mapping[str, Any],
        server: Mapping[str, Any],
        revision: str = "",  # noqa: ARG002 - it is read where replicas are compared
    ) -> None:
        settings = ServerSettings(**_tuples(server))
        self._repository = Repository(ModelSettings(**_tuples(model)), settings.drain_seconds)
        said: list[str] = []

        def say(line: str) -> None:
            said.append(line)
            print(line, file=sys.stderr, flush=True)  # noqa: T201 - Ray brings it to the driver

        try:
            load_all(self._repository, [_local(bundle) for bundle in bundles], say)
        except LrnDeployError as error:
            first = next((line for line in said if line.startswith("Error: ")), "")
            reason = [first.removeprefix("Error: ") or error.message, error.hint]
            raise RuntimeError(REFUSED + json.dumps(reason)) from None
        self.service = Service(self._repository, settings)
        self.app = App(self.service)
        threading.Thread(target=self._watch, name="hangs", daemon=True).start()

    async def answer(self, asked: Asked) -> Response:
        """Answer a request as a whole; never raises, but for cancellation."""
        response = await self._respond(
            self.app.begin(asked.method, asked.path, asked.headers, asked.query, asked.peer),
            asked.body,
        )
        if response.stream is None:
            return response
        await response.stream.aclose()  # type: ignore[attr-defined] # it is a generator
        return error_response(UnsupportedError("No stream goes through Ray; ask /metrics."))

    async def __call__(self, http: starlette.requests.Request) -> starlette.responses.Response:
        """Answer what comes by Ray's own HTTP proxy."""
        from starlette.responses import Response as Whole
        from starlette.responses import StreamingResponse

        scope = http.scope
        path = str(scope["path"]).removeprefix(str(scope.get("root_path") or ""))
        peer = f"{http.client.host}:{http.client.port}" if http.client else ""
        request = self.app.begin(
            http.method, path or "/", dict(http.headers), dict(http.query_params), peer
        )
        body = bytearray()
        async for part in http.stream():
            if len(body) <= self.app.body_limit:  # of one that is larger enough is kept to see it
                body += part
        response = await self._respond(request, body)
        headers = [*response.headers, ("x-request-id", request.id)]
        headers += self.app.answer_headers(request)
        made: Whole
        if response.stream is not None:
            made = StreamingResponse(response.stream, response.status)
        else:
            made = Whole(response.body, response.status)
            headers.append(("content-length", str(len(response.body))))
        made.raw_headers = [(name.encode(), value.encode("latin-1")) for name, value in headers]
        return made

    def metrics(self) -> tuple[str, str]:
        """This replica's id, and its counters as Prometheus text."""
        from ray import serve

        return serve.get_replica_context().replica_id.unique_id, self.service.metrics()

    def check_health(self) -> None:
        """What Ray Serve asks from time to time; a replica that fails is replaced.

        Raises:
            RuntimeError: If no model of it can run any more.
        """
        if not self.service.live:
            raise RuntimeError("No loaded model has an instance left that can run.")

    def __del__(self) -> None:
        """Finish what is queued; Ray Serve calls this once nothing is in flight."""
        if hasattr(self, "_repository"):
            self._repository.close(1.0)

    async def _respond(self, request: Request, body: bytes | bytearray) -> Response:
        app, started = self.app, time.monotonic_ns()
        try:
            limit = app.admit(request)
            if len(body) > limit:
                request = replace(
                    request, headers={**request.headers, "content-length": str(len(body))}
                )
                app.admit(request)
        except RequestError as error:
            return app.refusal(request, error, started)
        request.body = body
        return await app.handle(request)

    def _watch(self) -> None:
        while True:
            time.sleep(_HANG_CHECK_SECONDS)
            for model in self._repository.models():
                model.batcher.check_hangs()


def _local(bundle: Sequence[str]) -> tuple[str, Path, str]:
    name, place, artifact = bundle
    return name, local_bundle(place), artifact


def _tuples(values: Mapping[str, Any]) -> dict[str, Any]:
    """Settings as they were before they were JSON, which has no tuples."""
    return {
        name: tuple(value) if isinstance(value, list) else value for name, value in values.items()
    }


def refusal(text: str) -> LrnDeployError | None:
    """The error of a replica that did not start, found in what Ray tells of it.

    Args:
        text: The status message of a deployment.
    """
    _, found, rest = text.partition(REFUSED)
    if not found:
        return None
    message, hint = json.JSONDecoder().raw_decode(rest)[0]
    return BadInputError(message, hint)
