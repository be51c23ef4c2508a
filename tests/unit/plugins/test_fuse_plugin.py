"""The pass ``fuse_plugin``: the fused graph computes the same wherever no plugin is known."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort
import pytest
from onnx import TensorProto, checker, helper

from lrn_deploy.lrn import LrnSpec
from lrn_deploy.passes.lrn.fuse_plugin import DOMAIN, Fused, fuse_plugin
from lrn_deploy.plugins.fusion import NAMES, Fusion, Pool
from tests.unit.plugins.conftest import expected
from tests.unit.plugins.test_kernels import fusion_called

torch = pytest.importorskip("torch")

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


def operators(model: ir.Model) -> list[str]:
    return [node.op_type for node in model.graph]


@pytest.mark.parametrize("name", NAMES)
def test_each_fusion_computes_its_definition_in_onnx_runtime(name: str) -> None:
    model = graph(["sigmoid" if s == "" else s for s in name.split("_")])
    (done,) = fuse_plugin(model)
    assert (done.name, done.reason, done.input, done.output) == (name, "", "x", "y")
    assert operators(model) == [name]
    wanted = expected(torch.from_numpy(image()), fusion_called(name, SPEC, Pool()))
    np.testing.assert_allclose(run(model, image()), wanted, rtol=2e-6)


def test_an_even_window_is_onnx_s() -> None:
    node = helper.make_node("LRN", ["x"], ["y"], size=4, alpha=0.5)
    model = graph([node])
    fuse_plugin(model)
    function = next(iter(model.functions.values()))
    assert [n.op_type for n in function] == ["Cast", "LRN", "CastLike"]
    (fused,) = model.graph
    assert fused.attributes["size"].as_int() == 4
    assert Fusion(LrnSpec(4), convention="onnx").spec.offsets("onnx") == (-1, 2)


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
        {"kernel_shape": [8, 8]},
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


def test_casts_that_do_not_undo_each_other_stay() -> None:
    """What leaves the LRN here is fp32, and rounding it to fp16 would lose digits."""
    model = graph(["half", "wide", "lrn", "wide"])
    before = run(model, image())
    (done,) = fuse_plugin(model)
    assert done.nodes == ("LRN",)
    assert operators(model) == ["Cast", "Cast", "lrn", "Cast"]
    np.testing.assert_allclose(run(model, image()), before, rtol=1e-6)


def test_the_order_of_indices_that_nobody_takes_does_not_matter() -> None:
    node = helper.make_node("MaxPool", ["v2"], ["y"], **POOL, storage_order=1)
    model = graph(["relu", "lrn", node])
    before = run(model, image())
    assert fuse_plugin(model)[0].name == "relu_lrn_maxpool"
    np.testing.assert_allclose(run(model, image()), before, rtol=1e-6)
