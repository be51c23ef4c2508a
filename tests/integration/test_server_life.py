"""The life of a real server process: gRPC while it stops, and a parent that watches over it."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import Counter
from pathlib import Path

import grpc
import numpy as np
import pytest
from tritonclient.grpc import service_pb2, service_pb2_grpc

from tests.image_bundles import colour_bundle
from tests.servers import Running, serving


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    colour_bundle(tmp_path / "colours")
    return tmp_path / "colours"


def red() -> service_pb2.ModelInferRequest:
    pixels = np.zeros((1, 3, 8, 8), np.float32)
    pixels[:, 0] = 1
    request = service_pb2.ModelInferRequest(model_name="colours")
    request.inputs.add(name="image", datatype="FP32", shape=pixels.shape)
    request.raw_input_contents.append(pixels.tobytes())
    return request


def test_grpc_requests_during_sigterm_are_answered_or_refused_never_lost(bundle: Path) -> None:
    statuses: Counter[str] = Counter()

    def caller(running: Running) -> None:
        right = np.array([10, 0, 0], np.float32).tobytes()
        with grpc.insecure_channel(
            running.grpc, options=[("grpc.use_local_subchannel_pool", 1)]
        ) as channel:
            stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
            while True:
                try:
                    answer = stub.ModelInfer(red(), timeout=10)
                except grpc.RpcError as error:
                    statuses[error.code().name] += 1
                    return
                statuses["OK" if answer.raw_output_contents[0] == right else "wrong"] += 1

    with serving(bundle, "--pre-drain-seconds", "0.3", "--access-log", "none") as running:
        threads = [threading.Thread(target=caller, args=(running,)) for _ in range(8)]
        for thread in threads:
            thread.start()
        time.sleep(0.3)
        asked = statuses["OK"]
        running.process.send_signal(signal.SIGTERM)
        for thread in threads:
            thread.join(20)
        assert running.finish() == 0
    assert statuses.keys() == {"OK", "UNAVAILABLE"}, statuses
    assert statuses["UNAVAILABLE"] == 8  # each caller's last
    assert statuses["OK"] > asked > 8  # it went on answering after the signal


def child_of(running: Running) -> int:
    pid = running.process.pid
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text())


@pytest.mark.slow
def test_a_supervised_server_that_hangs_as_a_whole_is_started_again(bundle: Path) -> None:
    with serving(bundle, "--supervise") as running:
        first = child_of(running)
        os.kill(first, signal.SIGSTOP)  # it keeps its port, accepts connections, says nothing
        until = time.monotonic() + 30
        reply = None
        while reply is None and time.monotonic() < until:
            try:
                reply = running.call("GET", "/v2/health/ready")
            except OSError:
                time.sleep(0.1)
        assert reply is not None
        assert reply.status == 200
        assert child_of(running) != first
        running.process.send_signal(signal.SIGTERM)
        assert running.finish() == 0
        assert "starting it again" in running.said()
