from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from lrn_deploy.backends.onnxruntime import OnnxRuntimeBackend
from lrn_deploy.bundle import ArtifactData
from lrn_deploy.errors import DamagedError
from lrn_deploy.lrn import LrnSpec, reference
from lrn_deploy.parity import graph
from lrn_deploy.parity.graph import CannotCutError


def chain() -> onnx.ModelProto:
    """x -> Add(1) -> a -> Relu -> b -> Mul(x) -> c."""
    value = helper.make_tensor_value_info
    made = helper.make_graph(
        [
            helper.make_node("Add", ["x", "one"], ["a"]),
            helper.make_node("Relu", ["a"], ["b"]),
            helper.make_node("Mul", ["b", "x"], ["c"]),
        ],
        "chain",
        [value("x", TensorProto.FLOAT, ["batch", 3])],
        [value("c", TensorProto.FLOAT, ["batch", 3])],
        [numpy_helper.from_array(np.float32(1), "one")],
    )
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def run(data: bytes, **feeds: object) -> dict[str, list[float]]:
    arrays = {name: np.array([values], np.float32) for name, values in feeds.items()}
    with OnnxRuntimeBackend().load(ArtifactData("test", "onnx", data)) as session:
        return {name: value[0].tolist() for name, value in session.run(arrays).items()}


def test_a_piece_runs_alone() -> None:
    piece = graph.between(chain(), "x", "b", ["batch", 3])
    assert graph.operators(piece) == ["Add", "Relu"]
    assert run(piece.SerializeToString(), x=[-3, 0, 2]) == {"b": [0, 1, 3]}


def test_a_piece_may_start_inside() -> None:
    piece = graph.between(chain(), "a", "b", ["batch", 3])
    assert run(piece.SerializeToString(), a=[-3, 0, 2]) == {"b": [0, 0, 2]}
    assert not piece.graph.initializer, "it takes only the weights it needs"


def test_a_piece_with_another_way_in_is_refused() -> None:
    with pytest.raises(CannotCutError, match="from the input 'x' too"):
        graph.between(chain(), "a", "c", ["batch", 3])


def test_a_piece_between_strangers_is_refused() -> None:
    with pytest.raises(CannotCutError, match="does not depend on 'c'"):
        graph.between(chain(), "c", "one", ["batch", 3])
    with pytest.raises(CannotCutError, match="no value named 'gone'"):
        graph.between(chain(), "gone", "c", ["batch", 3])


def test_what_a_branch_reads_from_outside_comes_along() -> None:
    value = helper.make_tensor_value_info
    out = value("t", TensorProto.FLOAT, ["batch", 3])
    then = helper.make_graph([helper.make_node("Add", ["b", "one"], ["t"])], "then", [], [out])
    other = helper.make_graph([helper.make_node("Sub", ["b", "one"], ["t"])], "other", [], [out])
    model = chain()
    model.graph.initializer.append(numpy_helper.from_array(np.array(True), "flag"))
    model.graph.node.append(
        helper.make_node("If", ["flag"], ["d"], then_branch=then, else_branch=other)
    )
    piece = graph.between(model, "b", "d", ["batch", 3])
    assert run(piece.SerializeToString(), b=[1, 2, 3]) == {"d": [2, 3, 4]}


def test_intermediate_values_as_outputs() -> None:
    model = chain()
    data = graph.with_outputs(model, ["a", "c", "a"])
    assert run(data, x=[-3, 0, 2]) == {"c": [0, 0, 6], "a": [-2, 1, 3]}
    assert len(model.graph.output) == 1, "the model itself is as it was"
    with pytest.raises(CannotCutError, match="gone"):
        graph.with_outputs(model, ["gone"])


def test_the_clean_lrn_is_the_definition() -> None:
    spec = LrnSpec(5, 1e-2, 0.75, 2.0)
    x = np.random.default_rng(0).standard_normal((1, 8, 2, 1)).astype(np.float32) * 10
    data = graph.single_lrn(spec).SerializeToString()
    with OnnxRuntimeBackend().load(ArtifactData("lrn", "onnx", data)) as session:
        np.testing.assert_allclose(session.run({"x": x})["y"], reference(x, spec), rtol=1e-5)


def test_bytes_that_are_no_model() -> None:
    with pytest.raises(DamagedError, match="no ONNX model"):
        graph.parse(b"\xff\xff not a graph")


def test_a_value_that_is_an_output_already_is_not_given_twice() -> None:
    marked = onnx.load_model_from_string(graph.with_outputs(chain(), ["a", "c", "a"]))
    assert [value.name for value in marked.graph.output] == ["c", "a"]
    assert run(marked.SerializeToString(), x=[-3, 0, 2]) == {"c": [0, 0, 6], "a": [-2, 1, 3]}


def test_what_a_branch_makes_for_itself_is_not_looked_for_outside() -> None:
    value = helper.make_tensor_value_info
    out = value("t", TensorProto.FLOAT, ["batch", 3])
    steps = [
        helper.make_node("Add", ["b", "one"], ["s"]),
        helper.make_node("Mul", ["s", "s"], ["t"]),
    ]
    branch = helper.make_graph(steps, "branch", [], [out])
    model = chain()
    model.graph.initializer.append(numpy_helper.from_array(np.array(True), "flag"))
    model.graph.node.append(
        helper.make_node("If", ["flag"], ["d"], then_branch=branch, else_branch=branch)
    )
    piece = graph.between(model, "b", "d", ["batch", 3])
    assert run(piece.SerializeToString(), b=[1, 2, 3]) == {"d": [4, 9, 16]}


def test_a_piece_keeps_the_type_and_the_versions_of_the_graph() -> None:
    model = chain()
    model.ir_version, model.opset_import[0].version = 9, 17
    piece = graph.between(model, "a", "b", ["batch", 3])
    (value,) = piece.graph.input
    tensor = value.type.tensor_type
    assert tensor.elem_type == TensorProto.FLOAT  # the graph does not say
    assert [axis.dim_param or axis.dim_value for axis in tensor.shape.dim] == ["batch", 3]
    assert (piece.ir_version, piece.opset_import[0].version) == (9, 17)
    half = helper.make_tensor_value_info("a", TensorProto.FLOAT16, ["batch", 3])
    model.graph.value_info.append(half)
    (value,) = graph.between(model, "a", "b", ["batch", 3]).graph.input
    assert value.type.tensor_type.elem_type == TensorProto.FLOAT16


def test_single_lrn_says_all_its_parameters() -> None:
    spec = LrnSpec(3, 0.5, 0.6, 2.0)
    model = graph.single_lrn(spec)
    x = np.arange(1, 9, dtype=np.float32).reshape(1, 4, 2, 1)
    with OnnxRuntimeBackend().load(
        ArtifactData("test", "onnx", model.SerializeToString())
    ) as session:
        assert session.inputs[0].shape == ("batch", "channels", "height", "width")
        np.testing.assert_allclose(session.run({"x": x})["y"], reference(x, spec), rtol=1e-5)
    fixed = graph.single_lrn(spec, 4).graph
    assert [
        value.type.tensor_type.shape.dim[1].dim_value for value in (*fixed.input, *fixed.output)
    ] == [4, 4]


def test_values_of_a_graph_have_names() -> None:
    model = chain()
    model.graph.node[1].output.append("")
    assert graph.value_names(model) == {"x", "one", "a", "b", "c"}
    with pytest.raises(CannotCutError, match="no value named gone, lost"):
        graph.with_outputs(model, ["lost", "a", "gone"])
