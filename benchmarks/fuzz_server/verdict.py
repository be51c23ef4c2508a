"""What an answer must be, whatever was asked, and what it must say if the network ran.

What the network gives for a request is computed here from the request itself, by other means than
the server's: whoever is answered must be answered rightly.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable
from typing import Any

import numpy as np
from tritonclient.grpc import service_pb2

from benchmarks.fuzz_server.known import INFER, LABEL, LENGTH, SCORES, Asked
from benchmarks.fuzz_server.wire import Answer

MAY = (501, 503, 505)
"""What of 5xx a server may answer that does nothing wrong."""
_LARGE = 1e34
"""Above it, sums of float32 overflow."""


def fault(answer: Answer) -> str:
    """What is wrong with an answer's form; empty if nothing."""
    if answer.status >= 500 and answer.status not in MAY:
        return f"status {answer.status}: {(answer.body or b'')[:300]!r}"
    identity = answer.headers.get("x-request-id")
    if not identity:
        return "no request id"
    if answer.status < 400 or answer.body is None or not answer.body:
        return ""
    try:
        content = json.loads(answer.body)
    except ValueError:
        return f"a refusal that is no JSON: {answer.body[:300]!r}"
    said = content.get("error")
    if not isinstance(said, str) or not said.rstrip().endswith((".", "?", ")")):
        return f"a refusal without a sentence: {said!r}"
    if len(said) > 4000 or "Traceback" in said:
        return f"a refusal that says too much: {said[:300]!r}"
    return "" if content.get("request_id") == identity else "a refusal with another id"


def wrong(asked: Asked, answer: Answer) -> str:
    """Whether a result is another than the network's; empty if not, or if there is none."""
    if answer.status != 200 or asked.path != INFER or not answer.body:
        return ""
    try:
        wanted = scores(_picture(asked))
        given = _given(answer)
    except (ValueError, LookupError, TypeError, OverflowError, zlib.error) as error:
        return f"answered what cannot be read: {error!r}"
    return _differs(wanted, given)


def wrong_message(data: bytes, answer: bytes) -> str:
    """The same of a ``ModelInferRequest`` and its answer."""
    request = service_pb2.ModelInferRequest.FromString(data)
    response = service_pb2.ModelInferResponse.FromString(answer)
    try:
        (tensor,) = request.inputs
        if request.raw_input_contents:
            flat = np.frombuffer(request.raw_input_contents[0], "<f4")
        else:
            flat = np.array(tensor.contents.fp32_contents, "<f4")
        wanted = scores(flat.reshape(tuple(tensor.shape)))
        if response.outputs[0].datatype != "FP32":
            return ""
        given = np.frombuffer(response.raw_output_contents[0], "<f4")
    except (ValueError, IndexError) as error:
        return f"answered what cannot be read: {error!r}"
    return _differs(wanted, given)


def scores(pictures: Any) -> tuple[Any, Any]:
    """What the network gives for float32 (N, 3, 8, 8), in float64, and how far off it may be."""
    exact = np.asarray(pictures, np.float32).astype(np.float64)
    if exact.shape[1:] != (3, 8, 8):
        raise ValueError(f"shape {exact.shape}")
    size = 10 * np.abs(exact).mean(axis=(2, 3))
    with np.errstate(invalid="ignore"):
        may = np.where(size < _LARGE, 1e-5 * size + 1e-6, np.inf)
    return 10 * exact.mean(axis=(2, 3)), may


def right(asked: Asked, answer: Answer) -> bool:
    """Whether a known request got its one answer."""
    if answer.status != 200 or not answer.body:
        return False
    if asked.path == INFER:
        return not wrong(asked, answer)
    results = json.loads(answer.body)["results"]
    return bool(results) and all(
        [entry["label"] for entry in result["predictions"]] == [LABEL] for result in results
    )


def right_message(answer: bytes) -> bool:
    """Whether the answer by gRPC is the red picture's."""
    response = service_pb2.ModelInferResponse.FromString(answer)
    return list(response.raw_output_contents) == [np.array(SCORES, "<f4").tobytes()]


def _picture(asked: Asked) -> Any:
    """The tensor that a request sends."""
    body = asked.body
    if asked.headers.get("Content-Encoding", "identity") != "identity":
        body = zlib.decompress(body, 47)
    length = int(asked.headers.get(LENGTH, len(body)))
    if not length:
        return np.frombuffer(body, "<f4").reshape(1, 3, 8, 8)
    (tensor,) = json.loads(body[:length])["inputs"]
    if "data" in tensor:
        flat = np.array([float(one) for one in _flat(tensor["data"])]).astype(np.float32)
    else:
        flat = np.frombuffer(body[length:], "<f4")
    return flat.reshape(tensor["shape"])


def _given(answer: Answer) -> Any:
    """The scores that an answer has; None if it has classes in their place."""
    assert answer.body is not None
    length = int(answer.headers.get(LENGTH.lower(), len(answer.body)))
    (output,) = json.loads(answer.body[:length])["outputs"]
    if output["datatype"] != "FP32":
        return None
    if "data" in output:
        return np.array(output["data"])
    return np.frombuffer(answer.body[length:], "<f4")


def _differs(wanted: tuple[Any, Any], given: Any) -> str:
    exact, may = wanted
    if given is None:
        return ""
    if given.size != exact.size:
        return f"{given.size} scores for {exact.size}"
    off = np.abs(given.astype(np.float64).reshape(exact.shape) - exact)
    if (off <= may).all() or not np.isfinite(may).all():
        return ""
    return f"scores {given.ravel()[:6].tolist()} in place of {exact.ravel()[:6].tolist()}"


def _flat(data: Iterable[Any]) -> Iterable[Any]:
    for one in data:
        if isinstance(one, list):
            yield from _flat(one)
        else:
            yield one
