"""What real servers of the colours' network are asked, and whether they answer rightly."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from tritonclient.grpc import service_pb2

from tests.support.servers import Reply, Running

INFER = "/v2/models/colours/infer"
SCORES = [10, 0, 0]
"""Of a red picture: ten times the mean of each channel."""


def red_pixels(rows: int = 1) -> Any:
    """Red pictures, float32 (rows, 3, 8, 8)."""
    pixels = np.zeros((rows, 3, 8, 8), np.float32)
    pixels[:, 0] = 1
    return pixels


def red_json(rows: int = 1, **changes: Any) -> bytes:
    """A request with red pictures, as JSON, with changes to its input."""
    pixels = red_pixels(rows)
    tensor = {"name": "image", "datatype": "FP32", "shape": list(pixels.shape)}
    return json.dumps({"inputs": [tensor | {"data": pixels.tolist()} | changes]}).encode()


def red_message() -> Any:
    """A request with a red picture, for gRPC."""
    pixels = red_pixels()
    request = service_pb2.ModelInferRequest(model_name="colours")
    request.inputs.add(name="image", datatype="FP32", shape=pixels.shape)
    request.raw_input_contents.append(pixels.tobytes())
    return request


def is_red(reply: Reply) -> bool:
    """Whether an answer is the right one to :func:`red_json`."""
    return reply.status == 200 and bool(reply.content["outputs"][0]["data"] == SCORES)


def answers(running: Running) -> bool:
    """Whether a server answers rightly now."""
    return is_red(running.call("POST", INFER, red_json()))


def eventually(condition: Callable[[], bool], seconds: float = 5.0) -> bool:
    """Whether a condition holds within so many seconds."""
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            return False
        time.sleep(0.01)
    return True
