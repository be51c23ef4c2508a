"""Calls that infer: every form of input and output."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tritonclient.grpc import service_pb2

from benchmarks.conformance.calls import call, http_only
from benchmarks.conformance.client import Client, body_of
from benchmarks.conformance.networks import PREFERRED

Array = NDArray[Any]
_RNG = np.random.default_rng(11)
DIGITS: Array = _RNG.normal(scale=60, size=(PREFERRED, 1, 8, 8)).astype(np.float32)
PICTURE: Array = _RNG.integers(0, 256, (PREFERRED, 4, 4, 3)).astype(np.uint8)
PATH = "/v2/models/digits/infer"


@call("infer: digits, binary where the transport has a choice")
def _digits(client: Client) -> Any:
    return client.infer("digits", [client.tensor("input", DIGITS)])


@call("infer: digits of version 1")
def _version(client: Client) -> Any:
    return client.infer("digits", [client.tensor("input", DIGITS)], model_version="1")


@call("infer: picture, uint8, all outputs")
def _picture(client: Client) -> Any:
    return client.infer("picture", [client.tensor("pixels", PICTURE)])


@call("infer: a batch of one and the largest batch")
def _batches(client: Client) -> Any:
    batches = (DIGITS[:1], np.concatenate([DIGITS, -DIGITS]))
    return [client.infer("digits", [client.tensor("input", one)]) for one in batches]


@call("infer: outputs in an order of one's own, with the request's id")
def _order(client: Client) -> Any:
    wanted = [client.wanted("features"), client.wanted("scores")]
    inputs = [client.tensor("pixels", PICTURE)]
    return client.infer("picture", inputs, outputs=wanted, request_id="my id/1")


@call("infer: one output of two")
def _subset(client: Client) -> Any:
    inputs = [client.tensor("pixels", PICTURE)]
    return client.infer("picture", inputs, outputs=[client.wanted("scores")])


@call("infer: classification, labels, more classes than there are")
def _classes(client: Client) -> Any:
    inputs = [client.tensor("pixels", PICTURE)]
    return [
        client.infer("picture", inputs, outputs=[client.wanted("scores", classes=count)])
        for count in (1, 3, 9)
    ]


@call("infer: classification of digits")
def _digit_classes(client: Client) -> Any:
    inputs = [client.tensor("input", DIGITS)]
    return client.infer("digits", inputs, outputs=[client.wanted("output", classes=3)])


@call("infer: classification beside a plain output")
def _classes_and_plain(client: Client) -> Any:
    wanted = [client.wanted("features"), client.wanted("scores", classes=2)]
    return client.infer("picture", [client.tensor("pixels", PICTURE)], outputs=wanted)


@call("infer: priorities 1 to 3, and a timeout that suffices")
def _priorities(client: Client) -> Any:
    inputs = [client.tensor("input", DIGITS)]
    return [
        client.infer("digits", inputs, priority=level, timeout=10_000_000) for level in (1, 2, 3)
    ]


@call("infer: a priority that there is not", "priority")
def _no_priority(client: Client) -> Any:
    return client.infer("digits", [client.tensor("input", DIGITS)], priority=7)


@call("infer: a parameter of one's own")
def _parameter(client: Client) -> Any:
    return client.infer("digits", [client.tensor("input", DIGITS)], parameters={"mine": "yes"})


@http_only("infer: JSON and binary, in and out, mixed")
def _forms(client: Client) -> Any:
    return [
        client.infer(
            "digits",
            [client.tensor("input", DIGITS, binary=sent)],
            outputs=[client.wanted("output", binary=asked)],
        )
        for sent in (False, True)
        for asked in (False, True)
    ]


@http_only("infer: one output binary, one as JSON")
def _mixed(client: Client) -> Any:
    wanted = [client.wanted("scores", binary=False), client.wanted("features", binary=True)]
    return client.infer("picture", [client.tensor("pixels", PICTURE)], outputs=wanted)


@http_only("infer: classification as JSON")
def _json_classes(client: Client) -> Any:
    wanted = [client.wanted("scores", binary=False, classes=2)]
    return client.infer("picture", [client.tensor("pixels", PICTURE)], outputs=wanted)


for _sent in (None, "gzip", "deflate"):
    for _asked in (None, "gzip", "deflate"):
        if not (_sent or _asked):
            continue

        @http_only(f"infer: request {_sent or 'plain'}, answer {_asked or 'plain'}")
        def _packed(client: Client, sent: Any = _sent, asked: Any = _asked) -> Any:
            return client.infer(
                "picture",
                [client.tensor("pixels", PICTURE)],
                request_compression_algorithm=sent,
                response_compression_algorithm=asked,
            )


def json_body(array: Array, **more: Any) -> dict[str, Any]:
    """A request as JSON."""
    tensor = {"name": "input", "datatype": "FP32", "shape": list(array.shape)}
    return {"inputs": [tensor | {"data": array.ravel().tolist()}]} | more


def sent_json(client: Client, content: Any, *says: str) -> Any:
    """What a request as JSON is answered with."""
    return body_of(client.send("POST", PATH, json.dumps(content).encode()), says)


@http_only("infer: plain JSON, flat data")
def _flat(client: Client) -> Any:
    return sent_json(client, json_body(DIGITS))


@http_only("infer: plain JSON, nested data")
def _nested(client: Client) -> Any:
    content = json_body(DIGITS)
    content["inputs"][0]["data"] = DIGITS.tolist()
    return sent_json(client, content)


@http_only("infer: binary_data_output, and an output that wants JSON after all")
def _binary_output(client: Client) -> Any:
    content = json_body(DIGITS, parameters={"binary_data_output": True}, id="b")
    outputs = [{"name": "output", "parameters": {"binary_data": False}}]
    status, headers, body = client.send("POST", PATH, json.dumps(content).encode())
    head = int(headers["inference-header-content-length"])
    return [
        status,
        headers["content-type"],
        json.loads(body[:head]),
        np.frombuffer(body[head:], np.float32).tolist(),
        sent_json(client, content | {"outputs": outputs}),
    ]


@http_only("infer: a raw request")
def _raw(client: Client) -> Any:
    body = DIGITS[0].tobytes()
    status, headers, reply = client.send("POST", PATH, body, inference_header_content_length="0")
    head = int(headers["inference-header-content-length"])
    return [
        status,
        headers["content-type"],
        json.loads(reply[:head]),
        np.frombuffer(reply[head:], np.float32).tolist(),
    ]


@http_only("infer: the content type of a JSON answer, and of a compressed one")
def _content_types(client: Client) -> Any:
    body = json.dumps(json_body(np.tile(DIGITS, (2, 1, 1, 1)))).encode()
    plain = client.send("POST", PATH, body)
    packed = client.send("POST", PATH, body, accept_encoding="gzip")
    return [(status, told.get("content-type")) for status, told, _ in (plain, packed)]


def message(**more: Any) -> Any:
    """A gRPC request for digits, without its numbers."""
    request = service_pb2.ModelInferRequest(model_name="digits", **more)
    request.inputs.add(name="input", datatype="FP32", shape=[PREFERRED, 1, 8, 8])
    return request


@call("infer: typed contents", transports=("grpc",))
def _contents(client: Client) -> Any:
    request = message(id="t")
    request.inputs[0].contents.fp32_contents.extend(DIGITS.ravel().tolist())
    response = client.raw._client_stub.ModelInfer(request)
    return np.frombuffer(response.raw_output_contents[0], np.float32).tolist()
