"""The life of a real server process: stopping, reloading, dying, and a parent that watches."""

from __future__ import annotations

import http.client
import json
import os
import signal
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tritonclient.grpc import service_pb2, service_pb2_grpc

from tests.support.image_bundles import colour_bundle
from tests.support.servers import IMPATIENT, Running, ask, ended, serving

INFER = "/v2/models/colours/infer"


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

    with serving(
        bundle, "--pre-drain-seconds", "0.3", "--access-log", "none", measured=False
    ) as running:
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


def test_a_probe_by_grpc_hears_that_the_server_is_stopping(bundle: Path) -> None:
    serves = health_pb2.HealthCheckResponse
    with (
        serving(bundle, "--pre-drain-seconds", "1", "--access-log", "none") as running,
        grpc.insecure_channel(running.grpc) as channel,
    ):
        stub = health_pb2_grpc.HealthStub(channel)
        heard = stub.Watch(health_pb2.HealthCheckRequest(), timeout=20)
        assert next(heard).status == serves.SERVING
        running.process.send_signal(signal.SIGTERM)
        assert next(heard).status == serves.NOT_SERVING
        assert stub.Check(health_pb2.HealthCheckRequest()).status == serves.NOT_SERVING
        infer = service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelInfer
        assert infer(red(), timeout=10).outputs  # which the second before the port closes is for
        assert running.finish() == 0  # although somebody watches
        with pytest.raises(grpc.RpcError):
            next(heard)


def red_json() -> bytes:
    """A request with a red picture, as JSON."""
    data = np.zeros((1, 3, 8, 8))
    data[:, 0] = 1
    tensor = {"name": "image", "datatype": "FP32", "shape": [1, 3, 8, 8], "data": data.tolist()}
    return json.dumps({"inputs": [tensor]}).encode()


def answers_red(body: bytes) -> bool:
    return bool(json.loads(body)["outputs"][0]["data"] == [10, 0, 0])


def load(running: Running, seconds: float, statuses: Counter[str], stop: threading.Event) -> None:
    """Ask until told to stop; every wrong or missing answer is counted."""
    body = red_json()
    connection = running.connect()
    until = time.monotonic() + seconds
    while not stop.is_set() and time.monotonic() < until:
        try:
            reply = ask(connection, "POST", INFER, body)
        except ConnectionRefusedError:
            statuses["refused"] += 1  # never accepted, so not lost
            return
        except (http.client.HTTPException, OSError) as error:
            statuses[f"lost: {error!r}"] += 1
            return
        right = reply.status == 503 or (reply.status == 200 and answers_red(reply.body))
        statuses[str(reply.status) if right else f"wrong: {reply.body!r}"] += 1
        if reply.headers.get("connection") == "close":
            connection.close()
    connection.close()


def under_load(running: Running, seconds: float, act: Any) -> Counter[str]:
    statuses: Counter[str] = Counter()
    stop = threading.Event()
    threads = [
        threading.Thread(target=load, args=(running, seconds, statuses, stop)) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    time.sleep(0.3)
    act(stop)
    for thread in threads:
        thread.join(30)
    return statuses


def test_sigterm_under_load_loses_no_request(bundle: Path) -> None:
    with serving(
        *(bundle, "--pre-drain-seconds", "0.5", "--access-log", "none"),
        warm=False,
        measured=False,
    ) as running:
        readiness: list[int] = []

        def stop(_event: threading.Event) -> None:
            running.process.send_signal(signal.SIGTERM)
            time.sleep(0.2)
            readiness.append(running.call("GET", "/v2/health/ready").status)
            readiness.append(running.call("GET", "/v2/health/live").status)

        statuses = under_load(running, 10, stop)
        assert running.finish() == 0
        assert readiness == [503, 200]
        assert statuses["200"] > 50
        assert set(statuses) <= {"200", "503", "refused"}, statuses


def test_reload_under_load_loses_no_request(bundle: Path) -> None:
    with serving(bundle, "--model-control", "--access-log", "none", measured=False) as running:

        def reload(stop: threading.Event) -> None:
            for _ in range(5):
                assert running.call("POST", "/v2/repository/models/colours/load").status == 200
            stop.set()

        statuses = under_load(running, 20, reload)
        assert set(statuses) == {"200"}, statuses


def test_unload_under_load_answers_everyone(bundle: Path) -> None:
    with serving(bundle, "--model-control", "--access-log", "none", measured=False) as running:

        def unload(stop: threading.Event) -> None:
            assert running.call("POST", "/v2/repository/models/colours/unload").status == 200
            time.sleep(0.2)
            stop.set()

        statuses = under_load(running, 20, unload)
        assert set(statuses) == {"200", "503"}, statuses


def test_no_bundle_that_loads_is_an_error(tmp_path: Path) -> None:
    done = ended(tmp_path, "--http-port", "0", "--grpc-port", "-1")
    assert done.returncode == 2
    assert "is not a bundle" in done.stderr


def test_a_supervised_server_that_dies_comes_back_on_its_port(bundle: Path) -> None:
    with serving(bundle, "--supervise", warm=False, measured=False) as running:
        child = Path(f"/proc/{running.process.pid}/task/{running.process.pid}/children")
        first = int(child.read_text())
        os.kill(first, signal.SIGKILL)
        until = time.monotonic() + 20
        while time.monotonic() < until:
            try:
                reply = running.call("POST", INFER, red_json())
            except OSError:
                time.sleep(0.05)
            else:
                break
        assert answers_red(reply.body)
        assert int(child.read_text()) != first
        running.process.send_signal(signal.SIGTERM)
        assert running.finish() == 0


def test_a_supervised_server_that_cannot_start_is_not_tried_again(tmp_path: Path) -> None:
    done = ended(tmp_path, "--supervise", "--http-port", "0", timeout=30)
    assert done.returncode == 2
    assert done.stderr.count("is not a bundle") == 1


def child_of(running: Running) -> int:
    pid = running.process.pid
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text())


@pytest.mark.slow
def test_a_supervised_server_that_hangs_as_a_whole_is_started_again(bundle: Path) -> None:
    with serving(bundle, "--supervise", start=IMPATIENT) as running:
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
