"""A real server process, driven by Triton's own clients and by clients that misbehave."""

from __future__ import annotations

import http.client
import json
import socket
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc
import tritonclient.http
from numpy.typing import NDArray
from tritonclient.utils import InferenceServerException

from lrn_deploy.backends.onnxruntime import OnnxRuntimeBackend
from lrn_deploy.bundle import Bundle
from lrn_deploy.images.collect import ImageSource
from lrn_deploy.models.digits_data import digit_images
from lrn_deploy.workflows.classify import classify
from tests.support.digits_bundle import digits_bundle
from tests.support.image_bundles import colour_bundle, encode
from tests.support.servers import Running, ask, ended, serving

Array = NDArray[Any]
INFER = "/v2/models/colours/infer"


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two bundles: ``digits``, trained, and ``colours``, computed by hand."""
    folder = tmp_path_factory.mktemp("bundles")
    digits_bundle(folder / "digits")
    colour_bundle(folder / "colours")
    return folder


@pytest.fixture(scope="module")
def server(bundles: Path) -> Iterator[Running]:
    with serving(
        bundles / "digits",
        bundles / "colours",
        *("--max-batch-size", "8", "--threads", "1", "--max-body-bytes", "1000000"),
        *("--body-seconds", "1", "--access-log", "all", "--model-control"),
        warm=False,
    ) as running:
        yield running


@pytest.fixture(scope="module")
def pixels() -> Array:
    rng = np.random.default_rng(1)
    return rng.normal(size=(8, 1, 8, 8)).astype(np.float32)


@pytest.fixture(scope="module")
def scores(bundles: Path, pixels: Array) -> Array:
    """What a session of one's own answers to all of ``pixels`` at once."""
    bundle = Bundle.open(bundles / "digits")
    with OnnxRuntimeBackend(threads=1).load(bundle.load("model")) as session:
        return session.run({"image": pixels})["scores"]


def red(rows: int = 1) -> bytes:
    """A request with red pictures, as JSON."""
    data = np.zeros((rows, 3, 8, 8))
    data[:, 0] = 1
    tensor = {"name": "image", "datatype": "FP32", "shape": [rows, 3, 8, 8], "data": data.tolist()}
    return json.dumps({"inputs": [tensor]}).encode()


def answers_red(body: bytes) -> bool:
    return bool(json.loads(body)["outputs"][0]["data"] == [10, 0, 0])


@pytest.mark.parametrize("binary_in", [True, False])
@pytest.mark.parametrize("binary_out", [True, False])
@pytest.mark.parametrize("packing", [None, "gzip", "deflate"])
def test_http_answers_equal_a_bare_sessions_bit_for_bit(
    server: Running,
    pixels: Array,
    scores: Array,
    binary_in: bool,
    binary_out: bool,
    packing: str | None,
) -> None:
    module = tritonclient.http
    tensor = module.InferInput("image", pixels.shape, "FP32")
    tensor.set_data_from_numpy(pixels, binary_data=binary_in)
    output = module.InferRequestedOutput("scores", binary_data=binary_out)
    with module.InferenceServerClient(server.http) as client:
        result = client.infer(
            "digits",
            [tensor],
            outputs=[output],
            request_id="q",
            request_compression_algorithm=packing,
            response_compression_algorithm=packing,
        )
    assert result.get_response()["id"] == "q"
    assert np.array_equal(result.as_numpy("scores"), scores)


def test_grpc_answers_equal_a_bare_sessions_bit_for_bit(
    server: Running, pixels: Array, scores: Array
) -> None:
    module = tritonclient.grpc
    tensor = module.InferInput("image", pixels.shape, "FP32")
    tensor.set_data_from_numpy(pixels)
    with module.InferenceServerClient(server.grpc) as client:
        result = client.infer("digits", [tensor], request_id="q")
    assert result.get_response().id == "q"
    assert np.array_equal(result.as_numpy("scores"), scores)


