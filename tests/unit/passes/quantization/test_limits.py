"""What a quantizer does when nothing is said, and its scales at their limits."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir
import pytest

from lrn_deploy.errors import BadInputError
from lrn_deploy.passes.quantization.observe import measure_shifts, observe_ranges, serialize
from lrn_deploy.passes.quantization.qdq import activation_scale, weight_axis
from lrn_deploy.passes.quantization.quantize import quantize
from lrn_deploy.passes.quantization.quantize_weights import BLOCKS, quantize_weights
from tests.support.precision_graphs import Array, Chain, inputs, run_all


def product(rows: int, columns: int, **attributes: Any) -> ir.Model:
    weight = np.random.default_rng(0).standard_normal((rows, columns)).astype(np.float32)
    chain = Chain(columns, 1).add("Flatten", shape=[columns])
    bias = chain.weight(np.ones(rows, np.float32))
    made = chain.add("Gemm", (chain.weight(weight), bias), [rows], transB=1, **attributes)
    return made.build()[0]


def test_what_is_usual() -> None:
    model = product(6, 40)
    (gemm,) = [node for node in model.graph if node.op_type == "Gemm"]
    gemm.metadata_props["from"] = "net.3"
    quantize_weights(model, min_weights=1)
    made, added = [node for node in model.graph if node.op_type != "Flatten"]
    assert (made.op_type, made.domain, added.op_type) == ("MatMulNBits", "com.microsoft", "Add")
    numbers = {name: item.as_int() for name, item in made.attributes.items()}
    assert numbers == {"K": 40, "N": 6, "bits": 8, "block_size": 32, "accuracy_level": 4}
    assert made.metadata_props["from"] == added.metadata_props["from"] == "net.3"
    assert model.graph.opset_imports["com.microsoft"] == 1
    assert BLOCKS == (16, 32, 64, 128, 256)


def test_a_layer_is_large_from_a_million_weights_on() -> None:
    (left,) = quantize_weights(product(1024, 1023))
    assert left.reason == "it has 1047552 weights, fewer than 1048576"
    (done,) = quantize_weights(product(1024, 1024))
    assert done.bits == 8


@pytest.mark.parametrize(
    ("seen", "kind", "scale", "zero"),
    [
        ((-1.0, 2.54), "int8", 0.02, 0),
        ((-2.54, 1.0), "int8", 0.02, 0),
        ((1.0, 2.54), "int8", 0.02, 0),
        ((0.0, 2.55), "uint8", 0.01, 0),
        ((1.0, 2.55), "uint8", 0.01, 0),
        ((-2.55, 0.0), "uint8", 0.01, 255),
        ((-2.55, -1.0), "uint8", 0.01, 255),
        ((-0.55, 2.0), "uint8", 0.01, 55),
        ((0.0, 0.0), "uint8", np.finfo(np.float32).tiny, 0),
        ((0.0, 0.0), "int8", np.finfo(np.float32).tiny, 0),
    ],
)
def test_scales_of_activations(
    seen: tuple[float, float], kind: Any, scale: float, zero: int
) -> None:
    found = activation_scale(seen, kind)
    assert found.scale == pytest.approx(scale)
    assert (int(found.zero), found.zero.dtype.name, found.scale.dtype.name) == (
        zero, kind, "float32",
    )  # fmt: skip


def test_the_axis_of_a_weights_outputs() -> None:
    model, _ = Chain(3, 4).conv(2).build()
    (conv,) = model.graph
    assert weight_axis(conv) == 0
    (gemm,) = [node for node in product(2, 3).graph if node.op_type == "Gemm"]
    assert weight_axis(gemm) == 0
    upright = ir.node("Gemm", list(gemm.inputs), {"transB": 0})
    assert weight_axis(upright) == 1
    assert weight_axis(ir.node("MatMul", list(gemm.inputs[:2]))) == 1


def batches(*rows: Array) -> Any:
    return lambda model: [run_all(serialize(model), x) for x in rows]


def test_ranges_of_inputs_and_of_values_within() -> None:
    model, _ = Chain(1, 2).relu().build()
    (relu,) = model.graph
    name, x = str(relu.outputs[0].name), np.array([-3.0, 1, 2, 5], np.float32).reshape(1, 1, 2, 2)
    found = observe_ranges(model, ["input", name], batches(x, x / 2, -2 * x))
    assert found == {"input": (-10.0, 6.0), name: (0.0, 6.0)}
    assert len(model.graph) == 1  # the graph itself is left as it was
    for bad in (np.inf, np.nan):
        with pytest.raises(BadInputError, match="The activation 'input' is not finite"):
            observe_ranges(model, ["input"], batches(np.full_like(x, bad)))


def test_shifts_are_means_over_batches_and_pixels_of_each_channel() -> None:
    chain = Chain(2, 2).conv(3)
    model, _ = chain.build()
    (conv,) = model.graph

    def add_shifted(graph: ir.Graph, node: ir.Node) -> ir.Value:
        numbers = np.array([1, 2, -4], np.float32).reshape(3, 1, 1)
        by = ir.Value(name="by", const_value=ir.tensor(numbers, name="by"))
        graph.register_initializer(by)
        twin = ir.node("Add", [node.outputs[0], by])
        twin.outputs[0].name = "twin"
        graph.append(twin)
        return twin.outputs[0]

    x = inputs(model)
    (shift,) = measure_shifts(model, [conv], add_shifted, batches(x, 2 * x))
    np.testing.assert_allclose(shift, [1, 2, -4], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("outputs", [False, True])
def test_a_result_that_only_layers_take_behind_a_pool_gets_no_pair_of_its_own(
    outputs: bool,
) -> None:
    model, _ = Chain(3, 8).conv(4).relu().pool().conv(5).build()
    x = inputs(model)
    done = quantize(model, batches(x), outputs=outputs)
    assert list(done.ranges) == ["input", "maxpool_2"]
    assert done.nodes == ("conv_0", "conv_3")
    kinds = [node.op_type for node in model.graph]
    assert kinds.count("QuantizeLinear") == 2


def test_a_result_that_something_else_takes_gets_a_pair_only_where_it_is_asked_for() -> None:
    for outputs, expected in ((False, ["input"]), (True, ["input", "relu_1"])):
        model, _ = Chain(3, 8).conv(4).relu().add("Sigmoid").build()
        done = quantize(model, batches(inputs(model)), outputs=outputs)
        assert list(done.ranges) == expected
    left, _ = Chain(3, 8).conv(4).relu().build()  # an output stays as it is
    assert list(quantize(left, batches(inputs(left)), outputs=True).ranges) == ["input"]
