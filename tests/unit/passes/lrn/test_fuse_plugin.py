"""The pass ``fuse_plugin``: the fused graph computes the same wherever no plugin is known."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort
import pytest
from onnx import TensorProto, checker, helper

from lrn_deploy.lrn import LrnSpec, reference
from lrn_deploy.passes.lrn.fuse_plugin import DOMAIN, Fused, fuse_plugin
from lrn_deploy.plugins.fusion import NAMES

SPEC = LrnSpec(5, 0.5, 0.75, 2.0)
POOL: dict[str, Any] = {"kernel_shape": [3, 3], "strides": [2, 2]}
SHAPE = ("batch", 7, 9, 9)
NODES = {
    "relu": lambda x, y: helper.make_node("Relu", [x], [y]),
    "lrn": lambda x, y: helper.make_node(
        "LRN", [x], [y], size=SPEC.size, alpha=SPEC.alpha, beta=SPEC.beta, bias=SPEC.k
    ),
    "maxpool": lambda x, y: helper.make_node("MaxPool", [x], [y], **POOL),
    "wide": lambda x, y: helper.make_node("Cast", [x], [y], to=TensorProto.FLOAT),
    "half": lambda x, y: helper.make_node("Cast", [x], [y], to=TensorProto.FLOAT16),
    "double": lambda x, y: helper.make_node("Cast", [x], [y], to=TensorProto.DOUBLE),
    "sigmoid": lambda x, y: helper.make_node("Sigmoid", [x], [y]),
}


def graph(stages: list[str | onnx.NodeProto], opset: int = 18, rank: int = 4) -> ir.Model:
    """Stages in a row, from x to y; the values between are called v1, v2, ..."""
    names = ["x", *(f"v{i}" for i in range(1, len(stages))), "y"]
    nodes = [
        NODES[stage](*names[at : at + 2]) if isinstance(stage, str) else stage
        for at, stage in enumerate(stages)
    ]
    proto = helper.make_model(
        helper.make_graph(
            nodes,
            "g",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, SHAPE[:rank])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None] * rank)],
        ),
        opset_imports=[helper.make_opsetid("", opset)],
        ir_version=10,
    )
    return ir.from_proto(onnx.shape_inference.infer_shapes(proto))


def run(model: ir.Model, x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    proto = ir.to_proto(model)
    checker.check_model(proto)
    session = ort.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"x": x})[0])


def image() -> np.ndarray[Any, Any]:
    return np.random.default_rng(0).standard_normal((2, *SHAPE[1:])).astype(np.float32) * 5


def by_definition(name: str, x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The stages of a name in float64."""
    y = x.astype(np.float64)
    for stage in name.split("_"):
        if stage == "relu":
            y = np.maximum(y, 0)
        elif stage == "lrn":
            y = reference(y, SPEC, "onnx")
        else:
            windows = np.lib.stride_tricks.sliding_window_view(y, (3, 3), axis=(2, 3))
            y = windows[:, :, ::2, ::2].max(axis=(4, 5))
    return y


def operators(model: ir.Model) -> list[str]:
    return [node.op_type for node in model.graph]


@pytest.mark.parametrize("name", NAMES)
def test_each_fusion_computes_its_definition_in_onnx_runtime(name: str) -> None:
    model = graph(["sigmoid" if s == "" else s for s in name.split("_")])
    (done,) = fuse_plugin(model)
    assert (done.name, done.reason, done.input, done.output) == (name, "", "x", "y")
    assert operators(model) == [name]
    np.testing.assert_allclose(run(model, image()), by_definition(name, image()), rtol=2e-6)


def test_an_even_window_is_onnx_s() -> None:
    node = helper.make_node("LRN", ["x"], ["y"], size=4, alpha=0.5)
    model = graph([node])
    fuse_plugin(model)
    function = next(iter(model.functions.values()))
    assert [n.op_type for n in function] == ["Cast", "LRN", "CastLike"]
    (fused,) = model.graph
    assert fused.attributes["size"].as_int() == 4
    assert LrnSpec(4).offsets("onnx") == (-1, 2)


def test_casts_around_lrn_go_into_the_node() -> None:
    model = graph(["half", "relu", "wide", "lrn", "half", "maxpool", "wide"])
    before = run(model, image())
    (done,) = fuse_plugin(model)
    assert done.nodes == ("Relu", "Cast", "LRN", "Cast", "MaxPool")
    assert operators(model) == ["Cast", "relu_lrn_maxpool", "Cast"]
    np.testing.assert_array_equal(run(model, image()), before)


def test_two_layers_with_parameters_of_their_own() -> None:
    other = helper.make_node("LRN", ["v1"], ["y"], size=3, alpha=0.1, beta=0.5, bias=1.0)
    model = graph(["lrn", other])
    before = run(model, image())
    assert [item.name for item in fuse_plugin(model)] == ["lrn", "lrn"]
    assert len(model.functions) == 1
    np.testing.assert_allclose(run(model, image()), before, rtol=1e-6)


