"""Calls that infer: every form of input and output, and what is refused."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tritonclient.grpc import service_pb2

from benchmarks.conformance.calls import call, http_only
from benchmarks.conformance.client import Client, body_of, told
from benchmarks.conformance.networks import PREFERRED

Array = NDArray[Any]
_RNG = np.random.default_rng(11)
DIGITS: Array = _RNG.normal(scale=60, size=(PREFERRED, 1, 8, 8)).astype(np.float32)
PICTURE: Array = _RNG.integers(0, 256, (PREFERRED, 4, 4, 3)).astype(np.uint8)
_PATH = "/v2/models/digits/infer"


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


def _json(array: Array, **more: Any) -> dict[str, Any]:
    tensor = {"name": "input", "datatype": "FP32", "shape": list(array.shape)}
    return {"inputs": [tensor | {"data": array.ravel().tolist()}]} | more


def _sent_json(client: Client, content: Any, *says: str) -> Any:
    return body_of(client.send("POST", _PATH, json.dumps(content).encode()), says)


@http_only("infer: plain JSON, flat data")
def _flat(client: Client) -> Any:
    return _sent_json(client, _json(DIGITS))


@http_only("infer: plain JSON, nested data")
def _nested(client: Client) -> Any:
    content = _json(DIGITS)
    content["inputs"][0]["data"] = DIGITS.tolist()
    return _sent_json(client, content)


@http_only("infer: binary_data_output, and an output that wants JSON after all")
def _binary_output(client: Client) -> Any:
    content = _json(DIGITS, parameters={"binary_data_output": True}, id="b")
    outputs = [{"name": "output", "parameters": {"binary_data": False}}]
    status, headers, body = client.send("POST", _PATH, json.dumps(content).encode())
    head = int(headers["inference-header-content-length"])
    return [
        status,
        headers["content-type"],
        json.loads(body[:head]),
        np.frombuffer(body[head:], np.float32).tolist(),
        _sent_json(client, content | {"outputs": outputs}),
    ]


@http_only("infer: a raw request")
def _raw(client: Client) -> Any:
    body = DIGITS[0].tobytes()
    status, headers, reply = client.send("POST", _PATH, body, inference_header_content_length="0")
    head = int(headers["inference-header-content-length"])
    return [
        status,
        headers["content-type"],
        json.loads(reply[:head]),
        np.frombuffer(reply[head:], np.float32).tolist(),
    ]


@http_only("infer: the content type of a JSON answer, and of a compressed one")
def _content_types(client: Client) -> Any:
    body = json.dumps(_json(np.tile(DIGITS, (2, 1, 1, 1)))).encode()
    plain = client.send("POST", _PATH, body)
    packed = client.send("POST", _PATH, body, accept_encoding="gzip")
    return [(status, told.get("content-type")) for status, told, _ in (plain, packed)]


# What is refused.


@call("refused: an unknown model", "unknown model", "nothing")
def _unknown(client: Client) -> Any:
    return client.infer("nothing", [client.tensor("input", DIGITS)])


@call("refused: an unknown version", "version", "digits")
def _unknown_version(client: Client) -> Any:
    return client.infer("digits", [client.tensor("input", DIGITS)], model_version="7")


@call("refused: an unknown output", "output", "nothing", "digits")
def _unknown_output(client: Client) -> Any:
    wanted = [client.wanted("nothing")]
    return client.infer("digits", [client.tensor("input", DIGITS)], outputs=wanted)


@call("refused: an unknown input", "input", "digits")
def _unknown_input(client: Client) -> Any:
    return client.infer("digits", [client.tensor("image", DIGITS)])


@call("refused: an input more than there are", "input", "digits")
def _another_input(client: Client) -> Any:
    inputs = [client.tensor("input", DIGITS), client.tensor("image", DIGITS)]
    return client.infer("digits", inputs)


@call("refused: another datatype", "input", "FP32", "FP64")
def _datatype(client: Client) -> Any:
    return client.infer("digits", [client.tensor("input", DIGITS.astype(np.float64))])


@call("refused: another shape", "shape", "input", "digits")
def _shape(client: Client) -> Any:
    return client.infer("digits", [client.tensor("input", DIGITS.reshape(PREFERRED, 1, 4, 16))])


@call("refused: another rank", "shape", "input", "digits")
def _rank(client: Client) -> Any:
    return client.infer("digits", [client.tensor("input", DIGITS.reshape(PREFERRED, 64))])


@call("refused: a batch over the maximum", "batch", "8", "digits")
def _large(client: Client) -> Any:
    return client.infer("digits", [client.tensor("input", np.tile(DIGITS, (3, 1, 1, 1)))])


@call("refused: a batch of no rows", "")
def _empty(client: Client) -> Any:
    return client.infer("digits", [client.tensor("input", DIGITS[:0])])


@http_only("refused: malformed JSON", "pars")
def _malformed(client: Client) -> Any:
    return body_of(client.send("POST", _PATH, b'{"inputs": ['), ("pars",))


@http_only("refused: no inputs", "inputs")
def _no_inputs(client: Client) -> Any:
    return _sent_json(client, {"id": "x"}, "inputs")


@http_only("refused: an empty list of inputs", "inputs")
def _empty_inputs(client: Client) -> Any:
    return _sent_json(client, {"inputs": []}, "input")


@http_only("refused: a tensor without a shape", "shape")
def _no_shape(client: Client) -> Any:
    content = _json(DIGITS)
    del content["inputs"][0]["shape"]
    return _sent_json(client, content, "shape")


@http_only("refused: too few elements", "input")
def _few(client: Client) -> Any:
    content = _json(DIGITS)
    content["inputs"][0]["data"] = [1.0]
    return _sent_json(client, content, "input", "elements|shape|bytes")


@http_only("refused: too many elements", "input")
def _many(client: Client) -> Any:
    content = _json(DIGITS)
    content["inputs"][0]["data"] += [1.0]
    return _sent_json(client, content, "input", "elements|shape|bytes")


@http_only("refused: words for numbers")
def _words(client: Client) -> Any:
    content = _json(DIGITS)
    content["inputs"][0]["data"][5] = "five"
    return _sent_json(client, content)


@http_only("refused: binary data that is cut short")
def _short(client: Client) -> Any:
    tensor = {"name": "input", "datatype": "FP32", "shape": [1, 1, 8, 8]}
    head = json.dumps({"inputs": [tensor | {"parameters": {"binary_data_size": 256}}]}).encode()
    reply = client.send(
        "POST", _PATH, head + bytes(100), inference_header_content_length=str(len(head))
    )
    return body_of(reply, ("input", "256"))


@http_only("refused: a header length over the body")
def _header(client: Client) -> Any:
    body = json.dumps(_json(DIGITS)).encode()
    reply = client.send("POST", _PATH, body, inference_header_content_length="9999999")
    return body_of(reply, ("header|length",))


@http_only("refused: a header length that is no number")
def _header_words(client: Client) -> Any:
    body = json.dumps(_json(DIGITS)).encode()
    reply = client.send("POST", _PATH, body, inference_header_content_length="many")
    return body_of(reply, ("header|length",))


@http_only("refused: a raw request of a wrong size")
def _raw_size(client: Client) -> Any:
    reply = client.send("POST", _PATH, bytes(300), inference_header_content_length="0")
    return body_of(reply, ("input",))


@http_only("refused: a gzip body that is none")
def _no_gzip(client: Client) -> Any:
    return body_of(client.send("POST", _PATH, b"plain", content_encoding="gzip"))


@http_only("refused: infer by GET")
def _get(client: Client) -> Any:
    return body_of(client.send("GET", _PATH))


def _message(**more: Any) -> Any:
    request = service_pb2.ModelInferRequest(model_name="digits", **more)
    request.inputs.add(name="input", datatype="FP32", shape=[PREFERRED, 1, 8, 8])
    return request


@call("infer: typed contents", transports=("grpc",))
def _contents(client: Client) -> Any:
    request = _message(id="t")
    request.inputs[0].contents.fp32_contents.extend(DIGITS.ravel().tolist())
    response = client.raw._client_stub.ModelInfer(request)
    return np.frombuffer(response.raw_output_contents[0], np.float32).tolist()


@call("refused: raw contents that are cut short", transports=("grpc",))
def _short_contents(client: Client) -> Any:
    import grpc

    request = _message(raw_input_contents=[DIGITS.tobytes()[:100]])
    try:
        client.raw._client_stub.ModelInfer(request)
    except grpc.RpcError as error:
        return told(error.code().name, error.details() or "", ("input", "100|bytes"))
    return "answered"
