"""Every path of the server, called without a socket, on a network computed by hand."""

from __future__ import annotations

import asyncio
import gzip
import json
import math
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lrn_deploy.serving.errors import NotFoundError, RequestError, TooLargeError, UnavailableError
from lrn_deploy.serving.http.message import Response
from lrn_deploy.serving.protocol import metadata as describe
from lrn_deploy.serving.repository.repository import Repository
from lrn_deploy.serving.request import Request
from lrn_deploy.serving.rest.app import App
from lrn_deploy.serving.service import Service
from lrn_deploy.serving.settings import ModelSettings, ServerSettings
from tests.support.image_bundles import colour_bundle, picture

INFER = "/v2/models/colours/infer"


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    folder = tmp_path_factory.mktemp("colours") / "bundle"
    colour_bundle(folder, weights="random")
    repository = Repository(ModelSettings(max_batch_size=4, threads=1), drain_seconds=5)
    repository.load(repository.add(folder))
    yield App(
        Service(
            repository,
            ServerSettings(
                max_body_bytes=100_000, max_images=3, access_log="none", model_control=True
            ),
        )
    )
    repository.close(5)


def call(app: App, method: str, path: str, body: bytes = b"", **headers: str) -> Response:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    path, _, query = path.partition("?")
    pairs = dict(part.split("=") for part in query.split("&")) if query else {}
    request = Request(method, path, names, pairs, body, id="r1")
    return asyncio.run(app.handle(request))


def content(response: Response) -> Any:
    return json.loads(response.body)


def infer_body(*colours: tuple[float, float, float], **more: Any) -> bytes:
    data = np.ones((len(colours), 3, 8, 8)) * np.array(colours)[:, :, None, None]
    tensor = {
        "name": "image",
        "datatype": "FP32",
        "shape": list(data.shape),
        "data": data.ravel().tolist(),
    }
    return json.dumps({"inputs": [tensor], **more}).encode()


def test_health_and_metadata(app: App) -> None:
    for path in ("/v2/health/live", "/v2/health/ready", "/v2/models/colours/ready"):
        assert call(app, "GET", path) == Response(200)
    assert content(call(app, "GET", "/v2"))["extensions"] == list(describe.EXTENSIONS)
    assert content(call(app, "GET", "/v2/models/colours/versions/1")) == {
        "name": "colours",
        "versions": ["1"],
        "platform": "onnxruntime_onnx",
        "inputs": [{"name": "image", "datatype": "FP32", "shape": [-1, 3, 8, 8]}],
        "outputs": [{"name": "scores", "datatype": "FP32", "shape": [-1, 3]}],
    }


def test_the_configuration_has_what_perf_analyzer_reads(app: App) -> None:
    config = content(call(app, "GET", "/v2/models/colours/config"))
    assert config["max_batch_size"] == 4
    assert config["input"][0] | {"format": ""} == {
        "name": "image",
        "data_type": "TYPE_FP32",
        "format": "",
        "dims": [3, 8, 8],  # without the batch
        "is_shape_tensor": False,
        "allow_ragged_batch": False,
        "optional": False,
    }
    assert config["model_transaction_policy"] == {"decoupled": False}
    assert config["response_cache"] == {"enable": False}


def test_infer_gives_the_networks_numbers(app: App) -> None:
    response = call(app, "POST", INFER, infer_body((1, 0, 0), (0, 0.5, 0), id="mine"))
    assert content(response) == {
        "id": "mine",
        "model_name": "colours",
        "model_version": "1",
        "outputs": [
            {
                "name": "scores",
                "datatype": "FP32",
                "shape": [2, 3],
                "data": [10, 0, 0, 0, 5, 0],
            }
        ],
    }


def test_what_ran_for_a_request_is_noted(app: App) -> None:
    for path, body, rows in (
        (INFER, infer_body((1, 0, 0), (0, 1, 0)), 2),
        ("/v1/classify", picture("red"), 1),
    ):
        request = Request("POST", path, {}, {}, body, id="r1")
        asyncio.run(app.handle(request))
        assert [timing.batch_rows for timing in request.timings] == [rows]


