from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from lrn_deploy import lrn
from lrn_deploy.backends.onnxruntime import OnnxRuntimeBackend
from lrn_deploy.backends.openvino import OpenVinoBackend
from lrn_deploy.bundle import ArtifactData, LrnLayer
from lrn_deploy.errors import DamagedError
from lrn_deploy.lrn import LrnSpec
from lrn_deploy.parity import graph
from lrn_deploy.parity.budget import Budget
from lrn_deploy.parity.probe import AMPLITUDES, Runner, amplitudes, probe_inputs, probe_layer

SPEC = LrnSpec(5, 1e-4, 0.75, 2.0)
BUDGET = Budget(relative_l2=1e-6, error_over_signal=5e-6)


@contextmanager
def load(data: bytes) -> Iterator[Runner]:
    with OnnxRuntimeBackend().load(ArtifactData("probe", "onnx", data)) as session:
        yield session


def layer(spec: LrnSpec = SPEC, shape: tuple[int | str, ...] = ("batch", 96, 5, 5)) -> LrnLayer:
    return LrnLayer(name="norm", spec=spec, form="kept", input="x", output="y", shape=shape)


def verdicts(model: onnx.ModelProto, wanted: LrnLayer) -> dict[float | None, str]:
    return {item.amplitude: item.verdict for item in probe_layer(model, wanted, load, BUDGET)}


def test_probes_where_the_energy_equals_k() -> None:
    # sqrt(2 / 1e-4) = 141.4
    assert amplitudes(SPEC) == (1e-3, 1e-2, 0.1, 1.0, 10.0, 100.0, 140.0, 1e3, 1e4)
    assert 100_000.0 in amplitudes(LrnSpec(5, 1e-10, 0.75, 1.0))
    assert amplitudes(LrnSpec(5, 0.0, 0.75, 1.0)) == AMPLITUDES


def test_inputs_of_every_amplitude() -> None:
    x = probe_inputs((96, 4, 4), SPEC)
    assert x.shape == (2 * len(amplitudes(SPEC)), 96, 4, 4)
    for at, amplitude in enumerate(amplitudes(SPEC)):
        assert np.std(x[2 * at]) == pytest.approx(amplitude, rel=0.1)
        assert np.min(x[2 * at + 1]) == 0, "what a ReLU leaves"


def test_a_right_layer_passes_and_what_the_kernel_loses_is_said() -> None:
    results = probe_layer(graph.single_lrn(SPEC), layer(), load, BUDGET)
    found = {item.amplitude: item for item in results}
    assert all(found[amplitude].verdict == "pass" for amplitude in amplitudes(SPEC)[:7])
    # ONNX Runtime's running sum keeps the rounding error of the largest channel.
    assert found[1e4].verdict == "limited"
    assert "runtime's own kernel" in found[1e4].reason
    assert found[1e4].metrics is not None
    assert 1e-6 < found[1e4].metrics.relative_l2 < 1e-3


@pytest.mark.parametrize(
    "wrong",
    [
        LrnSpec(5, 5e-4, 0.75, 2.0),
        LrnSpec(5, 1.01e-4, 0.75, 2.0),
        LrnSpec(7, 1e-4, 0.75, 2.0),
        LrnSpec(3, 1e-4, 0.75, 2.0),
        LrnSpec(5, 1e-4, 0.7501, 2.0),
        LrnSpec(5, 1e-4, 0.75, 2.001),
    ],
)
def test_a_wrong_parameter_fails(wrong: LrnSpec) -> None:
    found = verdicts(graph.single_lrn(wrong), layer())
    assert found[140.0] == "fail"
    assert "limited" not in found.values(), "the kernel is no excuse for a wrong layer"


def test_the_window_at_the_borders_counts() -> None:
    # A single channel has borders only: alpha is still divided by 5.
    wanted = layer(shape=("batch", 1, 5, 5))
    assert verdicts(graph.single_lrn(SPEC), wanted)[140.0] == "pass"
    assert verdicts(graph.single_lrn(LrnSpec(1, 2e-5, 0.75, 2.0)), wanted)[140.0] == "pass"
    assert verdicts(graph.single_lrn(LrnSpec(1, 1e-4, 0.75, 2.0)), wanted)[140.0] == "fail"


