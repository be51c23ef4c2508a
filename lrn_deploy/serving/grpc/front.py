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
    InferenceError,
    InvalidRequestError,
    NotFoundError,
    RequestError,
    UnavailableError,
    UnsupportedError,
)
from lrn_deploy.serving.grpc import codec as grpc_codec
from lrn_deploy.serving.grpc import health as grpc_health
from lrn_deploy.serving.http.listener import check_port
from lrn_deploy.serving.http.message import Request
from lrn_deploy.serving.protocol import metadata as describe
from lrn_deploy.serving.protocol.metadata import VERSION
from lrn_deploy.serving.rest.app import App
from lrn_deploy.serving.rest.protocol_routes import check_control
from lrn_deploy.serving.telemetry.trace import RESPONSE_HEADER

_SERVICE = "inference.GRPCInferenceService"
_CODES = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    403: grpc.StatusCode.PERMISSION_DENIED,
    404: grpc.StatusCode.NOT_FOUND,
    413: grpc.StatusCode.RESOURCE_EXHAUSTED,
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
    499: grpc.StatusCode.CANCELLED,
    501: grpc.StatusCode.UNIMPLEMENTED,
    503: grpc.StatusCode.UNAVAILABLE,
}
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


class GrpcFront:
    """Serves one :class:`App` by gRPC.

    Args:
        app: What has the models, limits and permissions.
        host: Address to bind to.
        port: Port; 0 takes a free one.

    Raises:
        BadInputError: If the port cannot be bound.
    """

    def __init__(self, app: App, host: str, port: int) -> None:
        self.app = app
        self.host = host
        limit = app.settings.max_body_bytes
        self._server = grpc.server(
            futures.ThreadPoolExecutor(app.settings.grpc_threads, thread_name_prefix="grpc"),
            options=[
                ("grpc.max_receive_message_length", limit),
                ("grpc.max_send_message_length", -1),
                ("grpc.so_reuseport", 0),
            ],
        )
        handlers = {
            f"/{_SERVICE}/{name}": grpc.unary_unary_rpc_method_handler(
                self._guarded(name, function, getattr(pb, f"{name}Request")),
                # Messages come as bytes: what is none is then refused like any other mistake.
                response_serializer=getattr(pb, f"{name}Response").SerializeToString,
            )
            for name, function in self._methods().items()
        }
        guard = partial(self._guarded, draining=True)
        handlers |= grpc_health.handlers(app, _SERVICE, guard)
        self._server.add_generic_rpc_handlers((_Handlers(handlers, self._unknown),))
        self.port = check_port(host, port)
        address = f"[{host}]" if ":" in host else host
        try:
            self._server.add_insecure_port(f"{address}:{self.port}")
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

    def _methods(self) -> dict[str, Callable[[Any, Any], Any]]:
        repository = self.app.repository
        return {
            "ServerLive": lambda _r, _c: pb.ServerLiveResponse(live=self.app.live),
            "ServerReady": lambda _r, _c: pb.ServerReadyResponse(ready=self.app.ready),
            "ServerMetadata": lambda _r, _c: pb.ServerMetadataResponse(
                **describe.server(shared_memory=self.app.memory.enabled)
            ),
            "ModelReady": self._model_ready,
            "ModelMetadata": lambda request, _c: grpc_codec.from_json(
                describe.metadata(repository.get(request.name, request.version)),
                pb.ModelMetadataResponse(),
            ),
            "ModelConfig": lambda request, _c: grpc_codec.config(
                repository.get(request.name, request.version)
            ),
            "ModelStatistics": self._statistics,
            "ModelInfer": self._infer,
            "RepositoryIndex": lambda request, _c: grpc_codec.from_json(
                {"models": repository.index(ready=request.ready)}, pb.RepositoryIndexResponse()
            ),
            "RepositoryModelLoad": self._load,
            "RepositoryModelUnload": self._unload,
            "SystemSharedMemoryStatus": self._regions,
            "SystemSharedMemoryRegister": self._register,
            "SystemSharedMemoryUnregister": self._unregister,
        }

    def _guarded(
        self,
        name: str,
        function: Callable[[Any, Any], Any],
        kind: Any,
        *,
        draining: bool = False,
    ) -> Callable[[Any, grpc.ServicerContext], Any]:
        """``function`` with its errors as gRPC statuses, counted and logged like HTTP's.

        Args:
            name: Of the method.
            function: Answers a message and what is known of its call.
            kind: Class of the message; None for a method that this server does not have.
            draining: Answer also when no requests are taken any more.
        """

        # Its last statement, context.abort, always raises, which the linter cannot know.
        def call(content: bytes, context: grpc.ServicerContext) -> Any:  # noqa: RET503
            started = time.monotonic_ns()
            metadata = {key: str(value) for key, value in context.invocation_metadata()}
            request = self.app.request("gRPC", name, metadata, {}, context.peer())
            tail = [("x-request-id", request.id)]
            if request.trace is not None:
                tail.append((RESPONSE_HEADER, request.trace.header))
            context.set_trailing_metadata(tuple(tail))
            self.app.enter()
            try:
                if self.app.draining and not draining:
                    raise UnavailableError("The server is stopping; try another one.")
                answer = function(_parse(kind, content), _Call(context, request))
                self.app.log.done(request, 200, started)
                return answer
            except RequestError as error:
                self.app.log.refused(request, error, started)
                refusal = error
            except Exception as error:  # a bug of ours must not end as a bare traceback
                self.app.log.bug(request, error, started)
                refusal = InferenceError("This is a bug in lrn-server; its log has the details.")
            finally:
                self.app.leave()
            context.abort(
                _CODES.get(refusal.status, grpc.StatusCode.INTERNAL),
                f"{refusal.message} [request {request.id}]",
            )

        return call

    def _unknown(self, path: str) -> Any:
        """What answers a method that is not there, whatever streams its client expects."""
        _, _, name = path.rpartition("/")

        def refuse(_message: Any, _context: Any) -> Any:
            raise UnsupportedError(f"This server has no '{path[:200]}'.")

        call = self._guarded(name, refuse, None)
        return grpc.stream_stream_rpc_method_handler(lambda _, context: iter(call(b"", context)))

    def _infer(self, request: Any, call: _Call) -> Any:
        self.app.limiter.take(call.request.caller, time.monotonic())
        message = grpc_codec.decode(request, self.app.memory)
        remaining = call.context.time_remaining()
        deadline = None
        if remaining is not None and remaining < _FOREVER_SECONDS:
            deadline = time.monotonic_ns() + int(remaining * 1e9)
        model, future = self.app.repository.submit(
            request.model_name,
            request.model_version,
            message.call.sent_by(call.request.caller, deadline),
        )
        if not call.context.add_callback(future.cancel):
            future.cancel()
        try:
            outcome = future.result()
        except futures.CancelledError as error:
            raise CanceledError("The client cancelled the request.") from error
        call.request.timings.append(outcome.timing)
        return grpc_codec.encode(message, model, outcome.outputs, self.app.memory)

    def _model_ready(self, request: Any, _call: _Call) -> Any:
        """A model that is unknown or not loaded is not ready; that is an answer, no error."""
        try:
            ready = self.app.repository.get(request.name, request.version).ready
        except (NotFoundError, UnavailableError):
            ready = False
        return pb.ModelReadyResponse(ready=ready)

    def _statistics(self, request: Any, _call: _Call) -> Any:
        if request.name:
            models = [self.app.repository.get(request.name, request.version)]
        else:
            models = self.app.repository.models()
        stats = [one.batcher.statistics.snapshot(one.name, VERSION) for one in models]
        return grpc_codec.from_json({"model_stats": stats}, pb.ModelStatisticsResponse())

    def _load(self, request: Any, _call: _Call) -> Any:
        check_control(request.parameters, allowed=self.app.settings.model_control)
        self.app.repository.load(request.model_name)
        return pb.RepositoryModelLoadResponse()

    def _unload(self, request: Any, _call: _Call) -> Any:
        check_control((), allowed=self.app.settings.model_control)
        self.app.repository.unload(request.model_name)
        return pb.RepositoryModelUnloadResponse()

    def _regions(self, request: Any, _call: _Call) -> Any:
        regions = self.app.memory.status(request.name)
        return pb.SystemSharedMemoryStatusResponse(
            regions={
                one["name"]: pb.SystemSharedMemoryStatusResponse.RegionStatus(**one)
                for one in regions
            }
        )

    def _register(self, request: Any, _call: _Call) -> Any:
        self.app.memory.register(request.name, request.key, request.offset, request.byte_size)
        return pb.SystemSharedMemoryRegisterResponse()

    def _unregister(self, request: Any, _call: _Call) -> Any:
        self.app.memory.unregister(request.name)
        return pb.SystemSharedMemoryUnregisterResponse()


def _parse(kind: Any, content: bytes) -> Any:
    """The message of a class that ``content`` is; None if there is no class."""
    try:
        return kind and kind.FromString(content)
    except DecodeError as error:
        raise InvalidRequestError(f"The message is no valid {kind.__name__}: {error}.") from error
