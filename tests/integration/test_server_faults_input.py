"""What clients claim and do not keep, and what is larger than anything: refused, and told why."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from typing import Any

import grpc
import numpy as np
import pytest
from tritonclient.grpc import service_pb2, service_pb2_grpc

from tests.support.colours import INFER, answers, red_json, red_message, red_pixels
from tests.support.image_bundles import colour_bundle, picture
from tests.support.servers import Running, serving

LIMIT = 1_000_000
CODE = grpc.StatusCode


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("colours") / "bundle"
    colour_bundle(folder)
    with serving(
        *(folder, "--max-batch-size", "4", "--threads", "1", "--access-log", "none"),
        *("--max-body-bytes", str(LIMIT), "--max-images", "2", "--max-pixels", "10000"),
    ) as running:
        yield running


@pytest.fixture(scope="module")
def infer(server: Running) -> Iterator[Any]:
    with grpc.insecure_channel(server.grpc) as channel:
        yield service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelInfer


def multipart(count: int) -> bytes:
    part = b'--x\r\nContent-Disposition: form-data; name="i"; filename="i"\r\n\r\n%s\r\n'
    return part % picture("red") * count + b"--x--\r\n"


FORM = {"Content_Type": "multipart/form-data; boundary=x"}
OVERSIZE: dict[str, tuple[str, bytes, dict[str, str], int, str]] = {
    "a header": (INFER, b"{}", {"X": "x" * 70_000}, 431, "head of the request is larger"),
    "headers": (INFER, b"{}", {f"X{n}": "x" * 99 for n in range(700)}, 431, "is larger than"),
    "a target": (f"/v2/{'x' * 70_000}", b"", {}, 431, "is larger than 65,536 bytes"),
    "a model's name": (f"/v2/models/{'x' * 60_000}/infer", b"{}", {}, 404, "unknown model"),
    "a path": (f"/{'x' * 60_000}", b"", {}, 404, "There is nothing at"),
    "a body": (INFER, b" " * (LIMIT + 1), {}, 413, "1,000,001 bytes, more than the limit of"),
    "what is packed": (
        INFER,
        gzip.compress(b" " * 50_000_000),
        {"Content_Encoding": "gzip"},
        413,
        "unpacks to more than 1,000,000 bytes",
    ),
    "a batch": (INFER, red_json(5), {}, 400, "from 1 to 4"),
    "a shape": (INFER, red_json(shape=[2**40, 3, 8, 8]), {}, 400, "image"),
    "an axis": (INFER, red_json(shape=[1, 3, 8, 2**63]), {}, 400, "image"),
    "many axes": (INFER, red_json(shape=[1] * 10_000), {}, 400, "image"),
    "images": ("/v1/classify", multipart(3), FORM, 413, "2 images at most"),
    "an image": ("/v1/classify", picture("red", (101, 100)), {}, 400, "10,000"),
    "classes": ("/v1/classify?top=99999999999", picture("red"), {}, 400, "from 1 to 10000"),
    "the JSON's length": (
        INFER,
        red_json(),
        {"Inference_Header_Content_Length": "9" * 400},
        400,
        "Inference-Header-Content-Length",
    ),
}


@pytest.mark.parametrize("what", OVERSIZE)
def test_what_is_too_large_is_refused_by_its_limit(server: Running, what: str) -> None:
    path, body, headers, status, said = OVERSIZE[what]
    reply = server.call("POST", path, body, **headers)
    error = reply.content["error"]
    assert (reply.status, said in error) == (status, True), (reply.status, error[:300])
    assert len(error) < 1100
    assert reply.content["request_id"] == reply.headers["x-request-id"]
    assert answers(server)


def test_an_id_that_is_too_long_is_not_taken_over(server: Running) -> None:
    reply = server.call("GET", "/v2", X_Request_Id="x" * 10_000)
    assert reply.status == 200
    assert len(reply.headers["x-request-id"]) < 100


def refused(infer: Any, message: Any, **more: Any) -> tuple[Any, str]:
    with pytest.raises(grpc.RpcError) as caught:
        infer(message, timeout=10, **more)
    return caught.value.code(), caught.value.details()


def test_what_is_too_large_for_grpc_is_refused(infer: Any) -> None:
    large = red_message()
    large.raw_input_contents[0] = bytes(2 * LIMIT)
    assert refused(infer, large)[0] == CODE.RESOURCE_EXHAUSTED
    metadata = [("x", "x" * 70_000)]
    assert refused(infer, red_message(), metadata=metadata)[0] == CODE.RESOURCE_EXHAUSTED
    named = service_pb2.ModelInferRequest(model_name="x" * 100_000)
    assert refused(infer, named)[0] == CODE.NOT_FOUND
    shaped = red_message()
    shaped.inputs[0].shape[0] = 2**62
    assert refused(infer, shaped)[0] == CODE.INVALID_ARGUMENT
    assert infer(red_message()).outputs


OTHERS = {"BOOL": "?", "UINT8": "u1", "INT8": "i1", "INT32": "<i4", "INT64": "<i8"}
OTHERS |= {"UINT64": "<u8", "FP16": "<f2", "FP64": "<f8"}


@pytest.mark.parametrize("datatype", [*OTHERS, "BYTES", "BF16", "FLOAT", "fp32", ""])
def test_another_type_is_refused_on_every_way_in(
    server: Running, infer: Any, datatype: str
) -> None:
    content = red_pixels().astype("<f4").tobytes()
    tensor = {"name": "image", "datatype": datatype, "shape": [1, 3, 8, 8]}
    tensor |= {"parameters": {"binary_data_size": len(content)}}
    text = json.dumps({"inputs": [tensor]}).encode()
    for body, headers in (
        (red_json(datatype=datatype), {}),
        (text + content, {"Inference_Header_Content_Length": str(len(text))}),
    ):
        reply = server.call("POST", INFER, body, **headers)
        assert reply.status == 400, reply.body
        assert "image" in reply.content["error"]
    message = red_message()
    message.inputs[0].datatype = datatype
    code, said = refused(infer, message)
    assert (code, "image" in said) == (CODE.INVALID_ARGUMENT, True)


@pytest.mark.parametrize("datatype", OTHERS)
def test_the_refusal_of_a_type_that_there_is_names_the_right_one(
    server: Running, datatype: str
) -> None:
    content = np.zeros(192, OTHERS[datatype])
    tensor = {"name": "image", "datatype": datatype, "shape": [1, 3, 8, 8]}
    tensor |= {"parameters": {"binary_data_size": content.nbytes}}
    text = json.dumps({"inputs": [tensor]}).encode()
    reply = server.call(
        "POST", INFER, text + content.tobytes(), Inference_Header_Content_Length=str(len(text))
    )
    assert (reply.status, "FP32" in reply.content["error"]) == (400, True), reply.body


def binary(shape: list[int], said: int, content: bytes, length: int = 0) -> tuple[bytes, str]:
    """A request that says ``said`` bytes of a tensor, and where its JSON ends, out by length."""
    tensor = {"name": "image", "datatype": "FP32", "shape": shape}
    tensor |= {"parameters": {"binary_data_size": said}}
    text = json.dumps({"inputs": [tensor]}).encode()
    return text + content, str(len(text) + length)


ONE = [1, 3, 8, 8]
LIES = {
    "fewer bytes than it says": binary(ONE, 768, bytes(767)),
    "more bytes than it says": binary(ONE, 768, bytes(769)),
    "fewer bytes than its shape": binary(ONE, 764, bytes(764)),
    "more bytes than its shape": binary(ONE, 772, bytes(772)),
    "more rows than it has": binary([2, 3, 8, 8], 768, bytes(768)),
    "no bytes": binary(ONE, 0, b""),
    "bytes below none": binary(ONE, -768, bytes(768)),
    "bytes without end": binary(ONE, 2**63, bytes(768)),
    "an axis below none": binary([-1, -3, 8, 8], 768, bytes(768)),
    "JSON that ends early": binary(ONE, 768, bytes(768), -1),
    "JSON that ends late": binary(ONE, 768, bytes(768), 1),
    "JSON beyond the body": binary(ONE, 768, bytes(768), 10_000),
}


@pytest.mark.parametrize("lie", LIES)
def test_lengths_that_do_not_fit_each_other_are_refused(server: Running, lie: str) -> None:
    body, length = LIES[lie]
    reply = server.call("POST", INFER, body, Inference_Header_Content_Length=length)
    assert reply.status == 400, reply.body
    assert reply.content["error"].endswith(".")


@pytest.mark.parametrize("length", ["-1", "+5", "0x10", "1e2", " ", "1,1", "٣"])
def test_a_length_that_is_no_number_is_refused(server: Running, length: str) -> None:
    body, _ = binary(ONE, 768, bytes(768))
    latin = length.encode().decode("latin-1")
    reply = server.call("POST", INFER, body, Inference_Header_Content_Length=latin)
    assert reply.status == 400, reply.body


def test_raw_tensors_of_grpc_that_do_not_fit_are_refused(infer: Any) -> None:
    for content in ([], [bytes(764)], [bytes(772)], [bytes(768)] * 2, [b""]):
        message = red_message()
        del message.raw_input_contents[:]
        message.raw_input_contents.extend(content)
        code, said = refused(infer, message)
        assert code == CODE.INVALID_ARGUMENT, (len(content), said)
    both = red_message()
    both.inputs[0].contents.fp32_contents.extend([0.5] * 192)
    assert refused(infer, both)[0] == CODE.INVALID_ARGUMENT
    assert infer(red_message()).raw_output_contents[0] == np.float32([10, 0, 0]).tobytes()
