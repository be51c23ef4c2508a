"""What the stock exporters make of an LRN is raised to one node; what is not an LRN is not."""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Callable

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import checker
from torch import nn

from lrn_deploy.lrn import LrnSpec, reference
from lrn_deploy.passes.lrn.raise_lrn import raise_lrn
from tests.support.small_alexnet import small_alexnet, small_alexnet_even

ALEXNET = LrnSpec(5, 1e-4, 0.75, 2.0)


def export(module: nn.Module, x: torch.Tensor, dynamo: bool, dynamic: bool = True) -> ir.Model:
    """The stock exporter's graph, with a dynamic batch or a fixed one."""
    module.eval()
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if dynamo:
            shapes = ({0: torch.export.Dim("batch")},) if dynamic else None
            program = torch.onnx.export(
                module, (x,), dynamo=True, verbose=False, dynamic_shapes=shapes
            )
            assert program is not None
            proto = program.model_proto
        else:
            file = io.BytesIO()
            axes = {"x": {0: "batch"}} if dynamic else None
            torch.onnx.export(
                module, (x,), file, dynamo=False, input_names=["x"], dynamic_axes=axes
            )
            proto = onnx.load_model_from_string(file.getvalue())
    return ir.from_proto(proto)


def run(model: ir.Model, x: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    proto = ir.to_proto(model)
    checker.check_model(proto, full_check=True)
    session = ort.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    return [np.asarray(y) for y in session.run(None, {session.get_inputs()[0].name: x})]


def operators(model: ir.Model) -> list[str]:
    return [node.op_type for node in model.graph]


class OddAndEven(nn.Module):
    """A network, and the same with an even window in its first LRN: one export shows both."""

    def __init__(self) -> None:
        super().__init__()
        self.odd, self.even = small_alexnet(), small_alexnet_even()

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.odd(x), self.even(x)


@pytest.mark.parametrize("dynamic", [True, False])
@pytest.mark.parametrize("dynamo", [True, False])
def test_stock_exports_become_what_they_were_but_for_an_even_window(
    dynamo: bool, dynamic: bool
) -> None:
    module = OddAndEven()
    x = 100 * torch.randn(2, 3, 37, 37, generator=torch.Generator().manual_seed(0))
    model = export(module, x, dynamo, dynamic)
    first, second, even, last = raise_lrn(model)
    assert [(item.spec, item.reason) for item in (first, second, last)] == [(ALEXNET, "")] * 3
    assert even.spec is not None
    assert even.spec.size == 4
    assert "size 4 is even" in even.reason
    # TorchScript's exporter writes an Identity for each weight that is the same in both.
    raised = [kind for kind in operators(model) if kind != "Identity"]
    assert raised[:8] == ["Conv", "Relu", "LRN", "MaxPool"] * 2
    assert raised[15:17] == ["Conv", "Relu"]
    assert raised[15:].count("LRN") == raised[15:].count("AveragePool") == 1
    with torch.no_grad():
        truths = [truth.numpy() for truth in module(x)]
    for y, truth in zip(run(model, x.numpy()), truths, strict=True):
        np.testing.assert_allclose(y, truth, rtol=1e-4, atol=1e-5 * abs(truth).max())


def decomposed(
    spec: LrnSpec = ALEXNET,
    *,
    view: tuple[int, ...] = (0, 1, 8, 3, 3),
    pads: tuple[int, int] | None = None,
    pad_value: float = 0.0,
    pool: dict[str, list[int]] | None = None,
    back: tuple[int, ...] = (0, 8, 3, 3),
    square: Callable[[ir.Value, ir.Value], ir.Node] | None = None,
) -> ir.Model:
    """The decomposition on x of shape (batch, 8, 3, 3), written by hand, with faults to order."""
    x = ir.val("x", dtype=ir.DataType.FLOAT, shape=ir.Shape(["batch", 8, 3, 3]))
    other = ir.val("other", dtype=ir.DataType.FLOAT, shape=x.shape)
    constants: list[ir.Value] = []
    nodes: list[ir.Node] = []

    def add(node: ir.Node, name: str) -> ir.Value:
        nodes.append(node)
        node.outputs[0].name = name
        return node.outputs[0]

    def const(values: object, name: str, dtype: type = np.float32) -> ir.Value:
        tensor = ir.tensor(np.array(values, dtype), name=name)
        constants.append(ir.Value(name=name, const_value=tensor, type=ir.TensorType(tensor.dtype)))
        constants[-1].shape = ir.Shape(tensor.shape)
        return constants[-1]

    left, right = pads or (spec.size // 2, spec.size // 2)
    zeros = [0] * (len(view) - 3)
    widths = [0, 0, left, *zeros, 0, 0, right, *zeros]
    squares = add(square(x, other) if square else ir.node("Mul", [x, x]), "squares")
    viewed = add(ir.node("Reshape", [squares, const(view, "view", np.int64)]), "viewed")
    pad_inputs = [viewed, const(widths, "widths", np.int64), const(pad_value, "pad_value")]
    padded = add(ir.node("Pad", pad_inputs), "padded")
    attributes = {"kernel_shape": [spec.size, *(1 for _ in zeros)]} | (pool or {})
    mean = add(ir.node("AveragePool", [padded], attributes), "mean")
    shaped = add(ir.node("Reshape", [mean, const(back, "back", np.int64)]), "shaped")
    scaled = add(ir.node("Mul", [const(spec.alpha, "alpha"), shaped]), "scaled")
    base = add(ir.node("Add", [const(spec.k, "k"), scaled]), "base")
    power = add(ir.node("Pow", [base, const(spec.beta, "beta")]), "power")
    y = add(ir.node("Div", [x, power]), "y")
    y.dtype = ir.DataType.FLOAT
    graph = ir.Graph(
        [x, other], [y], nodes=nodes, initializers=constants, opset_imports={"": 18}, name="g"
    )
    return ir.Model(graph, ir_version=10)


@settings(max_examples=15)
@given(
    size=st.integers(0, 5).map(lambda half: 2 * half + 1),
    alpha=st.floats(1e-6, 1e-3),
    beta=st.floats(0.1, 1),
    k=st.floats(1, 4),
    flat=st.booleans(),
)
def test_raised_parameters_are_those_that_were_written(
    size: int, alpha: float, beta: float, k: float, flat: bool
) -> None:
    spec = LrnSpec(size, alpha, beta, k)
    model = decomposed(spec, view=(0, 1, 8, -1) if flat else (-1, 1, 8, 3, 3))
    (item,) = raise_lrn(model)
    assert item.spec is not None, item.reason
    assert operators(model) == ["LRN"]
    got = (item.spec.size, item.spec.alpha, item.spec.beta, item.spec.k)
    np.testing.assert_allclose(got, (size, alpha, beta, k), rtol=1e-7)
    assert (item.input, item.output) == ("x", "y")
    x = 10 * np.random.default_rng(0).standard_normal((2, 8, 3, 3)).astype(np.float32)
    (y,) = ort.InferenceSession(
        ir.to_proto(model).SerializeToString(), providers=["CPUExecutionProvider"]
    ).run(None, {"x": x, "other": x})
    np.testing.assert_allclose(np.asarray(y), reference(x, spec), rtol=1e-5)


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (decomposed(LrnSpec(4), pads=(0, 3)), "0 channels on one side and 3 on the other"),
        (decomposed(pads=(1, 3)), "1 channels on one side and 3 on the other"),
        (decomposed(pads=(2, 1), back=(0, -1, 3, 3)), "does not fit the size 5"),
        (decomposed(pad_value=1.0), "not padded with zeros"),
        (decomposed(view=(0, 1, 4, 6, 3)), "not the same for every channel"),
        (decomposed(view=(1, -1, 8, 3, 3)), "not of shape (N, 1, C, ...)"),
        (decomposed(pool={"kernel_shape": [5, 1, 3], "pads": [0, 0, 1, 0, 0, 1]}), "kernel"),
        (decomposed(pool={"strides": [2, 1, 1]}), "strides"),
        (decomposed(pool={"dilations": [2, 1, 1]}), "dilations"),
        (decomposed(pads=(0, 0), pool={"pads": [2, 0, 0, 2, 0, 0]}), "leaves the padding out"),
        (decomposed(back=(0, 3, 8, 3)), "shape of the input"),
        (decomposed(square=lambda x, other: ir.node("Mul", [x, other])), "not the square"),
        (decomposed(square=lambda _, other: ir.node("Mul", [other, other])), "not the square"),
    ],
)
def test_near_misses_are_left_alone_and_said(model: ir.Model, reason: str) -> None:
    before = operators(model)
    (item,) = raise_lrn(model)
    assert item.spec is None
    assert reason in item.reason
    assert operators(model) == before


