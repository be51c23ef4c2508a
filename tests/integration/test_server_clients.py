"""Clients of a real server: how much each may ask, whose turn it is, what a dashboard sees."""

from __future__ import annotations

import http.client
import json
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from tritonclient.grpc import service_pb2, service_pb2_grpc

from tests.support.image_bundles import colour_bundle, picture
from tests.support.servers import Running, ask, serving

INFER = "/v2/models/colours/infer"
TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
ROWS = json.dumps(
    {"inputs": [{"name": "image", "datatype": "FP32", "shape": [1, 3, 8, 8], "data": [0] * 192}]}
).encode()


def message() -> Any:
    request = service_pb2.ModelInferRequest(model_name="colours")
    request.inputs.add(name="image", datatype="FP32", shape=[1, 3, 8, 8])
    request.raw_input_contents.append(bytes(768))
    return request


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("colours") / "bundle"
    colour_bundle(folder)
    return folder


@pytest.fixture(scope="module")
def limited(bundle: Path) -> Iterator[Running]:
    """A server that takes three requests of a client at once, and one every third of a second."""
    with serving(
        bundle,
        *("--rate-limit", "3", "--client-header", "X-Team", "--access-log", "all"),
        *("--trace-sample", "1"),
    ) as running:
        yield running


def test_a_client_over_its_rate_gets_429_and_others_do_not(limited: Running) -> None:
    replies = [limited.call("POST", INFER, ROWS, X_Team="a") for _ in range(4)]
    assert [reply.status for reply in replies] == [200, 200, 200, 429]
    refused = replies[-1]
    assert refused.headers["retry-after"] == "1"
    assert "a client may send 3 a second" in refused.content["error"]
    assert refused.content["request_id"]
    assert limited.call("POST", INFER, ROWS, X_Team="b").status == 200
    image = picture("red")
    assert limited.call("POST", "/v1/classify", image, X_Team="a").status == 429
    assert limited.call("GET", "/v2/models/colours", X_Team="a").status == 200  # only work counts
    time.sleep(0.4)
    assert limited.call("POST", INFER, ROWS, X_Team="a").status == 200
    text = limited.call("GET", "/metrics").body.decode()
    assert "lrn_rate_limited_requests 2" in text


def test_grpc_has_the_same_limit(limited: Running) -> None:
    with grpc.insecure_channel(limited.grpc) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        for _ in range(3):
            stub.ModelInfer(message(), metadata=[("x-team", "g")])
        with pytest.raises(grpc.RpcError) as caught:
            stub.ModelInfer(message(), metadata=[("x-team", "g")])
        assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        stub.ModelInfer(message(), metadata=[("x-team", "h")])


def test_a_trace_goes_on_through_the_answer_and_the_log(limited: Running) -> None:
    reply = limited.call(
        "POST", INFER, ROWS, traceparent=f"00-{TRACE}-{PARENT}-01", X_Request_Id="t1", X_Team="t"
    )
    version, trace, span, flags = reply.headers["traceresponse"].split("-")
    assert (version, trace, flags) == ("00", TRACE, "01")
    own = limited.call("GET", "/v2", X_Request_Id="t2").headers["traceresponse"].split("-")[1]
    with grpc.insecure_channel(limited.grpc) as channel:
        _, call = service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelInfer.with_call(
            message(),
            metadata=[("traceparent", f"00-{TRACE}-{PARENT}-00"), ("x-request-id", "t3")],
        )
    tail = dict(call.trailing_metadata())
    assert tail["traceresponse"].startswith(f"00-{TRACE}-")
    assert tail["traceresponse"].endswith("-00")
    lines = [json.loads(line) for line in limited.said().splitlines() if line.startswith("{")]
    log = {line["id"]: line for line in lines}
    assert (log["t1"]["trace"], log["t1"]["span"]) == (TRACE, span)
    assert log["t2"]["trace"] == own != TRACE
    assert log["t3"]["trace"] == TRACE
    assert log["t1"]["batch"] == 1
    assert log["t1"]["queue_ms"] + log["t1"]["compute_ms"] <= log["t1"]["ms"]


