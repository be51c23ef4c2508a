"""What a served bundle runs on: tune's choice, the next that this machine can run, an engine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tritonclient.grpc import service_pb2

from lrn_deploy.backends import tensorrt as tensorrt_module
from lrn_deploy.backends.onnxruntime import OnnxRuntimeBackend
from lrn_deploy.backends.openvino import OpenVinoBackend
from lrn_deploy.backends.protocol import Backend
from lrn_deploy.backends.tensorrt import TensorRtBackend
from lrn_deploy.bundle import Artifact, ArtifactData, Bundle, Choice, Said
from lrn_deploy.errors import BadInputError, DamagedError, MissingError
from lrn_deploy.serving import server as run
from lrn_deploy.serving.errors import InferenceError
from lrn_deploy.serving.grpc import codec as grpc_codec
from lrn_deploy.serving.inference import InferRequest
from lrn_deploy.serving.protocol import metadata as describe
from lrn_deploy.serving.repository.loading import load_model
from lrn_deploy.serving.repository.model import ServedModel
from lrn_deploy.serving.repository.repository import Repository
from lrn_deploy.serving.settings import ModelSettings
from lrn_deploy.serving.telemetry.interval import Interval
from lrn_deploy.tensorrt.device import cuda
from lrn_deploy.workflows.preprocess import correct_preprocessing
from tests.support.engine_graphs import engine_record, make_bundle
from tests.support.fake_gpu import DEVICE, FakeGpu
from tests.support.image_bundles import PREPROCESSING, colour_bundle

SETTINGS = ModelSettings(threads=1, max_batch_size=4)


def chosen(bundle: Bundle, *backends: str) -> Bundle:
    """The bundle as tune leaves it."""
    digest = bundle.manifest.artifacts["model"].sha256
    return bundle.update(
        choices=tuple(
            Choice(artifact="model", sha256=digest, backend=backend) for backend in backends
        )
    )


def red(model: ServedModel) -> list[float]:
    pixels = np.zeros((1, 3, 8, 8), np.float32)
    pixels[:, 0] = 1
    outputs = model.submit(InferRequest({"image": pixels})).result(10).outputs
    return [float(value) for value in outputs["scores"][0]]


def close(model: ServedModel) -> None:
    assert model.batcher.close(5)


def test_tunes_choice_is_served_with_openvino(tmp_path: Path) -> None:
    chosen(colour_bundle(tmp_path / "b"), "openvino:cpu", "onnxruntime:cpu")
    model = load_model(tmp_path / "b", SETTINGS)
    assert (model.source.backend, model.source.device) == ("openvino", "cpu")
    assert model.source.reason == "tune chose it"
    assert red(model) == pytest.approx([10, 0, 0])
    config = describe.config(model)
    assert (config["backend"], config["platform"]) == ("openvino", "openvino")
    close(model)


class Noting(OnnxRuntimeBackend):
    """ONNX Runtime that notes the rows of each run, session by session."""

    def __init__(self, threads: int, ran: list[list[int]]) -> None:
        super().__init__(threads=threads)
        self.ran = ran

    def load(self, artifact: ArtifactData) -> Any:
        session = super().load(artifact)
        rows: list[int] = []
        self.ran.append(rows)
        run = session.run

        def noted(feeds: Any) -> Any:
            rows.append(len(feeds["image"]))
            return run(feeds)

        session.run = noted  # type: ignore[method-assign]  # to note it
        return session


def test_each_instance_runs_one_row_and_the_most_before_it_is_ready(tmp_path: Path) -> None:
    colour_bundle(tmp_path / "b")
    ran: list[list[int]] = []
    settings = replace(SETTINGS, instances=2, max_queue_requests=3, max_queue_bytes=4096)
    model = load_model(
        tmp_path / "b", settings, name="own", backends=lambda threads: [Noting(threads, ran)]
    )
    assert ran == [[1, 4], [1, 4]]
    assert (model.name, model.max_batch, model.batcher.alive) == ("own", 4, 2)
    queue = model.batcher.pending
    assert (queue.max_requests, queue.max_bytes) == (3, 4096)
    assert red(model) == pytest.approx([10, 0, 0])
    close(model)


def test_one_that_failed_is_loaded_and_warm_again_before_it_is_asked(tmp_path: Path) -> None:
    colour_bundle(tmp_path / "b")
    ran: list[list[int]] = []
    model = load_model(tmp_path / "b", SETTINGS, backends=lambda threads: [Noting(threads, ran)])
    (instance,) = model.batcher._instances

    def fail(_feeds: Any) -> Any:
        raise RuntimeError("broken")

    instance.runner.run = fail  # type: ignore[method-assign]  # to let it fail
    with pytest.raises(InferenceError, match="broken"):
        red(model)
    assert red(model) == pytest.approx([10, 0, 0])
    assert ran[1:] == [[1, 4, 1]]
    close(model)


def test_a_bundle_that_was_not_tuned_runs_on_onnx_runtime(tmp_path: Path) -> None:
    colour_bundle(tmp_path / "b")
    model = load_model(tmp_path / "b", SETTINGS)
    assert model.source.backend == "onnxruntime"
    assert "not tuned" in model.source.reason
    close(model)


class Lacking(OpenVinoBackend):
    """OpenVINO on a processor without the units for the artifact."""

    def load(self, artifact: ArtifactData) -> Any:
        raise MissingError(f"This processor has no bf16 units for '{artifact.name}'.")


def test_what_this_machine_lacks_is_passed_over_and_said(tmp_path: Path) -> None:
    chosen(colour_bundle(tmp_path / "b"), "openvino:cpu", "onnxruntime:cpu")

    def backends(threads: int) -> Sequence[Backend]:
        return [Lacking(threads=threads), OnnxRuntimeBackend(threads=threads)]

    model = load_model(tmp_path / "b", SETTINGS, backends=backends)
    assert model.source.backend == "onnxruntime"
    assert model.source.reason == (
        "the best of tune's that runs here; not openvino: This processor has no bf16 units for "
        "'model'."
    )
    assert red(model) == pytest.approx([10, 0, 0])
    close(model)
    with pytest.raises(MissingError, match="no bf16 units"):
        load_model(tmp_path / "b", SETTINGS, backends=lambda threads: [Lacking(threads=threads)])


def test_a_damaged_file_is_never_passed_over(tmp_path: Path) -> None:
    bundle = chosen(colour_bundle(tmp_path / "b"), "openvino:cpu", "onnxruntime:cpu")
    (bundle.path / "model.onnx").write_bytes(b"broken")
    with pytest.raises(DamagedError, match="SHA-256"):
        load_model(bundle.path, SETTINGS)


def test_a_damaged_artifact_is_not_passed_over_for_one_that_is_whole(tmp_path: Path) -> None:
    bundle = colour_bundle(tmp_path / "b")
    whole = bundle.manifest.artifact("model")
    record = bundle.add_file("best.onnx", bundle.read(whole))
    best = Artifact(**record.model_dump(), format="onnx", precision="fp32", source="model")
    bundle = bundle.add_artifact("best", best) or Bundle.open(tmp_path / "b")
    bundle.update(
        choices=(
            Choice(artifact="best", sha256=record.sha256, backend="openvino:cpu"),
            Choice(artifact="model", sha256=whole.sha256, backend="onnxruntime:cpu"),
        )
    )
    (tmp_path / "b" / "best.onnx").write_bytes(b"broken")
    with pytest.raises(DamagedError, match="best"):
        load_model(tmp_path / "b", SETTINGS)


@pytest.mark.parametrize("device", ["tpu", "cpu:0", "cuda:x"])
def test_what_names_no_device_is_told_before_anything_is_read(tmp_path: Path, device: str) -> None:
    with pytest.raises(BadInputError, match=f"There is no device '{device}'"):
        load_model(tmp_path / "none", replace(SETTINGS, device=device))


def test_a_gpu_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    colour_bundle(tmp_path / "b")
    with pytest.raises(MissingError, match="cuda:1"):
        load_model(tmp_path / "b", replace(SETTINGS, device="cuda:1"))


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> FakeGpu:
    fake = FakeGpu()
    monkeypatch.setattr(tensorrt_module, "find_device", lambda _index: DEVICE)
    monkeypatch.setattr(tensorrt_module, "find_flavor", lambda _name: fake)
    monkeypatch.setattr(tensorrt_module.platform, "system", lambda: "Linux")
    monkeypatch.setattr(tensorrt_module.platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(cuda, "runtime", lambda: fake.cuda)
    return fake


def with_engine(folder: Path, **changes: Any) -> Path:
    """A bundle with an engine that doubles ``x`` on the fake GPU, for batches up to 8."""
    bundle = make_bundle(folder)
    record = bundle.add_file("engines/e.plan", b"plan")
    engine = engine_record(precision="fp32", profile={"x": ((1, 3), (4, 3), (8, 3))}, **changes)
    bundle.add_artifact("e", Artifact(**record.model_dump(), format="tensorrt-rtx", engine=engine))
    return folder


def test_an_engine_is_served_and_every_batch_size_has_its_graph_before_it_is_ready(
    tmp_path: Path, gpu: FakeGpu
) -> None:
    settings = ModelSettings(device="cuda:0", max_batch_size=16)
    model = load_model(
        with_engine(tmp_path), settings, backends=lambda _threads: [TensorRtBackend("cuda:0")]
    )
    assert (model.artifact, model.max_batch) == ("e", 8)  # no more than the engine was built for
    assert gpu.cuda.graphs == 8
    assert model.batcher._here_ns == 0  # what waits for a GPU never holds the event loop up
    assert describe.metadata(model)["platform"] == "tensorrt_plan"
    assert describe.config(model)["instance_group"][0]["kind"] == "KIND_GPU"
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    assert np.array_equal(model.submit(InferRequest({"x": x})).result(10).outputs["y"], 2 * x)
    close(model)
    assert (gpu.cuda.graphs, gpu.cuda.streams) == (0, 0)


def test_an_engine_of_another_gpu_gives_way_to_the_graph(tmp_path: Path, gpu: FakeGpu) -> None:
    settings = ModelSettings(device="cuda:0", threads=1, max_batch_size=2)

    def backends(threads: int) -> Sequence[Backend]:
        return [TensorRtBackend("cuda:0"), OnnxRuntimeBackend(threads=threads)]

    model = load_model(with_engine(tmp_path, targets=("sm120",)), settings, backends=backends)
    assert (model.artifact, model.source.backend) == ("model", "onnxruntime")
    assert "built for sm120" in model.source.reason
    assert gpu.contexts_made == 0
    close(model)


def test_what_is_in_doubt_is_said_at_the_start_and_wherever_a_client_asks(tmp_path: Path) -> None:
    colour_bundle(tmp_path / "sure")
    guessed = PREPROCESSING.model_copy(update={"assumed": ("mean", "std")})
    bundle = colour_bundle(tmp_path / "b", preprocessing=guessed)
    reports = tmp_path / "b" / "reports"
    reports.mkdir()
    (reports / "parity.json").write_text("{}")
    correct_preprocessing(bundle, Said(interpolation="box"))
    repository = Repository(SETTINGS)
    said: list[str] = []
    run.load_all(
        repository, [("sure", tmp_path / "sure", ""), ("b", tmp_path / "b", "")], said.append
    )
    doubts = [
        "Preprocessing assumed: mean [0.485, 0.456, 0.406]; std [0.229, 0.224, 0.225]; if it was "
        "trained otherwise, predictions are wrong.",
        "'reports/parity.json' was made before the preprocessing was changed: "
        "run 'lrn-deploy validate' again.",
    ]
    assert [line for line in said if not line.startswith("Serving '")] == [
        f"Warning: 'b': {doubt}" for doubt in doubts
    ]
    model, sure = repository.get("b"), repository.get("sure")
    assert describe.metadata(model)["parameters"] == {"doubts": doubts}
    content = {"config": describe.config(model)}
    filled = grpc_codec.from_json(content, service_pb2.ModelConfigResponse())
    told = filled.config.parameters["doubts"].string_value
    assert told.splitlines() == doubts
    filled = grpc_codec.from_json(describe.metadata(model), service_pb2.ModelMetadataResponse())
    assert filled.name == "b", "gRPC's metadata has no field for it"
    entries = Interval(repository.models(), 0).next(repository.models(), 1)["models"]
    assert {entry["name"]: entry["doubts"] for entry in entries} == {"sure": [], "b": doubts}
    assert "parameters" not in describe.metadata(sure) | describe.config(sure)
    assert repository.close(5)
