from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
import pytest

from lrn_deploy.backends.onnxruntime import OnnxRuntimeBackend
from lrn_deploy.backends.openvino import OpenVinoBackend
from lrn_deploy.backends.protocol import Array, Probe, SessionBase
from lrn_deploy.backends.registry import cannot_run_here
from lrn_deploy.backends.tensorrt import TensorRtBackend
from lrn_deploy.bundle import (
    Artifact,
    ArtifactData,
    EngineRecord,
    LayerTensor,
    Manifest,
    TensorSpec,
)
from lrn_deploy.errors import DamagedError, MissingError, NoKernelError
from lrn_deploy.parity.budgets import Budgets
from lrn_deploy.parity.schema import Check
from lrn_deploy.placement import Placement
from lrn_deploy.workflows.validate.checks import (
    Checked,
    check_layers,
    check_outputs,
    fitting_batches,
    not_built,
    run_in_batches,
)
from lrn_deploy.workflows.validate.samples import Sample
from tests.support.engine_graphs import network

CHECKED = Checked(Placement("model", "fake", "cpu"), "fp32")
ARTIFACT = Artifact(file="model.onnx", sha256="", size=0, format="onnx")


class Fake(SessionBase):
    """Doubles its input; records the batches that it ran."""

    def __init__(self, batch: int | str = "batch", error: float = 0.0) -> None:
        self.inputs = (TensorSpec(name="x", dtype="float64", shape=(batch, 2)),)
        self.outputs = (TensorSpec(name="y", dtype="float64", shape=(batch, 2)),)
        self.error = error
        self.ran: list[int] = []

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        self.ran.append(len(feeds["x"]))
        return {"y": feeds["x"] * (2 + self.error)}


class Refusing(Fake):
    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:  # noqa: ARG002
        raise DamagedError("Gemm takes 3 columns.")


def sample(rows: int = 5, output: str = "y") -> Sample:
    x = np.arange(2.0 * rows).reshape(rows, 2)
    return Sample("random", {"x": x}, {output: 2 * x})


def checks(session: Fake, given: Sample, batches: tuple[int, ...] = (2,)) -> list[Check]:
    return list(check_outputs(CHECKED, session, [given], batches, Budgets()))


def test_every_run_has_exactly_the_batch_and_every_row_counts_once() -> None:
    session = Fake()
    outputs = run_in_batches(session, sample(5).feeds, 3)
    assert session.ran == [3, 3]
    np.testing.assert_array_equal(outputs["y"], sample(5).outputs["y"])
    np.testing.assert_array_equal(
        run_in_batches(session, sample(2).feeds, 8)["y"], sample(2).outputs["y"]
    )


def test_what_is_right_passes_and_what_is_wrong_fails() -> None:
    (right,) = checks(Fake(), sample())
    assert (right.verdict, right.inputs, right.batch) == ("pass", "random", 2)
    (wrong,) = checks(Fake(error=1e-4), sample())
    assert wrong.verdict == "fail"
    assert wrong.metrics is not None
    assert wrong.metrics.relative_l2 == pytest.approx(5e-5)
    assert wrong.reason == "over budget"


def test_a_run_that_is_refused_fails_with_its_reason() -> None:
    (check,) = checks(Refusing(), sample())
    assert (check.verdict, check.reason) == ("fail", "Gemm takes 3 columns.")


def test_a_missing_output_fails() -> None:
    (check,) = checks(Fake(), sample(output="logits"))
    assert (check.verdict, check.subject) == ("fail", "logits")
    assert "no output 'logits'" in check.reason


def test_another_shape_fails() -> None:
    given = sample()
    given.outputs["y"] = given.outputs["y"][:, :1]
    (check,) = checks(Fake(), given)
    assert check.verdict == "fail"
    assert check.reason == "it gives shape [2] instead of [1]"


def test_nan_on_one_side_fails_and_says_so() -> None:
    given = sample()
    given.outputs["y"][0, 0] = np.nan
    (check,) = checks(Fake(), given)
    assert check.verdict == "fail"
    assert "1 values are NaN or infinite on one side only" in check.reason


def test_batches_that_fit() -> None:
    assert fitting_batches(ARTIFACT, Fake(), (1, 3, 8)) == (1, 3, 8)
    assert fitting_batches(ARTIFACT, Fake(batch=4), (1, 3, 8)) == (4,)


def test_an_engine_runs_at_the_batches_of_its_profile() -> None:
    engine = EngineRecord.model_construct(batch=(2, 4, 6))
    artifact = ARTIFACT.model_copy(update={"engine": engine})
    assert fitting_batches(artifact, Fake(), (1, 3, 8)) == (2, 3, 6)
    refusal = DamagedError("It was built for sm86, and this is sm90.")
    assert cannot_run_here(artifact, TensorRtBackend("cuda"), refusal)


def test_a_missing_kernel_speaks_of_the_machine() -> None:
    refusal = NoKernelError("ONNX Runtime has no kernel on the CPU for a node of 'trt-bf16': Conv.")
    variant = ARTIFACT.model_copy(update={"source": "model", "target": "tensorrt"})
    backend = OnnxRuntimeBackend()
    assert cannot_run_here(variant, backend, refusal)
    assert cannot_run_here(variant, backend, MissingError("It fell back to the CPU."))
    assert not cannot_run_here(ARTIFACT, backend, refusal), "the canonical graph must run"
    assert not cannot_run_here(variant, backend, DamagedError("It has a loop."))
    said = DamagedError("ONNX Runtime refuses the graph: NOT_IMPLEMENTED.")
    assert not cannot_run_here(variant, backend, said), "the kind counts, not the words"