def test_without_sampling_a_request_without_a_trace_has_none(bundle: Path) -> None:
    with serving(bundle, "--grpc-port", "-1") as running:
        assert "traceresponse" not in running.call("GET", "/v2").headers


def events(running: Running, count: int) -> Iterator[Any]:
    """The first events of a stream; None when the server has ended it."""
    connection = http.client.HTTPConnection("127.0.0.1", running.ports["http_port"], timeout=20)
    connection.request("GET", "/v1/stats")
    response = connection.getresponse()
    assert response.status == 200
    assert response.getheader("content-type") == "text/event-stream"
    seen = 0
    while seen < count:
        line = response.readline()
        if not line:
            yield None
            break
        if line.startswith(b"data: "):
            seen += 1
            yield json.loads(line[6:])
    connection.close()


def test_the_stream_of_statistics_counts_each_second_and_ends_with_the_server(
    bundle: Path,
) -> None:
    with serving(bundle, "--access-log", "none") as running:
        stream = events(running, 1000)
        started = time.monotonic()
        threading.Timer(0.3, lambda: [running.call("POST", INFER, ROWS) for _ in range(7)]).start()
        told = [next(stream)]
        assert time.monotonic() - started > 0.9
        while sum(event["models"][0]["requests"] for event in told) < 7:  # mostly in one second
            told.append(next(stream))
        for (entry,) in (event["models"] for event in told):
            assert (entry["name"], entry["rows"]) == ("colours", entry["requests"])
            if entry["requests"]:
                assert sum(entry["batches"].values()) >= 1
                assert 0 < entry["p50_ms"] <= entry["p99_ms"]
        assert sum(event["models"][0]["requests"] for event in told) == 7
        assert next(stream)["models"][0]["requests"] == 0
        running.process.send_signal(signal.SIGTERM)
        rest = list(stream)
        assert rest[-1] is None
        assert running.finish() == 0


def test_a_dashboard_that_goes_away_frees_its_stream(bundle: Path) -> None:
    with serving(bundle, "--access-log", "none") as running:

        def watch() -> http.client.HTTPResponse:
            connection = running.connect()
            connection.request("GET", "/v1/stats")
            return connection.getresponse()

        streams = [watch() for _ in range(32)]
        assert {stream.status for stream in streams} == {200}
        refused = watch()
        assert (refused.status, b"32 streams" in refused.read()) == (503, True)
        for stream in streams:
            stream.close()
        until = time.monotonic() + 10
        while (last := watch()).status == 503 and time.monotonic() < until:
            last.close()
            time.sleep(0.2)
        assert last.status == 200
        last.close()


def test_one_client_cannot_keep_another_waiting(bundle: Path) -> None:
    """A flood fills the queue; a client that comes now and then is still served soon."""
    refused = threading.Semaphore(0)
    with serving(
        *(bundle, "--batching", "fixed", "--max-queue-delay-us", "250000"),
        *("--max-batch-size", "64", "--max-queue-requests", "40"),
        *("--client-header", "X-Team", "--access-log", "none"),
        measured=False,
    ) as running:
        stop = threading.Event()

        def flood() -> None:
            connection = running.connect()
            while not stop.is_set():
                if ask(connection, "POST", INFER, ROWS, X_Team="flood").status == 503:
                    refused.release()
                    stop.wait(0.02)
            connection.close()

        threads = [threading.Thread(target=flood) for _ in range(48)]
        for thread in threads:
            thread.start()
        statuses = []
        for _ in range(4):
            for _ in range(8):  # the queue is full
                assert refused.acquire(timeout=20)
            statuses.append(running.call("POST", INFER, ROWS, X_Team="calm").status)
            while refused.acquire(blocking=False):
                pass
        stop.set()
        for thread in threads:
            thread.join(20)
        assert statuses == [200] * 4