def test_a_second_kind_of_pool_stays_a_node() -> None:
    other = helper.make_node("MaxPool", ["v3"], ["y"], kernel_shape=[2, 2])
    model = graph(["lrn", "maxpool", "lrn", other])
    before = run(model, image())
    # The second LRN stands between two pools; the first of them is fused already.
    assert [item.name for item in fuse_plugin(model)] == ["lrn_maxpool", "lrn"]
    assert operators(model) == ["lrn_maxpool", "lrn", "MaxPool"]
    np.testing.assert_allclose(run(model, image()), before, rtol=1e-6)


@pytest.mark.parametrize(
    "pool",
    [
        {"dilations": [2, 2]},
        {"pads": [0, 0, 1, 1]},
        {"auto_pad": "SAME_UPPER"},
        {"dilations": [1, 2]},
        {"kernel_shape": [8, 8]},
        {"kernel_shape": [3, 8]},
        {"pads": [2, 1, 2, 1]},
        {"pads": [1, 2, 1, 2]},
    ],
)
def test_pools_that_the_plugin_does_not_hold_stay(pool: dict[str, Any]) -> None:
    node = helper.make_node("MaxPool", ["v2"], ["y"], **POOL | pool)
    model = graph(["relu", "lrn", node])
    before = run(model, image())
    assert fuse_plugin(model)[0].name == "relu_lrn"
    np.testing.assert_array_equal(run(model, image()), before)


def test_a_value_that_something_else_takes_stays() -> None:
    model = graph(["relu", "lrn", "maxpool"])
    relu, norm, _ = model.graph
    model.graph.outputs.append(norm.outputs[0])
    assert fuse_plugin(model)[0].nodes == ("Relu", "LRN")
    model = graph(["relu", "lrn"])
    relu = model.graph[0]
    model.graph.outputs.append(relu.outputs[0])
    assert fuse_plugin(model)[0].nodes == ("LRN",)


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (graph([helper.make_node("LRN", ["x"], ["y"], size=33)]), "its size 33 is above 31"),
        (graph(["lrn"], rank=3), "its input has rank 3, and only rank 4 is fused"),
        (graph(["lrn"], opset=13), "the graph has opset 13, and 15 or newer is needed"),
    ],
)
def test_what_is_left_alone(model: ir.Model, reason: str) -> None:
    assert fuse_plugin(model) == [Fused(None, (), reason, "x", "y")]
    assert operators(model) == ["LRN"]
    assert DOMAIN not in model.graph.opset_imports


def test_a_window_of_31_is_the_largest() -> None:
    model = graph([helper.make_node("LRN", ["x"], ["y"], size=31, alpha=0.5)])
    before = run(model, image())
    assert fuse_plugin(model)[0].name == "lrn"
    np.testing.assert_allclose(run(model, image()), before, rtol=1e-6)


@pytest.mark.parametrize(
    "stages",
    [
        # What leaves the LRN is fp32, and rounding it to fp16 would lose digits.
        ["half", "wide", "lrn", "wide"],
        ["double", "wide", "lrn", "double", "wide"],  # no plugin computes in float64
        ["half", "wide", "lrn", "sigmoid"],
    ],
)
def test_casts_that_do_not_undo_each_other_stay(stages: list[str | onnx.NodeProto]) -> None:
    model = graph(stages)
    before, kinds = run(model, image()), operators(model)
    (done,) = fuse_plugin(model)
    assert done.nodes == ("LRN",)
    assert operators(model) == [kind.replace("LRN", "lrn") for kind in kinds]
    np.testing.assert_allclose(run(model, image()), before, rtol=1e-6)


def test_the_order_of_indices_that_nobody_takes_does_not_matter() -> None:
    node = helper.make_node("MaxPool", ["v2"], ["y"], **POOL, storage_order=1)
    model = graph(["relu", "lrn", node])
    before = run(model, image())
    assert fuse_plugin(model)[0].name == "relu_lrn_maxpool"
    np.testing.assert_allclose(run(model, image()), before, rtol=1e-6)