@pytest.mark.parametrize(
    ("spec", "pads", "reason"),
    [
        (LrnSpec(4), (2, 1), "size 4 is even"),
        (LrnSpec(5, alpha=0.1), None, "lose digits"),
        (LrnSpec(5, alpha=-1e-4), None, "alpha"),
    ],
)
def test_what_no_lrn_node_computes_well_is_proven_and_left_as_it_is_written(
    spec: LrnSpec, pads: tuple[int, int] | None, reason: str
) -> None:
    model = decomposed(spec, pads=pads)
    before = operators(model)
    (item,) = raise_lrn(model)
    assert item.spec == spec
    assert reason in item.reason
    assert (item.input, item.output) == ("x", "y")
    assert operators(model) == before


def test_a_pool_that_is_no_lrn_is_not_spoken_of() -> None:
    x = ir.val("x", dtype=ir.DataType.FLOAT, shape=ir.Shape(["batch", 8, 3, 3]))
    y = ir.val("y", dtype=ir.DataType.FLOAT)
    pool = ir.node("AveragePool", [x], {"kernel_shape": [3, 3]})
    relu = ir.node("Relu", pool.outputs)
    div = ir.node("Div", [x, relu.outputs[0]], outputs=[y])
    graph = ir.Graph([x], [y], nodes=[pool, relu, div], opset_imports={"": 18}, name="g")
    model = ir.Model(graph, ir_version=10)
    assert raise_lrn(model) == []
    assert operators(model) == ["AveragePool", "Relu", "Div"]


