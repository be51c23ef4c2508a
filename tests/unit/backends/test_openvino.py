from __future__ import annotations

import importlib.metadata
import importlib.util
import subprocess
import sys
import weakref

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from lrn_deploy.backends import openvino, openvino_layers
from lrn_deploy.backends.openvino import OpenVinoBackend
from lrn_deploy.backends.protocol import Probe
from lrn_deploy.bundle import ArtifactData
from lrn_deploy.errors import BadInputError, DamagedError, MissingError
from lrn_deploy.extras import install
from lrn_deploy.lrn import LrnSpec, reference

installed = pytest.mark.skipif(
    importlib.util.find_spec("openvino") is None,
    reason="openvino is not installed",
)


def model(
    *nodes: onnx.NodeProto, channels: int = 4, precision: str = "fp32", target: str = "any"
) -> ArtifactData:
    rng = np.random.default_rng(0)
    weights = rng.standard_normal((8, channels, 3, 3)).astype(np.float32)
    graph = helper.make_graph(
        list(nodes),
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", channels, 5, 5])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(weights, "w")],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    data = made.SerializeToString()
    return ArtifactData("g", "onnx", data, precision=precision, target=target)


LRN = helper.make_node("LRN", ["x"], ["y"], size=3, alpha=0.3, beta=0.75, bias=2.0)
CONV = helper.make_node("Conv", ["x", "w"], ["y"])


@installed
def test_lrn_as_it_is_defined_at_any_batch() -> None:
    rng = np.random.default_rng(1)
    with OpenVinoBackend().load(model(LRN)) as session:
        assert (session.inputs[0].shape, session.inputs[0].dtype) == (("batch", 4, 5, 5), "float32")
        for batch in (1, 3):
            x = rng.standard_normal((batch, 4, 5, 5)).astype(np.float32)
            truth = reference(x, LrnSpec(3, 0.3, 0.75, 2.0))
            np.testing.assert_allclose(session.run({"x": x})["y"], truth, rtol=3e-6, atol=1e-7)


@installed
def test_outputs_are_copies_and_inputs_may_be_views() -> None:
    x = np.random.default_rng(1).standard_normal((5, 5, 4, 2)).astype(np.float32).T
    with OpenVinoBackend().load(model(CONV)) as session:
        first = session.run({"x": x})["y"]
        kept = first.copy()
        session.run({"x": x + 1})
        np.testing.assert_array_equal(first, kept)


@installed
def error(**made_for: str) -> float:
    """Relative L2 error of a convolution against float64."""
    x = np.random.default_rng(1).standard_normal((2, 64, 5, 5)).astype(np.float32)
    artifact = model(CONV, channels=64, **made_for)
    graph = onnx.load_model_from_string(artifact.data).graph
    weights = numpy_helper.to_array(graph.initializer[0]).astype(np.float64)
    windows = np.lib.stride_tricks.sliding_window_view(x.astype(np.float64), (3, 3), axis=(2, 3))
    truth = np.einsum("nchwij,ocij->nohw", windows, weights)
    with OpenVinoBackend().load(artifact) as session:
        return float(np.linalg.norm(session.run({"x": x})["y"] - truth) / np.linalg.norm(truth))


@installed
@pytest.mark.parametrize("precision", ["bf16", "int8-bf16"])
def test_bf16_is_what_the_artifact_says(precision: str) -> None:
    if "with bf16" not in OpenVinoBackend().probe().detail:
        pytest.skip("this processor has no bf16 units")
    found = error(precision=precision, target="openvino")
    assert 1e-4 < found < 1e-2  # bf16 rounds to 2**-9


@installed
@pytest.mark.parametrize(
    ("precision", "target"),
    [("fp32", "any"), ("fp32", "openvino"), ("int8", "openvino"), ("bf16", "tensorrt")],
)
def test_all_else_computes_in_float32(precision: str, target: str) -> None:
    assert error(precision=precision, target=target) < 1e-6


@installed
def test_a_processor_without_bf16_units_refuses_bf16(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openvino, "_capabilities", lambda: ["FP32", "INT8"])
    assert OpenVinoBackend().probe().available
    assert error() < 1e-6
    with pytest.raises(MissingError, match=r"no bf16 units for 'g'") as caught:
        OpenVinoBackend().load(model(CONV, precision="bf16", target="openvino"))
    assert "int8" in caught.value.hint


@installed
def test_refusals_say_why() -> None:
    backend = OpenVinoBackend()
    with pytest.raises(DamagedError, match=r"refuses the graph of 'g'.*NoSuchOperator"):
        backend.load(model(helper.make_node("NoSuchOperator", ["x"], ["y"])))
    with pytest.raises(DamagedError, match="refuses the graph of 'j'"):
        backend.load(ArtifactData("j", "onnx", b"junk"))
    with backend.load(model(LRN)) as session, pytest.raises(BadInputError, match="takes shape"):
        session.run({"x": np.zeros((1, 3, 5, 5), np.float32)})


@installed
def test_one_whose_libraries_do_not_load_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    def capabilities() -> list[str]:
        raise OSError("libtbb.so.12: cannot open shared object file")

    monkeypatch.setattr(openvino, "_capabilities", capabilities)
    assert OpenVinoBackend().probe() == Probe(
        False,
        importlib.metadata.version("openvino"),
        "OpenVINO does not start: libtbb.so.12: cannot open shared object file.",
        f"Install it with: {install('openvino')}",
    )


@installed
@pytest.mark.parametrize(("able", "units"), [(["FP32"], "without"), (["FP32", "BF16"], "with")])
def test_what_the_processor_has_units_for_is_told(
    monkeypatch: pytest.MonkeyPatch, able: list[str], units: str
) -> None:
    monkeypatch.setattr(openvino, "_capabilities", lambda: able)
    version = importlib.metadata.version("openvino")
    assert OpenVinoBackend().probe() == Probe(True, version, f"CPU, {units} bf16 units")


def test_absent_it_says_which_extra_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    hint = f"Install it with: {install('openvino')}"
    assert OpenVinoBackend().probe() == Probe(False, None, "OpenVINO is not installed.", hint)
    with pytest.raises(MissingError, match="not installed"):
        OpenVinoBackend().load(model(LRN))


@installed
def test_where_the_time_goes() -> None:
    conv = helper.make_node("Conv", ["x", "w"], ["c"], name="conv")
    relu = helper.make_node("Relu", ["c"], ["r"], name="relu")
    lrn = helper.make_node("LRN", ["r"], ["y"], size=3, alpha=0.3, beta=0.75, name="lrn")
    feeds = {"x": np.ones((64, 4, 5, 5), np.float32)}
    trace = OpenVinoBackend(threads=1).layer_times(model(conv, relu, lrn), feeds, 12)
    assert trace is not None
    kinds = {kernel.kind for kernel in trace.kernels}
    assert {"Convolution", "LRN"} <= kinds
    assert "Relu" not in kinds  # it was fused, and has no time of its own
    assert len(trace.whole) == 2  # averages of five runs
    for at, whole in enumerate(trace.whole):
        assert 0 < sum(kernel.seconds[at] for kernel in trace.kernels) < whole


def test_averages_over_all_runs_are_taken_apart() -> None:
    first = [1.0, 9.0, 9.0, *[2.0] * 5, *[4.0] * 5]  # seconds of each run; three of warm-up
    seen = [{("conv", "Convolution"): sum(first[:n]) / n} for n in range(1, len(first) + 1)]
    found = openvino_layers.trace([3.0] * 5 + [5.0] * 5, seen)
    assert found.whole == (3.0, 5.0)
    (kernel,) = found.kernels
    assert (kernel.name, kernel.kind) == ("conv", "Convolution")
    assert kernel.seconds == pytest.approx((2.0, 4.0))


def test_a_kernel_of_about_a_microsecond_may_be_missing_at_times() -> None:
    key = ("sum", "Add")
    there = [n not in (3, 8) for n in range(1, 14)]  # after the warm-up, and after the first group
    found = openvino_layers.trace([1.0] * 10, [{key: 1e-6} if here else {} for here in there])
    (kernel,) = found.kernels
    assert kernel.seconds == pytest.approx((0.0, 13e-6 / 5))


CLOSED_ELSEWHERE = """
import gc, os, signal, sys, threading
from lrn_deploy.backends.openvino import OpenVinoBackend
from lrn_deploy.bundle import ArtifactData

data = ArtifactData("model", "onnx", sys.stdin.buffer.read())
held = [OpenVinoBackend(threads=1).load(data)]
thread = threading.Thread(target=lambda: (held.pop().close(), gc.collect()))
thread.start()
thread.join()
try:
    signal.raise_signal(signal.SIGINT)
except KeyboardInterrupt:
    print("interrupted")
"""


@installed
def test_a_signal_is_survived_after_a_session_was_closed_in_another_thread() -> None:
    """OpenVINO's plugin frees a stack that the first thread's signal handlers would run on."""
    ended = subprocess.run(
        [sys.executable, "-c", CLOSED_ELSEWHERE],
        input=model(CONV).data,
        capture_output=True,
        check=False,
    )
    assert (ended.returncode, ended.stdout) == (0, b"interrupted\n"), ended.stderr.decode()


@installed
@pytest.mark.parametrize("threads", [1, 2])
def test_a_run_takes_the_threads_that_it_is_given(threads: int) -> None:
    session = OpenVinoBackend(threads=threads).load(model(CONV))
    compiled = session._request.get_compiled_model()
    assert compiled.get_property("INFERENCE_NUM_THREADS") == threads
    held = weakref.ref(session._request)
    session.close()
    assert held() is None, "its memory is not free"


class Elsewhere:
    """Stands in for OpenVINO where it compiles a graph otherwise than it was asked to."""

    def __init__(self, device: str, precision: str) -> None:
        self.device, self.precision = device, precision

    def read_model(self, _data: bytes) -> Elsewhere:
        return self

    def compile_model(self, _model: Elsewhere, _device: str, _options: object) -> Elsewhere:
        return self

    def get_property(self, name: str, more: str = "") -> object:
        if more:  # of the device, not of a compiled graph
            return ["FP32", "BF16"]
        return [self.device] if name == "EXECUTION_DEVICES" else self

    def to_string(self) -> str:
        return self.precision


@installed
@pytest.mark.parametrize(
    ("device", "precision", "sentence"),
    [
        ("GPU", "f32", "would run on GPU instead of CPU"),
        ("CPU", "bf16", "would compute in bf16 instead of f32"),
    ],
)
def test_another_device_or_precision_than_asked_for_is_refused(
    monkeypatch: pytest.MonkeyPatch, device: str, precision: str, sentence: str
) -> None:
    monkeypatch.setattr(openvino, "_core", lambda: Elsewhere(device, precision))
    with pytest.raises(MissingError, match=sentence):
        OpenVinoBackend().load(model(CONV))


def test_averages_in_whole_microseconds_make_no_negative_times() -> None:
    key = ("sum", "Add")
    # Averages after 3 and 8 runs, cut to microseconds: 3 * 3 us are more than 8 * 1 us.
    seen = [{key: 3e-6}] * 3 + [{key: 1e-6}] * 5
    (kernel,) = openvino_layers.trace([1.0] * 5, seen).kernels
    assert kernel.seconds == (0.0,)


@installed
def test_a_view_is_read_in_its_own_order() -> None:
    view = np.random.default_rng(1).standard_normal((5, 5, 4, 2)).astype(np.float32).T
    assert not view.flags.c_contiguous
    with OpenVinoBackend().load(model(LRN)) as session:
        y = session.run({"x": view})["y"]
    np.testing.assert_allclose(y, reference(view, LrnSpec(3, 0.3, 0.75, 2.0)), rtol=3e-6, atol=1e-7)


@installed
@pytest.mark.parametrize("inner", ["a", "z"])
def test_an_output_that_is_only_another_name_of_a_value_is_called_as_the_graph_calls_it(
    inner: str,
) -> None:
    """OpenVINO drops an Identity and knows the value by both names, in no order of its own."""
    conv = helper.make_node("Conv", ["x", "w"], [inner])
    same = helper.make_node("Identity", [inner], ["y"])
    with OpenVinoBackend().load(model(conv, same)) as session:
        assert [spec.name for spec in session.outputs] == ["y"]
        assert set(session.run({"x": np.zeros((1, 4, 5, 5), np.float32)})) == {"y"}


@installed
def test_dynamic_axes_that_may_differ_have_names_that_differ() -> None:
    data = onnx.load_from_string(model(LRN).data)
    for at, name in ((2, "height"), (3, "width")):
        data.graph.input[0].type.tensor_type.shape.dim[at].dim_param = name
    artifact = ArtifactData("g", "onnx", data.SerializeToString())
    with OpenVinoBackend().load(artifact) as session:
        assert session.inputs[0].shape == ("batch", 4, "dynamic_2", "dynamic_3")
        assert session.run({"x": np.zeros((2, 4, 3, 6), np.float32)})["y"].shape == (2, 4, 3, 6)


@pytest.mark.parametrize(
    ("told", "sentence"),
    [
        ("", "no reason."),
        ("\n", "no reason."),
        ("Exception from src/core/a.cpp:1:\nCheck 'x > 0' failed at b.cpp:2:\nNo such axis:\nmore",
         "No such axis."),
        ("FrontEnd API failed with OpConversionFailure:\nSummary:\n-- No conversion rule for: A\n",
         "No conversion rule for: A."),
        ("Check 'all' failed at a.cpp:3.", "Check 'all' failed at a.cpp:3."),
    ],
)  # fmt: skip
def test_the_sentence_in_openvinos_lines(told: str, sentence: str) -> None:
    assert openvino._reason(RuntimeError(told)) == sentence


@installed
@pytest.mark.parametrize(
    ("precision", "target", "hint"),
    [
        ("bf16", "openvino", "bf16"),
        ("int8-bf16", "openvino", "bf16"),
        ("bf16", "tensorrt", "f32"),
        ("fp32", "openvino", "f32"),
        ("int8", "openvino", "f32"),
    ],
)
def test_a_processor_with_bf16_units_is_told_what_the_artifact_says(
    monkeypatch: pytest.MonkeyPatch, precision: str, target: str, hint: str
) -> None:
    asked: list[object] = []
    monkeypatch.setattr(openvino, "_capabilities", lambda: ["FP32", "BF16"])
    monkeypatch.setattr(openvino, "OpenVinoSession", lambda *given: asked.extend(given))
    artifact = model(CONV, precision=precision, target=target)
    OpenVinoBackend(threads=3).load(artifact)
    assert asked == [artifact, 3, hint, {}]
