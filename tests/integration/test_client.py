"""The client against a real lrn-server: both transports, waiting and awaited."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lrn_deploy.client import (
    NEVER,
    AsyncClient,
    Client,
    DeadlineError,
    InvalidRequestError,
    NotFoundError,
    Tensor,
    UnreachableError,
    UnsupportedError,
)
from tests.support.image_bundles import SURE, colour_bundle
from tests.support.servers import Running, serving

Call = Callable[..., Any]
RED = np.zeros((2, 3, 8, 8), np.float32)
RED[0, 0] = 1.0
RED[1, 2] = 0.5
SCORES = [[10, 0, 0], [0, 0, 5]]  # ten times the mean of each channel


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("client")
    colour_bundle(folder / "colours")
    with serving(folder / "colours", "--model-control", "--access-log", "none") as running:
        yield running


def waiting(url: str, name: str, *arguments: Any, **options: Any) -> Any:
    with Client(url, retry=NEVER) as client:
        return getattr(client, name)(*arguments, **options)


def awaited(url: str, name: str, *arguments: Any, **options: Any) -> Any:
    async def run() -> Any:
        async with AsyncClient(url, retry=NEVER) as client:
            return await getattr(client, name)(*arguments, **options)

    return asyncio.run(run())


@pytest.fixture(params=["http", "grpc"])
def url(request: pytest.FixtureRequest, server: Running) -> str:
    return f"{request.param}://{getattr(server, request.param)}"


@pytest.fixture(params=[waiting, awaited])
def call(request: pytest.FixtureRequest, url: str) -> Call:
    return lambda name, *arguments, **options: request.param(url, name, *arguments, **options)


def test_inference(call: Call) -> None:
    for binary in (True, False):
        found = call("infer", "colours", {"image": RED}, binary=binary)
        assert {name: array.dtype for name, array in found.items()} == {"scores": np.float32}
        np.testing.assert_allclose(found["scores"], SCORES, atol=1e-5)


def test_classes_of_an_output(call: Call) -> None:
    options = {"outputs": ["scores"], "classes": 1}
    found = call("infer", "colours", {"image": RED}, **options)
    assert found["scores"].tolist() == [[b"10.000000:0:red"], [b"5.000000:2:blue"]]


def test_what_the_server_tells_of_itself(call: Call) -> None:
    assert call("live") is True
    assert call("ready") is True
    assert call("ready", "colours") is True
    about = call("server_metadata")
    assert about.name == "lrn-server"
    assert "binary_tensor_data" in about.extensions
    model = call("model_metadata", "colours")
    assert [(one.name, one.datatype, one.shape) for one in model.inputs] == [
        ("image", "FP32", (-1, 3, 8, 8))
    ]
    assert [(one.name, one.datatype, one.shape) for one in model.outputs] == [
        ("scores", "FP32", (-1, 3))
    ]
    assert [(one.name, one.state) for one in call("models")] == [("colours", "READY")]


def test_config_and_statistics_are_the_same_over_both(server: Running) -> None:
    with Client(f"http://{server.http}") as http, Client(f"grpc://{server.grpc}") as grpc:
        one, other = http.config("colours"), grpc.config("colours")
        assert one["max_batch_size"] == other["max_batch_size"]
        assert one["input"][0]["dims"] == other["input"][0]["dims"] == [3, 8, 8]
        one, other = http.stats("colours")[0], grpc.stats("colours")[0]
        assert one["inference_count"] == other["inference_count"]
        assert type(other["inference_stats"]["success"]["ns"]) is int
        assert one["inference_stats"] == other["inference_stats"]
        assert one["version"] == other["version"] == "1"


def test_a_model_is_unloaded_and_loaded(call: Call) -> None:
    call("unload", "colours")
    assert call("ready", "colours") is False
    call("load", "colours")
    assert call("ready", "colours") is True


@pytest.mark.parametrize(
    ("name", "arguments", "kind", "status", "said"),
    [
        ("infer", ("nothing", {"image": RED}), NotFoundError, 404, "nothing"),
        ("infer", ("colours", {"other": RED}), InvalidRequestError, 400, "other"),
        ("infer", ("colours", {"image": RED[:, :2]}), InvalidRequestError, 400, "shape"),
        ("model_metadata", ("nothing",), NotFoundError, 404, "nothing"),
        ("load", ("nothing",), NotFoundError, 404, "nothing"),
    ],
)
def test_refusals(
    call: Call, name: str, arguments: tuple[Any, ...], kind: type, status: int, said: str
) -> None:
    with pytest.raises(kind, match=said) as caught:
        call(name, *arguments)
    assert caught.value.status == status
    assert caught.value.request_id
    assert "[request" not in caught.value.message


def test_bf16_is_refused_by_a_network_without_it(call: Call) -> None:
    with pytest.raises(InvalidRequestError, match="BF16"):
        call("infer", "colours", {"image": Tensor(RED, "BF16")})


def test_a_deadline_passes(call: Call) -> None:
    with pytest.raises(DeadlineError, match="no answer within 1e-06 s"):
        call("infer", "colours", {"image": np.zeros((16, 3, 8, 8), np.float32)}, timeout=1e-6)


def test_images(server: Running, tmp_path: Path) -> None:
    picture = Image.new("RGB", (8, 8), (255, 0, 0))
    picture.save(tmp_path / "red.png")
    with Client(f"http://{server.http}") as client:
        for image in (tmp_path / "red.png", str(tmp_path / "red.png"), picture,
                      (tmp_path / "red.png").read_bytes()):  # fmt: skip
            found = client.classify("colours", image, top=2)
            assert [label.label for label in found.labels] == ["red", "green"]
            assert found.labels[0].probability == pytest.approx(SURE, abs=1e-4)
        both = client.classify_all("", [tmp_path / "red.png", b"no image"])
        assert both[0].labels[0].index == 0
        assert both[0].image == "red.png"
        assert both[1].error
        with pytest.raises(Exception, match=r"missing\.png' cannot be read"):
            client.classify("colours", tmp_path / "missing.png")
    with (
        Client(f"grpc://{server.grpc}") as client,
        pytest.raises(UnsupportedError, match="over HTTP only"),
    ):
        client.classify("colours", picture)


def test_nobody_there_over_grpc() -> None:
    for call in (waiting, awaited):
        with pytest.raises(UnreachableError, match="Nobody answers at grpc:"):
            call("grpc://127.0.0.1:1", "server_metadata")
        assert call("grpc://127.0.0.1:1", "live") is False


def test_it_loads_no_runtime() -> None:
    code = (
        "import sys, lrn_deploy.client, lrn_deploy.client.grpc.channels as g, "
        "lrn_deploy.client.http.sockets as h; "
        "print({'torch', 'onnxruntime', 'onnx', 'openvino', 'PIL', 'pydantic'} & set(sys.modules))"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "set()"
