"""The int8 graph: its numbers worked out by hand, and what it must leave alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lrn_deploy.errors import BadInputError
from lrn_deploy.lrn import LrnSpec
from lrn_deploy.passes.lrn.lrn_blocks import find_lrn_nodes
from lrn_deploy.passes.quantization.observe import Evaluate, serialize
from lrn_deploy.passes.quantization.qdq import Activations, activation_scale
from lrn_deploy.passes.quantization.quantize import quantize
from tests.support.precision_graphs import (
    Array,
    Chain,
    chains,
    checked,
    distance,
    inputs,
    run,
    run_all,
    small_network,
)


def on(x: Array, size: int = 8) -> Evaluate:
    """Calibration on ``x``."""

    def evaluate(model: ir.Model) -> Iterator[dict[str, Array]]:
        for start in range(0, len(x), size):
            yield run_all(serialize(model), x[start : start + size])

    return evaluate


def linear(weight: Array, bias: Array | None = None) -> ir.Model:
    """``x @ weight.T + bias`` for x of shape (batch, features)."""
    classes, features = weight.shape
    chain = Chain(features, 1).add("Flatten", shape=[features])
    weights = [chain.weight(item) for item in (weight, bias) if item is not None]
    return chain.add("Gemm", tuple(weights), [classes], transB=1).build()[0]


def constant(model: ir.Model, name: str) -> Array:
    value = model.graph.initializers[name].const_value
    assert value is not None
    return value.numpy()


def rows(*values: list[float]) -> Array:
    return np.array(values, np.float32)[:, :, None, None]


def operators(model: ir.Model) -> list[str]:
    return [node.op_type for node in model.graph]


def test_numbers_worked_out_by_hand() -> None:
    weight = np.array([[1.0, -0.5], [0.02, 0.0]], np.float32)
    model = linear(weight, np.array([1.0, 2.0], np.float32))
    x = rows([2.54, 1.0], [-0.5, 0.326])
    done = quantize(model, on(x))
    assert done.nodes == ("gemm_1",)
    assert done.ranges == {"flatten_0": (-0.5, pytest.approx(2.54))}
    # The largest magnitude is 2.54, so a step is 0.02; a row's largest weight is 127 steps.
    assert constant(model, "flatten_0_scale") == pytest.approx(0.02)
    assert constant(model, "flatten_0_zero_point") == 0
    np.testing.assert_array_equal(constant(model, "weight_0_quantized"), [[127, -64], [127, 0]])
    np.testing.assert_allclose(constant(model, "weight_0_scale"), [1 / 127, 0.02 / 127], rtol=1e-6)
    assert constant(model, "weight_0_quantized").dtype == np.int8
    # 0.326 is 16.3 steps and rounds to 16: 0.32. -0.5 became -64/127. The first output moves by
    # 0.5 * 1.0 - 64/127 * 1.0 for the first input, and by 0.5 * 0.326 - 64/127 * 0.32 for the
    # second; the bias takes out the mean of both. The second output has no error.
    moved = np.mean([0.5 - 64 / 127, 0.5 * 0.326 - 64 / 127 * 0.32])
    bias = constant(model, "weight_1_corrected")
    np.testing.assert_allclose(bias, [1.0 - moved, 2.0], atol=1e-6)
    assert bias.dtype == np.float32


def test_uint8_has_a_zero_point() -> None:
    model = linear(np.eye(2, dtype=np.float32))
    quantize(model, on(rows([-0.5, 2.05], [0.0, 1.0])), activations="uint8")
    # 255 steps from -0.5 to 2.05 are 0.01 each; -0.5 is 50 steps below zero.
    assert constant(model, "flatten_0_scale") == pytest.approx(0.01)
    assert constant(model, "flatten_0_zero_point") == 50
    assert constant(model, "flatten_0_zero_point").dtype == np.uint8


def test_only_what_enters_layers_is_quantized_and_lrn_is_not() -> None:
    model, layers = small_network().build()
    names = {str(item.name) for node in model.graph for item in node.outputs}
    lrn = find_lrn_nodes(model.graph, layers)
    done = quantize(model, on(inputs(model)), lrn_layers=layers)
    assert done.nodes == ("conv_0", "conv_4", "gemm_9")
    assert list(done.ranges) == ["input", "maxpool_3", "flatten_8"]
    assert names <= {str(item.name) for node in model.graph for item in node.outputs}
    assert find_lrn_nodes(model.graph, layers) == lrn
    assert model.graph.outputs[0].name == "gemm_9"
    assert operators(model).count("QuantizeLinear") == 3
    assert operators(model).count("DequantizeLinear") == 6
    kinds = {item.dtype for item in model.graph.initializers.values()}
    assert ir.DataType.INT32 not in kinds, "TensorRT's parser refuses int32 biases"
    zeros = [name for name in model.graph.initializers if name.endswith("_zero_point")]
    assert len(zeros) == 6
    for name in zeros:
        assert constant(model, name).dtype == np.int8
        assert not constant(model, name).any()
    assert "weight_0" not in model.graph.initializers, "the fp32 weights are gone"
    checked(model)


def test_a_convolution_inside_an_lrn_layer_is_left_alone() -> None:
    """As another pass may write an LRN layer: its sum over channels is a convolution."""
    model, _ = Chain(4, 4).conv(4, 1).relu().conv(3).build()
    done = quantize(model, on(inputs(model)), lrn_layers=[("input", "conv_0")])
    assert done.nodes == ("conv_2",)


def test_outputs_end_every_layer_in_int8_where_lrn_takes_what_it_took() -> None:
    model, layers = small_network().build()
    lrn = find_lrn_nodes(model.graph, layers)
    done = quantize(model, on(inputs(model)), activations="uint8", outputs=True, lrn_layers=layers)
    assert list(done.ranges) == ["input", "maxpool_3", "flatten_8", "relu_1", "relu_5"]
    assert find_lrn_nodes(model.graph, layers) == lrn, "no pair came into an LRN layer"
    for node in lrn:
        for value in node.inputs:
            if value is not None and value.name in ("relu_1", "relu_5"):
                producer = value.producer()
                assert producer is not None
                assert producer.op_type == "DequantizeLinear"
    # A ReLU's result begins at zero, so that all 255 steps are its own.
    assert constant(model, "relu_1_zero_point") == 0
    assert constant(model, "relu_1_scale") == pytest.approx(done.ranges["relu_1"][1] / 255)


def test_onnx_runtime_computes_every_layer_in_int8_with_outputs(tmp_path: Path) -> None:
    for outputs in (False, True):
        model, layers = small_network().build()
        x = inputs(model)
        quantize(model, on(x), activations="uint8", outputs=outputs, lrn_layers=layers)
        options = ort.SessionOptions()
        options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
        options.log_severity_level = 3
        ort.InferenceSession(checked(model), options, providers=["CPUExecutionProvider"])
        run_as = [node.op_type for node in onnx.load(tmp_path / "optimized.onnx").graph.node]
        exact = [name for name in run_as if name in ("Conv", "FusedConv", "Gemm")]
        integer = [name for name in run_as if name in ("QLinearConv", "QGemm")]
        assert len(exact) + len(integer) == 3
        assert bool(exact) != outputs


def test_an_integer_bias_counts_in_steps_of_the_products() -> None:
    model = linear(np.array([[127.0], [0.0]], np.float32), np.array([0.5, 1.0], np.float32))
    quantize(model, on(rows([0.0], [2.55])), activations="uint8", outputs=True)
    # The weight's step is 1 and the input's 0.01; a dead channel's smallest step fits no int32.
    assert not any(item.dtype == ir.DataType.INT32 for item in model.graph.initializers.values())
    model = linear(np.array([[127.0], [254.0]], np.float32), np.array([0.5, 1.0], np.float32))
    quantize(model, on(rows([0.0], [2.55])), activations="uint8", outputs=True)
    np.testing.assert_array_equal(constant(model, "gemm_1_bias_quantized"), [50, 50])
    np.testing.assert_allclose(constant(model, "gemm_1_bias_scale"), [0.01, 0.02], rtol=1e-6)
    np.testing.assert_allclose(run(model, rows([1.0])), [[127.5, 255.0]], rtol=1e-6)


def test_a_value_that_a_layer_and_another_node_take_gets_one_pair() -> None:
    chain = Chain(3, 4).conv(3).relu()
    shared = chain.end
    model, _ = chain.conv(3).add("Add", (shared,)).build()
    quantize(model, on(inputs(model)), outputs=True)
    assert operators(model).count("QuantizeLinear") == 3  # the input, and what each layer makes
    checked(model)


def test_pixels_of_a_uint8_image_lose_nothing() -> None:
    chain = Chain(3, 4)
    chain.input.dtype = ir.DataType.UINT8
    chain.add("Cast", to=ir.DataType.FLOAT).conv(2)
    model, _ = chain.build()
    dark = np.random.default_rng(0).integers(3, 200, (8, 3, 4, 4), np.uint8)
    done = quantize(model, on(dark), activations="uint8")
    assert done.ranges == {"cast_0": (0.0, 255.0)}
    assert constant(model, "cast_0_scale") == 1
    assert constant(model, "cast_0_zero_point") == 0


@settings(max_examples=20)
@given(chains(), st.booleans())
def test_a_random_network_keeps_its_numbers(chain: Chain, outputs: bool) -> None:
    model, layers = chain.build()
    x = inputs(model, rows=32)
    truth = run(model, x)
    activations: Activations = "uint8" if outputs else "int8"
    quantize(model, on(x), activations=activations, outputs=outputs, lrn_layers=layers)
    # A layer that sums few products makes channels that are nearly proportional, which a later sum
    # may cancel: what is left can be as small as the rounding of its terms.
    allowed = 0.1 if min(chain.products) >= 4 else 0.3
    # Values are about 1, but for a last ReLU that lets next to nothing through.
    assert np.linalg.norm(run(model, x) - truth) <= allowed * np.hypot(
        np.linalg.norm(truth), 0.2 * np.sqrt(truth.size)
    )


def test_corrected_biases_bring_the_means_back() -> None:
    for bias in (True, False):
        model, _ = Chain(3, 8, seed=3).conv(8, bias=bias).build()
        x = np.abs(inputs(model, rows=32))
        truth = run(model, x)
        quantize(model, on(x))
        y = run(model, x)
        scale = np.abs(truth).mean()
        assert np.abs(y - truth).mean() > 1e-3 * scale
        assert np.abs((y - truth).mean(axis=(0, 2, 3))).max() < 2e-5 * scale


def test_one_pair_for_a_value_that_several_layers_take() -> None:
    chain = Chain(2, 4).relu()
    shared = chain.end
    first = chain.conv(3).end
    chain.end, chain.shape = shared, [2, 4, 4]
    model, _ = chain.conv(3).add("Add", (first,)).build()
    quantize(model, on(inputs(model)))
    assert operators(model).count("QuantizeLinear") == 1
    checked(model)


def test_one_weight_for_two_layers() -> None:
    chain = Chain(2, 4)
    weight = chain.weight(np.full((2, 2, 1, 1), 0.5, np.float32))
    model, _ = chain.add("Conv", (weight,)).add("Conv", (weight,)).build()
    x = inputs(model)
    truth = run(model, x)
    quantize(model, on(x))
    assert "weight_0" not in model.graph.initializers
    assert operators(model).count("DequantizeLinear") == 3
    assert distance(run(model, x), truth) < 0.02


def test_matrix_products_without_a_bias() -> None:
    chain = Chain(4, 1).add("Flatten", shape=[4])
    weight = chain.weight(np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32))
    model, _ = chain.add("MatMul", (weight,), [3]).build()
    x = inputs(model)
    truth = run(model, x)
    quantize(model, on(x))
    dequantize = next(node for node in model.graph if node.attributes.get("axis"))
    assert dequantize.attributes["axis"].as_int() == 1
    assert distance(run(model, x), truth) < 0.02


def test_dead_channels_and_values() -> None:
    weight = np.zeros((2, 2), np.float32)
    model = linear(weight)
    x = rows([0.0, 0.0], [0.0, 0.0])
    quantize(model, on(x))
    np.testing.assert_array_equal(run(model, x), 0.0)


def test_the_same_calibration_gives_the_same_bytes() -> None:
    made = []
    for _ in range(2):
        model, layers = small_network().build()
        quantize(model, on(inputs(model, rows=32)), lrn_layers=layers)
        made.append(checked(model))
    assert made[0] == made[1]


def test_a_network_without_layers_is_refused() -> None:
    model, _ = Chain(3, 4).relu().lrn(LrnSpec(5)).build()
    with pytest.raises(BadInputError, match="no convolution or fully connected layer"):
        quantize(model, on(inputs(model)))


def test_weights_and_activations_must_be_finite() -> None:
    with pytest.raises(BadInputError, match="weight 'weight_0' is not finite"):
        quantize(linear(np.array([[np.inf]], np.float32)), on(rows([0.0])))
    with pytest.raises(BadInputError, match="activation 'flatten_0' is not finite"):
        quantize(linear(np.ones((1, 1), np.float32)), on(rows([np.inf], [1.0])))


def test_the_range_of_an_activation_always_holds_zero() -> None:
    # From 1 to 2: 255 steps from 0 to 2, for padding and ReLUs put zeros beside what was seen.
    scale = activation_scale((1.0, 2.0), "uint8")
    assert (float(scale.scale), int(scale.zero)) == (pytest.approx(2 / 255), 0)
    scale = activation_scale((-2.0, -1.0), "uint8")
    assert (float(scale.scale), int(scale.zero)) == (pytest.approx(2 / 255), 255)
    scale = activation_scale((-2.0, -1.0), "int8")
    assert (float(scale.scale), int(scale.zero)) == (pytest.approx(2 / 127), 0)


def test_one_weight_taken_upright_and_transposed_has_two_scales_for_each_channel() -> None:
    weight = np.array([[1.0, 0.01], [100.0, 1.0]], np.float32)
    chain = Chain(2, 1).add("Flatten", shape=[2])
    shared = chain.weight(weight)
    chain.add("Gemm", (shared,), [2], transB=1).add("Gemm", (shared,), [2])
    model = chain.build()[0]
    x = rows([1.0, 1.0], [-1.0, 0.5])
    truth = run(model, x)
    quantize(model, on(x))
    scales = {name: constant(model, name) for name in model.graph.initializers if "scale" in name}
    by_row, by_column = scales["weight_0_scale"], scales["weight_0_axis1_scale"]
    np.testing.assert_allclose(by_row, [1 / 127, 100 / 127], rtol=1e-6)
    np.testing.assert_allclose(by_column, [100 / 127, 1 / 127], rtol=1e-6)
    assert distance(run(model, x), truth) < 2e-2


@pytest.mark.parametrize("computed", [False, True])
def test_a_bias_that_is_scaled_or_computed_keeps_its_value(computed: bool) -> None:
    chain = Chain(2, 1).add("Flatten", shape=[2])
    weight = chain.weight(np.array([[1.0, -0.5], [0.02, 0.0]], np.float32))
    bias = chain.weight(np.array([1.0, 2.0], np.float32))
    if computed:
        start = chain.end
        chain.end = bias
        chain.add("Mul", (chain.weight(np.array([2.0, 3.0], np.float32)),))
        bias, chain.end = chain.end, start
        bias.shape = ir.Shape([2])
        chain.shape = [2]
    beta = 1.0 if computed else 0.5
    model = chain.add("Gemm", (weight, bias), [2], transB=1, beta=beta).build()[0]
    x = rows([2.54, 1.0], [-0.5, 0.326])
    truth = run(model, x)
    quantize(model, on(x))
    (gemm,) = [node for node in model.graph if node.op_type == "Gemm"]
    assert gemm.inputs[2] is bias
    # -0.5 became -64 / 127, and 0.326 became 0.32: see the numbers worked out by hand.
    moved = [[(64 / 127 - 0.5) * 1.0, 0], [64 / 127 * 0.32 - 0.5 * 0.326, 0]]
    np.testing.assert_allclose(run(model, x), truth - np.array(moved), atol=1e-4)


def test_a_layer_ends_in_int8_before_each_of_two_takers() -> None:
    chain = Chain(2, 4).conv(3)
    convolved = chain.end
    model, _ = chain.relu().add("Add", (convolved,)).build()
    quantize(model, on(inputs(model)), outputs=True)
    takers = {node.op_type: node.inputs for node in model.graph}
    pair = takers["Relu"][0]
    assert pair is not None
    assert pair.name == "conv_0"
    assert takers["Add"][1] is pair
    producer = pair.producer()
    assert producer is not None
    assert producer.op_type == "DequantizeLinear"


def test_a_layer_whose_result_is_an_output_and_goes_on_gets_an_integer_bias() -> None:
    chain = Chain(4, 1).linear(4)
    first = chain.end
    model, _ = chain.linear(3).build()
    model.graph.outputs.insert(0, first)
    quantize(model, on(inputs(model)), outputs=True)
    gemms = [node for node in model.graph if node.op_type == "Gemm"]
    kinds = [constant_behind(node.inputs[2]).dtype for node in gemms]
    assert kinds == [np.int32, np.int32]


def constant_behind(value: ir.Value | None) -> Array:
    """The numbers of a constant, in integers if it is dequantized."""
    assert value is not None
    node = value.producer()
    value = value if node is None else node.inputs[0]
    assert value is not None
    assert value.const_value is not None
    return value.const_value.numpy()


def test_products_that_are_no_layers_stay_in_fp32() -> None:
    transposed = Chain(2, 1).add("Flatten", shape=[2])
    transposed.end.shape = ir.Shape([2, 2])
    transposed.input.shape = ir.Shape([2, 2, 1, 1])
    weight = transposed.weight(np.ones((2, 3), np.float32))
    transposed.add("Gemm", (weight,), [3], transA=1)
    stacked = Chain(2, 3)
    stacked.add("MatMul", (stacked.weight(np.ones((2, 3, 3), np.float32)),))
    for chain in (transposed, stacked):
        model, _ = chain.build()
        with pytest.raises(BadInputError, match="no convolution or fully connected layer"):
            quantize(model, on(np.ones((2, 2, 3, 3), np.float32)))


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 1, 0]])
def test_ranges_are_over_all_batches_of_the_calibration(order: list[int]) -> None:
    x = rows([-0.5, 0.25], [0.0, 0.125], [0.5, 2.5])[order]
    done = quantize(linear(np.eye(2, dtype=np.float32)), on(x, size=1))
    assert done.ranges == {"flatten_0": (-0.5, 2.5)}
