"""Weights in 8 and 4 bits: the numbers they stand for, and that the runtimes multiply by them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import openvino
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx.reference import ReferenceEvaluator

from lrn_deploy.errors import BadInputError
from lrn_deploy.passes.quantization.observe import serialize
from lrn_deploy.passes.quantization.quantize import quantize
from lrn_deploy.passes.quantization.quantize_weights import Bits, quantize_weights, round_in_blocks
from tests.support.precision_graphs import Array, Chain, checked, distance, inputs, run, run_all


def random(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def product(weight: Array, bias: Array | None = None, **attributes: Any) -> ir.Model:
    """``x @ weight.T + bias`` for x of shape (batch, columns, 1, 1)."""
    rows, columns = weight.shape
    chain = Chain(columns, 1).add("Flatten", shape=[columns])
    weights = [chain.weight(item) for item in (weight, bias) if item is not None]
    return chain.add("Gemm", tuple(weights), [rows], transB=1, **attributes).build()[0]


def initializer(model: ir.Model, name: str) -> Array:
    value = model.graph.initializers[name].const_value
    assert value is not None
    return value.numpy()


def operators(model: ir.Model) -> list[str]:
    return [node.op_type for node in model.graph]


sizes = st.tuples(st.integers(1, 9), st.integers(1, 150))
bits_and_block = st.tuples(st.sampled_from([4, 8]), st.sampled_from([16, 32, 64, 128]))


def test_four_bits_worked_out_by_hand() -> None:
    weight = np.zeros((1, 18), np.float32)
    weight[0, :4] = [-1.0, 2.0, 0.24, -0.13]
    weight[0, 16:] = [0.3, 0.15]
    model = product(weight)
    (done,) = quantize_weights(model, bits=4, block=16, min_weights=1)
    assert (done.node, done.bits, done.reason) == ("gemm_1", 4, "")
    # From -1 to 2 there are 15 steps of 0.2, zero is the fifth: 0, 15, 6, 4 (5 - 0.65) and zeros;
    # from 0 to 0.3 there are 15 of 0.02: 15 and 8 (7.5 rounds to the even number).
    packed = [0xF0, 0x46, *[0x55] * 6, 0x8F, *[0x00] * 7]
    np.testing.assert_array_equal(initializer(model, "gemm_1_packed").reshape(-1), packed)
    np.testing.assert_allclose(initializer(model, "gemm_1_scales"), [0.2, 0.02], rtol=1e-6)
    np.testing.assert_array_equal(initializer(model, "gemm_1_zero_points"), [0x05])


@settings(max_examples=30, deadline=None)
@given(sizes, bits_and_block, st.floats(-30, 30))
def test_the_rounded_weights_are_what_dequantize_linear_says(
    size: tuple[int, int], how: tuple[Bits, int], magnitude: float
) -> None:
    """ONNX's own DequantizeLinear is the judge, and no weight moves by more than half a step."""
    bits, block = how
    weight = random(*size) * np.float32(10**magnitude)
    rounded = round_in_blocks(weight, bits, block)
    rows, count, _ = rounded.integers.shape
    nodes = [
        onnx.helper.make_node("DequantizeLinear", ["q", "s", "z"], ["y"], axis=1, block_size=block)
    ]
    info = onnx.helper.make_tensor_value_info
    whole = onnx.TensorProto.UINT8
    graph = onnx.helper.make_graph(
        nodes,
        "dequantize",
        [
            info("q", whole, (rows, count * block)),
            info("s", onnx.TensorProto.FLOAT, (rows, count)),
            info("z", whole, (rows, count)),
        ],
        [info("y", onnx.TensorProto.FLOAT, (rows, count * block))],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 21)])
    values = {"q": rounded.integers.reshape(rows, -1), "s": rounded.scale, "z": rounded.zero}
    (y,) = ReferenceEvaluator(model).run(None, values)
    np.testing.assert_allclose(y[:, : size[1]], rounded.weight(), rtol=1e-6)
    assert rounded.integers.max() < 2**bits
    steps = np.repeat(rounded.scale, block, axis=1)[:, : size[1]]
    # Half a step, and half of one more where the zero point was rounded and the end cut off.
    assert (np.abs(rounded.weight() - weight) <= 1.01 * steps).all()
    assert (np.abs(rounded.weight() - weight) <= 0.51 * steps).mean() >= 0.8


