"""Input that no server should answer, sent to a real one: clean refusals, each with its id."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from tritonclient.grpc import service_pb2, service_pb2_grpc

from tests.support.image_bundles import colour_bundle
from tests.support.servers import Running, serving

INFER = "/v2/models/colours/infer"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("colours") / "bundle"
    colour_bundle(folder)
    with serving(
        folder,
        *("--max-batch-size", "4", "--threads", "1", "--max-body-bytes", "1000000"),
        *("--body-seconds", "1", "--access-log", "none"),
    ) as running:
        yield running


@pytest.fixture(scope="module")
def channel(server: Running) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(server.grpc) as channel:
        yield channel


def resident(server: Running) -> int:
    """Its resident memory in bytes."""
    pages = Path(f"/proc/{server.process.pid}/statm").read_text().split()[1]
    return int(pages) * 4096


def infer(**changes: Any) -> bytes:
    """A request with one black picture, with changes to its input."""
    tensor = {"name": "image", "datatype": "FP32", "shape": [1, 3, 8, 8], "data": [0] * 192}
    return json.dumps({"inputs": [tensor | changes]}).encode()


BAD_JSON = {
    "an array 10,000 deep": (b'{"inputs": ' + b"[" * 10_000 + b"]" * 10_000 + b"}", "too deeply"),
    "an object 10,000 deep": (b'{"a":' * 10_000 + b"1" + b"}" * 10_000, "too deeply"),
    "data 10,000 deep": (infer(data="#").replace(b'"#"', b"[" * 10_000 + b"]" * 10_000), "deeply"),
    "nothing but opening brackets": (b"[" * 900_000, "too deeply"),
    "a key twice": (b'{"inputs": [], "inputs": []}', "'inputs' is there twice"),
    "a long string": (infer(data=["a" * 100_000] + [""] * 100_000), "has other values"),
    "a string without an end": (b'{"inputs": ["' + b'\\"' * 400_000, "Failed to parse"),
    "a batch of none": (infer(shape=[0, 3, 8, 8], data=[]), "from 1 to 4"),
    "a number too long": (b'{"inputs": ' + b"9" * 100_000 + b"}", "Failed to parse"),
}


@pytest.mark.parametrize("case", BAD_JSON)
def test_json_that_is_no_request_is_a_clean_400(server: Running, case: str) -> None:
    body, said = BAD_JSON[case]
    reply = server.call("POST", INFER, body, X_Request_Id="q1")
    assert (reply.status, said in reply.content["error"]) == (400, True), reply.content
    assert reply.content["request_id"] == reply.headers["x-request-id"] == "q1"


def test_refused_json_leaves_no_memory_behind(server: Running) -> None:
    def refuse_all(times: int) -> None:
        for _ in range(times):
            for body, _ in BAD_JSON.values():
                assert server.call("POST", INFER, body).status == 400

    refuse_all(3)
    before = resident(server)
    refuse_all(10)
    assert resident(server) - before < 2**20


def test_more_arrays_than_any_tensor_needs_are_refused(tmp_path: Path) -> None:
    colour_bundle(tmp_path / "b")
    with serving(tmp_path / "b", "--threads", "1") as running:
        before = resident(running)
        reply = running.call("POST", INFER, b'{"inputs": [' + b"[]," * 5_000_000 + b"[]]}")
        assert (reply.status, "1,000,000" in reply.content["error"]) == (413, True)
        assert resident(running) - before < 64 * 2**20  # as objects they would take 400 MB


def raw(server: Running, head: bytes, body: bytes = b"") -> bytes:
    """What comes back for bytes that no HTTP library would send; empty if nothing does."""
    with socket.create_connection(("127.0.0.1", server.ports["http_port"]), 5) as connection:
        connection.sendall(
            b"POST %s HTTP/1.1\r\nHost: localhost\r\n%s\r\n" % (INFER.encode(), head) + body
        )
        connection.shutdown(socket.SHUT_WR)
        try:
            return b"".join(iter(lambda: connection.recv(65536), b""))
        except ConnectionResetError:
            return b""


def test_content_lengths_that_lie_are_never_answered_with_a_result(server: Running) -> None:
    body = infer()
    for head in (
        b"Content-Length: %d\r\n" % (len(body) + 50),  # more than comes
        b"Content-Length: %d\r\n" % (len(body) - 50),  # less: the rest is no request
        b"Content-Length: -1\r\n",
        b"Content-Length: 0x10\r\n",
        b"Content-Length: 99999999999999999999\r\n",
        b"Content-Length: 10\r\nContent-Length: 20\r\n",
        b"Content-Length: 0\r\n",
    ):
        answer = raw(server, head, body)
        assert b"200 OK" not in answer, head
        assert b"500" not in answer.partition(b"\r\n")[0], head
    assert server.call("POST", INFER, body).status == 200


def binary(values: Any, shape: list[int]) -> tuple[bytes, str]:
    content = np.asarray(values, "<f4").tobytes()
    tensor = {
        "name": "image",
        "datatype": "FP32",
        "shape": shape,
        "parameters": {"binary_data_size": len(content)},
    }
    head = json.dumps({"inputs": [tensor]}).encode()
    return head + content, str(len(head))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_nan_and_infinity_are_refused_unless_allowed(
    server: Running, channel: grpc.Channel, value: float, tmp_path: Path
) -> None:
    pixels = np.zeros((1, 3, 8, 8), np.float32)
    pixels[0, 1, 2, 3] = value
    body, length = binary(pixels, [1, 3, 8, 8])
    reply = server.call("POST", INFER, body, Inference_Header_Content_Length=length)
    assert (reply.status, "NaN or infinite" in reply.content["error"]) == (400, True)
    with pytest.raises(grpc.RpcError, match="NaN or infinite"):
        service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelInfer(message(pixels))
    if np.isnan(value):
        colour_bundle(tmp_path / "b")
        with serving(tmp_path / "b", "--allow-nonfinite") as running:
            body = body.replace(
                b'{"inputs"', b'{"parameters": {"binary_data_output": true}, "inputs"'
            )
            length = str(body.index(b"]}") + 2)
            reply = running.call("POST", INFER, body, Inference_Header_Content_Length=length)
            scores = np.frombuffer(reply.body[-12:], "<f4")
            assert np.isnan(scores).tolist() == [False, True, False]


def test_a_batch_of_none_is_refused_on_every_way_in(server: Running, channel: grpc.Channel) -> None:
    body, length = binary([], [0, 3, 8, 8])
    reply = server.call("POST", INFER, body, Inference_Header_Content_Length=length)
    assert (reply.status, "from 1 to 4" in reply.content["error"]) == (400, True)
    with pytest.raises(grpc.RpcError, match="from 1 to 4"):
        service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelInfer(
            message(np.zeros((0, 3, 8, 8), np.float32))
        )


def message(pixels: Any) -> Any:
    request = service_pb2.ModelInferRequest(model_name="colours")
    request.inputs.add(name="image", datatype="FP32", shape=pixels.shape)
    request.raw_input_contents.append(pixels.tobytes())
    return request


def refused(call: Any, *arguments: Any) -> grpc.RpcError:
    with pytest.raises(grpc.RpcError) as caught:
        call(*arguments, metadata=[("x-request-id", "q2")])
    return caught.value


def test_every_refusal_by_grpc_has_the_request_id(channel: grpc.Channel) -> None:
    stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
    wrong = service_pb2.ModelInferRequest(model_name="colours")
    for _ in range(2):
        wrong.inputs.add(name="image", datatype="FP32", shape=[1, 3, 8, 8])
        wrong.raw_input_contents.append(bytes(768))
    garbage = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
    missing = channel.unary_unary("/inference.GRPCInferenceService/Nothing")
    code = grpc.StatusCode
    for error, status, said in (
        (refused(stub.ModelInfer, wrong), code.INVALID_ARGUMENT, "there twice"),
        (refused(garbage, b"\xff\xff\xff"), code.INVALID_ARGUMENT, "no valid ModelInferRequest"),
        (refused(missing, b""), code.UNIMPLEMENTED, "has no"),
        (
            refused(stub.LogSettings, service_pb2.LogSettingsRequest()),
            code.UNIMPLEMENTED,
            "LogSettings",
        ),
    ):
        assert error.code() == status
        assert said in error.details()
        assert error.details().endswith("[request q2]")
        assert dict(error.trailing_metadata())["x-request-id"] == "q2"


def test_every_refusal_by_http_has_a_request_id(server: Running) -> None:
    for method, path, body, headers in (
        ("GET", "/nothing", None, {}),
        ("DELETE", INFER, None, {}),
        ("POST", INFER, b"{", {}),
        ("POST", INFER, b"x" * 1_000_001, {}),
        ("POST", INFER, b"x", {"Content_Encoding": "gzip"}),
        ("POST", "/v1/classify", b"no image", {}),
        ("POST", "/v2/models/nothing/infer", b"{}", {}),
    ):
        reply = server.call(method, path, body, **headers)
        assert 400 <= reply.status < 500
        assert reply.content["error"].endswith(".")
        assert reply.content["request_id"] == reply.headers["x-request-id"]
    head = server.call("HEAD", "/nothing")
    assert (head.status, "x-request-id" in head.headers) == (404, True)
