"""What programs that know nothing of inference ask by gRPC: whether it is well, and what it has.

``grpc.health.v1.Health`` is what Kubernetes' own probes speak (gRPC Health Checking Protocol),
server reflection what ``grpcurl`` and its like do. Both have threads of their own: a server whose
threads all wait for a network would else look dead, and who watches would take one from inference.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection, reflection_pb2

from lrn_deploy.serving.errors import NotFoundError, UnavailableError
from lrn_deploy.serving.service import Service

SERVICE = "grpc.health.v1.Health"
_METHOD = "ServerReflectionInfo"
_REFLECTIONS = (reflection.SERVICE_NAME, "grpc.reflection.v1.ServerReflection")
"""Version 1 has the same messages as the one before it."""
_CHECKS = 2  # that are answered at the same time
_WATCHERS = 16  # and streams; further ones wait
_LOOK_SECONDS = 0.2

Status = health_pb2.HealthCheckResponse


class Health:
    """The health of a server and of its models.

    Args:
        service: What has the models.
        name: Of the gRPC service that stands for the server, as the empty name does.
    """

    def __init__(self, service: Service, name: str) -> None:
        self._service = service
        self._whole = ("", name)

    def check(self, request: Any, _call: Any) -> Any:
        """Whether requests should come here: SERVING or NOT_SERVING.

        Raises:
            NotFoundError: If there is no such model.
        """
        return Status(status=self._status(request.service))

    def watch(self, request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
        """The status now, and each time that it has changed; SERVICE_UNKNOWN without a model."""
        ended = threading.Event()
        if not context.add_callback(ended.set):
            return
        told = None
        while not ended.is_set():
            try:
                status = self._status(request.service)
            except NotFoundError:
                status = Status.SERVICE_UNKNOWN
            if status != told:
                told = status
                yield Status(status=status)
            ended.wait(_LOOK_SECONDS)

    def _status(self, name: str) -> Any:
        if name in self._whole:
            return Status.SERVING if self._service.ready else Status.NOT_SERVING
        try:
            ready = self._service.model(name).ready
        except UnavailableError:  # known, but not loaded
            ready = False
        return Status.SERVING if ready and not self._service.stopping else Status.NOT_SERVING


def handlers(
    service: Service,
    name: str,
    guard: Callable[[str, Callable[[Any, Any], Any], Any], Any],
    let_in: Callable[[str, str, Callable[..., Any]], Callable[..., Any]],
) -> dict[str, Any]:
    """The methods of both services by path.

    Args:
        service: What has the models.
        name: Of the gRPC service that is served beside.
        guard: Makes a method of a name, a function of a message and the message's class.
        let_in: Makes a stream of a method's name, an operation and a stream: for those alone whose
            key allows it.
    """
    health = Health(service, name)
    check = guard("Check", health.check, health_pb2.HealthCheckRequest)
    watchers = ThreadPoolExecutor(_WATCHERS, thread_name_prefix="grpc-watch")
    names = (name, SERVICE, *_REFLECTIONS)
    reflect = reflection.ReflectionServicer(names).ServerReflectionInfo
    reflecting = grpc.stream_stream_rpc_method_handler(
        _in(watchers, let_in(_METHOD, "reflection", reflect)),
        reflection_pb2.ServerReflectionRequest.FromString,
        reflection_pb2.ServerReflectionResponse.SerializeToString,
    )
    return {
        f"/{SERVICE}/Check": grpc.unary_unary_rpc_method_handler(
            _in(ThreadPoolExecutor(_CHECKS, thread_name_prefix="grpc-health"), check),
            response_serializer=Status.SerializeToString,
        ),
        f"/{SERVICE}/Watch": grpc.unary_stream_rpc_method_handler(
            _in(watchers, health.watch),
            health_pb2.HealthCheckRequest.FromString,
            Status.SerializeToString,
        ),
        **{f"/{version}/{_METHOD}": reflecting for version in _REFLECTIONS},
    }


def _in(pool: ThreadPoolExecutor, behavior: Callable[..., Any]) -> Callable[..., Any]:
    """``behavior``, run by threads of ``pool``; grpcio looks for this attribute of a function."""

    def call(*arguments: Any) -> Any:
        return behavior(*arguments)

    call.experimental_thread_pool = pool  # type: ignore[attr-defined]
    return call