@pytest.mark.parametrize(
    ("device", "target"), [("cpu", "cpu"), ("cuda", "cuda"), ("cuda:1", "cuda")]
)
def test_what_was_made_for_a_device_has_kernels_there(device: str, target: str) -> None:
    refusal = NoKernelError("ONNX Runtime has no kernel for it.")
    made_for_it = ARTIFACT.model_copy(update={"source": "model", "target": target})
    assert not cannot_run_here(made_for_it, OnnxRuntimeBackend(device), refusal)
    other = OnnxRuntimeBackend("cuda" if device == "cpu" else "cpu")
    assert cannot_run_here(made_for_it, other, refusal)
    gone = MissingError("ONNX Runtime cannot run on cuda.")
    assert cannot_run_here(made_for_it, OnnxRuntimeBackend(device), gone)


def test_openvino_need_not_take_what_was_not_made_for_it() -> None:
    refusal = DamagedError("OpenVINO refuses the graph: no rule for NonZero.")
    made_for_it = ARTIFACT.model_copy(update={"source": "model", "target": "openvino"})
    assert cannot_run_here(ARTIFACT, OpenVinoBackend(), refusal)
    assert not cannot_run_here(made_for_it, OpenVinoBackend(), refusal)
    assert cannot_run_here(made_for_it, OpenVinoBackend(), MissingError("No bf16 units."))


class Gpu(TensorRtBackend):
    """TensorRT on a GPU that is there, or is not."""

    def __init__(self, device: str, available: bool = True) -> None:
        super().__init__(device)
        self.available = available

    def probe(self) -> Probe:
        return Probe(self.available, "1", "")


def holding(**artifacts: Artifact) -> Manifest:
    """A manifest of which only the artifacts count."""
    return Manifest.model_construct(
        artifacts={name.replace("_", "-"): artifacts[name] for name in artifacts}
    )


def test_a_variant_for_tensorrt_that_no_engine_was_built_from_is_listed_on_each_gpu() -> None:
    graph = {"source": "model", "target": "tensorrt", "precision": "bf16", "sha256": "b2"}
    variant = ARTIFACT.model_copy(update=graph)
    record = EngineRecord.model_construct(source_sha256="b2")
    engine = ARTIFACT.model_copy(update={"source": "trt-bf16", "engine": record})
    gpus = (OnnxRuntimeBackend("cuda"), Gpu("cuda"), Gpu("cuda:1"))
    rows = list(not_built(holding(trt_bf16=variant), "trt-bf16", gpus))
    assert [row.backend for row in rows] == ["tensorrt:cuda", "tensorrt:cuda:1"]
    assert {(row.artifact, row.verdict) for row in rows} == {("trt-bf16", "skipped")}
    assert "lrn-deploy build-engine --precision bf16" in rows[0].reason
    built = holding(trt_bf16=variant, engine=engine)
    assert not list(not_built(built, "trt-bf16", gpus))
    older = engine.model_copy(update={"engine": EngineRecord.model_construct(source_sha256="b1")})
    assert list(not_built(holding(trt_bf16=variant, engine=older), "trt-bf16", gpus)) == rows
    assert not list(not_built(holding(model=ARTIFACT), "model", gpus)), "ONNX Runtime runs it"
    absent = Gpu("cuda", available=False)
    assert not list(not_built(holding(trt_bf16=variant), "trt-bf16", (absent,)))


def test_the_first_layer_over_budget_is_the_networks_first_whichever_inputs_show_it() -> None:
    class Layers(Fake):
        """Gives each layer's value on the first set of inputs, then on the second."""

        name, device, formats = "fake", "cpu", frozenset({"onnx"})

        def probe(self) -> Probe:
            raise AssertionError

        def load(self, artifact: ArtifactData) -> Layers:
            model = onnx.load_model_from_string(artifact.data)
            assert {item.name for item in model.graph.output} == {"logits", "r", "n"}
            return self

        def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
            off = 1e-2 if feeds["x"][0, 0] else 0  # relu is wrong on the second one only
            return {"r": feeds["x"] * (1 + off), "n": feeds["x"] * 1.01}

    x = np.arange(1.0, 17.0).reshape(8, 2)
    modules = ("relu", "norm", "gone")
    feeds = [x * np.array([0, 1]), x]
    samples = [
        (Sample(name, {"x": value}, {}), dict.fromkeys(modules, value))
        for name, value in zip(("random", "photographs"), feeds, strict=True)
    ]
    backend = Layers()
    tensors = {"relu": "r", "gone": "no such value", "norm": "n"}
    found, drift = check_layers(
        CHECKED,
        backend,
        ARTIFACT,
        ArtifactData("model", "onnx", b""),
        onnx.load_model_from_string(network()),
        [LayerTensor(module=module, tensor=tensor) for module, tensor in tensors.items()],
        samples,
        Budgets(),
    )
    assert [(check.inputs, check.subject, check.verdict) for check in found] == [
        ("random", "relu", "pass"),
        ("random", "norm", "fail"),
        ("photographs", "relu", "fail"),
        ("photographs", "norm", "fail"),
    ]
    assert drift.first is not None
    assert (drift.first.subject, drift.first.inputs) == ("relu", "photographs")
    assert (drift.compared, drift.missing) == (2, ("gone",))