@pytest.mark.parametrize("module", [tritonclient.http, tritonclient.grpc])
def test_every_advertised_call_of_the_real_clients(server: Running, module: Any) -> None:
    url = server.http if module is tritonclient.http else server.grpc
    more = {} if module is tritonclient.http else {"as_json": True}
    tensor = module.InferInput("image", [1, 3, 8, 8], "FP32")
    tensor.set_data_from_numpy(np.zeros((1, 3, 8, 8), np.float32) + 0.5)
    other = module.InferInput("input", [1, 1, 8, 8], "FP32")
    other.set_data_from_numpy(np.zeros((1, 1, 8, 8), np.float32))
    with module.InferenceServerClient(url) as client:
        assert client.is_server_live()
        assert client.is_server_ready()
        assert client.is_model_ready("colours", "1")
        assert "statistics" in client.get_server_metadata(**more)["extensions"]
        metadata = client.get_model_metadata("colours", **more)
        assert metadata["inputs"][0]["shape"] in ([-1, 3, 8, 8], ["-1", "3", "8", "8"])
        config = client.get_model_config("colours", **more)
        assert config.get("config", config)["max_batch_size"] == 8
        index = client.get_model_repository_index(**more)
        entries = index["models"] if isinstance(index, dict) else index
        assert [(entry["name"], entry["state"]) for entry in entries] == [
            ("digits", "READY"),
            ("colours", "READY"),
        ]
        top = module.InferRequestedOutput("scores", class_count=1)
        assert client.infer("colours", [tensor], outputs=[top]).as_numpy("scores").tolist() == [
            [b"5.000000:0:red"]
        ]
        stats = client.get_inference_statistics("colours", **more)["model_stats"][0]
        assert int(stats["inference_stats"]["success"]["count"]) >= 1
        client.load_model("colours")
        client.unload_model("colours")
        assert client.get_model_repository_index() is not None
        client.load_model("colours")
        assert client.is_model_ready("colours")
        with pytest.raises(InferenceServerException, match="unknown model"):
            client.infer("nothing", [tensor])
        with pytest.raises(InferenceServerException, match="takes the inputs 'image'"):
            client.infer("digits", [other])
        with pytest.raises(InferenceServerException, match=r"from 1 \(highest\)"):
            client.infer("colours", [tensor], priority=7)


def test_images_are_classified_as_the_command_classifies_them(
    server: Running, bundles: Path
) -> None:
    files = [(one.name, encode(one.image, "PNG")) for one in digit_images(8)]
    parts = b"".join(
        b'--x\r\nContent-Disposition: form-data; name="i"; filename="%s"\r\n\r\n%s\r\n'
        % (name.encode(), content)
        for name, content in files
    )
    reply = server.call(
        "POST",
        "/v1/classify?model=digits&top=3",
        parts + b"--x--\r\n",
        content_type="multipart/form-data; boundary=x",
    )
    found = reply.content["results"]
    expected = classify(
        Bundle.open(bundles / "digits"),
        [ImageSource(name, content) for name, content in files],
        backend=OnnxRuntimeBackend(threads=1),
        top=3,
    )
    for ours, theirs in zip(found, expected, strict=True):
        assert ours["image"] == theirs.name
        assert [one["label"] for one in ours["predictions"]] == [
            one.label for one in theirs.predictions
        ]
        assert [one["probability"] for one in ours["predictions"]] == pytest.approx(
            [one.probability for one in theirs.predictions], abs=1e-6
        )
    right = sum(one["predictions"][0]["label"] == one["image"][-5] for one in found)
    assert right >= 6


def test_concurrent_callers_get_their_own_answers(server: Running) -> None:
    def caller(index: int) -> bool:
        connection = server.connect()
        good = True
        for step in range(40):
            value = (index * 40 + step) / 640
            head = {
                "inputs": [
                    {
                        "name": "image",
                        "datatype": "FP32",
                        "shape": [1, 3, 8, 8],
                        "parameters": {"binary_data_size": 768},
                    }
                ]
            }
            text = json.dumps(head).encode()
            body = text + np.full(192, value, "<f4").tobytes()
            reply = ask(
                connection, "POST", INFER, body, inference_header_content_length=str(len(text))
            )
            data = reply.content["outputs"][0]["data"]
            good &= bool(np.allclose(data, np.float32(value) * 10, rtol=1e-5, atol=1e-7))
        connection.close()
        return good

    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(caller, range(16)))
    sizes = server.call("GET", "/v2/models/colours/stats").content["model_stats"][0]["batch_stats"]
    assert max(size["batch_size"] for size in sizes) > 1  # some of them ran together


def test_the_length_header_of_the_json_is_not_the_content_length(server: Running) -> None:
    body = red()
    reply = server.call("POST", INFER, body, Inference_Header_Content_Length=str(len(body)))
    assert answers_red(reply.body)


def test_a_chunked_body_is_read_and_limited(server: Running) -> None:
    connection = server.connect()
    body = red()
    connection.request("POST", INFER, iter([body[:100], body[100:]]), encode_chunked=True)
    assert answers_red(connection.getresponse().read())
    connection.close()
    connection = server.connect()
    connection.request("POST", INFER, iter([b" " * 400_000] * 3), encode_chunked=True)
    assert connection.getresponse().status == 413
    connection.close()


