"""gRPC by grpcio's synchronous server: each request has a thread that waits for its batch."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent import futures
from dataclasses import dataclass
from functools import partial
from typing import Any

import grpc
from google.protobuf.message import DecodeError
from tritonclient.grpc import service_pb2 as pb

from lrn_deploy.errors import BadInputError
from lrn_deploy.serving.errors import (
    CanceledError,
    InvalidRequestError,
    NotFoundError,
    UnavailableError,
    UnsupportedError,
)
from lrn_deploy.serving.grpc import codec, health
from lrn_deploy.serving.grpc.credentials import credentials
from lrn_deploy.serving.listener import check_port
from lrn_deploy.serving.request import Request
from lrn_deploy.serving.security.scopes import NEEDED, Scope
from lrn_deploy.serving.security.tls import Tls
from lrn_deploy.serving.service import Service
from lrn_deploy.serving.trace import RESPONSE_HEADER

_SERVICE = "inference.GRPCInferenceService"
_CODES = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    401: grpc.StatusCode.UNAUTHENTICATED,
    403: grpc.StatusCode.PERMISSION_DENIED,
    404: grpc.StatusCode.NOT_FOUND,
    413: grpc.StatusCode.RESOURCE_EXHAUSTED,
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
    499: grpc.StatusCode.CANCELLED,
    501: grpc.StatusCode.UNIMPLEMENTED,
    503: grpc.StatusCode.UNAVAILABLE,
}
_HANDSHAKE_MS = 10_000  # for which a peer may say nothing before it is dropped
_FOREVER_SECONDS = 365 * 86400


@dataclass(frozen=True)
class _Call:
    """One call of a method: what gRPC knows of it, and what all transports know."""

    context: grpc.ServicerContext
    request: Request


class _Handlers(grpc.GenericRpcHandler):  # type: ignore[misc] # grpcio has no types
    """The methods by path, and something for every other path."""

    def __init__(self, known: dict[str, Any], unknown: Callable[[str], Any]) -> None:
        self._known = known
        self._unknown = unknown

    def service(self, details: Any) -> Any:
        return self._known.get(details.method) or self._unknown(details.method)


class GrpcServer:
    """Serves one :class:`Service` by gRPC.

    Args:
        service: What does it all.
        host: Address to bind to.
        port: Port; 0 takes a free one.
        tls: What calls are encrypted with; None: nothing is.

    Attributes:
        paths: Those of all methods.

    Raises:
        BadInputError: If the port cannot be bound.
    """

    def __init__(self, service: Service, host: str, port: int, tls: Tls | None = None) -> None:
        self.service = service
        self.host = host
        limit = service.settings.max_body_bytes
        self._server = grpc.server(
            futures.ThreadPoolExecutor(service.settings.grpc_threads, thread_name_prefix="grpc"),
            options=[
                ("grpc.max_receive_message_length", limit),
                ("grpc.max_send_message_length", -1),
                ("grpc.so_reuseport", 0),
                ("grpc.server_handshake_timeout_ms", _HANDSHAKE_MS),
            ],
        )
        methods = {"ModelInfer": ("infer", self._infer)} | {
            name: (operation, _method(function, getattr(pb, f"{name}Response")))
            for name, (operation, function) in self._operations().items()
        }
        handlers = {
            f"/{_SERVICE}/{name}": grpc.unary_unary_rpc_method_handler(
                self._guarded(name, method, getattr(pb, f"{name}Request"), NEEDED[operation]),
                # Messages come as bytes: what is none is then refused like any other mistake.
                response_serializer=getattr(pb, f"{name}Response").SerializeToString,
            )
            for name, (operation, method) in methods.items()
        }
        guard = partial(self._guarded, draining=True)
        handlers |= health.handlers(service, _SERVICE, guard, self._let_in)
        self.paths = tuple(handlers)
        self._server.add_generic_rpc_handlers((_Handlers(handlers, self._unknown),))
        self.port = check_port(host, port)
        address = f"[{host}]" if ":" in host else host
        try:
            if tls is None:
                self._server.add_insecure_port(f"{address}:{self.port}")
            else:
                self._server.add_secure_port(f"{address}:{self.port}", credentials(tls))
        except RuntimeError as error:
            raise BadInputError(
                f"Cannot listen on {host}:{self.port} for gRPC.", "Choose another port."
            ) from error

    def start(self) -> None:
        """Accept requests."""
        self._server.start()

    def stop(self, seconds: float) -> None:
        """Accept no more, and wait so long at most for those in flight."""
        self._server.stop(seconds).wait(seconds + 1)

    def _operations(self) -> dict[str, tuple[str, Callable[[Any], dict[str, Any] | None]]]:
        """By method: the operation, and what makes an answer of a message.

        The answer is as JSON; None if it says nothing.
        """
        service = self.service
        return {
            "ServerLive": ("live", lambda _: {"live": service.live}),
            "ServerReady": ("ready", lambda _: {"ready": service.ready}),
            "ServerMetadata": ("server", lambda _: service.server()),
            "ModelReady": (
                "model ready",
                lambda asked: {"ready": self._ready(asked.name, asked.version)},
            ),
            "ModelMetadata": (
                "model",
                lambda asked: service.model_metadata(asked.name, asked.version),
            ),
            "ModelConfig": (
                "config",
                lambda asked: {"config": service.model_config(asked.name, asked.version)},
            ),
            "ModelStatistics": (
                "statistics",
                lambda asked: service.statistics(asked.name, asked.version),
            ),
            "RepositoryIndex": (
                "index",
                lambda asked: {"models": service.index(ready=asked.ready)},
            ),
            "RepositoryModelLoad": (
                "load",
                lambda asked: service.load(asked.model_name, asked.parameters),
            ),
            "RepositoryModelUnload": ("unload", lambda asked: service.unload(asked.model_name)),
            "SystemSharedMemoryStatus": (
                "regions",
                lambda asked: {
                    "regions": {region["name"]: region for region in service.regions(asked.name)}
                },
            ),
            "SystemSharedMemoryRegister": (
                "register",
                lambda asked: service.register(
                    asked.name, asked.key, asked.offset, asked.byte_size
                ),
            ),
            "SystemSharedMemoryUnregister": (
                "unregister",
                lambda asked: service.unregister(asked.name),
            ),
        }

    def _guarded(
        self,
        name: str,
        function: Callable[[Any, Any], Any],
        kind: Any,
        scope: Scope | None = None,
        *,
        draining: bool = False,
    ) -> Callable[[Any, grpc.ServicerContext], Any]:
        """``function`` with its errors as gRPC statuses, counted and logged like HTTP's.

        Args:
            name: Of the method.
            function: Answers a message and what is known of its call.
            kind: Class of the message; None for a method that this server does not have.
            scope: What a key must allow; None: none is asked for.
            draining: Answer also when no requests are taken any more.
        """

        # Its last statement, context.abort, always raises, which the linter cannot know.
        def call(content: bytes, context: grpc.ServicerContext) -> Any:  # noqa: RET503
            metadata = {key: str(value) for key, value in context.invocation_metadata()}
            request = self.service.begin("gRPC", name, metadata, {}, context.peer())
            tail = [("x-request-id", request.id)]
            if request.trace is not None:
                tail.append((RESPONSE_HEADER, request.trace.header))
            context.set_trailing_metadata(tuple(tail))
            with self.service.answering(request) as answering:
                if not draining:
                    self.service.admit()
                self.service.authorize(request, scope)
                return function(_parse(kind, content), _Call(context, request))
            refusal = answering.refusal
            context.abort(
                _CODES.get(refusal.status, grpc.StatusCode.INTERNAL),
                f"{refusal.message} [request {request.id}]",
            )

        return call

    def _let_in(self, name: str, operation: str, stream: Callable[..., Any]) -> Callable[..., Any]:
        """``stream``, where the caller's key allows an operation; without keys, that itself."""
        if self.service.keys is None:
            return stream
        check = self._guarded(name, lambda *_: None, None, NEEDED[operation], draining=True)

        def call(messages: Any, context: grpc.ServicerContext) -> Any:
            check(b"", context)
            return stream(messages, context)

        return call

    def _unknown(self, path: str) -> Any:
        """What answers a method that is not there, whatever streams its caller expects."""
        _, _, name = path.rpartition("/")

        def refuse(_message: Any, _context: Any) -> Any:
            raise UnsupportedError(f"This server has no '{path[:200]}'.")

        call = self._guarded(name, refuse, None)
        return grpc.stream_stream_rpc_method_handler(lambda _, context: iter(call(b"", context)))

    def _infer(self, message: Any, call: _Call) -> Any:
        service = self.service
        name, version = message.model_name, message.model_version
        service.admit_work(call.request, name, version)
        asked = codec.decode(message, service.memory)
        remaining = call.context.time_remaining()
        deadline = None
        if remaining is not None and remaining < _FOREVER_SECONDS:
            deadline = time.monotonic_ns() + int(remaining * 1e9)
        model, future = service.infer(call.request, name, version, asked, deadline)
        if not call.context.add_callback(future.cancel):
            future.cancel()
        try:
            outcome = future.result()
        except futures.CancelledError as error:
            raise CanceledError("The client cancelled the request.") from error
        call.request.timings.append(outcome.timing)
        return codec.encode(asked, model, outcome.outputs, service.memory)

    def _ready(self, name: str, version: str) -> bool:
        """A model that is unknown or not loaded is not ready; that is an answer, no error."""
        try:
            return self.service.model(name, version).ready
        except (NotFoundError, UnavailableError):
            return False


def _method(operation: Callable[[Any], dict[str, Any] | None], kind: Any) -> Callable[..., Any]:
    """What answers a message with one of class ``kind``, filled from JSON."""
    return lambda message, _call: codec.from_json(operation(message) or {}, kind())


def _parse(kind: Any, content: bytes) -> Any:
    """The message of a class that ``content`` is; None if there is no class."""
    try:
        return kind and kind.FromString(content)
    except DecodeError as error:
        raise InvalidRequestError(f"The message is no valid {kind.__name__}: {error}.") from error
