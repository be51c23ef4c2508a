"""What each opset has of an operator (ONNX, "Operators" and "Changelog"), and what is refused."""

from __future__ import annotations

import onnx
import pytest
from onnx import AttributeProto, helper

from lrn_deploy.errors import BadInputError
from lrn_deploy.onnx_files.operators import check_operators, every_node, misfit, true_opset
from tests.support.onnx_graphs import model, node

NEWEST = onnx.defs.onnx_opset_version()


def untyped() -> onnx.NodeProto:
    """As files of the first exporters have attributes."""
    made = node("LeakyRelu", "x", "y")
    made.attribute.append(AttributeProto(name="alpha", f=0.5))
    return made


@pytest.mark.parametrize(
    ("made", "opset", "why"),
    [
        (node("Rleu", "x", "y"), 18, "is not there yet, or no longer"),
        (node("LayerNormalization", "x w", "y"), 16, "is not there yet, or no longer"),
        (node("LayerNormalization", "x w", "y"), 17, ""),
        (node("Upsample", "x s", "y"), 8, "needs the attribute 'scales'"),
        (node("Upsample", "x s", "y"), 9, ""),
        (node("Upsample", "x s", "y"), 10, "is not there yet, or no longer"),
        (node("Relu", "x", "y", alpha=0.5), 18, "has no attribute 'alpha'"),
        (node("LeakyRelu", "x", "y", alpha=0.5), 18, ""),
        (node("LeakyRelu", "x", "y", alpha=1), 18, "has the attribute 'alpha' of another type"),
        (untyped(), 18, ""),
        (node("LRN", "x", "y"), 18, "needs the attribute 'size'"),
        (node("LRN", "x", "y", size=3), 18, ""),
        (node("Relu", "x x", "y"), 18, "does not take 2 inputs"),
        (node("Relu", "", "y"), 18, "does not take 0 inputs"),
        (node("Clip", "x - -", "y"), 6, ""),
        (node("Clip", "x - h", "y"), 6, "does not take 3 inputs"),
        (node("Clip", "x - h", "y"), 11, ""),
        (node("Relu", "x", "y z"), 18, "does not make 2 outputs"),
        (node("MaxPool", "x", "y i", kernel_shape=[2]), 7, "does not make 2 outputs"),
        (node("MaxPool", "x", "y i", kernel_shape=[2]), 8, ""),
        (node("Dropout", "x", "y", ratio=1, is_test=1, seed=3), 13, ""),
    ],
)
def test_what_does_not_fit_an_opset(made: onnx.NodeProto, opset: int, why: str) -> None:
    assert misfit(made, opset) == why


def test_the_opset_that_nodes_are_written_in() -> None:
    upsample = node("Upsample", "x s", "y")
    for stamp in (1, 7, 9, 10, NEWEST):
        assert true_opset([upsample], stamp) == 9
    assert true_opset([node("SwiGLU", "x w", "y")], 18) == 28  # where it is new
    relu = node("Relu", "x", "y")
    assert [true_opset([relu], stamp) for stamp in (0, 1, NEWEST)] == [1, 1, NEWEST]
    with pytest.raises(BadInputError, match=f"is of opset {NEWEST + 1}; the installed"):
        true_opset([relu], NEWEST + 1)
    with pytest.raises(BadInputError, match="where Relu 'y_node' does not take 2 inputs, and it"):
        true_opset([node("Relu", "x x", "y")], 18)
    # Files of Core ML have ImageScaler, which fits every opset as no opset has it.
    assert true_opset([node("ImageScaler", "x", "x"), upsample], 3) == 9


def test_without_a_word_about_training_a_file_is_of_opset_seven_or_later() -> None:
    dropout = node("Dropout", "x", "y")
    assert true_opset([dropout], 1) == 1
    later = node("Upsample", "y", "z", scales=[1.0, 1.0, 2.0, 2.0])  # opset 7 and 8
    assert true_opset([dropout, later], 1) == 7
    first = node("Reshape", "y", "z", shape=[1, 3])  # up to opset 4
    assert true_opset([dropout, first], 9) == 4
    early = node("Dropout", "x", "y", is_test=1)
    assert true_opset([early, node("Relu", "y", "z", consumed_inputs=[0])], 9) == 5


def choice(kind: str) -> onnx.NodeProto:
    inner = helper.make_graph(
        [node(kind, "x", "a")], "inner", [], [helper.make_tensor_value_info("a", 1, None)]
    )
    return node("If", "c", "y", then_branch=inner, else_branch=inner)


@pytest.mark.parametrize(
    ("kinds", "said"),
    [
        ("Loop Scan SequenceMap", "is a loop"),
        ("SequenceConstruct SplitToSequence OptionalGetElement Optional", "works on sequences"),
        (
            "Bernoulli Multinomial RandomNormal RandomNormalLike RandomUniform RandomUniformLike",
            "is random",
        ),
        (
            "QuantizeLinear DequantizeLinear DynamicQuantizeLinear QLinearConv QLinearMatMul "
            "ConvInteger MatMulInteger",
            "of a network that was quantized",
        ),
        ("Rleu", "is no operator of ONNX"),
    ],
)
def test_operators_that_are_refused_wherever_they_stand(kinds: str, said: str) -> None:
    for kind in kinds.split():
        for made in (node(kind, "x", "y"), choice(kind)):
            with pytest.raises(BadInputError, match=f"{kind} '.*{said}") as caught:
                check_operators(model([made], {"x": [1]}, {"y": None}))
            assert caught.value.hint


def test_operators_that_are_taken_and_nodes_inside_of_nodes() -> None:
    nodes = [choice("Relu"), node("ImageScaler", "x", "z")]
    nodes[1].domain = "ai.onnx"
    check_operators(model(nodes, {"x": [1]}, {"y": None}))
    assert [one.op_type for one in every_node(nodes)] == ["If", "Relu", "Relu", "ImageScaler"]
