"""Which nodes belong to a quotient, and which may be LRN, is told from the graph alone."""

from __future__ import annotations

import onnx
import onnx_ir as ir
import pytest

from lrn_deploy.passes.lrn.probing.region import Region, region_between, regions
from tests.support.torn_lrn import torn
from tests.support.torn_parts import Torn


def model_of(how: Torn) -> ir.Model:
    return ir.from_proto(torn(how))


def last_region(model: ir.Model) -> Region | None:
    return next(iter(regions(list(model.graph)[-1])), None)


def test_all_nodes_between_belong_to_it_in_an_order_that_runs() -> None:
    model = model_of(Torn("slices", "exp log"))
    region = last_region(model)
    assert region is not None
    assert (region.x.name, region.y.name) == ("x", "y")
    assert set(region.nodes) == set(model.graph)
    done = {region.x, *region.constants}
    for node in region.nodes:
        assert done.issuperset(node.inputs)
        done.update(node.outputs)
    assert {value.name for value in region.constants} == set(model.graph.initializers)
    assert region.exit_beside is None


def test_nodes_in_front_of_x_do_not_belong_to_it() -> None:
    model = model_of(Torn("conv"))
    (x, _) = model.graph.inputs
    front = ir.node("Relu", [x])
    front.outputs[0].name = "front"
    model.graph.insert_before(model.graph[0], front)
    for use in x.uses():
        if use.node is not front:
            use.node.replace_input_with(use.idx, front.outputs[0])
    region = last_region(model)
    assert region is not None
    assert region.x is front.outputs[0]
    assert front not in region.nodes


@pytest.mark.parametrize("square", ["other", "Relu"])
def test_what_another_value_has_a_part_in_is_none(square: str) -> None:
    assert last_region(model_of(Torn("slices", square=square))) is None


def test_a_copy_of_x_may_be_what_is_divided() -> None:
    region = last_region(model_of(Torn("slices", numerator="Identity")))
    assert region is not None
    assert region.x.name == "x"
    assert "Identity" in [node.op_type for node in region.nodes]


def test_a_value_that_leaves_it_beside_the_quotient_is_named() -> None:
    region = last_region(model_of(Torn("slices", outputs=("Pow",))))
    assert region is not None
    assert region.exit_beside is not None
    assert region.exit_beside.producer().op_type == "Pow"  # type: ignore[union-attr]


def test_shapes_of_x_may_be_used_elsewhere() -> None:
    """They are no numbers of x: another layer may use them too."""
    model = model_of(Torn("conv1d"))
    (x, _) = model.graph.inputs
    shape = ir.node("Shape", [x])
    shape.outputs[0].name = "shape"
    model.graph.insert_before(model.graph[0], shape)
    reshape = [node for node in model.graph if node.op_type == "Reshape"][-1]
    (transpose,) = [use.node for use in reshape.outputs[0].uses()]
    assert transpose.op_type == "Transpose"
    model.graph.outputs.append(shape.outputs[0])
    last = list(model.graph)[-1]
    before = region_between(x, last)
    assert before is not None
    made = ir.node("Expand", [transpose.outputs[0], shape.outputs[0]])
    made.outputs[0].name = "expanded"
    model.graph.insert_after(transpose, made)
    for use in transpose.outputs[0].uses():
        if use.node is not made:
            use.node.replace_input_with(use.idx, made.outputs[0])
    region = region_between(x, last)
    assert region is not None
    assert shape in region.nodes
    assert shape.outputs[0] not in region.numbers
    assert region.exit_beside is None


IF = """
<ir_version: 8, opset_import: ["" : 18]>
branching (float[2, 6, 3] x) => (float[2, 6, 3] y)
<float two = {2.0}, bool yes = {1}, int64[1] at = {1}, int64[1] end = {7}, int64[1] start = {0},
 int64[6] widths = {0, 1, 0, 0, 0, 0}>
{
  q = Mul(x, x)
  p = Pad(q, widths)
  s = If(yes) <
    then_branch = then () => (float[2, 6, 3] a) { a = Slice(p, start, end, at) },
    else_branch = else () => (float[2, 6, 3] b) { b = Identity(q) }
  >
  d = Add(s, two)
  y = Div(x, d)
}
"""


def test_what_the_branches_of_an_if_read_belongs_to_it() -> None:
    model = ir.from_proto(onnx.parser.parse_model(IF))
    region = region_between(model.graph.inputs[0], list(model.graph)[-1])
    assert region is not None
    assert [node.op_type for node in region.nodes].count("Pad") == 1
    assert {value.name for value in region.constants} == set(model.graph.initializers)
    assert region.exit_beside is None


def text_region(body: str, constants: str = "float two = {2.0}") -> Region | None:
    """What makes y of x, in ONNX's own words."""
    model = onnx.parser.parse_model(
        '<ir_version: 8, opset_import: ["" : 18]>\n'
        f"g (float[2, 6, 3] x) => (float[2, 6, 3] y) <{constants}> {{ {body} }}"
    )
    graph = ir.from_proto(model).graph
    return region_between(graph.inputs[0], list(graph)[-1])


