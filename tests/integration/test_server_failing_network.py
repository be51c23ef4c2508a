"""A real server whose network raises, or never comes back, where a request makes it."""

from __future__ import annotations

import json
import signal
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from lrn_deploy.bundle import Artifact, Bundle
from tests.support.image_bundles import colour_bundle
from tests.support.servers import IMPATIENT, Reply, Running, serving

RAISES, HANGS = 1000.0, 2000.0
"""A pixel of at least so much makes the network raise, or run for ever."""
LONG = 5000
"""Turns of the loop at other times: long enough for the batcher's own thread."""


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """The colours' network, behind a Gather that reads beyond its data and a Loop without end."""
    path = tmp_path / "colours"
    bundle = colour_bundle(path)
    model = onnx.load(path / "model.onnx")
    graph = model.graph
    scores = graph.node[-1]
    scores.output[0] = "colours"
    turn = helper.make_graph(
        [
            helper.make_node("Identity", ["go"], ["go_on"]),
            helper.make_node("Mul", ["value", "minus"], ["next"]),
        ],
        "turn",
        [
            helper.make_tensor_value_info("at", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("value", TensorProto.FLOAT, [None, 3]),
        ],
        [
            helper.make_tensor_value_info("go_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("next", TensorProto.FLOAT, [None, 3]),
        ],
        [numpy_helper.from_array(np.float32(-1), "minus")],
    )
    graph.node.extend(
        [
            helper.make_node("ReduceMax", ["image"], ["most"], keepdims=0),
            helper.make_node("GreaterOrEqual", ["most", "hangs"], ["hanging"]),
            helper.make_node("GreaterOrEqual", ["most", "raises"], ["bad"]),
            helper.make_node("Not", ["hanging"], ["ending"]),
            helper.make_node("And", ["bad", "ending"], ["raising"]),
            helper.make_node("Cast", ["raising"], ["index"], to=TensorProto.INT64),
            helper.make_node("Gather", ["one", "index"], ["factor"]),
            helper.make_node("Mul", ["colours", "factor"], ["sound"]),
            helper.make_node("Where", ["hanging", "ever", "long"], ["turns"]),
            helper.make_node("Loop", ["turns", "", "sound"], ["scores"], body=turn),
        ]
    )
    graph.initializer.extend(
        [
            numpy_helper.from_array(np.float32(HANGS), "hangs"),
            numpy_helper.from_array(np.float32(RAISES), "raises"),
            numpy_helper.from_array(np.ones(1, np.float32), "one"),
            numpy_helper.from_array(np.int64(2**62), "ever"),
            numpy_helper.from_array(np.int64(LONG), "long"),
        ]
    )
    onnx.checker.check_model(model)
    record = bundle.add_file("model.onnx", model.SerializeToString())
    Bundle.open(path).add_artifact("model", Artifact(**record.model_dump(), format="onnx"))
    return path


def ask(running: Running, brightest: float = 1.0) -> Reply:
    """A red picture with a pixel as bright as that in blue."""
    data = np.zeros((1, 3, 8, 8))
    data[:, 0] = 1
    data[0, 2, 0, 0] = 0 if brightest == 1 else brightest
    tensor: dict[str, Any] = {"name": "image", "datatype": "FP32", "shape": [1, 3, 8, 8]}
    body = json.dumps({"inputs": [tensor | {"data": data.tolist()}]}).encode()
    return running.call("POST", "/v2/models/colours/infer", body)


def is_red(reply: Reply) -> bool:
    return reply.status == 200 and bool(reply.content["outputs"][0]["data"] == [10, 0, 0])


def test_a_network_that_raises_fails_that_request_and_answers_the_next(bundle: Path) -> None:
    with serving(bundle) as running:
        assert is_red(ask(running))
        for _ in range(3):
            broken = ask(running, RAISES)
            assert broken.status == 500
            assert "The network failed" in broken.content["error"]
            assert "out of data bounds" in broken.content["error"]
            assert broken.headers["x-request-id"]
            assert is_red(ask(running))
        assert running.call("GET", "/v2/health/live").status == 200
        running.process.send_signal(signal.SIGTERM)
        assert running.finish() == 0


def test_a_network_that_hangs_is_given_up_and_live_turns_503_when_none_is_left(
    bundle: Path,
) -> None:
    settings = ("--hang-seconds", "0.6", "--instances", "2", "--drain-seconds", "0.5")
    with serving(bundle, *settings, "--threads", "1") as running:
        for left in (1, 0):
            assert is_red(ask(running))
            started = time.monotonic()
            others: list[bool] = []
            asking = threading.Thread(target=lambda into=others: into.append(is_red(ask(running))))
            timer = threading.Timer(0.3, asking.start)
            timer.start()
            given_up = ask(running, HANGS)
            timer.join()
            asking.join()
            assert given_up.status == 503
            assert "has not answered for 0.6 s" in given_up.content["error"]
            assert time.monotonic() - started >= 0.6
            assert others == [left == 1]  # the second network went on meanwhile
        assert ask(running).status == 503
        assert running.call("GET", "/v2/health/live").status == 503
        assert running.call("GET", "/v2/health/ready").status == 503
        running.process.send_signal(signal.SIGTERM)
        running.finish()  # it ends, though two of its threads never will


@pytest.mark.slow
def test_supervised_it_is_started_again(bundle: Path) -> None:
    with serving(bundle, "--hang-seconds", "0.5", "--supervise", start=IMPATIENT) as running:
        assert ask(running, HANGS).status == 503
        until = time.monotonic() + 30
        while time.monotonic() < until:
            try:
                if is_red(ask(running)):
                    break
            except OSError:
                pass
            time.sleep(0.1)
        assert is_red(ask(running))
        assert "starting it again" in running.said()
