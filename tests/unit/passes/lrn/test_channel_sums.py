"""Sums of channels by slices or a convolution are raised if they are windows, and only then."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort
import pytest
import torch
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from lrn_deploy.lrn import LrnSpec, reference
from lrn_deploy.passes.lrn.channel_sums import SummedWindow, summed_window
from lrn_deploy.passes.lrn.raise_lrn import Raised, raise_lrn
from lrn_deploy.passes.lrn.shape_values import ShapeValues
from tests.support.networks import ConvolutionOfOnes, SumOfSlices, band

CHANNELS = 8
X = np.random.default_rng(0).normal(0, 300, (2, CHANNELS, 3, 3)).astype(np.float32)


def graph(base: str, **constants: object) -> onnx.ModelProto:
    """``y = x / base ** 0.75`` on x of shape (batch, 8, 3, 3); ``base`` makes "base" of "q"."""
    values = {"beta": np.float32(0.75)} | constants
    arrays = {
        name: np.asarray(value, np.int64 if isinstance(value, list) else np.float32)
        for name, value in values.items()
    }
    nodes = [helper.make_node("Mul", ["x", "x"], ["q"])]
    for line in base.split(";"):
        made, _, call = line.partition("=")
        operator, *inputs = call.strip().replace("_", "").split(" ")
        nodes.append(helper.make_node(operator, inputs, [made.strip()]))
    nodes.append(helper.make_node("Pow", ["base", "beta"], ["power"]))
    nodes.append(helper.make_node("Div", ["x", "power"], ["y"]))
    shape = ["batch", CHANNELS, 3, 3]
    made_graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(array, name) for name, array in arrays.items()],
    )
    opset = [helper.make_opsetid("", 18)]
    return helper.make_model(made_graph, opset_imports=opset, ir_version=10)


def run(proto: onnx.ModelProto) -> NDArray[np.float32]:
    session = ort.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"x": X})[0])


def raised(proto: onnx.ModelProto) -> tuple[list[Raised], list[str], onnx.ModelProto]:
    model = ir.from_proto(proto)
    done = raise_lrn(model)
    return done, [node.op_type for node in model.graph], ir.to_proto(model)


def matrix(left: int = 2, right: int = 2) -> NDArray[np.float32]:
    return np.asarray(band(CHANNELS, left, right))[:, :, None, None]


SLICES = "p = Pad q widths; a = Slice p s0 e0 axis; b = Slice p s1 e1 axis; c = Slice p s2 e2 axis"
AT = {f"{end}{at}": [at + (8 if end == "e" else 0)] for at in range(3) for end in "se"}
WIDTHS = {"widths": [0, 1, 0, 0, 0, 1, 0, 0], "axis": [1]}


@pytest.mark.parametrize(
    ("base", "constants", "spec"),
    [
        (
            "s = Conv q w; m = Mul s factor; base = Add k m",
            {"w": matrix(), "factor": 2e-5, "k": 2.0},
            LrnSpec(5, 1e-4, 0.75, 2.0),
        ),
        (
            "base = Conv q w b",
            {"w": 2e-5 * matrix(), "b": np.full(8, 2.0)},
            LrnSpec(5, 1e-4, 0.75, 2.0),
        ),
        (
            "s = Conv q w; m = Div s factor; base = Add m k",
            {"w": matrix(1, 1), "factor": 3e4, "k": np.full((8, 1, 1), 1.0)},
            LrnSpec(3, 1e-4, 0.75, 1.0),
        ),
        (
            f"{SLICES}; d = Add a b; s = Add d c; m = Mul s factor; base = Add m k",
            {**AT, **WIDTHS, "factor": 2e-4, "k": 2.0},
            LrnSpec(3, 6e-4, 0.75, 2.0),
        ),
        (
            f"{SLICES.replace('widths', 'widths _ axis')}; d = Add a b; s = Add c d; "
            "m = Mul factor s; base = Sub m k",
            {**AT, "widths": [1, 1], "axis": [-3], "factor": 2e-4, "k": -2.0},
            LrnSpec(3, 6e-4, 0.75, 2.0),
        ),
        (
            f"{SLICES.replace('widths', 'widths zero')}; d = Add a b; e = Add d c; "
            "more = Add b one; f = Sub e more; s = Add f more; m = Mul s factor; base = Add m k",
            {**AT, **WIDTHS, "zero": 0.0, "one": 1.0, "factor": 2e-4, "k": 2.0},
            LrnSpec(3, 6e-4, 0.75, 2.0),
        ),
    ],
    ids=[
        "convolution",
        "convolution with bias",
        "k for each channel",
        "slices",
        "axes that are named",
        "a written zero, and what is taken away and added again",
    ],
)
def test_windows_are_raised_with_their_parameters(
    base: str, constants: dict[str, object], spec: LrnSpec
) -> None:
    proto = graph(base, **constants)
    (item,), operators, after = raised(proto)
    assert (item.spec, item.reason, item.proof) == (spec, "", "structure")
    assert operators == ["LRN"]
    np.testing.assert_allclose(run(proto), reference(X, spec), rtol=2e-6)
    np.testing.assert_allclose(run(after), reference(X, spec), rtol=1e-5)


def holes() -> NDArray[np.float32]:
    weight = matrix()
    weight[4, 3] = 0
    return weight


def channel_0_kept() -> NDArray[np.float32]:
    weight = matrix()
    weight[:, 0] = 1
    return weight


def uneven() -> NDArray[np.float32]:
    weight = matrix()
    weight[4, 3] = 1.01
    return weight


CONV = "s = Conv q w; m = Mul s factor; base = Add m k"
NUMBERS = {"factor": 2e-5, "k": 2.0}


@pytest.mark.parametrize(
    ("base", "constants"),
    [
        (CONV, {"w": holes(), **NUMBERS}),
        (CONV, {"w": channel_0_kept(), **NUMBERS}),
        (CONV, {"w": uneven(), **NUMBERS}),
        (CONV, {"w": matrix(7, 7), **NUMBERS}),
        (CONV, {"w": matrix(), "factor": np.linspace(1e-5, 2e-5, 8).reshape(8, 1, 1), "k": 2.0}),
        (CONV, {"w": matrix(), "factor": 2e-5, "k": np.linspace(1, 2, 8).reshape(8, 1, 1)}),
        (CONV, {"w": matrix(), "factor": 2e-5, "k": np.arange(1.0, 10.0).reshape(3, 3)}),
        (CONV.replace("Conv q", "Conv x"), {"w": matrix(), **NUMBERS}),
        (
            f"{SLICES}; d = Add a b; s = Add d b; m = Mul s factor; base = Add m k",
            {**AT, **WIDTHS, **NUMBERS},
        ),
        (
            f"{SLICES}; d = Add a b; s = Sub d c; m = Mul s factor; base = Add m k",
            {**AT, **WIDTHS, **NUMBERS},
        ),
        (
            f"{SLICES.replace('widths', 'widths one')}; d = Add a b; s = Add d c; "
            "m = Mul s factor; base = Add m k",
            {**AT, **WIDTHS, **NUMBERS, "one": 1.0},
        ),
        (
            f"{SLICES}; d = Add a b; s = Add d c; m = Mul s factor; base = Add m k",
            {"s0": [0], "e0": [3], "s1": [1], "e1": [4], "s2": [2], "e2": [5]}
            | {"widths": [0, 0, 1, 0, 0, 0, 1, 0], "axis": [2], **NUMBERS},
        ),
    ],
    ids=[
        "a hole",
        "channel 0 kept, as CrossMapLRN2d does",
        "one weight is another",
        "all channels",
        "another alpha for each channel",
        "another k for each channel",
        "another k for each pixel",
        "no squares",
        "one slice twice",
        "a difference",
        "padded with ones",
        "rows and not channels",
    ],
)
def test_other_sums_are_left_alone(base: str, constants: dict[str, object]) -> None:
    proto = graph(base, **constants)
    before = [node.op_type for node in proto.graph.node]
    done, operators, _ = raised(proto)
    assert [item.spec for item in done] in ([], [None])
    assert operators == before


def test_a_lopsided_window_is_told_and_left_alone() -> None:
    (item,), operators, _ = raised(graph(CONV, w=matrix(1, 3), **NUMBERS))
    assert item.spec is None
    assert "1 channels on one side and 3 on the other" in item.reason
    assert "Conv" in operators


def test_a_larger_kernel_whose_other_weights_are_zero_is_raised_by_probes() -> None:
    weight = np.zeros((8, 8, 3, 3), np.float32)
    weight[:, :, 1, 1] = matrix()[:, :, 0, 0]
    proto = graph(CONV, w=weight, **NUMBERS)
    (conv,) = [node for node in proto.graph.node if node.op_type == "Conv"]
    conv.attribute.append(helper.make_attribute("pads", [1, 1, 1, 1]))
    (item,), operators, _ = raised(proto)
    assert item.spec == LrnSpec(5, 1e-4, 0.75, 2)
    assert item.proof == "probes"
    assert operators == ["LRN"]


def test_a_larger_kernel_sums_pixels_too_and_is_left_alone() -> None:
    weight = np.zeros((8, 8, 3, 3), np.float32)
    weight[:, :, 1, 1] = matrix()[:, :, 0, 0]
    weight[4, 4, 0, 1] = 0.01
    proto = graph(CONV, w=weight, **NUMBERS)
    (conv,) = [node for node in proto.graph.node if node.op_type == "Conv"]
    conv.attribute.append(helper.make_attribute("pads", [1, 1, 1, 1]))
    (item,), operators, _ = raised(proto)
    assert item.spec is None
    assert item.reason
    assert "Conv" in operators


def test_one_channel_alone_is_a_window_of_one() -> None:
    (item,), operators, _ = raised(graph(CONV, w=matrix(0, 0), **NUMBERS))
    assert (item.spec, item.proof) == (LrnSpec(1, 2e-5, 0.75, 2), "probes")
    assert operators == ["LRN"]


def test_the_networks_of_the_export_tests_are_lrn() -> None:
    """What tests.support.networks calls LRN is LRN by the float64 definition."""
    x = torch.from_numpy(X.astype(np.float64))
    slices = SumOfSlices(5, 4e-5, 0.75, 2.0, (2, 2))(x)
    np.testing.assert_allclose(slices, reference(X, LrnSpec(5, 2e-4, 0.75, 2.0)), rtol=1e-12)
    even = SumOfSlices(4, 5e-5, 0.75, 2.0, (2, 1))(x)
    np.testing.assert_allclose(even, reference(X, LrnSpec(4, 2e-4, 0.75, 2.0)), rtol=1e-12)
    ones = ConvolutionOfOnes(band(8, 2, 2), 2e-5, 0.5, 2.0).double()(x)
    np.testing.assert_allclose(ones, reference(X, LrnSpec(5, 1e-4, 0.5, 2.0)), rtol=1e-12)


def window(nodes: list[ir.Node], channels: int = CHANNELS) -> SummedWindow | None:
    """What the last of some nodes sums, of the squares that the first one takes."""
    squares = nodes[0].inputs[0]
    x = ir.val("x", dtype=ir.DataType.FLOAT, shape=ir.Shape(["batch", channels, 3, 3]))
    return summed_window(nodes[-1].outputs[0], lambda value: value is squares, ShapeValues(x))


def const(value: object, dtype: type = np.int64) -> ir.Value:
    return ir.Value(name="constant", const_value=ir.tensor(np.asarray(value, dtype)))


def convolved(
    weight: NDArray[np.float32], *bias: NDArray[np.float32], **attributes: object
) -> list[ir.Node]:
    weights = [const(values, np.float32) for values in (weight, *bias)]
    return [ir.node("Conv", [ir.val("squares"), *weights], attributes)]


def neighbours(padding: int, channels: int = CHANNELS, **attributes: str) -> list[ir.Node]:
    """Each channel and the one behind it, cut out of so many channels of zeros on both sides."""
    widths = const([0, padding, 0, 0, 0, padding, 0, 0])
    pad = ir.node("Pad", [ir.val("squares"), widths], attributes)
    slices = [
        ir.node("Slice", [pad.outputs[0], const([at]), const([at + channels]), const([1])])
        for at in (padding, padding + 1)
    ]
    return [pad, *slices, ir.node("Add", [node.outputs[0] for node in slices])]


def test_a_convolution_that_says_what_is_usual_is_a_window() -> None:
    usual = {"strides": [1, 1], "pads": [0, 0, 0, 0], "group": 1}
    assert window(convolved(matrix(1, 2))) == SummedWindow(1, 2, 1.0, 0.0)
    for auto_pad in ("NOTSET", "VALID"):
        nodes = convolved(2 * matrix(1, 2), np.full(8, 3.0), **usual, auto_pad=auto_pad)
        assert window(nodes) == SummedWindow(1, 2, 2.0, 3.0)


@pytest.mark.parametrize(
    "nodes",
    [
        convolved(matrix(), strides=[2, 2]),
        convolved(matrix(), strides=[1, 2]),
        convolved(matrix(), pads=[0, 0, 0, 1]),
        convolved(matrix(), auto_pad="SAME_UPPER"),
        convolved(matrix()[:7]),
        convolved(matrix()[:, :7]),
        convolved(0 * matrix()),
        convolved(matrix(0, 0)),
        convolved(np.repeat(matrix(), 3, axis=2)),
        neighbours(1, mode="reflect"),
        neighbours(1, mode="edge"),
        neighbours(-1),
        neighbours(600),
    ],
)
def test_what_sums_otherwise_is_no_window(nodes: list[ir.Node]) -> None:
    assert window(nodes) is None


def test_windows_are_looked_for_in_so_many_channels_and_so_much_padding() -> None:
    assert window(neighbours(1)) == window(neighbours(500)) == SummedWindow(0, 1, 1.0, 0.0)
    assert window(neighbours(1, 5000), 5000) is None


def test_a_window_may_reach_over_all_channels_from_some() -> None:
    assert window(convolved(matrix(7, 6))) == SummedWindow(7, 6, 1.0, 0.0)
    assert window(convolved(matrix(7, 7))) is None


def then(operator: str, *others: object, first: bool = False) -> list[ir.Node]:
    """A convolution that is a window, and an operator of what it makes and of constants."""
    (conv,) = convolved(matrix())
    window, numbers = conv.outputs[0], [const(other, np.float32) for other in others]
    inputs = [*numbers, window] if first else [window, *numbers]
    return [conv, ir.node(operator, inputs if numbers else [window, window])]


@pytest.mark.parametrize(
    ("nodes", "factor", "k"),
    [
        (then("Mul", [[[[0.5]]]]), 0.5, 0.0),
        (then("Mul", 0.5, first=True), 0.5, 0.0),
        (then("Div", np.full((8, 1, 1), 4.0)), 0.25, 0.0),
        (then("Add", 3.0), 1.0, 3.0),
        (then("Add", np.full((1, 8, 1, 1), 3.0), first=True), 1.0, 3.0),
        (then("Sub", -3.0), 1.0, 3.0),
        (then("Add"), 2.0, 0.0),
    ],
)
def test_what_is_done_with_a_window(nodes: list[ir.Node], factor: float, k: float) -> None:
    assert window(nodes) == SummedWindow(2, 2, factor, k)


@pytest.mark.parametrize(
    "nodes",
    [
        then("Mul"),
        then("Div"),
        then("Sub"),
        then("Pow", 2.0),
        then("Sub", 3.0, first=True),
        then("Div", 3.0, first=True),
        then("Div", 0.0),
        then("Add", np.full((1, 1, 1, 1, 1), 3.0)),
        then("Add", np.full((1, 3, 1), 3.0)),
        then("Add", np.full((1, 3), 3.0)),
        then("Add", np.full((2, 1, 1, 1), 3.0)),
    ],
)
def test_what_else_is_done_makes_it_none(nodes: list[ir.Node]) -> None:
    assert window(nodes) is None


def test_constants_are_the_decimals_that_people_write() -> None:
    """0.1 in fp32 is 0.10000000149."""
    found = window(then("Mul", 0.1))
    assert found == SummedWindow(2, 2, 0.1, 0.0)
    assert window(convolved(np.float32(0.1) * matrix(), np.full(8, 0.3, np.float32))) == (
        SummedWindow(2, 2, 0.1, 0.3)
    )


@pytest.mark.parametrize(("more", "one"), [(0.6e-6, True), (1.5e-6, False)])
def test_numbers_of_one_window_are_equal_but_for_their_rounding(more: float, one: bool) -> None:
    weight = matrix()
    weight[4, 3] += more
    assert window(convolved(weight)) == (SummedWindow(2, 2, 1.0, 0.0) if one else None)
