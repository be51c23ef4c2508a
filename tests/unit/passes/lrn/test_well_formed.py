"""A graph whose nodes lack what their operators need is told before a pass relies on it."""

from __future__ import annotations

from collections.abc import Callable

import onnx
import onnx_ir as ir
import pytest
from onnx import helper

from lrn_deploy.passes.lrn.raise_lrn import raise_lrn
from lrn_deploy.passes.lrn.well_formed import is_well_formed
from tests.support.torn_lrn import torn
from tests.support.torn_parts import Torn


def node(proto: onnx.ModelProto, operator: str) -> onnx.NodeProto:
    return next(item for item in proto.graph.node if item.op_type == operator)


@pytest.mark.parametrize(
    "how",
    [
        Torn("split"),
        Torn("two pads", opset=9),
        Torn("unfold", "exp log", opset=11),
        Torn("slices", "roots", shape=(3, 2, 6), last=True),
    ],
)
def test_every_form_is_well_formed(how: Torn) -> None:
    assert is_well_formed(ir.from_proto(torn(how)).graph)


def an_input_less(proto: onnx.ModelProto) -> None:
    del node(proto, "Pow").input[1]


def an_input_more(proto: onnx.ModelProto) -> None:
    node(proto, "Pow").input.append("x")


def an_empty_input(proto: onnx.ModelProto) -> None:
    """ONNX's checker accepts it, and ONNX Runtime ends the process."""
    node(proto, "Sum").input[1] = ""


def no_attribute(proto: onnx.ModelProto) -> None:
    del node(proto, "Concat").attribute[:]


def an_attribute_of_another_type(proto: onnx.ModelProto) -> None:
    node(proto, "Concat").attribute[0].CopyFrom(helper.make_attribute("axis", 1.0))


def no_such_operator(proto: onnx.ModelProto) -> None:
    node(proto, "Pow").op_type = "Power"


def an_output_more(proto: onnx.ModelProto) -> None:
    node(proto, "Pow").output.append("more")


def a_circle(proto: onnx.ModelProto) -> None:
    node(proto, "Sum").input[0] = node(proto, "Concat").output[0]


def another_order(proto: onnx.ModelProto) -> None:
    nodes = list(proto.graph.node)
    del proto.graph.node[:]
    proto.graph.node.extend(reversed(nodes))


@pytest.mark.parametrize(
    "fault",
    [
        an_input_less,
        an_input_more,
        an_empty_input,
        no_attribute,
        an_attribute_of_another_type,
        no_such_operator,
        an_output_more,
        a_circle,
        another_order,
    ],
)
def test_others_are_told_and_left_as_they_are(fault: Callable[[onnx.ModelProto], None]) -> None:
    proto = torn(Torn("split"))
    fault(proto)
    model = ir.from_proto(proto)
    before = [item.op_type for item in model.graph]
    assert not is_well_formed(model.graph)
    assert raise_lrn(model) == []
    assert [item.op_type for item in model.graph] == before


def test_a_fault_in_a_branch_is_told_too() -> None:
    text = """
    <ir_version: 8, opset_import: ["" : 18]>
    branching (float[2] x, bool yes) => (float[2] y) {
      y = If(yes) <then_branch = t () => (float[2] a) { a = Neg(x) },
                   else_branch = e () => (float[2] b) { b = Neg(x) }>
    }
    """
    proto = onnx.parser.parse_model(text)
    assert is_well_formed(ir.from_proto(proto).graph)
    proto.graph.node[0].attribute[0].g.node[0].input.append("x")
    assert not is_well_formed(ir.from_proto(proto).graph)


def of_x(*operators: str, **attributes: object) -> ir.Graph:
    """Operators of x, each a word of its domain, its type and its inputs: x, or - for none."""
    x = ir.val("x", dtype=ir.DataType.FLOAT, shape=ir.Shape([2, 3]))
    nodes = []
    for operator in operators:
        domain, op_type, inputs = operator.split(":")
        values = [x if letter == "x" else None for letter in inputs]
        nodes.append(ir.node(op_type, values, attributes, domain=domain))
    return ir.Graph([x], [], nodes=nodes, name="g")


@pytest.mark.parametrize(("name", "fits"), [("paddings", True), ("pads", False)])
def test_a_file_that_says_no_opset_is_of_the_first(name: str, fits: bool) -> None:
    """Whose Pad has another attribute than the second's (ONNX's Changelog)."""
    assert is_well_formed(of_x(":Pad:x", **{name: [1, 1]})) is fits


@pytest.mark.parametrize(
    ("operators", "fits"),
    [
        ((":Clip:x-x", "own:Clip:"), True),  # nobody knows what others' operators need
        ((":Clip:-x",), False),
        ((":Gemm:xx-",), True),
        ((":Gemm:x-x",), False),
        ((":Sum:",), False),
        ((":Sum:x",), True),
        ((":Sum:xxx",), True),
        ((":Sum:x-x",), False),
    ],
)
def test_inputs_that_may_be_left_out_and_any_number_of_them(
    operators: tuple[str, ...], fits: bool
) -> None:
    graph = of_x(*operators)
    graph.opset_imports[""] = 18
    assert is_well_formed(graph) is fits


def test_a_branch_reads_what_stands_before_it_and_keeps_what_it_makes_to_itself() -> None:
    text = """
    <ir_version: 8, opset_import: ["" : 18]>
    branching (float[2] x, bool yes) => (float[2] y) {
      p = Neg(x)
      q = If(yes) <then_branch = t () => (float[2] a) { a = Neg(p) },
                   else_branch = e () => (float[2] b) { b = Neg(p) }>
      y = Neg(q)
    }
    """
    proto = onnx.parser.parse_model(text)
    assert is_well_formed(ir.from_proto(proto).graph)
    model = ir.from_proto(proto)
    first, branch, last = model.graph
    inner = next(iter(branch.attributes.values())).as_graph()
    last.replace_input_with(0, inner[0].outputs[0])
    assert not is_well_formed(model.graph)
    model = ir.from_proto(proto)
    first, branch, _ = model.graph
    model.graph.remove(first)
    model.graph.insert_after(branch, first)
    assert not is_well_formed(model.graph)
