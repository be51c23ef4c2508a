"""Triton's HTTP and gRPC clients behind one face, and their answers as plain values."""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import numpy as np
import tritonclient.grpc
import tritonclient.http
from numpy.typing import NDArray
from tritonclient.utils import InferenceServerException

from benchmarks.peers.processes import Server

Transport = Literal["http", "grpc"]
Array = NDArray[Any]
_TYPES = {"float32": "FP32", "uint8": "UINT8", "float64": "FP64", "int64": "INT64"}


class Client:
    """A client of one server by one transport.

    Attributes:
        transport: ``http`` or ``grpc``.
        raw: tritonclient's own client.
        server: Whom it asks.
    """

    def __init__(self, transport: Transport, raw: Any, server: Server) -> None:
        self.transport = transport
        self.raw = raw
        self.server = server
        self._api: Any = tritonclient.http if transport == "http" else tritonclient.grpc

    def tensor(self, name: str, array: Array, *, binary: bool = True) -> Any:
        """An input; ``binary`` False sends it as JSON, which only HTTP has."""
        tensor = self._api.InferInput(name, list(array.shape), _TYPES[array.dtype.name])
        if self.transport == "http":
            tensor.set_data_from_numpy(array, binary_data=binary)
        else:
            tensor.set_data_from_numpy(array)
        return tensor

    def wanted(self, name: str, *, binary: bool = True, classes: int = 0) -> Any:
        """A requested output."""
        if self.transport == "http":
            return self._api.InferRequestedOutput(name, binary_data=binary, class_count=classes)
        return self._api.InferRequestedOutput(name, class_count=classes)

    def infer(self, model: str, inputs: Sequence[Any], **options: Any) -> Any:
        """An inference as plain values; see :func:`answer`."""
        return answer(self.raw.infer(model, list(inputs), **options))

    def plain(self, call: Callable[..., Any], *arguments: Any) -> Any:
        """What a call that answers with a message answers, as JSON has it."""
        if self.transport == "http":
            return call(*arguments)
        return call(*arguments, as_json=True)

    def send(
        self, method: str, path: str, body: bytes = b"", **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        """One HTTP request as it is; a ``_`` in a header's name stands for ``-``."""
        connection = http.client.HTTPConnection("127.0.0.1", self.server.http_port, timeout=30)
        try:
            names = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, body, names)
            reply = connection.getresponse()
            found = {name.lower(): value for name, value in reply.getheaders()}
            return reply.status, found, reply.read()
        finally:
            connection.close()


@contextmanager
def connected(server: Server, transport: Transport) -> Iterator[Client]:
    """A client that is closed when the block ends."""
    if transport == "http":
        with tritonclient.http.InferenceServerClient(server.http, concurrency=12) as raw:
            yield Client(transport, raw, server)
    else:
        with tritonclient.grpc.InferenceServerClient(server.grpc) as raw:
            yield Client(transport, raw, server)


def answer(result: Any) -> dict[str, Any]:
    """An inference result: its ids, and its outputs with their values.

    The outputs are in the order of their names: clients ask for one by its name, and Triton's
    order is its backend's.
    """
    response = result.get_response()
    if not isinstance(response, dict):
        outputs = [
            {"name": one.name, "datatype": one.datatype, "shape": list(one.shape)}
            for one in response.outputs
        ]
        head = {"id": response.id, "model_name": response.model_name}
        head["model_version"] = response.model_version
    else:
        head = {key: response.get(key, "") for key in ("id", "model_name", "model_version")}
        outputs = [
            {key: one[key] for key in ("name", "datatype", "shape")}
            | {"binary": "binary_data_size" in one.get("parameters", {})}
            for one in response["outputs"]
        ]
    for one in outputs:
        one["values"] = values(result.as_numpy(one["name"]))
    return head | {"outputs": sorted(outputs, key=lambda one: str(one["name"]))}


def values(array: Array) -> list[Any]:
    """All elements, as JSON can hold them: float32 without loss, bytes as text."""
    flat = np.asarray(array).ravel().tolist()
    return [one.decode() if isinstance(one, bytes) else one for one in flat]


def refusal(error: InferenceServerException, says: Sequence[str]) -> dict[str, Any]:
    """An error: its status, and whether it says what it should; see :func:`told`."""
    status = str(error.status()).removeprefix("StatusCode.")
    return told(status, error.message(), says)


def told(status: object, message: str, says: Sequence[str]) -> dict[str, Any]:
    """A refusal as plain values.

    Args:
        status: Of HTTP or gRPC.
        message: What it says.
        says: Words, any case, that it must have; ``|`` stands between words of which one will do.
    """
    lower = message.lower()
    found = {one: any(word in lower for word in one.lower().split("|")) for one in says}
    return {"refused": str(status), "says": found, "_message": message}


def body_of(reply: tuple[int, dict[str, str], bytes], says: Sequence[str] = ()) -> Any:
    """A plain HTTP reply: the JSON of its body, or a refusal."""
    status, _, body = reply
    if status == 200:
        return json.loads(body) if body else {"status": 200}
    try:
        message = json.loads(body)["error"]
    except (ValueError, KeyError, TypeError):
        message = body.decode(errors="replace")
    return told(status, message, says)
