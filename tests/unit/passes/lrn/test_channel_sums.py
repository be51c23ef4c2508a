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
from lrn_deploy.passes.lrn.raise_lrn import Raised, raise_lrn
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
        operator, *inputs = call.split()
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
    ],
    ids=["convolution", "convolution with bias", "k for each channel", "slices"],
)
def test_windows_are_raised_with_their_parameters(
    base: str, constants: dict[str, object], spec: LrnSpec
) -> None:
    proto = graph(base, **constants)
    (item,), operators, after = raised(proto)
    assert (item.spec, item.reason) == (spec, "")
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