def test_a_body_over_the_limit_is_refused_before_it_is_sent(server: Running) -> None:
    with socket.create_connection(("127.0.0.1", server.ports["http_port"]), 5) as raw:
        raw.sendall(
            b"POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9999999\r\n\r\n"
            % INFER.encode()
        )
        assert raw.recv(4096).startswith(b"HTTP/1.1 413")


def test_a_body_that_never_comes_is_given_up(server: Running) -> None:
    with socket.create_connection(("127.0.0.1", server.ports["http_port"]), 5) as raw:
        raw.sendall(
            b"POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99\r\n\r\n{" % INFER.encode()
        )
        started = time.monotonic()
        answer = raw.recv(4096)
    assert answer.startswith(b"HTTP/1.1 408")
    assert 0.9 < time.monotonic() - started < 15


def test_clients_that_leave_early_or_lie_do_no_harm(server: Running) -> None:
    for text in (
        b"POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Length: 500\r\n\r\n{}" % INFER.encode(),
        b"POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Length: -5\r\n\r\n{}" % INFER.encode(),
        b"POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}xxxx" % INFER.encode(),
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET " + b"/" * 70_000 + b" HTTP/1.1\r\n\r\n",
    ):
        with socket.create_connection(("127.0.0.1", server.ports["http_port"]), 5) as raw:
            raw.sendall(text)
    assert answers_red(server.call("POST", INFER, red()).body)


def test_a_request_id_comes_back_and_stands_in_the_log(server: Running) -> None:
    reply = server.call("POST", "/v2/models/none/infer", b"{}", X_Request_Id="my-id-1")
    assert reply.headers["x-request-id"] == reply.content["request_id"] == "my-id-1"
    lines = [json.loads(line) for line in server.said().splitlines() if line.startswith("{")]
    (line,) = [line for line in lines if line["id"] == "my-id-1"]
    assert (line["status"], line["path"]) == (404, "/v2/models/none/infer")


def test_head_and_unknown_methods(server: Running) -> None:
    assert server.call("HEAD", "/v2").body == b""
    assert server.call("DELETE", "/v2").status == 405
    assert server.call("GET", "/v2/health/ready").body == b""


def test_a_port_in_use_is_said_before_anything_is_loaded(server: Running, bundles: Path) -> None:
    port = str(server.ports["http_port"])
    done = ended(bundles / "digits", "--http-port", port)
    assert done.returncode == 2
    assert f"Cannot listen on 127.0.0.1:{port}" in done.stderr
    assert "Serving" not in done.stderr


def test_a_full_queue_is_a_clean_503(bundles: Path) -> None:
    with serving(
        bundles / "colours",
        *("--batching", "fixed", "--max-queue-delay-us", "500000", "--max-queue-requests", "3"),
        *("--metrics-port", "0"),
    ) as running:
        with ThreadPoolExecutor(10) as pool:
            replies = list(pool.map(lambda _: running.call("POST", INFER, red()), range(10)))
        assert Counter(reply.status for reply in replies) == {200: 3, 503: 7}
        for reply in replies:
            if reply.status == 200:
                assert answers_red(reply.body)
            else:
                assert reply.headers["retry-after"] == "1"
                assert "Exceeds maximum queue size" in reply.content["error"]
        port = running.ports["metrics_port"]
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        text = ask(connection, "GET", "/metrics").body.decode()
        connection.close()
        assert 'reason="REJECTED"} 7' in text
        assert running.call("POST", INFER, red()).status == 200  # and it recovers at once


def test_queued_work_of_a_client_that_left_is_dropped(bundles: Path) -> None:
    with serving(
        bundles / "colours",
        *("--batching", "fixed", "--max-queue-delay-us", "1500000", "--access-log", "none"),
    ) as running:
        connection = running.connect()
        connection.request("POST", INFER, red(2))
        module = tritonclient.grpc
        tensor = module.InferInput("image", [3, 3, 8, 8], "FP32")
        tensor.set_data_from_numpy(np.zeros((3, 3, 8, 8), np.float32))
        with module.InferenceServerClient(running.grpc) as client:
            outcome: list[Any] = []
            call = client.async_infer(
                "colours", [tensor], lambda result, error: outcome.append((result, error))
            )
            time.sleep(0.4)
            call.cancel()
            connection.close()
            reply = running.call("POST", INFER, red(1))
        assert answers_red(reply.body)
        stats = running.call("GET", "/v2/models/colours/stats").content["model_stats"][0]
        assert stats["inference_count"] == 1  # neither the 2 rows nor the 3