def test_a_layer_that_is_gone_fails_with_its_reason() -> None:
    wanted = layer().model_copy(update={"output": "gone"})
    (result,) = probe_layer(graph.single_lrn(SPEC), wanted, load, BUDGET)
    assert result.verdict == "fail"
    assert result.metrics is None
    assert "no value named 'gone'" in result.reason


def test_a_layer_of_another_shape_fails_with_its_reason() -> None:
    value = helper.make_tensor_value_info
    made = helper.make_graph(
        [helper.make_node("MaxPool", ["x"], ["y"], kernel_shape=[2, 2])],
        "pool",
        [value("x", TensorProto.FLOAT, ["n", "c", "h", "w"])],
        [value("y", TensorProto.FLOAT, ["n", "c", "h", "w"])],
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    (result,) = probe_layer(model, layer(), load, BUDGET)
    assert "[96, 2, 2] of [96, 3, 3]" in result.reason


class Definition:
    """A runtime that computes LRN in float64, whatever the graph says."""

    def run(self, feeds: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        return {"y": lrn.reference(next(iter(feeds.values())), SPEC)}


def test_nothing_is_lost_by_a_runtime_that_loses_nothing() -> None:
    @contextmanager
    def exact(_data: bytes) -> Iterator[Runner]:
        yield Definition()

    results = probe_layer(graph.single_lrn(SPEC), layer(), exact, BUDGET)
    assert {item.verdict for item in results} == {"pass"}
    assert all(item.metrics is not None and item.metrics.relative_l2 == 0 for item in results)


@contextmanager
def nothing_runs(_data: bytes) -> Iterator[Runner]:
    raise DamagedError("It knows no LRN.")
    yield Definition()


def test_a_layer_whose_kernel_the_runtime_lacks_is_skipped_with_its_reason() -> None:
    (result,) = probe_layer(graph.single_lrn(SPEC), layer(), nothing_runs, BUDGET)
    assert (result.verdict, result.metrics) == ("skipped", None)
    assert "It knows no LRN." in result.reason


def test_a_layer_that_is_refused_where_a_clean_node_runs_fails() -> None:
    model = graph.single_lrn(SPEC)
    model.graph.node[0].attribute[0].name = "no_such_attribute"
    (result,) = probe_layer(model, layer(), load, BUDGET)
    assert result.verdict == "fail"
    assert "could not be probed" in result.reason


def test_a_written_out_layer_that_is_refused_fails() -> None:
    made = helper.make_graph(
        [helper.make_node("Abs", ["x"], ["y"])],
        "no LRN node",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", "c", "h", "w"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", "c", "h", "w"])],
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    (result,) = probe_layer(model, layer(), nothing_runs, BUDGET)
    assert result.verdict == "fail"


@pytest.mark.skipif(not OpenVinoBackend().probe().available, reason="openvino is not installed")
@pytest.mark.parametrize("channels", [4, 17, 96])
def test_openvino_is_asked_for_its_own_kernel_at_the_layers_channels(channels: int) -> None:
    # OpenVINO runs no LRN of size 5 over an unknown number of channels, unless 16 divides it.
    @contextmanager
    def on_openvino(data: bytes) -> Iterator[Runner]:
        with OpenVinoBackend().load(ArtifactData("probe", "onnx", data)) as session:
            yield session

    wanted = layer(shape=("batch", channels, 5, 5))
    for spec, verdict in ((SPEC, "pass"), (LrnSpec(5, 2e-4, 0.75, 2.0), "fail")):
        results = probe_layer(graph.single_lrn(spec), wanted, on_openvino, BUDGET)
        assert {item.verdict for item in results if item.amplitude == 140.0} == {verdict}