@pytest.mark.parametrize(
    ("denominator", "adds"),
    [
        ("q = Mul(x, x) s = Add(q, two) d = Pow(s, half)", False),
        ("q = Pow(x, two) s = Add(q, two) d = Sqrt(s)", False),  # a square is no such power
        ("q = Mul(x, x) a = Abs(q) d = Add(a, two)", False),
        ("q = Mul(x, x) h = Div(q, two) d = Add(h, two)", False),
        ("q = Mul(x, x) r = Sqrt(two) d = Add(q, r)", False),
        ("q = Mul(x, x) p = Pow(q, half) d = Add(p, two)", True),
        ("q = Mul(x, x) p = Pow(q, several) d = Add(p, two)", True),
        ("q = Mul(x, x) p = Sqrt(q) d = Sub(p, two)", True),
        ("q = Mul(x, x) p = Log(q) m = Mul(p, half) d = Sum(two, m)", True),
        ("q = Mul(x, x) p = Reciprocal(q) d = Mean(p, two)", True),
        ("q = Mul(x, x) p = Div(two, q) d = Add(p, two)", True),
    ],
)
def test_what_is_added_behind_a_power_is_seen(denominator: str, adds: bool) -> None:
    constants = "float two = {2.0}, float half = {0.5}, float[3] several = {2.0, 2.0, 0.5}"
    region = text_region(f"{denominator} y = Div(x, d)", constants)
    assert region is not None
    assert region.adds_behind_power is adds


AXES = "float two = {2.0}, float one = {1.0}, int64[1] at = {1}, int64[1] end = {7}"
CUT = "s = Slice(q, at, end, at) d = Add(s, two) y = Div(x, d)"


@pytest.mark.parametrize(
    ("body", "may"),
    [
        (f"q = Mul(x, x) {CUT}", True),
        (f"q = Pow(x, two) {CUT}", True),
        (f"q = ReduceSumSquare(x) {CUT}", True),
        (f'q = Einsum<equation = "nch,nch->nch">(x, x) {CUT}', True),
        (f"q = Mul(x, two) {CUT}", False),
        (f'q = Einsum<equation = "nch->nch">(x) {CUT}', False),
        (f"q = Add(x, x) {CUT}", False),
        ("q = Mul(x, x) d = Add(q, two) y = Div(x, d)", False),  # no channel is told from another
        (
            f"q = Mul(x, x) b = Greater(q, two) w = Where(b, q, two) {CUT.replace('(q', '(w')}",
            False,
        ),
        (f"c = Greater(two, one) f = Cast<to = 1>(c) p = Mul(x, x) q = Mul(p, f) {CUT}", True),
    ],
)
def test_an_lrn_squares_and_tells_channels_apart_and_chooses_nothing(body: str, may: bool) -> None:
    region = text_region(body, AXES)
    assert region is not None
    assert region.may_be_lrn is may


@pytest.mark.parametrize(
    ("types", "narrowed"),
    [
        ((1, 11), None),
        ((11, 10, 1), ir.DataType.FLOAT16),
        ((16, 1), ir.DataType.BFLOAT16),
        ((6, 1), ir.DataType.INT32),
    ],
)
def test_a_cast_below_fp32_is_seen(types: tuple[int, ...], narrowed: ir.DataType | None) -> None:
    casts = " ".join(f"c{at + 1} = Cast<to = {to}>(c{at})" for at, to in enumerate(types))
    region = text_region(f"c0 = Mul(x, x) {casts} y = Div(x, c{len(types)})")
    assert region is not None
    assert region.narrowed is narrowed


def test_a_cast_of_what_is_no_number_of_x_is_not() -> None:
    region = text_region("h = Cast<to = 10>(two) t = Cast<to = 1>(h) q = Mul(x, t) y = Div(x, q)")
    assert region is not None
    assert region.narrowed is None


@pytest.mark.parametrize(("copies", "small"), [(298, True), (299, False)])
def test_regions_of_more_than_300_nodes_are_not_looked_into(copies: int, small: bool) -> None:
    """With the square and the quotient."""
    row = " ".join(f"c{at + 1} = Identity(c{at})" for at in range(copies))
    region = text_region(f"c0 = Mul(x, x) {row} y = Div(x, c{copies})")
    assert (region is not None) is small


def test_a_constant_that_the_user_may_give_is_none() -> None:
    model = ir.from_proto(torn(Torn("slices")))
    assert last_region(model) is not None
    model.graph.inputs.append(next(iter(model.graph.initializers.values())))
    assert last_region(model) is None


def test_what_is_not_made_of_x_is_no_region() -> None:
    assert text_region("a = Neg(two) y = Add(a, two)") is None
    assert text_region("q = Max(x, two) y = Div(x, q)") is None


def test_a_value_inside_that_is_an_output_of_the_graph_is_named() -> None:
    model = model_of(Torn("slices", "exp log"))
    region = last_region(model)
    assert region is not None
    assert region.exit_beside is None
    for node in region.nodes[:-1]:
        (value,) = node.outputs
        model.graph.outputs.append(value)
        assert region.exit_beside is value
        model.graph.outputs.pop()


def test_only_divisions_and_products_of_two_values_have_regions() -> None:
    model = model_of(Torn("slices"))
    quotient = list(model.graph)[-1]
    assert [region.y for region in regions(quotient)] == [quotient.outputs[0]]
    quotient.domain = "own"
    assert list(regions(quotient)) == []
    assert list(regions(ir.node("Div", [ir.val("x")]))) == []
    assert list(regions(ir.node("Add", quotient.inputs))) == []
    assert list(regions(ir.node("Div", [quotient.inputs[0], None]))) == []
    assert list(regions(ir.node("Div", list(reversed(quotient.inputs))))) == []
    (turned,) = regions(ir.node("Mul", list(reversed(quotient.inputs))))
    assert turned.x is quotient.inputs[0]
