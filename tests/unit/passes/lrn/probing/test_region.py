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
