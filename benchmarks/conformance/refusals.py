"""Calls that infer what cannot be inferred: how each is refused."""

from __future__ import annotations

import json
from typing import Any

import grpc
import numpy as np

from benchmarks.conformance.calls import call, http_only
from benchmarks.conformance.client import Client, body_of, told
from benchmarks.conformance.inference import DIGITS, PATH, json_body, message, sent_json
from benchmarks.conformance.networks import PREFERRED


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
    return body_of(client.send("POST", PATH, b'{"inputs": ['), ("pars",))


@http_only("refused: no inputs", "inputs")
def _no_inputs(client: Client) -> Any:
    return sent_json(client, {"id": "x"}, "inputs")


@http_only("refused: an empty list of inputs", "inputs")
def _empty_inputs(client: Client) -> Any:
    return sent_json(client, {"inputs": []}, "input")


@http_only("refused: a tensor without a shape", "shape")
def _no_shape(client: Client) -> Any:
    content = json_body(DIGITS)
    del content["inputs"][0]["shape"]
    return sent_json(client, content, "shape")


@http_only("refused: too few elements", "input")
def _few(client: Client) -> Any:
    content = json_body(DIGITS)
    content["inputs"][0]["data"] = [1.0]
    return sent_json(client, content, "input", "elements|shape|bytes")


@http_only("refused: too many elements", "input")
def _many(client: Client) -> Any:
    content = json_body(DIGITS)
    content["inputs"][0]["data"] += [1.0]
    return sent_json(client, content, "input", "elements|shape|bytes")


@http_only("refused: words for numbers")
def _words(client: Client) -> Any:
    content = json_body(DIGITS)
    content["inputs"][0]["data"][5] = "five"
    return sent_json(client, content)


@http_only("refused: binary data that is cut short")
def _short(client: Client) -> Any:
    tensor = {"name": "input", "datatype": "FP32", "shape": [1, 1, 8, 8]}
    head = json.dumps({"inputs": [tensor | {"parameters": {"binary_data_size": 256}}]}).encode()
    reply = client.send(
        "POST", PATH, head + bytes(100), inference_header_content_length=str(len(head))
    )
    return body_of(reply, ("input", "256"))


@http_only("refused: a header length over the body")
def _header(client: Client) -> Any:
    body = json.dumps(json_body(DIGITS)).encode()
    reply = client.send("POST", PATH, body, inference_header_content_length="9999999")
    return body_of(reply, ("header|length",))


@http_only("refused: a header length that is no number")
def _header_words(client: Client) -> Any:
    body = json.dumps(json_body(DIGITS)).encode()
    reply = client.send("POST", PATH, body, inference_header_content_length="many")
    return body_of(reply, ("header|length",))


@http_only("refused: a raw request of a wrong size")
def _raw_size(client: Client) -> Any:
    reply = client.send("POST", PATH, bytes(300), inference_header_content_length="0")
    return body_of(reply, ("input",))


@http_only("refused: a gzip body that is none")
def _no_gzip(client: Client) -> Any:
    return body_of(client.send("POST", PATH, b"plain", content_encoding="gzip"))


@http_only("refused: infer by GET")
def _get(client: Client) -> Any:
    return body_of(client.send("GET", PATH))


@call("refused: raw contents that are cut short", transports=("grpc",))
def _short_contents(client: Client) -> Any:
    request = message(raw_input_contents=[DIGITS.tobytes()[:100]])
    try:
        client.raw._client_stub.ModelInfer(request)
    except grpc.RpcError as error:
        return told(error.code().name, error.details() or "", ("input", "100|bytes"))
    return "answered"