def test_classification_gives_scores_indices_and_labels(app: App) -> None:
    outputs = [{"name": "scores", "parameters": {"classification": 2}}]
    response = call(app, "POST", INFER, infer_body((1, 0.5, 0), outputs=outputs))
    assert content(response)["outputs"] == [
        {
            "name": "scores",
            "datatype": "BYTES",
            "shape": [1, 2],
            "data": ["10.000000:0:red", "5.000000:1:green"],
        }
    ]


def test_compressed_bodies_and_answers(app: App) -> None:
    plain = infer_body((1, 0, 0))
    outputs = {"binary_data_output": True}
    for name, packed in (("gzip", gzip.compress(plain)), ("deflate", zlib.compress(plain))):
        response = call(app, "POST", INFER, packed, content_encoding=name)
        assert content(response)["outputs"][0]["data"] == [10, 0, 0]
    response = call(
        app, "POST", INFER, infer_body(*[(1, 0, 0)] * 4, parameters=outputs), accept_encoding="gzip"
    )
    assert dict(response.headers).get("content-encoding") is None  # too small to be worth it
    metrics = call(app, "GET", "/metrics", accept_encoding="deflate, gzip")
    assert dict(metrics.headers)["content-encoding"] == "gzip"
    assert b"nv_inference_count" in gzip.decompress(metrics.body)


@pytest.mark.parametrize(
    ("body", "encoding", "status", "said"),
    [
        (gzip.compress(b" " * 200_000, mtime=0), "gzip", 413, "unpacks to more than 100,000 bytes"),
        (gzip.compress(b"{}", mtime=0)[:-5], "gzip", 400, "cut short"),
        (gzip.compress(b"{}", mtime=0) + b"x", "gzip", 400, "follows"),
        (b"{}", "gzip", 400, "no valid gzip"),
        (b"{}", "br", 400, "use gzip, deflate"),
    ],
)
def test_bad_encodings_are_refused(
    app: App, body: bytes, encoding: str, status: int, said: str
) -> None:
    response = call(app, "POST", INFER, body, content_encoding=encoding)
    assert (response.status, said in content(response)["error"]) == (status, True)


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "said"),
    [
        ("POST", INFER, b"{", 400, "Failed to parse"),
        (
            "POST",
            INFER,
            infer_body(*[(0, 0, 0)] * 5),
            400,
            "from 1 to 4 for model 'colours', got 5",
        ),
        ("POST", INFER, infer_body((0, 0, 0), outputs=[{"name": "y"}]), 400, "it has 'scores'"),
        ("POST", INFER, infer_body((0, 0, 0), parameters={"priority": 9}), 400, "from 1 (highest)"),
        ("POST", INFER, infer_body((1e39, 0, 0)), 400, "NaN or infinite"),
        ("POST", INFER.replace("colours", "shapes"), b"", 404, "there is 'colours'"),
        ("POST", "/v2/models/colours/versions/9/infer", b"", 404, "no version 9"),
        ("GET", INFER, b"", 405, "use POST"),
        (
            "POST",
            "/v2/repository/models/colours/load",
            b'{"parameters":{"config":"{}"}}',
            501,
            "ov",
        ),
        ("GET", "/v2/systemsharedmemory/status", b"", 501, "switched off"),
        ("GET", "/v2/cudasharedmemory/status", b"", 501, "has no"),
        ("GET", "/v2/models/nothing", b"", 404, "unknown model"),
        ("GET", "/nothing", b"", 404, "nothing at"),
        ("POST", "/v1/classify?top=0", b"x", 400, "'top' must be from 1"),
        ("POST", "/v1/classify", b"", 400, "body is empty"),
        ("POST", "/v1/classify", b"no image", 400, "not an image"),
        ("POST", "/v1/classify?model=x", b"", 404, "unknown model"),
    ],
)
def test_refusals_say_what_was_wrong_and_which_request_it_was(
    app: App, method: str, path: str, body: bytes, status: int, said: str
) -> None:
    response = call(app, method, path, body)
    answer = content(response)
    assert response.status == status
    assert said in answer["error"]
    assert answer["request_id"] == "r1"


