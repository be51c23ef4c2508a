"""What the server does, whatever transport asks for it: every operation, and who is let in.

A transport translates. It makes a :class:`Request` of what came (:meth:`Service.begin`), asks
whether it may go on (:meth:`Service.admit`, :meth:`Service.admit_work`), calls an operation within
:meth:`Service.answering`, and writes down what that gives.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import Future
from types import TracebackType
from typing import Any

from lrn_deploy.serving.batching.job import Outcome
from lrn_deploy.serving.errors import (
    BugError,
    ForbiddenError,
    RequestError,
    UnavailableError,
    UnsupportedError,
)
from lrn_deploy.serving.inference import InferRequest
from lrn_deploy.serving.protocol import metadata
from lrn_deploy.serving.protocol.shared_memory import SharedMemory
from lrn_deploy.serving.rate_limit import RateLimiter, caller_name
from lrn_deploy.serving.repository.model import VERSION, ServedModel
from lrn_deploy.serving.repository.repository import Repository
from lrn_deploy.serving.request import Request, request_id
from lrn_deploy.serving.security.key_ring import KeyRing
from lrn_deploy.serving.security.scopes import NEEDED, Scope
from lrn_deploy.serving.settings import ServerSettings
from lrn_deploy.serving.telemetry import metrics, stderr
from lrn_deploy.serving.telemetry.access_log import AccessLog
from lrn_deploy.serving.telemetry.spans import Spans
from lrn_deploy.serving.trace import REQUEST_HEADER, trace_of


class Service:
    """The models, the limits, and what is going on.

    Args:
        repository: The models.
        settings: Limits and permissions.
        spans: Where traces go; None if nowhere.
        keys: Who is let in; None: everyone.

    Attributes:
        stopping: Whether the server is about to end: it is not ready any more.
        drained: Set when no new request is taken any more.
        in_flight: Requests that are being answered.
    """

    def __init__(
        self,
        repository: Repository,
        settings: ServerSettings,
        *,
        spans: Spans | None = None,
        keys: KeyRing | None = None,
    ) -> None:
        self.repository = repository
        self.settings = settings
        self.keys = keys
        self.memory = SharedMemory(enabled=settings.shared_memory)
        self.limiter = RateLimiter(settings.rate_limit)
        self.log = AccessLog(settings.access_log, spans)
        self.stopping = False
        self.drained = asyncio.Event()
        self.in_flight = 0
        self._counting = threading.Lock()

    # Who is let in.

    def begin(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        query: Mapping[str, str],
        peer: str,
    ) -> Request:
        """A request of which the body is still to come, with its id, its caller and its trace.

        Args:
            method: HTTP's method, or ``gRPC``.
            path: The path, or the name of gRPC's method.
            headers: Names in lower case.
            query: Parameters of the query.
            peer: Address that it comes from.
        """
        settings = self.settings
        claimed = headers.get(settings.client_header.lower()) if settings.client_header else None
        return Request(
            method,
            path,
            headers,
            query,
            id=request_id(headers.get("x-request-id")),
            peer=peer,
            caller=caller_name(peer, claimed),
            trace=trace_of(headers.get(REQUEST_HEADER), settings.trace_sample),
        )

    @property
    def draining(self) -> bool:
        """Whether no new request is taken any more."""
        return self.drained.is_set()

    def admit(self) -> None:
        """Refuse a request of any kind.

        Raises:
            UnavailableError: If none is taken any more.
        """
        if self.draining:
            raise UnavailableError("The server is stopping; try another one.")

    def authorize(self, request: Request, scope: Scope | None) -> None:
        """Refuse a request whose key does not allow it; with a key, the caller is the key.

        Raises:
            UnauthorizedError: If it has no key that is taken.
            ScopeError: If its key does not allow it.
            TooManyError: If its key has been used too often.
        """
        if self.keys is not None and scope is not None:
            request.key = self.keys.admit(request.headers, scope).name
            if self.settings.client_header.lower() not in request.headers:
                request.caller = f"key {request.key}"

    def still_allows(self, request: Request, operation: str) -> bool:
        """Whether what was let in may go on; its key may have been revoked since."""
        scope = NEEDED[operation]
        return self.keys is None or scope is None or self.keys.allows(request.headers, scope)

    def admit_work(self, request: Request, name: str | None, version: str = "") -> None:
        """Refuse a request that a network would run for, before anything is done for it.

        Args:
            request: The request; it counts for its caller's rate.
            name: The model; None if the request leaves it open.
            version: Its version.

        Raises:
            TooManyError: If its caller has sent too many.
            NotFoundError: If there is no such model.
            UnavailableError: If the model is not loaded, or its queue is full.
        """
        self.limiter.take(request.caller, time.monotonic())
        if name:
            self.repository.get(name, version).batcher.refuse_if_full(request.caller)

    def answering(self, request: Request) -> Answering:
        """Count a request as long as the block takes, log what became of it, swallow its errors."""
        return Answering(self, request)

    def count(self, more: int) -> None:
        """So many more requests are being answered; gRPC's come from other threads."""
        with self._counting:
            self.in_flight += more

    # The operations.

    @property
    def live(self) -> bool:
        """Whether the process is of any use: some loaded model can run, or none is loaded."""
        models = self.repository.models()
        return not models or any(model.ready for model in models)

    @property
    def ready(self) -> bool:
        """Whether requests should come here."""
        return not self.stopping and any(model.ready for model in self.repository.models())

    def server(self) -> dict[str, Any]:
        """The protocol's server metadata."""
        return metadata.server(shared_memory=self.memory.enabled)

    def model(self, name: str, version: str = "") -> ServedModel:
        """The model that serves ``name``; see :meth:`Repository.get` for its errors."""
        return self.repository.get(name, version)

    def model_metadata(self, name: str, version: str = "") -> dict[str, Any]:
        """The protocol's model metadata."""
        return metadata.metadata(self.model(name, version))

    def model_config(self, name: str, version: str = "") -> dict[str, Any]:
        """Triton's model configuration."""
        return metadata.config(self.model(name, version))

    def statistics(self, name: str = "", version: str = "") -> dict[str, Any]:
        """The protocol's statistics of a model, or of all."""
        models = [self.model(name, version)] if name else self.repository.models()
        stats = [model.batcher.statistics.snapshot(model.name, VERSION) for model in models]
        return {"model_stats": stats}

    def metrics(self) -> str:
        """The counters of all models as Prometheus text."""
        refused = self.limiter.refused + (self.keys.refused if self.keys else 0)
        return metrics.render(self.repository.models(), refused, stderr.dropped())

    def index(self, *, ready: bool) -> list[dict[str, Any]]:
        """The repository index, of those alone that can answer if so wished."""
        return self.repository.index(ready=ready)

    def load(self, name: str, parameters: Iterable[str] = ()) -> None:
        """Load a model, or load it anew; returns when that is done.

        Args:
            name: The model.
            parameters: Names of the request's parameters.

        Raises:
            ForbiddenError: If callers may not.
            UnsupportedError: If the parameters ask for what this server does not do.
            NotFoundError: If no bundle has this name.
            InvalidRequestError: If it cannot be loaded.
        """
        self._check_control(parameters)
        self.repository.load(name)

    def unload(self, name: str, parameters: Iterable[str] = ()) -> None:
        """Unload a model; returns when it has finished what it had. Errors as :meth:`load`'s."""
        self._check_control(parameters)
        self.repository.unload(name)

    def regions(self, name: str = "") -> list[dict[str, Any]]:
        """What is known of a region of shared memory, or of all."""
        return self.memory.status(name)

    def register(self, name: str, key: str, offset: int, size: int) -> None:
        """Make part of a shared memory object known as a region; see :class:`SharedMemory`."""
        self.memory.register(name, key, offset, size)

    def unregister(self, name: str = "") -> None:
        """Forget a region of shared memory, or all of them."""
        self.memory.unregister(name)

    def infer(
        self,
        request: Request,
        name: str,
        version: str,
        asked: InferRequest,
        deadline: int | None = None,
    ) -> tuple[ServedModel, Future[Outcome]]:
        """Queue an inference.

        Args:
            request: The request that it came with.
            name: The model.
            version: Its version; empty for any.
            asked: What to run.
            deadline: Of the transport, in nanoseconds of the monotonic clock; None: none.

        Returns:
            What runs it, and what will hold the outcome; cancel that if nobody wants it any more.
        """
        return self.repository.submit(name, version, asked.sent_by(request.caller, deadline))

    def _check_control(self, parameters: Iterable[str]) -> None:
        if not self.settings.model_control:
            raise ForbiddenError(
                "Loading and unloading by clients is switched off on this server; "
                "start it with --model-control to allow it."
            )
        if any(name == "config" or name.startswith("file:") for name in parameters):
            raise UnsupportedError("Models are loaded as their bundle has them, without overrides.")


class Answering:
    """A request while it is answered. Made by :meth:`Service.answering`.

    Attributes:
        status: What the answer says; set it if that is not 200.
        refusal: What to tell the caller if there is no answer: the error that ended the block.
    """

    __slots__ = ("_request", "_service", "_started", "refusal", "status")
    refusal: RequestError

    def __init__(self, service: Service, request: Request) -> None:
        self._service = service
        self._request = request
        self.status = 200

    def __enter__(self) -> Answering:
        self._started = time.monotonic_ns()
        self._service.count(1)
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        error: BaseException | None,
        _place: TracebackType | None,
    ) -> bool:
        service = self._service
        service.count(-1)
        if error is None:
            service.log.done(self._request, self.status, self._started)
            return False
        if isinstance(error, RequestError):
            service.log.refused(self._request, error, self._started)
            self.refusal = error.with_traceback(None)  # whose frames hold the body, and this
            return True
        if isinstance(error, Exception):  # a bug of ours must not end as a bare traceback
            service.log.bug(self._request, error, self._started)
            self.refusal = BugError("This is a bug in lrn-server; its log has the details.")
            return True
        return False
