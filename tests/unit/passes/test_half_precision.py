"""Graphs in fp16 and bf16 compute what the fp32 graph does, and LRN stays in fp32 in them."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lrn_deploy.errors import BadInputError
from lrn_deploy.lrn import LrnSpec, reference
from lrn_deploy.passes.emulate_half import emulate_half
from lrn_deploy.passes.half_precision import TYPES, HalfType, half_precision
from lrn_deploy.passes.lrn.legalize_lrn import reason_to_write_out
from lrn_deploy.passes.lrn.lrn_blocks import find_lrn_nodes
from tests.support.precision_graphs import (
    Chain,
    chains,
    checked,
    distance,
    inputs,
    run,
    small_network,
)

BOUNDS: dict[HalfType, float] = {"fp16": 2.0**-11, "bf16": 2.0**-8}
"""Largest relative error of one rounding."""

PAPER = LrnSpec(5, 1e-4, 0.75, 2.0)
WRITTEN_OUT = LrnSpec(4, 1e-4, 0.75, 2.0)


def value(model: ir.Model, name: str) -> ir.Value:
    (found,) = [item for node in model.graph for item in node.outputs if item.name == name]
    return found


@settings(max_examples=25)
@given(chains(), st.sampled_from(["fp16", "bf16"]), st.booleans())
def test_a_random_network_keeps_its_numbers(
    chain: Chain, precision: HalfType, keep_lrn_fp32: bool
) -> None:
    model, layers = chain.build()
    x = inputs(model)
    truth = run(model, x)
    half_precision(model, precision, lrn_layers=layers, keep_lrn_fp32=keep_lrn_fp32)
    checked(model)
    assert model.graph.inputs[0].dtype == model.graph.outputs[0].dtype == ir.DataType.FLOAT
    emulated = run(emulate_half(model), x)
    # A written-out LRN in half rounds a dozen times more, and a power enlarges what it is given.
    roundings = 3 * len(model.graph) + 10
    assert distance(emulated, truth) <= roundings * BOUNDS[precision]
    if precision == "fp16":
        assert distance(run(model, x), truth) <= roundings * BOUNDS[precision]


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_types_and_names_around_lrn(precision: HalfType) -> None:
    model, layers = small_network().build()
    names = {str(item.name) for node in model.graph for item in node.outputs}
    done = half_precision(model, precision, lrn_layers=layers)
    assert done.halved == (
        "conv_0",
        "relu_1",
        "maxpool_3",
        "conv_4",
        "relu_5",
        "maxpool_7",
        "flatten_8",
        "gemm_9",
    )
    assert names <= {str(item.name) for node in model.graph for item in node.outputs}
    for entered, left in layers:
        assert value(model, entered).dtype == value(model, left).dtype == ir.DataType.FLOAT
        assert value(model, f"{entered}_{precision}").dtype == TYPES[precision]
    for node in find_lrn_nodes(model.graph, layers):
        assert all(item is None or item.dtype in _LRN_TYPES for item in node.inputs)
    weights = [item for item in model.graph.initializers.values() if item.shape]
    convolved = [item for item in weights if str(item.name).startswith("weight")]
    assert {item.dtype for item in convolved} == {TYPES[precision]}


_LRN_TYPES = (ir.DataType.FLOAT, ir.DataType.INT64)


@pytest.mark.parametrize("spec", [PAPER, WRITTEN_OUT])
def test_lrn_beyond_fp16s_square_stays_right(spec: LrnSpec) -> None:
    x = np.full((1, 8, 2, 2), 300.0, np.float32)  # 300 * 300 = 90000 > 65504
    model, layers = Chain(8, 2).lrn(spec).add("Identity").build()
    half_precision(model, "fp16", lrn_layers=layers)
    np.testing.assert_allclose(run(emulate_half(model), x), reference(x, spec), rtol=1e-3)
    np.testing.assert_allclose(run(model, x), reference(x, spec), rtol=1e-3)


def test_lrn_in_fp16_overflows_if_told_so() -> None:
    x = np.full((1, 8, 2, 2), 300.0, np.float32)
    model, layers = Chain(8, 2).lrn(WRITTEN_OUT).build()
    assert reason_to_write_out(WRITTEN_OUT)
    half_precision(model, "fp16", lrn_layers=layers, keep_lrn_fp32=False)
    np.testing.assert_array_equal(run(emulate_half(model), x), 0.0)  # 300 / infinity


def test_rounding_worked_out_by_hand() -> None:
    chain = Chain(2, 1)
    weight = chain.weight(np.array([[[[1 / 3]], [[1.0]]]], np.float32))
    model, _ = chain.add("Conv", (weight,), [1, 1, 1]).build()
    x = np.array([0.1, 2049.0], np.float32).reshape(1, 2, 1, 1)
    half_precision(model, "fp16")
    # fp16(0.1) = 0.0999755859375, fp16(1/3) = 0.333251953125, fp16(2049) = 2048; the sum
    # 2048.0333 lies between 2048 and 2050.
    assert run(emulate_half(model), x).item() == 2048.0
    chain = Chain(1, 1)
    weight = chain.weight(np.array([[[[1.00390625]]]], np.float32))  # 1 + 2**-8: halfway, to even
    bf16, _ = chain.add("Conv", (weight,), [1, 1, 1]).build()
    half_precision(bf16, "bf16")
    assert run(emulate_half(bf16), np.full((1, 1, 1, 1), 3.0, np.float32)).item() == 3.0


def test_emulation_leaves_the_graph_alone_and_keeps_its_names() -> None:
    model, layers = small_network().build()
    half_precision(model, "bf16", lrn_layers=layers)
    before = checked(model)
    emulated = emulate_half(model)
    assert checked(model) == before
    for entered, left in layers:
        assert {value(emulated, entered).dtype, value(emulated, left).dtype} == {ir.DataType.FLOAT}
    assert value(emulated, "conv_4").dtype == ir.DataType.FLOAT
    rounded = value(emulated, "conv_4_rounded")
    assert rounded.dtype == ir.DataType.BFLOAT16


def test_a_weight_beyond_fp16_is_refused_and_fits_bf16() -> None:
    def network() -> ir.Model:
        chain = Chain(1, 1)
        weight = chain.weight(np.array([[[[70000.0]]]], np.float32))
        return chain.add("Conv", (weight,), [1, 1, 1]).build()[0]

    with pytest.raises(BadInputError, match="'weight_0' holds 70000") as caught:
        half_precision(network(), "fp16")
    assert "bf16" in caught.value.hint
    model = network()
    half_precision(model, "bf16")
    y = run(emulate_half(model), np.ones((1, 1, 1, 1), np.float32)).item()
    assert y == pytest.approx(70000, rel=2**-8)


def test_the_largest_fp16_weight_and_infinity_are_taken() -> None:
    chain = Chain(2, 1)
    weight = chain.weight(np.array([[[[65504.0]], [[-np.inf]]]], np.float32))
    half_precision(chain.add("Conv", (weight,), [1, 1, 1]).build()[0], "fp16")


def test_weights_that_lose_their_digits_are_named() -> None:
    chain = Chain(1, 1)
    tiny = chain.weight(np.array([[[[1e-8]]], [[[3e-8]]]], np.float32))  # fp16's step is 6e-8
    model, _ = chain.add("Conv", (tiny,), [2, 1, 1]).conv(2).build()
    done = half_precision(model, "fp16")
    assert set(done.lossy) == {"weight_0"}
    assert done.lossy["weight_0"] == pytest.approx(np.hypot(1e-8, 2.96e-8) / 3.162e-8, rel=1e-2)


def test_a_weight_wanted_in_both_types_is_there_in_both() -> None:
    chain = Chain(4, 4)
    shared = chain.weight(np.full((4, 1, 1), 0.1, np.float32))
    model, ((entered, left),) = chain.add("Mul", (shared,)).lrn(WRITTEN_OUT).build()
    alpha = model.graph.initializers[f"{left}_alpha"]
    (scaled, _), *_ = alpha.uses()
    scaled.replace_input_with(1, shared)  # now LRN takes it, too
    half_precision(model, "fp16", lrn_layers=[(entered, left)])
    checked(model)
    types = {name: item.dtype for name, item in model.graph.initializers.items()}
    assert types["weight_0"] == ir.DataType.FLOAT
    assert types["weight_0_fp16"] == ir.DataType.FLOAT16


def test_an_output_used_inside_the_graph_too() -> None:
    model, _ = Chain(2, 4).conv(3).relu().build()
    model.graph.outputs.append(model.graph[0].outputs[0])
    half_precision(model, "fp16")
    checked(model)
    assert [item.name for item in model.graph.outputs] == ["relu_1", "conv_0"]
    assert {item.dtype for item in model.graph.outputs} == {ir.DataType.FLOAT}


def test_operators_that_know_no_half_stay_in_fp32() -> None:
    chain = Chain(2, 4).conv(3)
    scales = chain.weight(np.array([1, 1, 2, 2], np.float32))
    model, _ = chain.build()
    x = model.graph.outputs[0]
    model.graph.register_initializer(scales)
    resized = ir.val("resized", dtype=ir.DataType.FLOAT, shape=ir.Shape(["batch", 3, 8, 8]))
    model.graph.append(ir.node("Resize", [x, None, scales], outputs=[resized], name="resize"))
    model.graph.outputs[:] = [resized]
    done = half_precision(model, "fp16")
    assert done.kept == ("resize",)
    assert scales.dtype == ir.DataType.FLOAT
    checked(model)


def test_a_branch_keeps_fp32() -> None:
    model, _ = Chain(2, 4).conv(3).build()
    x = model.graph.outputs[0]
    inner = ir.val("inner", dtype=ir.DataType.FLOAT, shape=x.shape)
    body = ir.Graph([], [inner], nodes=[ir.node("Relu", [x], outputs=[inner])], name="body")
    other = ir.val("other", dtype=ir.DataType.FLOAT, shape=x.shape)
    rest = ir.Graph([], [other], nodes=[ir.node("Neg", [x], outputs=[other])], name="rest")
    flag = ir.Value(name="flag", const_value=ir.tensor(np.array(True), name="flag"))
    flag.dtype, flag.shape = ir.DataType.BOOL, ir.Shape([])
    model.graph.register_initializer(flag)
    y = ir.val("y", dtype=ir.DataType.FLOAT, shape=x.shape)
    attributes = {"then_branch": body, "else_branch": rest}
    model.graph.append(ir.node("If", [flag], attributes, outputs=[y], name="branch"))
    model.graph.outputs[:] = [y]
    values = inputs(model)
    truth = run(model, values)
    done = half_precision(model, "fp16")
    assert done.kept == ("branch",)
    assert distance(run(model, values), truth) < 2e-3


def test_bf16_raises_the_opset_where_that_changes_nothing() -> None:
    model, _ = Chain(1, 4).conv(2).build()
    half_precision(model, "bf16")
    assert model.graph.opset_imports[""] == 22
    model, _ = Chain(1, 4).conv(2).build()
    half_precision(model, "fp16")
    assert model.graph.opset_imports[""] == 18
    chain = Chain(1, 4)
    grid = chain.weight(np.zeros((1, 4, 4, 2), np.float32))
    with pytest.raises(BadInputError, match="GridSample of 'gridsample_0' means something else"):
        half_precision(chain.add("GridSample", (grid,)).build()[0], "bf16")


def test_types_are_inferred_where_the_graph_does_not_say() -> None:
    model, layers = small_network().build()
    x = inputs(model)
    truth = run(model, x)
    for node in list(model.graph)[:-1]:
        node.outputs[0].type = node.outputs[0].shape = None
    half_precision(model, "fp16", lrn_layers=layers)
    assert distance(run(model, x), truth) < 2e-3


def test_an_unknown_operator_is_refused() -> None:
    model, _ = Chain(1, 4).add("Mystery", domain="custom").conv(2).build()
    model.graph.opset_imports["custom"] = 1
    node = model.graph[0]
    node.outputs[0].type = node.outputs[0].shape = None
    with pytest.raises(BadInputError, match="which Mystery 'mystery_0' computes"):
        half_precision(model, "fp16")


def test_lrn_layers_must_be_in_the_graph() -> None:
    model, ((entered, left), _) = small_network().build()
    with pytest.raises(BadInputError, match="no value 'gone'"):
        half_precision(model, "fp16", lrn_layers=[(entered, "gone")])
    with pytest.raises(BadInputError, match=f"'{left}' does not come from 'gone'"):
        half_precision(model, "fp16", lrn_layers=[("gone", left)])


def test_a_weight_that_loses_a_thirtieth_is_named() -> None:
    chain = Chain(1, 1)
    weight = chain.weight(np.full((1, 1, 1, 1), 10.3 * 2.0**-24, np.float32))  # to 10 steps
    done = half_precision(chain.add("Conv", (weight,), [1, 1, 1]).build()[0], "fp16")
    assert done.lossy == {"weight_0": pytest.approx(0.3 / 10.3, rel=1e-4)}


def test_an_opset_beyond_the_one_that_bf16_needs_is_kept() -> None:
    model, _ = Chain(2, 4).conv(3).build()
    model.graph.opset_imports[""] = 23
    half_precision(model, "bf16")
    assert model.graph.opset_imports[""] == 23


def test_a_weight_that_is_an_output_too_leaves_in_fp32() -> None:
    chain = Chain(1, 1)
    weight = chain.weight(np.full((1, 1, 1, 1), 1 / 3, np.float32))
    model, _ = chain.add("Conv", (weight,), [1, 1, 1]).build()
    model.graph.outputs.append(weight)
    half_precision(model, "fp16")
    assert weight.dtype == ir.DataType.FLOAT
    assert weight.const_value is not None
    assert weight.const_value.numpy().item() == np.float32(1 / 3)
    (conv,) = [node for node in model.graph if node.op_type == "Conv"]
    assert {item.dtype for item in conv.inputs if item is not None} == {ir.DataType.FLOAT16}


def weighted(*numbers: float) -> ir.Model:
    """A convolution of one pixel by these numbers, a channel each."""
    chain = Chain(1, 1)
    weight = chain.weight(np.array(numbers, np.float32).reshape(-1, 1, 1, 1))
    return chain.add("Conv", (weight,), [len(numbers), 1, 1]).build()[0]


@pytest.mark.parametrize(("rest", "told"), [(0.45, True), (0.27, False)])
def test_a_weight_that_loses_more_than_a_thousandth_is_named(rest: float, told: bool) -> None:
    lossy = half_precision(weighted((300 + rest) * 2.0**-24), "fp16").lossy  # 300 steps are left
    assert lossy == ({"weight_0": pytest.approx(rest / (300 + rest), rel=1e-3)} if told else {})


def test_what_bf16_rounds_is_not_told_of_each_weight() -> None:
    """Every weight loses up to 2**-9 there, which is more than a thousandth."""
    assert half_precision(weighted(1.00390625), "bf16").lossy == {}


def test_zeros_lose_nothing() -> None:
    assert half_precision(weighted(0.0, 0.0), "fp16").lossy == {}


def test_a_weight_beyond_bf16_is_refused() -> None:
    with pytest.raises(BadInputError, match="beyond the largest bf16 number") as caught:
        half_precision(weighted(1.0, 3.4e38), "bf16")  # which ends at 3.39e38
    assert caught.value.hint == "Keep this network in fp32."


def test_operators_of_other_domains_stay_in_fp32() -> None:
    model, _ = Chain(1, 4).add("Relu", domain="custom").conv(2).build()
    done = half_precision(model, "fp16")
    assert (done.kept, done.halved) == (("relu_0",), ("conv_1",))


def test_any_number_of_inputs_may_be_halved() -> None:
    model, _ = Chain(2, 4).conv(3).build()
    x = model.graph.outputs[0]
    y = ir.val("y", dtype=ir.DataType.FLOAT, shape=ir.Shape(["batch", 9, 4, 4]))
    model.graph.append(ir.node("Concat", [x, x, x], {"axis": 1}, outputs=[y], name="concat"))
    model.graph.outputs[:] = [y]
    values = inputs(model)
    truth = run(model, values)
    assert half_precision(model, "fp16").halved == ("conv_0", "concat")
    assert distance(run(model, values), truth) < 2e-3


def test_outputs_that_are_left_out_need_no_type() -> None:
    model, _ = Chain(2, 4).conv(3).build()
    x = model.graph.outputs[0]
    y = ir.val("y", dtype=ir.DataType.FLOAT, shape=ir.Shape(["batch", 3, 3, 3]))
    pool = ir.node("MaxPool", [x], {"kernel_shape": [2, 2]}, outputs=[y, ir.Value(name="")])
    model.graph.append(pool)
    model.graph.outputs[:] = [y]
    half_precision(model, "fp16")
    checked(model)


@pytest.mark.parametrize("lacking", ["type", "shape"])
def test_what_cannot_be_inferred_is_refused_whichever_is_lacking(lacking: str) -> None:
    model, _ = Chain(1, 4).add("Mystery", domain="custom").conv(2).build()
    model.graph.opset_imports["custom"] = 1
    setattr(model.graph[0].outputs[0], lacking, None)
    with pytest.raises(BadInputError, match="The type of 'mystery_0'"):
        half_precision(model, "fp16")


def test_each_input_is_looked_up_by_its_own_type() -> None:
    """ScatterND takes indices between two inputs that may be fp16."""
    model, _ = Chain(2, 4).conv(3).build()
    x = model.graph.outputs[0]
    rows = ir.Value(name="rows", const_value=ir.tensor(np.array([[0]]), name="rows"))
    rows.dtype, rows.shape = ir.DataType.INT64, ir.Shape([1, 1])
    model.graph.register_initializer(rows)
    y = ir.val("y", dtype=ir.DataType.FLOAT, shape=x.shape)
    model.graph.append(ir.node("ScatterND", [x, rows, x], outputs=[y], name="scatter"))
    model.graph.outputs[:] = [y]
    assert half_precision(model, "fp16").halved == ("conv_0", "scatter")
    assert rows.dtype == ir.DataType.INT64