@pytest.mark.parametrize(
    ("name", "datatype", "shape"),
    [("x", "FP32", [1, 3, 8, 8]), ("image", "FP64", [1, 3, 8, 8]), ("image", "FP32", [1, 192])],
)
def test_wrong_names_types_and_shapes_say_what_is_right(
    app: App, name: str, datatype: str, shape: list[int]
) -> None:
    tensor = {"name": name, "datatype": datatype, "shape": shape, "data": [0] * 192}
    response = call(app, "POST", INFER, json.dumps({"inputs": [tensor]}).encode())
    assert response.status == 400
    assert any(right in content(response)["error"] for right in ("'image'", "FP32", "[-1, 3, 8"))


def test_before_the_body_is_read(app: App) -> None:
    assert app.admit(Request("POST", INFER, {"content-length": "99999"})) == 100_000
    with pytest.raises(TooLargeError, match="100,001 bytes"):
        app.admit(Request("POST", INFER, {"content-length": "100001"}))
    with pytest.raises(NotFoundError):
        app.admit(Request("POST", "/v2/models/other/infer", {"content-length": "9"}))
    app.service.drained.set()
    try:
        with pytest.raises(UnavailableError, match="stopping"):
            app.admit(Request("POST", INFER))
    finally:
        app.service.drained.clear()


def test_ready_turns_away_while_stopping_and_live_does_not(app: App) -> None:
    app.service.stopping = True
    try:
        assert call(app, "GET", "/v2/health/ready").status == 503
        assert call(app, "GET", "/v2/health/live").status == 200
    finally:
        app.service.stopping = False


def test_statistics_count_rows_requests_and_batches(app: App) -> None:
    def stats() -> Any:
        (one,) = content(call(app, "GET", "/v2/models/colours/stats"))["model_stats"]
        return one

    before = stats()
    for _ in range(2):
        call(app, "POST", INFER, infer_body(*[(0, 0, 0)] * 3))
    after = stats()
    assert after["inference_count"] - before["inference_count"] == 6
    assert after["execution_count"] - before["execution_count"] == 2
    assert (
        after["inference_stats"]["success"]["count"] - before["inference_stats"]["success"]["count"]
        == 2
    )
    assert 3 in [one["batch_size"] for one in after["batch_stats"]]
    assert content(call(app, "GET", "/v2/models/stats"))["model_stats"][0]["name"] == "colours"
    text = call(app, "GET", "/metrics").body.decode()
    line = 'nv_inference_count{model="colours",version="1"} ' + str(after["inference_count"])
    assert line in text.splitlines()


def test_unload_load_and_the_index(app: App) -> None:
    def index() -> Any:
        return content(call(app, "POST", "/v2/repository/index"))

    ready = {"name": "colours", "version": "1", "state": "READY", "reason": ""}
    assert index() == [ready]
    assert call(app, "POST", "/v2/repository/models/colours/unload").status == 200
    assert index() == [ready | {"state": "UNAVAILABLE", "reason": "unloaded"}]
    assert content(call(app, "POST", "/v2/repository/index", b'{"ready": true}')) == []
    assert call(app, "GET", "/v2/health/ready").status == 503
    refused = call(app, "POST", INFER, infer_body((1, 0, 0)))
    assert refused.status == 503
    assert dict(refused.headers)["retry-after"] == "1"
    for _ in "ab":  # again while loaded: replaced
        assert call(app, "POST", "/v2/repository/models/colours/load").status == 200
    assert index() == [ready]
    assert call(app, "POST", INFER, infer_body((1, 0, 0))).status == 200


