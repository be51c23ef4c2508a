"""What is read off the operators of a quotient: its parameters, and its window of channels."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir
import pytest

from lrn_deploy.lrn import LrnSpec
from lrn_deploy.passes.lrn.pooled_channels import (
    NotLrnError,
    NotProvenError,
    is_square,
    pool_behind,
    pooled_window,
    scalar,
)
from lrn_deploy.passes.lrn.shape_values import UnknownShapeError
from lrn_deploy.passes.lrn.structure import Quotient, may_be_proven, prove, spec_of_window


def tensor(*shape: int | str, dtype: ir.DataType = ir.DataType.FLOAT) -> ir.Value:
    return ir.val("x", dtype=dtype, shape=ir.Shape(shape or ("n", 8, 3, 2)))


def const(values: Any, dtype: type = np.float32) -> ir.Value:
    return ir.Value(name="constant", const_value=ir.tensor(np.asarray(values, dtype)))


def ints(*values: int) -> ir.Value:
    return const(values, np.int64)


def made(operator: str, *inputs: ir.Value | None, domain: str = "", **attributes: Any) -> ir.Value:
    return ir.node(operator, inputs, attributes, domain=domain).outputs[0]


def pooled(
    x: ir.Value,
    *,
    view: tuple[int, ...] = (0, 1, 8, 3, 2),
    pad: tuple[Any, ...] | None = ([0, 0, 1, 0, 0, 0, 0, 1, 0, 0],),
    mode: str = "constant",
    square: ir.Value | None = None,
    **attributes: Any,
) -> ir.Value:
    """The mean over channels, back in the shape of x."""
    squares = made("Mul", x, x) if square is None else square
    value = made("Reshape", squares, ints(*view))
    if pad is not None:
        widths, *rest = pad
        value = made("Pad", value, ints(*widths), *rest, mode=mode)
    value = made("AveragePool", value, **{"kernel_shape": [3, 1, 1]} | attributes)
    return made("Reshape", value, ints(0, 8, 3, 2))


USUAL = {"strides": [1, 1, 1], "dilations": [1, 1, 1], "auto_pad": "NOTSET"}


@pytest.mark.parametrize(
    "how",
    [
        {},
        USUAL,
        {"pads": [0] * 6, **USUAL},
        {"pads": [1, 0, 0, 1, 0, 0], "count_include_pad": 1, "pad": None},
        {"pads": [1, 0, 0, 0, 0, 0], "count_include_pad": 1, "pad": ([0] * 7 + [1, 0, 0],)},
        {"view": (0, 1, 8, -1), "pad": ([0, 0, 1, 0, 0, 0, 1, 0],), "kernel_shape": [3, 1]},
        {"pad": ([0, 0, 1, 0, 0, 0, 0, 1, 0, 0], const(0.0))},
        {"pad": ([0, 0, 1, 0, 0, 0, 0, 1, 0, 0], const(0.0), None)},
    ],
)
def test_the_ways_to_write_an_average_over_channels(how: dict[str, Any]) -> None:
    x = tensor()
    assert pooled_window(pooled(x, **how), x) == (1, 1)


WIDE = [0, 0, 1, 0, 0, 0, 0, 1, 0, 0]


@pytest.mark.parametrize(
    ("how", "error", "reason"),
    [
        ({"kernel_shape": [3, 1, 2]}, NotLrnError, "not one over channels alone"),
        ({"strides": [1, 1, 2]}, NotLrnError, "strides"),
        ({"dilations": [2, 1, 1]}, NotLrnError, "dilations"),
        ({"auto_pad": "VALID"}, NotLrnError, "its own padding"),
        ({"pads": [1, 0, 0, 1, 0, 0], "pad": None}, NotLrnError, "leaves the padding out"),
        ({"pad": None}, NotLrnError, "padding of 0 and 0 does not fit the size 3"),
        ({"pads": [0, 1, 0, 0, 0, 0], "count_include_pad": 1}, NotLrnError, "more than its chan"),
        ({"pads": [0, 0, 0, 0, 0, 1], "count_include_pad": 1}, NotLrnError, "more than its chan"),
        ({"mode": "reflect"}, NotLrnError, "not padded with zeros"),
        ({"pad": (WIDE, const(0.5))}, NotLrnError, "not padded with zeros"),
        ({"pad": (WIDE, None, ints(0, 1, 2, 3, 4))}, NotProvenError, "names axes"),
        ({"pad": (WIDE[:-2],)}, NotLrnError, "more than its channels"),
        ({"pad": ([0, 0, -1, 0, 0, 0, 0, 3, 0, 0],)}, NotLrnError, "more than its channels"),
        ({"pad": ([0, 1, 1, 0, 0, 0, 0, 1, 0, 0],)}, NotLrnError, "more than its channels"),
        ({"pad": ([0, 0, 1, 0, 0, 1, 0, 1, 0, 0],)}, NotLrnError, "more than its channels"),
        ({"view": (0, 8, 3, 2)}, NotLrnError, "pixels within each channel"),
        ({"view": (0, 8, 1, 3, 2)}, NotProvenError, r"not of shape \(N, 1, C, ...\)"),
        ({"view": (0, 1, 48)}, NotProvenError, r"not of shape \(N, 1, C, ...\)"),
        ({"square": tensor()}, NotProvenError, "not the square"),
    ],
)
def test_other_averages_are_told_with_what_is_wrong(
    how: dict[str, Any], error: type[Exception], reason: str
) -> None:
    x = tensor()
    with pytest.raises(error, match=reason) as caught:
        pooled_window(pooled(x, **how), x)
    assert caught.type is error


def test_an_average_of_another_shape_is_not_proven() -> None:
    x = tensor()
    mean = made("Reshape", pooled(x), ints(0, 8, 2, 3))
    with pytest.raises(NotProvenError, match="does not have the shape of the input"):
        pooled_window(mean, x)


def test_pads_of_old_opsets_are_attributes_which_are_not_read() -> None:
    x = tensor()
    view = made("Reshape", made("Mul", x, x), ints(0, 1, 8, 3, 2))
    pool = made("AveragePool", made("Pad", view, pads=WIDE), kernel_shape=[3, 1, 1])
    with pytest.raises(UnknownShapeError, match="a Pad has no input 1, as in opsets before 13"):
        pooled_window(made("Reshape", pool, ints(0, 8, 3, 2)), x)


def test_a_pool_is_seen_behind_other_shapes_of_what_it_makes() -> None:
    x = tensor()
    pool = made("AveragePool", x, kernel_shape=[3, 3])
    behind = made("Identity", made("Flatten", made("Unsqueeze", pool, ints(0))))
    assert pool_behind(behind) is pool_behind(pool) is pool.producer()
    for other in (x, made("Relu", pool), made("Reshape", pool, ints(-1), domain="own")):
        assert pool_behind(other) is None
    assert pool_behind(made("AveragePool", x, domain="own")) is None


def test_a_square_is_a_product_with_itself_or_the_second_power() -> None:
    x, other = tensor(), tensor()
    for square in (made("Mul", x, x), made("Pow", x, const(2.0)), made("Pow", x, const([2.0]))):
        assert is_square(square, x)
        assert not is_square(square, other)
    for none in (
        x,
        made("Mul", x, other),
        made("Mul", other, x),
        made("Add", x, x),
        made("Pow", x, const(3.0)),
        made("Pow", x, const([2.0, 2.0])),
        made("Pow", x, other),
        made("Mul", x, x, domain="own"),
        made("RandomNormal", shape=[1]),
    ):
        assert not is_square(none, x)


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (const(0.1), 0.1),  # and not 0.10000000149
        (const([[[[1e-4]]]]), 1e-4),
        (const([[[[[1e-4]]]]]), None),  # would give what it meets a fifth axis
        (const([1.0, 1.0]), None),
        (tensor(), None),
        (None, None),
    ],
)
def test_a_constant_is_told_as_people_write_it(value: ir.Value | None, number: float) -> None:
    assert scalar(value) == number


def test_the_parts_of_a_quotient() -> None:
    x, base = tensor(), tensor()
    for divisor, beta in (
        (base, 1.0),
        (made("Sqrt", base), 0.5),
        (made("Pow", base, const(0.75)), 0.75),
    ):
        node = ir.node("Div", [x, divisor])
        assert Quotient.of(node) == Quotient(x, base, beta)
    assert Quotient.of(ir.node("Div", [x, made("Pow", base, base)])) is None
    assert Quotient.of(ir.node("Div", [None, base])) is None
    assert Quotient.of(ir.node("Mul", [x, base])) is None
    assert Quotient.of(ir.node("Div", [x, base], domain="own")) is None


def test_what_is_worth_a_look() -> None:
    x = tensor()
    for operator in ("Pow", "Sqrt", "Add", "Mul"):
        assert may_be_proven(ir.node("Div", [x, made(operator, x, x)]))
    divisor = made("Sqrt", x)
    assert not may_be_proven(ir.node("Div", [x, x]))
    assert not may_be_proven(ir.node("Div", [x, made("Exp", x)]))
    assert not may_be_proven(ir.node("Mul", [x, divisor]))
    assert not may_be_proven(ir.node("Div", [x, divisor], domain="own"))
    assert not may_be_proven(ir.node("Div", [x]))
    assert not may_be_proven(ir.node("Div", [x, None]))


def quotient(x: ir.Value, window: ir.Value) -> Quotient:
    return Quotient(x, made("Add", made("Mul", window, const(0.5)), const(2.0)), 0.75)


def test_an_average_over_channels_is_an_lrn_of_rank_4_in_fp32() -> None:
    x = tensor()
    proven = prove(quotient(x, pooled(x)))
    assert proven == (LrnSpec(3, 0.5, 0.75, 2.0), "torch")
    with pytest.raises(NotProvenError, match="only rank 4 is proven"):
        prove(quotient(flat := tensor("n", 8, 6), pooled(flat)))
    with pytest.raises(NotProvenError, match="only rank 4 is proven"):
        prove(quotient(unknown := ir.val("x", dtype=ir.DataType.FLOAT), pooled(unknown)))
    half = tensor(dtype=ir.DataType.FLOAT16)
    with pytest.raises(NotLrnError, match="it computes in FLOAT16, and only FLOAT is raised"):
        prove(quotient(half, pooled(half)))


def test_a_sum_over_channels_is_an_lrn_of_rank_4_in_fp32_with_fixed_channels() -> None:
    band = np.eye(8) + np.eye(8, k=1) + np.eye(8, k=-1)
    weights = const(band[:, :, None, None])

    def proven(x: ir.Value) -> Any:
        return prove(quotient(x, made("Conv", made("Mul", x, x), weights)))

    assert proven(tensor()) == (LrnSpec(3, 1.5, 0.75, 2.0), "torch")
    for x in (
        tensor(dtype=ir.DataType.DOUBLE),
        tensor("n", 8, 6),
        tensor("n", "c", 3, 2),
        ir.val("x", dtype=ir.DataType.FLOAT),
    ):
        assert proven(x) is None
    assert prove(quotient(x := tensor(), made("Mul", x, x))) is None


@pytest.mark.parametrize(
    ("left", "right", "convention"),
    [(0, 0, "torch"), (2, 2, "torch"), (2, 1, "torch"), (1, 2, "onnx"), (1, 0, "torch")],
)
def test_whose_window_it_is(left: int, right: int, convention: str) -> None:
    spec = LrnSpec(left + right + 1, 0.5, 0.75, 2.0)
    assert spec_of_window(left, right, 0.5, 0.75, 2.0) == (spec, convention)


@pytest.mark.parametrize(("left", "right"), [(0, 2), (2, 0), (1, 3)])
def test_nobodys_window_is_told_with_its_parameters(left: int, right: int) -> None:
    says = rf"window of {left + right + 1} has {left} channels on one side and {right} on the other"
    with pytest.raises(NotLrnError, match=rf"{says} \(alpha 0.5, beta 0.75, k 2\)"):
        spec_of_window(left, right, 0.5, 0.75, 2.0)
