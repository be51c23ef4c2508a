"""The order of nodes, and which values they read, also in graphs inside them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from lrn_deploy.errors import BadInputError
from lrn_deploy.onnx_files.order import name_apart, put_in_order, reads
from tests.support.onnx_graphs import model, node


def graph(*nodes: onnx.NodeProto, output: str = "y") -> onnx.GraphProto:
    return model(nodes, {"x": [1, 3]}, {output: [1, 3]}, {"w": np.ones(3, "f4")}).graph


def branch(*nodes: onnx.NodeProto, output: str, own: str = "") -> onnx.GraphProto:
    """A graph inside a node; ``own`` is an initialiser of its own."""
    return helper.make_graph(
        nodes,
        "branch",
        [],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, [1, 3])],
        [numpy_helper.from_array(np.ones(3, "f4"), own)] if own else [],
    )


def condition(then: onnx.GraphProto, other: onnx.GraphProto) -> onnx.NodeProto:
    return node("If", "x", "y", then_branch=then, else_branch=other)


def ordered(made: onnx.GraphProto) -> tuple[int, list[str]]:
    dropped = put_in_order(made, ["large"])
    return dropped, [output for one in made.node for output in one.output]


def test_an_order_that_runs_is_kept_and_another_is_mended() -> None:
    nodes = (node("Relu", "x", "b"), node("Relu", "x", "a"), node("Add", "a b", "y"))
    assert ordered(graph(*nodes)) == (0, ["b", "a", "y"])
    assert ordered(graph(nodes[1], nodes[0], nodes[2])) == (0, ["a", "b", "y"])
    assert ordered(graph(nodes[1], node("Neg", "x", "c"), nodes[0], nodes[2])) == (
        1,
        ["a", "b", "y"],
    )
    assert ordered(graph(node("Neg", "x", "c"), *nodes)) == (1, ["b", "a", "y"])
    for more, dropped in (((), 0), ((node("Neg", "x", "c"),), 1)):
        count, order = ordered(graph(*more, *nodes[::-1]))
        assert (count, {*order[:2]}, order[2:]) == (dropped, {"a", "b"}, ["y"])


def test_a_value_that_is_read_inside_a_branch_alone_is_made_before_it() -> None:
    inside = branch(node("Neg", "a", "n"), output="n")
    passed = branch(output="b")
    nodes = (condition(inside, passed), node("Relu", "x", "a"), node("Abs", "x", "b"))
    assert list(reads(nodes[0])) == ["x", "b", "a"]
    dropped, order = ordered(graph(*nodes))
    assert dropped == 0
    assert (sorted(order[:2]), order[2]) == (["a", "b"], "y")


def test_what_a_branch_has_of_its_own_is_not_read_outside() -> None:
    inner = branch(node("Add", "x k", "p"), node("Neg", "p", "q"), output="q", own="k")
    nested = branch(node("If", "x", "r", then_branch=inner, else_branch=inner), output="r")
    assert set(reads(condition(inner, nested))) == {"x"}
    assert ordered(graph(condition(inner, nested))) == (0, ["y"])


def test_an_output_may_be_what_is_given() -> None:
    for given in ("x", "w", "large"):
        assert ordered(graph(node("Relu", "x", "a"), output=given)) == (1, [])


@pytest.mark.parametrize("at", [0, 1])
def test_a_circle_is_found_from_wherever_it_is_entered(at: int) -> None:
    nodes = [node("Add", "b x", "a"), node("Relu", "a", "b")]
    with pytest.raises(BadInputError, match=r"^The graph goes in a circle: \w+ '[ab]_node' needs"):
        put_in_order(graph(*nodes, output="ab"[at]), [])


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (lambda made: made.node.append(node("Neg", "x", "x")), "'x' is made twice, by Neg"),
        (lambda made: made.node.append(node("Neg", "x", "w")), "'w' is made twice, by Neg"),
        (lambda made: made.node.append(node("Neg", "x", "large")), "'large' is made twice"),
        (lambda made: made.node.append(node("Neg", "x", "y")), "'y' is made twice, by Neg"),
        (lambda made: made.input.append(made.input[0]), "Two inputs of the graph have the same"),
        (
            lambda made: made.output[0].CopyFrom(
                helper.make_tensor_value_info("z", TensorProto.FLOAT, None)
            ),
            "the graph's outputs name 'z', which nothing makes",
        ),
    ],
)
def test_values_that_are_made_twice_or_never(
    edit: Callable[[onnx.GraphProto], object], said: str
) -> None:
    made = graph(node("Relu", "x", "y"))
    edit(made)
    with pytest.raises(BadInputError, match=said) as caught:
        put_in_order(made, ["large"])
    assert caught.value.hint


def test_outputs_that_are_left_out_are_not_made_twice() -> None:
    nodes = [node("MaxPool", "x", "a"), node("MaxPool", "a", "y")]
    for one in nodes:
        one.output.append("")
    assert put_in_order(graph(*nodes), []) == 0


def test_only_names_that_several_nodes_have_are_changed() -> None:
    nodes = [node("Relu", "x", name) for name in "abcdef"]
    for one, name in zip(nodes, ("same", "", "same", "own", "two", "two"), strict=True):
        one.name = name
    nodes.append(helper.make_node("Relu", ["x"], [], name="same"))
    made = graph(*nodes)
    name_apart(made)
    assert [one.name for one in made.node] == [
        "same_a", "", "same_c", "own", "two_e", "two_f", "same_",
    ]  # fmt: skip