def test_a_bug_of_ours_is_a_500_and_goes_to_the_log(
    app: App, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def late(*_: Any) -> Any:
        time.sleep(0.05)
        return 1 / 0

    monkeypatch.setattr("lrn_deploy.serving.rest.codec.encode", late)
    response = call(app, "POST", INFER, infer_body((1, 0, 0)))
    assert (response.status, "bug" in content(response)["error"]) == (500, True)
    line = json.loads(capsys.readouterr().err)
    assert "ZeroDivisionError" in line["traceback"]
    assert 50 <= line["ms"] < 5000


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("GET", INFER, "POST"),
        ("POST", "/metrics", "GET, HEAD"),
        ("PUT", "/v2/repository/index", "POST"),
        ("OPTIONS", "/v1/classify", "POST"),
    ],
)
def test_a_wrong_method_is_told_the_right_ones(
    app: App, method: str, path: str, allow: str
) -> None:
    response = call(app, method, path)
    assert (response.status, dict(response.headers)["allow"]) == (405, allow)


def test_loading_is_off_unless_it_is_switched_on(app: App) -> None:
    closed = App(Service(app.service.repository, ServerSettings(access_log="none")))
    for what in ("load", "unload"):
        response = call(closed, "POST", f"/v2/repository/models/colours/{what}")
        assert (response.status, "--model-control" in content(response)["error"]) == (403, True)
    assert call(closed, "POST", INFER, infer_body((1, 0, 0))).status == 200


def test_metrics_alone(app: App) -> None:
    alone = App(Service(app.service.repository, app.service.settings), metrics_only=True)
    assert call(alone, "GET", "/metrics").status == 200
    assert call(alone, "GET", "/v2").status == 404


def test_an_output_that_json_cannot_hold_asks_for_binary(tmp_path: Path) -> None:
    colour_bundle(tmp_path / "b", last="Divide")
    repository = Repository(ModelSettings(threads=1))
    repository.load(repository.add(tmp_path / "b", "nan"))
    app = App(Service(repository, ServerSettings(access_log="none")))
    body = infer_body((1, 0, 0))
    response = call(app, "POST", "/v2/models/nan/infer", body)
    assert (response.status, "ask for binary" in content(response)["error"]) == (400, True)
    binary = infer_body((1, 0, 0), parameters={"binary_data_output": True})
    response = call(app, "POST", "/v2/models/nan/infer", binary)
    length = int(dict(response.headers)["inference-header-content-length"])
    values = np.frombuffer(response.body[length:], "<f4")
    assert values[0] == 1
    assert math.isnan(values[1])
    repository.close(5)


def test_a_network_of_a_fixed_batch_is_served_whole(tmp_path: Path) -> None:
    colour_bundle(tmp_path / "b", batch=2)
    repository = Repository(ModelSettings(threads=1))
    repository.load(repository.add(tmp_path / "b"))
    app = App(Service(repository, ServerSettings(access_log="none")))
    config = content(call(app, "GET", "/v2/models/colours/config"))
    assert (config["max_batch_size"], config["input"][0]["dims"]) == (0, [2, 3, 8, 8])
    response = call(app, "POST", INFER, infer_body((1, 0, 0), (0, 1, 0)))
    assert content(response)["outputs"][0]["data"] == [10, 0, 0, 0, 10, 0]
    assert call(app, "POST", INFER, infer_body((1, 0, 0))).status == 400
    answer = content(call(app, "POST", "/v1/classify", picture("blue")))
    assert answer["results"][0]["predictions"][0]["label"] == "blue"
    repository.close(5)


def test_a_damaged_bundle_beside_a_good_one_says_why(tmp_path: Path) -> None:
    colour_bundle(tmp_path / "good")
    colour_bundle(tmp_path / "bad")
    (tmp_path / "bad" / "model.onnx").write_bytes(b"broken")
    repository = Repository(ModelSettings(threads=1))
    repository.load(repository.add(tmp_path / "good", "good"))
    with pytest.raises(RequestError, match="damaged"):
        repository.load(repository.add(tmp_path / "bad", "bad"))
    good, bad = repository.index()
    assert good["state"] == "READY"
    assert (bad["state"], "SHA-256" in bad["reason"]) == ("UNAVAILABLE", True)
    (tmp_path / "good" / "model.onnx").write_bytes(b"broken too")
    with pytest.raises(RequestError):
        repository.load("good")  # the one that is loaded goes on
    assert repository.index(ready=True) == [good]
    repository.close(5)
