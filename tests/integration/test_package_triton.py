"""Packages for Triton in the real tritonserver: they load, and answer as their bundles do."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import tritonclient.grpc
import tritonclient.http
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from tritonclient.utils import InferenceServerException

from benchmarks import package_triton
from benchmarks.package_triton import TOLERANCE, ask, compare, differences
from benchmarks.peers.environments import is_made
from benchmarks.peers.processes import Server
from benchmarks.peers.triton import serving
from lrn_deploy.backends.onnxruntime import OnnxRuntimeBackend
from lrn_deploy.bundle import Artifact, Bundle, IntegerValues, TensorSpec
from lrn_deploy.images.collect import ImageSource
from lrn_deploy.images.examples import digits
from lrn_deploy.package.check import check
from lrn_deploy.package.options import PackageOptions
from lrn_deploy.package.package import package
from lrn_deploy.package.triton import config
from lrn_deploy.progress import silent
from lrn_deploy.workflows.classify import classify
from tests.support.digits_bundle import digits_bundle
from tests.support.image_bundles import LABELS, PREPROCESSING, colour_bundle, picture

TABLE = np.random.default_rng(1).random((20, 3), np.float32)
OUTPUTS = ("scores", "said")
MAKE = "python -c 'from benchmarks.peers.environments import environment; environment(\"triton\")'"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.usefixtures("unmeasured"),
    pytest.mark.skipif(not is_made("triton"), reason=f"no tritonserver here: {MAKE}"),
]


def captioned_bundle(path: Path) -> Bundle:
    """A network of an image and of tokens: the mean of each colour, and of the tokens' rows."""
    graph = helper.make_graph(
        [
            helper.make_node("GlobalAveragePool", ["image"], ["means"]),
            helper.make_node("Flatten", ["means"], ["seen"]),
            helper.make_node("Gather", ["table", "tokens"], ["rows"]),
            helper.make_node("ReduceMean", ["rows", "second"], ["said"], keepdims=0),
            helper.make_node("Mul", ["seen", "said"], ["scores"]),
        ],
        "captioned",
        [
            helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 3, 8, 8]),
            helper.make_tensor_value_info("tokens", TensorProto.INT64, ["batch", 5]),
        ],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 3]) for name in OUTPUTS],
        [
            numpy_helper.from_array(TABLE, "table"),
            numpy_helper.from_array(np.array([1]), "second"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(model)
    bundle = colour_bundle(path, preprocessing=None, labels=None)
    record = bundle.add_file("model.onnx", model.SerializeToString())
    rows = IntegerValues(low=0, high=len(TABLE) - 1, source="table")
    return bundle.update(
        inputs=(
            TensorSpec(name="image", dtype="float32", shape=("batch", 3, 8, 8)),
            TensorSpec(name="tokens", dtype="int64", shape=("batch", 5), values=rows),
        ),
        outputs=tuple(
            TensorSpec(name=name, dtype="float32", shape=("batch", 3)) for name in OUTPUTS
        ),
        artifacts={"model": Artifact(**record.model_dump(), format="onnx")},
    )


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Bundle]:
    folder = tmp_path_factory.mktemp("bundles")
    in_graph = PREPROCESSING.model_copy(update={"in_graph": True})
    return {
        "digits": digits_bundle(folder / "digits"),
        "colours": colour_bundle(folder / "colours"),
        "colours-uint8": colour_bundle(folder / "colours-uint8", preprocessing=in_graph),
        "colours-of-2": colour_bundle(folder / "colours-of-2", batch=2),
        "captioned": captioned_bundle(folder / "captioned"),
    }


@pytest.fixture(scope="module")
def repositories(
    bundles: dict[str, Bundle], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("repositories")
    options = {"colours": {"max_queue_delay_us": 20_000}, "digits": {"max_batch_size": 4}}
    return {
        name: package(
            bundle,
            folder / name,
            PackageOptions("triton", triton_backend="python", name=name, **options.get(name, {})),
            silent,
            force=False,
        ).path
        for name, bundle in bundles.items()
    }


@pytest.fixture(scope="module")
def server(
    repositories: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("server")
    # What is packaged is complete; that of the benchmark below is completed, as Triton else does.
    with serving(folder, *repositories.values(), complete=False) as started:
        yield started


@pytest.fixture
def client(server: Server) -> Iterator[Any]:
    with tritonclient.grpc.InferenceServerClient(server.grpc) as made:
        yield made


@pytest.mark.parametrize("name", ["digits", "colours", "colours-uint8"])
def test_every_answer_is_the_bundles(server: Server, bundles: dict[str, Bundle], name: str) -> None:
    rows = compare(bundles[name], server.http, server.grpc, name, images=True)
    assert len(rows) == 6  # two batches and photographs, over two transports
    assert max(row["relative"] for row in rows) <= TOLERANCE


def test_a_wrong_answer_is_found() -> None:
    own = {"scores": np.array([[1, 2, 3], [4, 5, 6]], np.float32)}

    def worst(answer: Any) -> float:
        (row,) = differences("", "", own, {"scores": answer})
        return float(row["relative"])

    assert worst(own["scores"].copy()) == 0
    assert worst(own["scores"] * np.float32(1.0001)) > TOLERANCE
    assert worst(own["scores"][::-1]) > TOLERANCE
    assert worst(own["scores"][:1]) == worst(own["scores"].astype(np.float64)) == float("inf")


@pytest.mark.parametrize("transport", ["http", "grpc"])
def test_several_inputs_of_several_types_and_the_outputs_that_were_asked_for(
    server: Server, transport: str
) -> None:
    image = np.random.default_rng(0).random((3, 3, 8, 8), np.float32)
    feeds = {"image": image, "tokens": np.arange(15).reshape(3, 5)}
    address = server.http if transport == "http" else server.grpc
    said = TABLE[feeds["tokens"]].mean(1)
    assert np.allclose(ask(transport, address, "captioned", feeds, ["said"])["said"], said)
    both = ask(transport, address, "captioned", feeds, ["scores", "said"])
    assert np.allclose(both["said"], said)
    assert np.allclose(both["scores"], image.mean((2, 3)) * said, rtol=1e-5)


def test_index_without_a_row_fails_and_the_next_request_does_not(server: Server) -> None:
    image = np.zeros((1, 3, 8, 8), np.float32)
    tokens = np.full((1, 5), len(TABLE))
    with pytest.raises(InferenceServerException, match=r"could not be run: .*out of"):
        ask("grpc", server.grpc, "captioned", {"image": image, "tokens": tokens}, ["said"])
    answer = ask("grpc", server.grpc, "captioned", {"image": image, "tokens": tokens - 1}, ["said"])
    assert np.allclose(answer["said"], TABLE[-1:])


@pytest.mark.parametrize("transport", ["http", "grpc"])
def test_network_of_a_fixed_batch(server: Server, transport: str) -> None:
    address = server.http if transport == "http" else server.grpc
    files = np.array([picture("red"), picture("lime")], np.object_)
    answer = ask(transport, address, "colours-of-2_image", {"image": files}, ["scores"])
    assert np.allclose(answer["scores"], [[10, 0, 0], [0, 10, 0]])
    with pytest.raises(InferenceServerException, match="unexpected shape"):
        ask(transport, address, "colours-of-2_image", {"image": files[:1]}, ["scores"])


def classified(library: Any, address: str, model: str, name: str, array: Any, count: int) -> Any:
    with library.InferenceServerClient(address) as client:
        kind = "BYTES" if array.dtype == np.object_ else "FP32"
        given = library.InferInput(name, array.shape, kind)
        given.set_data_from_numpy(array)
        wanted = library.InferRequestedOutput("scores", class_count=count)
        rows = client.infer(model, [given], outputs=[wanted]).as_numpy("scores")
    return [[entry.decode().split(":", 1)[1] for entry in row] for row in rows]


@pytest.mark.parametrize("library", [tritonclient.http, tritonclient.grpc])
def test_classes_have_the_bundles_names(
    server: Server, bundles: dict[str, Bundle], library: Any
) -> None:
    address = server.http if library is tritonclient.http else server.grpc
    pixels, _ = digits()
    files = []
    for image in pixels[:4]:
        stream = io.BytesIO()
        Image.fromarray(image).save(stream, "PNG")
        files.append(stream.getvalue())
    sources = [ImageSource(str(at), content) for at, content in enumerate(files)]
    own = [
        [f"{one.index}:{one.label}" for one in result.predictions]
        for result in classify(bundles["digits"], sources, backend=OnnxRuntimeBackend(), top=3)
    ]
    column = np.array(files, np.object_)[:, None]
    assert classified(library, address, "digits_image", "image", column, 3) == own
    reds = np.zeros((1, 3, 8, 8), np.float32)
    reds[:, 0] = 1
    assert classified(library, address, "colours", "image", reds, 1) == [[f"0:{LABELS[0]}"]]


def test_requests_at_the_same_time_share_batches_and_get_their_own_rows(
    server: Server, client: Any
) -> None:
    def one(number: int) -> tuple[Any, Any]:
        rows = number % 3 + 1
        made = np.zeros((rows, 3, 8, 8), np.float32)
        made[:, 1] = (number + np.arange(rows) / 10)[:, None, None]
        expected = 10 * (number + np.arange(rows) / 10)
        return ask("grpc", server.grpc, "colours", {"image": made}, ["scores"])["scores"], expected

    before = client.get_inference_statistics("colours").model_stats[0]
    with ThreadPoolExecutor(16) as pool:
        for scores, expected in pool.map(one, range(48)):
            assert np.allclose(scores[:, 1], expected)
            assert not scores[:, [0, 2]].any()
    after = client.get_inference_statistics("colours").model_stats[0]
    assert after.inference_count - before.inference_count == 96
    assert after.execution_count - before.execution_count < 40


def test_image_that_cannot_be_read_fails_alone(server: Server) -> None:
    def one(number: int) -> Any:
        content = picture("blue") if number % 2 else b"no image"
        column = np.array([[content]], np.object_)
        try:
            return ask("grpc", server.grpc, "colours_image", {"image": column}, ["scores"])
        except InferenceServerException as error:
            return str(error)

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(one, range(16)))
    for number, answer in enumerate(answers):
        if number % 2:
            assert np.allclose(answer["scores"], [[0, 0, 10]])
        else:
            assert "'image 1 of 1' is not an image" in answer


def test_server_reads_the_configurations_as_they_were_meant(
    repositories: dict[str, Path], client: Any
) -> None:
    for name in ("digits", "digits_image", "captioned", "colours-of-2_preprocess"):
        file = repositories[name.partition("_")[0]] / name / "config.pbtxt"
        written = config.from_text(file.read_text())
        read = client.get_model_config(name).config
        # What was not said has got its default; what was said is as it was.
        assert read.input == written.input
        assert read.output == written.output
        assert read.max_batch_size == written.max_batch_size
        assert read.ensemble_scheduling == written.ensemble_scheduling
        assert read.version_policy == written.version_policy
        assert read.parameters == written.parameters
        assert read.dynamic_batching.default_queue_policy == (
            written.dynamic_batching.default_queue_policy
        )
        assert [one.count for one in read.instance_group] == [
            one.count for one in written.instance_group
        ]


def test_what_was_changed_after_packaging_is_refused_at_load(
    repositories: dict[str, Path], client: Any
) -> None:
    repository = repositories["colours"]
    client.unload_model("colours")
    for file in ("colours/1/model.onnx", "colours/labels.txt"):
        before = (repository / file).read_bytes()
        (repository / file).write_bytes(before[:-1] + bytes([before[-1] ^ 1]))
        with pytest.raises(InferenceServerException) as caught:
            client.load_model("colours")
        assert f"'{file}' was changed after it was packaged" in str(caught.value)
        (repository / file).write_bytes(before)
    client.load_model("colours")
    assert client.is_model_ready("colours")


def test_other_forms_are_read_as_far_as_the_backend_that_is_not_here(
    tmp_path: Path, bundles: dict[str, Bundle], repositories: dict[str, Path], client: Any
) -> None:
    options = PackageOptions("triton", name="for-onnxruntime", triton_backend="onnxruntime")
    made = package(bundles["colours"], tmp_path / "out", options, silent, force=False).path
    home = repositories["colours"] / "for-onnxruntime"
    (made / "for-onnxruntime").rename(home)
    with pytest.raises(InferenceServerException, match="unable to find backend library"):
        client.load_model("for-onnxruntime")
    text = (home / "config.pbtxt").read_text()
    (home / "config.pbtxt").write_text(text.replace("max_batch_size: 16", "max_batch_size: -3"))
    with pytest.raises(InferenceServerException, match="failed to poll"):
        client.load_model("for-onnxruntime")


def test_benchmark_of_the_zoo_writes_what_it_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(package_triton, "export_bundle", lambda _, path: digits_bundle(path))
    monkeypatch.setattr("benchmarks.harness.RESULTS", tmp_path)
    monkeypatch.setattr("sys.argv", ["package_triton", "digits"])
    assert package_triton.main() == 0
    row = json.loads((tmp_path / "package_triton.json").read_text())["networks"]["digits"]
    assert row["verdict"] == "pass"
    assert {(one["question"], one["transport"]) for one in row["answers"]} == {
        (question, transport)
        for question in ("tensors, batch 1", "tensors, batch 3", "2 photographs")
        for transport in ("http", "grpc")
    }


@pytest.mark.usefixtures("server")
def test_what_was_served_is_still_what_was_packaged(repositories: dict[str, Path]) -> None:
    assert check(repositories["digits"]).files == {}


def test_runtime_that_is_not_there_is_named(
    tmp_path: Path, repositories: dict[str, Path], client: Any
) -> None:
    bundle = colour_bundle(tmp_path / "colours")
    model = bundle.manifest.artifact("model").model_copy(update={"target": "openvino"})
    bundle = bundle.update(artifacts={"model": model})
    options = PackageOptions("triton", name="for-openvino")
    made = package(bundle, tmp_path / "out", options, silent, force=False).path
    (made / "for-openvino").rename(repositories["colours"] / "for-openvino")
    with pytest.raises(InferenceServerException, match="pip install openvino"):
        client.load_model("for-openvino")
