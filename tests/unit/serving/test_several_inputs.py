"""A network of an image and tokens, served: values, types, refusals, requests that share a run."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tritonclient.grpc import service_pb2

from lrn_deploy.serving.errors import InvalidRequestError
from lrn_deploy.serving.grpc import codec as grpc_codec
from lrn_deploy.serving.http.message import Response
from lrn_deploy.serving.inference import InferRequest
from lrn_deploy.serving.repository.loading import load_model
from lrn_deploy.serving.repository.model import ServedModel
from lrn_deploy.serving.repository.repository import Repository
from lrn_deploy.serving.request import Request
from lrn_deploy.serving.rest.app import App
from lrn_deploy.serving.service import Service
from lrn_deploy.serving.settings import ModelSettings, ServerSettings
from tests.support.image_bundles import picture
from tests.support.several_inputs import ROWS, captioned, captioned_bundle

Arrays = dict[str, np.ndarray]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return captioned_bundle(tmp_path_factory.mktemp("captioned") / "captioned").path


@pytest.fixture(scope="module")
def app(folder: Path) -> Iterator[App]:
    repository = Repository(ModelSettings(max_batch_size=4, threads=1), drain_seconds=5)
    repository.load(repository.add(folder))
    yield App(Service(repository, ServerSettings(access_log="none")))
    repository.close(5)


@pytest.fixture
def patient(folder: Path) -> Iterator[ServedModel]:
    """Waits until four rows are there before it runs any."""
    model = load_model(
        folder,
        ModelSettings(max_batch_size=4, threads=1, batching="fixed", max_queue_delay_us=10_000_000),
    )
    yield model
    assert model.batcher.close(5)


def drawn(rows: int, seed: int = 0) -> Arrays:
    rng = np.random.default_rng(seed)
    return {
        "image": rng.normal(size=(rows, 3, 8, 8)).astype(np.float32),
        "tokens": rng.integers(0, ROWS, (rows, 5)),
    }


def truth(arrays: Arrays) -> np.ndarray:
    with torch.no_grad():
        scores: torch.Tensor = captioned()(*(torch.from_numpy(item) for item in arrays.values()))
    return scores.numpy()


def tensor(name: str, values: np.ndarray, datatype: str) -> dict[str, Any]:
    shape = list(values.shape)
    return {"name": name, "datatype": datatype, "shape": shape, "data": values.ravel().tolist()}


def body(arrays: Arrays, datatype: str = "INT64") -> bytes:
    """The request, the last input first: inputs go by their names."""
    kinds = {"image": "FP32", "tokens": datatype}
    inputs = [tensor(name, arrays[name], kinds[name]) for name in reversed(arrays)]
    return json.dumps({"inputs": inputs}).encode()


def call(app: App, path: str, content: bytes, **headers: str) -> Response:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return asyncio.run(app.handle(Request("POST", path, names, {}, content, id="r1")))


def infer(app: App, content: bytes, **headers: str) -> tuple[int, Any]:
    response = call(app, "/v2/models/captioned/infer", content, **headers)
    return response.status, json.loads(response.body)


def test_json_of_both_inputs_gives_pytorchs_answer(app: App) -> None:
    arrays = drawn(3)
    status, content = infer(app, body(arrays))
    assert status == 200
    found = np.array(content["outputs"][0]["data"]).reshape(content["outputs"][0]["shape"])
    np.testing.assert_allclose(found, truth(arrays), rtol=1e-5, atol=1e-6)


def test_bytes_follow_in_the_order_in_which_they_are_announced(app: App) -> None:
    arrays = drawn(2)
    parts = [("tokens", "INT64"), ("image", "FP32")]
    inputs = [
        {
            "name": name,
            "datatype": datatype,
            "shape": list(arrays[name].shape),
            "parameters": {"binary_data_size": arrays[name].nbytes},
        }
        for name, datatype in parts
    ]
    head = json.dumps({"inputs": inputs}).encode()
    tail = b"".join(arrays[name].tobytes() for name, _ in parts)
    status, content = infer(app, head + tail, inference_header_content_length=str(len(head)))
    assert status == 200
    found = np.array(content["outputs"][0]["data"]).reshape(2, 4)
    np.testing.assert_allclose(found, truth(arrays), rtol=1e-5, atol=1e-6)


GOOD = drawn(2)
REFUSED: dict[str, tuple[bytes, str]] = {
    "INT32 for INT64": (
        body(GOOD, "INT32"),
        "'tokens' of model 'captioned' takes INT64, got INT32",
    ),
    "FP32 for INT64": (
        body(GOOD | {"tokens": GOOD["tokens"] + 0.5}, "FP32"),
        "takes INT64, got FP32",
    ),
    "halves as INT64": (body(GOOD | {"tokens": GOOD["tokens"] + 0.5}), "its data has other values"),
    "another length": (body(GOOD | {"tokens": GOOD["tokens"][:, :4]}), "takes shape [-1, 5]"),
    "other rows": (body(GOOD | {"tokens": GOOD["tokens"][:1]}), "different batch sizes, 2 and 1"),
    "one missing": (
        body({"image": GOOD["image"]}),
        "takes the inputs 'image', 'tokens', got 'image'",
    ),
    "unknown name": (
        json.dumps({"inputs": [tensor("words", GOOD["tokens"], "INT64")]}).encode(),
        "takes the inputs 'image', 'tokens', got 'words'",
    ),
    "past the table": (
        body(GOOD | {"tokens": GOOD["tokens"] * 0 + ROWS}),
        f"takes 0 to {ROWS - 1}, the rows of its table, got {ROWS} to {ROWS}",
    ),
    "before the table": (body(GOOD | {"tokens": GOOD["tokens"] * 0 - 1}), "got -1 to -1"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_fit_is_refused_in_a_sentence(app: App, case: str) -> None:
    content, sentence = REFUSED[case]
    status, answer = infer(app, content)
    assert (status, sentence in answer["error"]) == (400, True), answer


def test_a_raw_request_is_for_one_input(app: App) -> None:
    status, answer = infer(app, b"\0" * 40, inference_header_content_length="0")
    assert (status, "needs a network with one input" in answer["error"]) == (400, True)


def test_pictures_are_for_networks_of_one_image(app: App) -> None:
    response = call(app, "/v1/classify", picture((255, 0, 0)), content_type="image/png")
    error = json.loads(response.body)["error"]
    assert (response.status, "takes 2 inputs (image, tokens) instead of one image" in error) == (
        400,
        True,
    )


def test_metadata_and_configuration_list_both(app: App) -> None:
    request = Request("GET", "/v2/models/captioned", {}, {}, b"", id="r1")
    found = json.loads(asyncio.run(app.handle(request)).body)["inputs"]
    assert found == [
        {"name": "image", "datatype": "FP32", "shape": [-1, 3, 8, 8]},
        {"name": "tokens", "datatype": "INT64", "shape": [-1, 5]},
    ]


@pytest.mark.parametrize("raw", [True, False])
def test_grpc_takes_raw_and_typed_tensors(app: App, raw: bool) -> None:
    arrays = drawn(2, seed=3)
    message = service_pb2.ModelInferRequest(model_name="captioned")
    for name, datatype, place in (
        ("tokens", "INT64", "int64_contents"),
        ("image", "FP32", "fp32_contents"),
    ):
        added = message.inputs.add(name=name, datatype=datatype, shape=arrays[name].shape)
        if raw:
            message.raw_input_contents.append(arrays[name].tobytes())
        else:
            getattr(added.contents, place).extend(arrays[name].ravel().tolist())
    decoded = grpc_codec.decode(message)
    model = app.service.repository.get("captioned", "")
    outputs = model.submit(decoded).result(10).outputs
    answer = grpc_codec.encode(decoded, model, outputs)
    found = np.frombuffer(answer.raw_output_contents[0], np.float32).reshape(2, 4)
    np.testing.assert_allclose(found, truth(arrays), rtol=1e-5, atol=1e-6)


def test_requests_that_run_together_each_get_their_own_answer(patient: ServedModel) -> None:
    asked = [drawn(rows, seed) for seed, rows in enumerate((1, 2, 1))]
    futures = [patient.submit(InferRequest(arrays)) for arrays in asked]
    for arrays, future in zip(asked, futures, strict=True):
        outcome = future.result(5)  # they do not wait for the delay: together they are enough
        assert outcome.timing.batch_rows == 4
        np.testing.assert_allclose(outcome.outputs["output"], truth(arrays), rtol=1e-5, atol=1e-6)


def test_an_index_without_a_row_does_not_spoil_its_neighbours(patient: ServedModel) -> None:
    good = [drawn(2, seed) for seed in range(2)]
    first = patient.submit(InferRequest(good[0]))
    bad = drawn(2, seed=9)
    bad["tokens"][1, 4] = ROWS
    with pytest.raises(InvalidRequestError, match="the rows of its table"):
        patient.submit(InferRequest(bad))
    second = patient.submit(InferRequest(good[1]))
    for arrays, future in zip(good, (first, second), strict=True):
        np.testing.assert_allclose(
            future.result(5).outputs["output"], truth(arrays), rtol=1e-5, atol=1e-6
        )