@pytest.mark.parametrize(
    ("pool", "numbers"),
    [
        ({}, [3, 3, 1, 1, 0, 0, 0]),
        ({"auto_pad": "VALID", "dilations": [1, 1]}, [3, 3, 1, 1, 0, 0, 0]),
        ({"kernel_shape": [7, 2], "strides": [2, 3]}, [7, 2, 2, 3, 0, 0, 0]),
        ({"kernel_shape": [4, 2], "pads": [2, 1, 2, 1]}, [4, 2, 1, 1, 2, 1, 0]),
        ({"strides": [2, 2], "pads": [0, 1, 0, 1], "ceil_mode": 1}, [3, 3, 2, 2, 0, 1, 1]),
    ],
)
def test_the_plugin_is_told_the_numbers_of_a_pool_one_by_one(
    pool: dict[str, Any], numbers: list[int]
) -> None:
    given = {"kernel_shape": [3, 3]} | pool
    model = graph(["lrn", helper.make_node("MaxPool", ["v1"], ["y"], **given)])
    before = run(model, image())
    fuse_plugin(model)
    (fused,) = model.graph
    names = ("kernel_h", "kernel_w", "stride_h", "stride_w", "pad_h", "pad_w", "ceil_mode")
    assert [fused.attributes[name].as_int() for name in names] == numbers
    np.testing.assert_allclose(run(model, image()), before, rtol=1e-6)


def test_what_an_lrn_does_not_say_is_onnx_s_default() -> None:
    model = graph([helper.make_node("LRN", ["x"], ["y"], size=3)])
    fuse_plugin(model)
    (fused,) = model.graph
    told = {name: fused.attributes[name].value for name in ("size", "alpha", "beta", "bias")}
    assert told == {"size": 3, "alpha": pytest.approx(1e-4), "beta": 0.75, "bias": 1.0}
    np.testing.assert_allclose(run(model, image()), reference(image(), LrnSpec(3)), rtol=2e-6)


def test_tensorrt_finds_the_plugin_by_its_namespace_and_compiles_it_ahead_of_time() -> None:
    model = graph(["lrn"])
    fuse_plugin(model)
    (fused,), (function,) = model.graph, model.functions.values()
    assert (fused.domain, fused.version, model.graph.opset_imports[DOMAIN]) == (DOMAIN, 1, 1)
    for attributes in (fused.attributes, function.attributes):
        assert attributes["plugin_namespace"].as_string() == "lrn_deploy"
        assert attributes["aot"].as_int() == 1


@pytest.mark.parametrize("opset", [15, 18])
def test_a_layer_keeps_its_type_its_shape_and_what_it_is_of(opset: int) -> None:
    model = graph(["relu", "lrn", "sigmoid"], opset)
    norm = model.graph[1]
    norm.metadata_props["module"] = "features.norm1"
    (done,) = fuse_plugin(model)
    assert (done.name, done.input, done.output) == ("relu_lrn", "x", "v2")
    fused, _ = model.graph
    assert fused.metadata_props == {"module": "features.norm1"}
    (left,) = fused.outputs
    assert (left.dtype, left.shape) == (ir.DataType.FLOAT, ir.Shape(SHAPE))


def test_shapes_are_inferred_where_the_graph_does_not_say() -> None:
    model = graph(["sigmoid", "lrn"])
    value = model.graph[0].outputs[0]
    value.shape = value.type = None
    assert fuse_plugin(model)[0].name == "lrn"


def test_an_unknown_type_or_one_that_the_plugin_does_not_hold_is_left_alone() -> None:
    model = graph(["lrn"])
    model.graph.inputs[0].shape = None
    assert fuse_plugin(model)[0].reason == "the shape or the type of its input is unknown"
    model = graph(["lrn"])
    model.graph.inputs[0].type = ir.TensorType(ir.DataType.DOUBLE)
    assert fuse_plugin(model)[0].reason == "it computes in DOUBLE"


def test_a_pool_on_either_side_is_fused_the_one_before_first() -> None:
    model = graph(["relu", "maxpool", "lrn", "maxpool"])
    before = run(model, image())
    (done,) = fuse_plugin(model)
    assert done.nodes == ("Relu", "MaxPool", "LRN")
    assert operators(model) == ["relu_maxpool_lrn", "MaxPool"]
    np.testing.assert_allclose(run(model, image()), before, rtol=1e-6)


def test_neighbours_of_other_domains_and_pools_with_indices_stay() -> None:
    for at in (0, 2):
        model = graph(["relu", "lrn", "maxpool"])
        model.graph[at].domain = "own"
        assert len(fuse_plugin(model)[0].nodes) == 2
    indexed = helper.make_node("MaxPool", ["v1"], ["y", "places"], **POOL)
    assert fuse_plugin(graph(["lrn", indexed]))[0].nodes == ("LRN",)


@pytest.mark.parametrize(("taken", "fused"), [(0, ("LRN", "MaxPool")), (1, ("Relu", "LRN"))])
def test_a_value_that_two_nodes_take_stays(taken: int, fused: tuple[str, ...]) -> None:
    model = graph(["relu", "lrn", "maxpool"])
    model.graph.append(ir.node("Neg", [model.graph[taken].outputs[0]]))
    assert fuse_plugin(model)[0].nodes == fused