def test_a_turning_point_beyond_all_inputs_is_not_probed() -> None:
    assert amplitudes(LrnSpec(5, 1e-30, 0.75, 1.0)) == AMPLITUDES  # sqrt(1 / 1e-30) = 1e15
    assert amplitudes(LrnSpec(5, 1e14, 0.75, 1e-4)) == AMPLITUDES  # sqrt(1e-4 / 1e14) = 1e-9
    assert amplitudes(LrnSpec(5, 1.0, 0.75, 2.25e18)) == AMPLITUDES  # 1.5e9
    assert amplitudes(LrnSpec(5, 1.0, 0.75, 2.25e-12))[0] == 1.5e-6
    for alpha, k in ((1e-4, -1.0), (-1e-4, 1.0), (-1e-4, -1.0), (1e-4, 0.0)):
        assert amplitudes(LrnSpec(5, alpha, 0.75, k)) == AMPLITUDES


def test_channels_differ_by_a_factor_of_a_hundred_in_what_a_relu_leaves() -> None:
    x = probe_inputs((96, 40, 40), SPEC)
    for at, amplitude in enumerate(amplitudes(SPEC)):
        # The mean of what a ReLU leaves of normal noise is 1 / sqrt(2 pi) of its spread.
        sizes = x[2 * at + 1].mean(axis=(1, 2)) * np.sqrt(2 * np.pi) / amplitude
        assert 0.009 < sizes.min() < 0.015
        assert 0.7 < sizes.max() < 1.1
    assert not np.array_equal(x, probe_inputs((96, 40, 40), SPEC, seed=1))


class Computes:
    """A runtime that computes the same function for every graph that it is given."""

    def __init__(self, function: Callable[[NDArray[Any]], NDArray[Any]]) -> None:
        self.function = function

    @contextmanager
    def load(self, data: bytes) -> Iterator[Runner]:
        self.output = onnx.load_model_from_string(data).graph.output[0].name
        yield self

    def run(self, feeds: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        (x,) = feeds.values()
        return {self.output: self.function(x).astype(x.dtype)}


def test_a_wrong_layer_that_is_written_out_is_not_excused_by_the_runtimes_kernel() -> None:
    """That kernel has no part in it, so it does not matter that it would be as far off."""
    model = graph.single_lrn(SPEC)
    model.graph.node[0].CopyFrom(helper.make_node("Neg", ["x"], ["y"]))
    results = probe_layer(model, layer(), Computes(np.negative).load, BUDGET)
    assert {item.verdict for item in results} == {"fail"}


def test_an_even_window_in_onnxs_place_is_a_fault_even_where_a_clean_node_has_it_too() -> None:
    spec = LrnSpec(4, 1e-1, 0.75, 2.0)
    onnxs = Computes(lambda x: lrn.reference(x, spec, "onnx"))
    results = probe_layer(graph.single_lrn(spec), layer(spec), onnxs.load, BUDGET)
    assert "fail" in {item.verdict for item in results}
    assert "limited" not in {item.verdict for item in results}
    torchs = Computes(lambda x: lrn.reference(x, spec))
    results = probe_layer(graph.single_lrn(spec), layer(spec), torchs.load, BUDGET)
    assert {item.verdict for item in results} == {"pass"}


def test_a_layer_between_reshapes_of_a_constant_size_is_probed_at_that_size() -> None:
    model = graph.single_lrn(SPEC, 96)
    (norm,) = model.graph.node
    norm.input[0], norm.output[0] = "flat", "normed"
    sizes = {"wide": [-1, 96, 25, 1], "back": [-1, 96, 5, 5]}
    model.graph.initializer.extend(
        numpy_helper.from_array(np.array(size, np.int64), name) for name, size in sizes.items()
    )
    model.graph.node.insert(0, helper.make_node("Reshape", ["x", "wide"], ["flat"]))
    model.graph.node.append(helper.make_node("Reshape", ["normed", "back"], ["y"]))
    found = verdicts(model, layer())
    assert set(found) == set(amplitudes(SPEC))
    assert "fail" not in found.values()
