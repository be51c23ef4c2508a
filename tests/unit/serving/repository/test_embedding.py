"""The last hidden layer as an output: found in graphs built by hand, checked by arithmetic."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from lrn_deploy.backends.onnxruntime import OnnxRuntimeBackend
from lrn_deploy.backends.openvino import OpenVinoBackend
from lrn_deploy.bundle import ArtifactData, Bundle, LayerTensor
from lrn_deploy.models.digits_data import digit_images
from lrn_deploy.serving.errors import NotFoundError
from lrn_deploy.serving.http.message import Response
from lrn_deploy.serving.repository.embedding import expose
from lrn_deploy.serving.repository.repository import Repository
from lrn_deploy.serving.request import Request
from lrn_deploy.serving.rest.app import App
from lrn_deploy.serving.service import Service
from lrn_deploy.serving.settings import ModelSettings, ServerSettings
from tests.support.exported import exported
from tests.support.image_bundles import colour_bundle, encode, picture

Array = NDArray[Any]
FIRST = np.array([[1, -1], [2, 0], [0, 3]], np.float32)  # (out 3, in 2), as torch stores it
SECOND = np.array([[1, 0], [0, 1], [1, 1]], np.float32)  # (in 3, out 2)


def two_linear_layers(*after: onnx.NodeProto) -> bytes:
    """x @ FIRST.T, rectified, @ SECOND, and what comes after."""
    nodes = [
        helper.make_node("Gemm", ["x", "first"], ["a"], transB=1),
        helper.make_node("Relu", ["a"], ["hidden"]),
        helper.make_node("Identity", ["hidden"], ["dropped"]),
        helper.make_node("MatMul", ["dropped", "second"], ["b"]),
        helper.make_node("Add", ["b", "bias"], ["scores"]),
        *after,
    ]
    float32 = TensorProto.FLOAT
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", float32, ["batch", 2])],
        [helper.make_tensor_value_info("y", float32, ["batch", 2])],
        [
            numpy_helper.from_array(FIRST, "first"),
            numpy_helper.from_array(SECOND, "second"),
            numpy_helper.from_array(np.array([1, -1], np.float32), "bias"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    return model.SerializeToString()


@pytest.mark.parametrize("backend", [OnnxRuntimeBackend(threads=1), OpenVinoBackend(threads=1)])
def test_the_input_of_the_last_linear_layer_becomes_an_output(backend: Any) -> None:
    data = two_linear_layers(helper.make_node("Softmax", ["scores"], ["y"], axis=1))
    layers = (
        LayerTensor(module="head.0", tensor="a"),
        LayerTensor(module="head", tensor="hidden"),
        LayerTensor(module="head.1", tensor="hidden"),
    )
    artifact, embedding = expose(ArtifactData("model", "onnx", data), "y", layers)
    assert (embedding.layer, embedding.dimension) == ("head.1", 3)
    x = np.array([[1, 2], [-3, 0.5]], np.float32)
    with backend.load(artifact) as session:
        outputs = session.run({"x": x})
    # By hand: [1, 2] -> [1 - 2, 2, 6]; [-3, 0.5] -> [-3.5, -6, 1.5]; negatives become 0.
    assert outputs[embedding.tensor].tolist() == [[0, 2, 6], [0, 0, 1.5]]
    assert outputs["y"].sum(axis=1) == pytest.approx([1, 1])


def test_a_graph_without_a_linear_layer_at_its_end_has_no_embedding(tmp_path: Path) -> None:
    bundle = colour_bundle(tmp_path / "b")
    with pytest.raises(NotFoundError, match="fully connected"):
        expose(bundle.load("model"), "scores", ())
    data = two_linear_layers(helper.make_node("Relu", ["scores"], ["y"]))
    with pytest.raises(NotFoundError, match="fully connected"):
        expose(ArtifactData("model", "onnx", data), "y", ())


def one_linear_layer(*nodes: onnx.NodeProto, weight: Array = SECOND, x: str = "x") -> ArtifactData:
    """A graph from ``x`` to ``y`` whose weight ``w`` has a bias beside it."""
    float32 = TensorProto.FLOAT
    graph = helper.make_graph(
        list(nodes),
        "g",
        [helper.make_tensor_value_info(x, float32, ["batch", 3])],
        [helper.make_tensor_value_info("y", float32, ["batch", 2])],
        [
            numpy_helper.from_array(weight, "w"),
            numpy_helper.from_array(np.zeros(2, np.float32), "bias"),
        ],
    )
    return ArtifactData("model", "onnx", helper.make_model(graph).SerializeToString())


def test_the_length_is_that_of_the_weights_inner_axis_however_it_is_stored() -> None:
    for data in (
        one_linear_layer(helper.make_node("MatMul", ["x", "w"], ["y"])),
        one_linear_layer(helper.make_node("Gemm", ["x", "w"], ["y"], transB=0, transA=0)),
        one_linear_layer(helper.make_node("Gemm", ["x", "w", "bias"], ["y"], alpha=2.0)),
        one_linear_layer(helper.make_node("Gemm", ["x", "w"], ["y"], transB=1), weight=SECOND.T),
    ):
        _, embedding = expose(data, "y", ())
        assert (embedding.tensor, embedding.layer, embedding.dimension) == ("x", "x", 3)


def test_a_bias_may_be_added_from_either_side() -> None:
    matmul = helper.make_node("MatMul", ["x", "w"], ["b"])
    for order in (["b", "bias"], ["bias", "b"]):
        data = one_linear_layer(matmul, helper.make_node("Add", order, ["y"]))
        assert expose(data, "y", ())[1].tensor == "x"


def test_a_weight_may_be_coded_and_must_be_a_matrix_that_is_stored() -> None:
    cast = helper.make_node("Cast", ["w"], ["wide"], to=TensorProto.FLOAT)
    data = one_linear_layer(cast, helper.make_node("MatMul", ["x", "wide"], ["y"]))
    assert expose(data, "y", ())[1].dimension == 3
    turned = helper.make_node("Transpose", ["w"], ["turned"], perm=[1, 0])
    for bad in (
        one_linear_layer(turned, helper.make_node("MatMul", ["x", "turned"], ["y"])),
        one_linear_layer(helper.make_node("MatMul", ["x", "w"], ["y"]), weight=SECOND[None]),
    ):
        with pytest.raises(NotFoundError, match="not stored as a matrix"):
            expose(bad, "y", ())


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return exported("digits", tmp_path_factory.mktemp("embedding") / "digits").path


@pytest.fixture(scope="module")
def app(digits: Path) -> Iterator[App]:
    repository = Repository(ModelSettings(threads=1, embed=True, max_batch_size=4))
    repository.load(repository.add(digits))
    yield App(Service(repository, ServerSettings(access_log="none")))
    repository.close(5)


def call(app: App, path: str, body: bytes, **headers: str) -> Response:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    path, _, query = path.partition("?")
    pairs = dict(part.split("=") for part in query.split("&")) if query else {}
    return asyncio.run(app.handle(Request("POST", path, names, pairs, body)))


def last_layer(digits: Path) -> tuple[Array, Array]:
    """Weight (out, in) and bias of the last linear layer."""
    graph = onnx.load(digits / "model.onnx").graph
    (gemm,) = [node for node in graph.node if node.output[0] == graph.output[0].name]
    arrays = {item.name: numpy_helper.to_array(item) for item in graph.initializer}
    return arrays[gemm.input[1]], arrays[gemm.input[2]]


def test_the_embedding_times_the_last_layer_gives_the_scores(app: App, digits: Path) -> None:
    weight, bias = last_layer(digits)
    image = encode(digit_images(1)[0].image, "PNG")
    answer = json.loads(call(app, "/v1/embed", image).body)
    (result,) = answer["results"]
    assert answer["dimension"] == len(result["embedding"]) == weight.shape[1]
    assert answer["model"] == "digits"
    modules = {item.module for item in Bundle.open(digits).manifest.layers}
    assert answer["layer"] in modules
    scores = weight @ np.array(result["embedding"], np.float32) + bias
    exponents = np.exp(scores - scores.max())
    labelled = json.loads(call(app, "/v1/classify?top=10", image).body)["results"][0]
    few = json.loads(call(app, "/v1/classify", image).body)["results"][0]
    best = [one["index"] for one in labelled["predictions"]]
    assert [one["index"] for one in few["predictions"]] == best[:5]
    for one in labelled["predictions"]:
        wanted = exponents[one["index"]] / exponents.sum()
        assert one["probability"] == pytest.approx(wanted, abs=1e-5)


def test_raw_embeddings_are_the_same_numbers(app: App) -> None:
    images = [encode(one.image, "PNG") for one in digit_images(3)]
    parts = b"".join(
        b'--b\r\nContent-Disposition: form-data; name="f"; filename="x"\r\n\r\n%s\r\n' % content
        for content in images
    )
    kind = "multipart/form-data; boundary=b"
    body = parts + b"--b--\r\n"
    rows = [
        one["embedding"]
        for one in json.loads(call(app, "/v1/embed", body, content_type=kind).body)["results"]
    ]
    raw = call(app, "/v1/embed", body, content_type=kind, accept="application/octet-stream")
    headers = dict(raw.headers)
    assert raw.status == 200
    assert headers["x-lrn-model"] == "digits"
    assert headers["x-lrn-shape"] == f"3,{len(rows[0])}"
    assert headers["content-type"] == "application/octet-stream"
    values = np.frombuffer(raw.body, "<f4").reshape(3, -1)
    # Rows may have shared batches of other sizes, which moves the last bits.
    np.testing.assert_allclose(values, rows, rtol=1e-5, atol=1e-6)
    spoilt = body.replace(images[1], b"no image")
    raw = call(app, "/v1/embed", spoilt, content_type=kind, accept="application/octet-stream")
    assert raw.status == 400
    mixed = json.loads(call(app, "/v1/embed", spoilt, content_type=kind).body)["results"]
    assert [one["embedding"] is None for one in mixed] == [False, True, False]


def test_the_hidden_layer_is_no_output_of_the_protocol(app: App) -> None:
    request = Request("GET", "/v2/models/digits")
    assert len(json.loads(asyncio.run(app.handle(request)).body)["outputs"]) == 1


def test_without_an_embedding_it_is_a_404_that_says_why(tmp_path: Path) -> None:
    colour_bundle(tmp_path / "b")
    for embed, why in ((True, "fully connected"), (False, "start the server with --embed")):
        repository = Repository(ModelSettings(threads=1, embed=embed))
        repository.load(repository.add(tmp_path / "b"))
        response = call(
            App(Service(repository, ServerSettings(access_log="none"))), "/v1/embed", picture("red")
        )
        assert (response.status, why in json.loads(response.body)["error"]) == (404, True)
        repository.close(5)