@settings(max_examples=30, deadline=None)
@given(sizes, bits_and_block, st.booleans())
def test_onnx_runtime_multiplies_by_the_rounded_weights(
    size: tuple[int, int], how: tuple[Bits, int], transposed: bool
) -> None:
    bits, block = how
    weight, bias = random(*size), random(size[0], seed=1)
    rounded = round_in_blocks(weight, bits, block).weight()
    if transposed:
        model = product(weight, bias)
        expected_bias = bias.astype(np.float64)
    else:
        chain = Chain(size[1], 1).add("Flatten", shape=[size[1]])
        chain.add("MatMul", (chain.weight(np.ascontiguousarray(weight.T)),), [size[0]])
        model, expected_bias = chain.build()[0], np.zeros(size[0])
    name = str(model.graph.outputs[0].name)
    quantize_weights(model, bits=bits, block=block, accuracy_level=1, min_weights=1)
    assert model.graph.outputs[0].name == name
    x = inputs(model, rows=3)
    expected = x.reshape(3, -1).astype(np.float64) @ rounded.T + expected_bias
    np.testing.assert_allclose(run(model, x), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("bits", [4, 8])
def test_openvino_reads_it(bits: Bits) -> None:
    weight = random(24, 100)
    model = product(weight, random(24, seed=1))
    quantize_weights(model, bits=bits, block=32, accuracy_level=1, min_weights=1)
    x, core = inputs(model), openvino.Core()
    compiled = core.compile_model(core.read_model(checked(model)), "CPU")
    assert distance(compiled(x)[0], run(model, x)) < 1e-2


def test_it_runs_on_activations_in_int8() -> None:
    model = product(random(64, 256), random(64, seed=1))
    x = inputs(model)
    truth = run(model, x)
    quantize_weights(model, min_weights=1)
    assert 1e-4 < distance(run(model, x), truth) < 2e-2


def test_corrected_biases_bring_the_means_back() -> None:
    x = np.abs(random(32, 200, 1, 1, seed=2))
    shifts = []
    for correct in (False, True):
        model = product(random(8, 200), random(8, seed=1))
        truth = run(model, x)

        def evaluate(model: ir.Model) -> Iterator[dict[str, Array]]:
            yield run_all(serialize(model), x)

        quantize_weights(model, evaluate if correct else None, bits=4, min_weights=1)
        shifts.append(np.abs((run(model, x) - truth).mean(axis=0)).max())
    assert shifts[0] > 0.1
    assert shifts[1] < 1e-4


def test_with_int8_convolutions() -> None:
    chain = Chain(3, 8).conv(8).relu().pool().linear(10)
    model, _ = chain.build()
    x = inputs(model)
    truth = run(model, x)

    def evaluate(model: ir.Model) -> Iterator[dict[str, Array]]:
        yield run_all(serialize(model), x)

    quantize_weights(model, evaluate, min_weights=1)
    done = quantize(model, evaluate, activations="uint8", outputs=True)
    assert done.nodes == ("conv_0",)
    assert operators(model).count("QuantizeLinear") == 2
    assert distance(run(model, x), truth) < 0.03


def test_what_is_left_alone_is_said() -> None:
    small = product(random(4, 4))
    scaled = product(random(4, 4), random(4), alpha=0.5)
    turned = product(random(4, 4), transA=1)
    computed = Chain(4, 1).add("Flatten", shape=[4])
    computed.add("MatMul", (computed.end,), [4])
    stacked = Chain(2, 4)
    stacked.add("MatMul", (stacked.weight(random(2, 4, 4)),))
    for model, limit, reason in (
        (small, 17, "it has 16 weights, fewer than 17"),
        (scaled, 1, "alpha and beta are 0.5 and 1"),
        (turned, 1, "its input is transposed"),
        (computed.build()[0], 1, "its weights are not constant"),
        (stacked.build()[0], 1, "its weights have rank 3"),
    ):
        before = operators(model)
        (done,) = quantize_weights(model, min_weights=limit)
        assert done.bits is None
        assert reason in done.reason
        assert operators(model) == before
        assert "com.microsoft" not in model.graph.opset_imports


def test_weights_must_be_finite_and_blocks_known() -> None:
    with pytest.raises(BadInputError, match="weight 'weight_0' is not finite"):
        quantize_weights(product(np.full((2, 2), np.nan, np.float32)), min_weights=1)
    with pytest.raises(BadInputError, match="blocks of 48"):
        quantize_weights(product(random(4, 4)), block=48)


def test_zero_is_exact_in_blocks_of_one_sign() -> None:
    # 15 steps of 0.2 from 0 to 3, and from -3 to 0.
    for sign in (1, -1):
        weight = np.full((1, 16), sign * 2.0, np.float32)
        weight[0, 0] = sign * 3.0
        rounded = round_in_blocks(weight, 4, 16)
        assert rounded.scale.item() == pytest.approx(0.2)
        assert rounded.zero.item() == (0 if sign == 1 else 15)
        np.testing.assert_allclose(rounded.weight(), weight, rtol=1e-6)


def test_a_block_of_zeros_is_zeros() -> None:
    weight = np.zeros((2, 32), np.float32)
    weight[1, 16:] = 1.0
    rounded = round_in_blocks(weight, 4, 16)
    assert np.isfinite(rounded.scale).all()
    assert (rounded.scale > 0).all()
    np.testing.assert_allclose(rounded.weight(), weight, rtol=1e-6)


def test_a_layer_of_exactly_so_many_weights_is_quantized() -> None:
    (done,) = quantize_weights(product(random(4, 8)), min_weights=32)
    assert (done.bits, done.reason) == (8, "")
    (left,) = quantize_weights(product(random(4, 8)), min_weights=33)
    assert left.reason == "it has 32 weights, fewer than 33"


def test_a_scaled_bias_stays_scaled() -> None:
    model = product(random(4, 8), random(4, seed=1), beta=0.5)
    (done,) = quantize_weights(model, min_weights=1)
    assert done.reason == "its alpha and beta are 1 and 0.5, and not 1"
    assert operators(model) == ["Flatten", "Gemm"]
