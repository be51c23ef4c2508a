"""What a graph takes and gives, which sizes are said, and what a file may hold beside them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from lrn_deploy.errors import BadInputError
from lrn_deploy.onnx_files import network, read, read_judged
from tests.support.onnx_graphs import model, node, save

Model = onnx.ModelProto


def relu() -> Model:
    return model([node("Relu", "x", "y")], {"x": [1, 3, 4, 4]}, {"y": [1, 3, 4, 4]})


def two(*sizes: int | str) -> Model:
    """A second input of such sizes behind the batch."""
    nodes = [node("Relu", "x", "y"), node("Neg", "z", "w")]
    return model(nodes, {"x": ["n", 3, "h"], "z": ["n", *sizes]}, {"y": None, "w": None})


def refused(tmp_path: Path, made: Model, shape: tuple[int, ...] | None = None) -> BadInputError:
    with pytest.raises(BadInputError) as caught:
        read(save(tmp_path, made), shape)
    return caught.value


def typed(made: Model, kind: int) -> Model:
    made.graph.input[0].type.tensor_type.elem_type = kind
    return made


def without_inputs() -> Model:
    value = onnx.numpy_helper.from_array(np.ones((1, 3), "f4"), "v")
    return model([node("Constant", "", "y", value=value)], {}, {"y": [1, 3]})


def untyped() -> Model:
    made = relu()
    made.graph.input[0].ClearField("type")
    return made


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (without_inputs, "The graph has no input"),
        (untyped, "The input 'x' is no tensor (None)"),
        (lambda: typed(relu(), TensorProto.UINT16), "'x' is of the type UINT16; networks are"),
        (lambda: typed(relu(), TensorProto.UNDEFINED), "'x' is of the type UNDEFINED;"),
        (lambda: typed(relu(), 99), "'x' is of the type UNDEFINED;"),
    ],
)
def test_inputs_that_no_bundle_takes(tmp_path: Path, made: Callable[[], Model], said: str) -> None:
    assert said in refused(tmp_path, made()).message


@pytest.mark.parametrize("kind", ["INT64", "INT32", "INT8", "UINT8", "BOOL", "FLOAT"])
def test_types_that_a_bundle_takes(tmp_path: Path, kind: str) -> None:
    made = model([node("Cast", "x", "y", to=1)], {"x": [1, 3]}, {"y": None})
    typed(made, getattr(TensorProto, kind))
    assert str(read(save(tmp_path, made)).model.graph.inputs[0].dtype) == kind


def test_the_type_of_an_output_is_inferred(tmp_path: Path) -> None:
    made = relu()
    made.graph.output[0].ClearField("type")
    assert str(read(save(tmp_path, made)).model.graph.outputs[0].dtype) == "FLOAT"
    made.graph.output[0].CopyFrom(helper.make_tensor_value_info("y", 0, [1, 3, 4, 4]))
    assert str(read(save(tmp_path, made)).model.graph.outputs[0].dtype) == "FLOAT"


def test_a_shape_is_for_the_first_input_and_may_say_what_is_said_already(tmp_path: Path) -> None:
    path = save(tmp_path, two(5))
    graph = read(path, (3, 7)).model.graph
    assert [str(value.shape) for value in graph.inputs] == ["[batch,3,7]", "[batch,5]"]
    assert read(save(tmp_path, relu()), (3, 4, 4)).fixed == ""
    first = refused(tmp_path, two(5))
    assert "'x' is of any size: [3, h] without" in first.message
    assert first.hint == "Say one with --shape 3,224,224."
    second = refused(tmp_path, two("k"), (3, 7))
    assert "'z' is of any size: [k] without" in second.message
    assert second.hint == "Export the network for inputs of one size."
    assert "'z' is of any size: [?] without" in refused(tmp_path, two(""), (3, 7)).message
    for shape in ((4, 7), (3, 7, 1), (3,)):
        assert "does not fit the input 'x' of shape [3, h]" in (
            refused(tmp_path, two(5), shape).message
        )


@pytest.mark.parametrize("size", [0, -1])
def test_an_axis_has_a_length(tmp_path: Path, size: int) -> None:
    said = refused(tmp_path, two(size), (3, 7)).message
    assert "The input 'z' has the impossible shape" in said
    assert read(save(tmp_path, two(1)), (3, 7))


def test_as_many_nodes_are_read_as_the_limit_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save(tmp_path, two(5))
    monkeypatch.setattr(network, "MANY", 2)
    assert read_judged(path)
    monkeypatch.setattr(network, "MANY", 1)
    with pytest.raises(BadInputError, match="has 2 nodes, more than the 1 that are read"):
        read_judged(path)


def with_functions() -> Model:
    """f is two nodes, g calls it twice and is a node more; the graph calls g."""
    stamps = [helper.make_opsetid("own", 1), helper.make_opsetid("", 18)]

    def call(kind: str, x: str, y: str) -> onnx.NodeProto:
        return helper.make_node(kind, [x], [y], domain="own")

    bodies = {
        "g": [call("f", "x", "a"), call("f", "a", "b"), node("Abs", "b", "y")],
        "f": [node("Relu", "x", "a"), node("Neg", "a", "y")],
    }
    made = relu()
    made.graph.node[0].CopyFrom(call("g", "x", "y"))
    made.opset_import.append(stamps[0])
    made.functions.extend(
        helper.make_function("own", name, ["x"], ["y"], nodes, stamps)
        for name, nodes in bodies.items()
    )
    return made


def test_functions_are_put_where_they_are_called_up_to_the_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save(tmp_path, with_functions())
    assert [one.op_type for one in read(path).model.graph] == ["Relu", "Neg", "Relu", "Neg", "Abs"]
    monkeypatch.setattr(network, "MANY", 5)
    assert read_judged(path)
    monkeypatch.setattr(network, "MANY", 4)
    with pytest.raises(BadInputError, match="functions of the file make more than 4 nodes"):
        read_judged(path)


def test_the_two_names_of_the_standard_domain_and_none(tmp_path: Path) -> None:
    made = relu()
    made.graph.node[0].domain = made.opset_import[0].domain = "ai.onnx"
    assert [(one.domain, one.op_type) for one in read(save(tmp_path, made)).model.graph] == [
        ("", "Relu")
    ]
    made.ClearField("opset_import")
    file, opset, told = read_judged(save(tmp_path, made))
    assert (opset, told) == (1, ())
    assert [(one.domain, one.version) for one in file.model.opset_import] == [("", 1)]


def test_two_floating_point_types_are_told_both(tmp_path: Path) -> None:
    nodes = [
        node("Cast", "x", "a", to=TensorProto.BFLOAT16),
        node("Cast", "a", "b", to=TensorProto.FLOAT16),
        node("Cast", "b", "y", to=TensorProto.FLOAT),
    ]
    made = model(nodes, {"x": [1, 3]}, {"y": [1, 3]})
    assert read_judged(save(tmp_path, made))[0].types == "float16 and bfloat16"


def of_text(made: Model) -> None:
    made.graph.initializer.append(TensorProto(name="w", data_type=TensorProto.STRING, dims=[1]))


def sparse(made: Model) -> None:
    made.graph.sparse_initializer.add().values.name = "w"


def twice(made: Model) -> None:
    large = onnx.numpy_helper.from_array(np.zeros(1025, "f4"), "w")
    made.graph.initializer.extend([large, large])


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (of_text, "The weight 'w' holds no numbers"),
        (sparse, "The weight 'w' is stored as a sparse tensor"),
        (twice, "The weight 'w' is there twice"),
    ],
)
def test_weights_that_are_none(tmp_path: Path, edit: Callable[[Model], None], said: str) -> None:
    made = relu()
    edit(made)
    assert said in refused(tmp_path, made).message
