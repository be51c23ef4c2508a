"""A client of servers that speak the Open Inference Protocol: lrn-server, Triton and others.

>>> with Client("http://127.0.0.1:8000") as client:  # doctest: +SKIP
...     scores = client.infer("digits", {"input": pixels})["output"]

:class:`Client` waits, :class:`AsyncClient` is awaited; both speak HTTP and gRPC. What is asked
stands in :mod:`.operations`, without any transport; ``http`` and ``grpc`` translate and carry it.
It loads no runtime: neither ONNX Runtime nor PyTorch.
"""

from lrn_deploy.client.aio import AsyncClient
from lrn_deploy.client.answers import (
    Classified,
    Label,
    ModelMetadata,
    ModelState,
    ServerMetadata,
    TensorMetadata,
)
from lrn_deploy.client.client import Client
from lrn_deploy.client.errors import (
    ClientError,
    DeadlineError,
    ForbiddenError,
    InvalidRequestError,
    LostError,
    NotFoundError,
    ProtocolError,
    RefusedError,
    ServerError,
    TooLargeError,
    TooManyRequestsError,
    UnauthenticatedError,
    UnavailableError,
    UnreachableError,
    UnsupportedError,
)
from lrn_deploy.client.retry import NEVER, Budget, Retry
from lrn_deploy.client.tensors import Tensor

__all__ = [
    "NEVER",
    "AsyncClient",
    "Budget",
    "Classified",
    "Client",
    "ClientError",
    "DeadlineError",
    "ForbiddenError",
    "InvalidRequestError",
    "Label",
    "LostError",
    "ModelMetadata",
    "ModelState",
    "NotFoundError",
    "ProtocolError",
    "RefusedError",
    "Retry",
    "ServerError",
    "ServerMetadata",
    "Tensor",
    "TensorMetadata",
    "TooLargeError",
    "TooManyRequestsError",
    "UnauthenticatedError",
    "UnavailableError",
    "UnreachableError",
    "UnsupportedError",
]