def test_with_a_value_that_is_used_elsewhere_it_is_proven_and_stays() -> None:
    model = decomposed()
    (mean,) = [node.outputs[0] for node in model.graph if node.op_type == "AveragePool"]
    model.graph.outputs.append(mean)
    before = operators(model)
    (item,) = raise_lrn(model)
    assert item.spec == ALEXNET
    assert item.reason == "'mean' inside it is used elsewhere too"
    assert operators(model) == before


def only(model: ir.Model, op_type: str, domain: str = "") -> ir.Node:
    (node,) = [node for node in model.graph if (node.op_type, node.domain) == (op_type, domain)]
    return node


def constant(model: ir.Model, name: str, values: object, dtype: type = np.float32) -> ir.Value:
    tensor = ir.tensor(np.array(values, dtype), name=name)
    value = ir.Value(name=name, const_value=tensor, type=ir.TensorType(tensor.dtype))
    value.shape = ir.Shape(tensor.shape)
    model.graph.register_initializer(value)
    return value


def assert_left_alone(model: ir.Model, reason: str) -> None:
    before = operators(model)
    (item,) = raise_lrn(model)
    assert reason in item.reason
    assert operators(model) == before


def test_without_an_addition_k_is_zero_and_not_lrns_default() -> None:
    model = decomposed()
    add = only(model, "Add")
    ir.convenience.replace_all_uses_with(add.outputs[0], add.inputs[1])
    model.graph.remove(add, safe=True)
    before = operators(model)
    (item,) = raise_lrn(model)
    assert item.spec == LrnSpec(5, 1e-4, 0.75, 0.0)
    assert "k 0 " in item.reason
    assert operators(model) == before


def test_without_a_product_alpha_is_one() -> None:
    model = decomposed(LrnSpec(5, 1e-4, 0.75, 2000.0))
    (mul,) = [node for node in model.graph if node.outputs[0].name == "scaled"]
    ir.convenience.replace_all_uses_with(mul.outputs[0], mul.inputs[1])
    model.graph.remove(mul, safe=True)
    (item,) = raise_lrn(model)
    assert item.spec == LrnSpec(5, 1.0, 0.75, 2000.0)


def test_a_pool_that_pads_by_itself_is_left_alone() -> None:
    """It leaves its padding out of the average: at the ends fewer channels count than elsewhere."""
    model = decomposed(pads=(0, 0))
    only(model, "AveragePool").attributes["auto_pad"] = ir.AttrString("auto_pad", "SAME_UPPER")
    assert_left_alone(model, "computes its own padding")


def test_a_pad_that_names_its_axes_is_left_alone() -> None:
    """The widths are then in the order of those axes: here it is the rows that get the zeros."""
    model = decomposed()
    pad = only(model, "Pad")
    pad.resize_inputs(4)
    pad.replace_input_with(3, constant(model, "axes", [0, 1, 3, 2, 4], np.int64))
    assert_left_alone(model, "names axes")


def test_a_cube_is_no_square() -> None:
    for exponent, reason in ((2.0, ""), (3.0, "no power of a constant and a sum of squares")):
        model = decomposed()
        (square,) = [node for node in model.graph if node.outputs[0].name == "squares"]
        power = ir.node("Pow", [square.inputs[0], constant(model, "exponent", exponent)])
        power.outputs[0].name = "powers"
        model.graph.insert_before(square, power)
        ir.convenience.replace_all_uses_with(square.outputs[0], power.outputs[0])
        model.graph.remove(square, safe=True)
        (item,) = raise_lrn(model)
        assert reason in item.reason
        assert (item.spec is None) == bool(reason)


def test_steps_of_one_never_need_to_be_rounded_up() -> None:
    """So a pool with ceil_mode makes what one without makes, and is raised as that one."""
    model = decomposed()
    only(model, "AveragePool").attributes["ceil_mode"] = ir.AttrInt64("ceil_mode", 1)
    model.graph.inputs.pop()
    model.graph.outputs[0].shape = model.graph.inputs[0].shape
    x = 100 * np.random.default_rng(0).standard_normal((2, 8, 3, 3)).astype(np.float32)
    (before,) = run(model, x)
    (item,) = raise_lrn(model)
    assert item.spec == ALEXNET
    assert operators(model) == ["LRN"]
    np.testing.assert_allclose(before, reference(x, ALEXNET), rtol=1e-5)
    (after,) = run(model, x)
    np.testing.assert_allclose(after, reference(x, ALEXNET), rtol=1e-5)
