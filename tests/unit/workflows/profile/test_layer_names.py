"""Names that ONNX Runtime 1.32 and OpenVINO 2026.4 gave to kernels of such graphs."""

from __future__ import annotations

import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper

from lrn_deploy.bundle import LrnLayer, Manifest, ModelSource, Weights
from lrn_deploy.bundle.manifest import LayerTensor
from lrn_deploy.lrn import LrnSpec
from lrn_deploy.passes.lrn.lower_lrn import lower_lrn
from lrn_deploy.workflows.profile.layer_names import CASTS, LAYOUTS, Layer, LayerNames

NODES = (
    helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["q"], name="quantize_x"),
    helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["dq"], name="dequantize_x"),
    helper.make_node("Conv", ["dq", "w"], ["conv2d_1"], name="node_Conv_5"),
    helper.make_node("Relu", ["conv2d_1"], ["relu_1"], name="node_relu_1"),
    helper.make_node("LRN", ["relu_1"], ["normed"], size=3, alpha=1e-4, beta=0.75, name="lrn"),
    helper.make_node("Flatten", ["normed"], ["flat"]),  # the sixth, without a name
    helper.make_node("Gemm", ["flat", "v"], ["logits"], name="node_Gemm_1"),
    helper.make_node("Gemm", ["logits", "u"], ["y"], name="node_Gemm_13"),
)
MANIFEST = Manifest(
    model=ModelSource(
        name="n", factory="n", origin="zoo", input_shape=(4, 5, 5), weights=Weights(kind="random")
    ),
    inputs=(),
    outputs=(),
    artifacts={},
    lrn_layers=(
        LrnLayer(
            name="net.2",
            spec=LrnSpec(3, 1e-4, 0.75, 1.0),
            form="kept",
            input="relu_1",
            output="normed",
            shape=("batch", 4, 3, 3),
        ),
    ),
    layers=(
        LayerTensor(module="net.0", tensor="conv2d_1"),
        LayerTensor(module="net.1", tensor="relu_1"),
        LayerTensor(module="head", tensor="logits"),
    ),
)


def graph(*, lowered: bool) -> bytes:
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 4, 5, 5])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 2])
    shape = helper.make_tensor_value_info("relu_1", TensorProto.FLOAT, ["batch", 4, 3, 3])
    constants = {
        "scale": helper.make_tensor("scale", TensorProto.FLOAT, [], [1]),
        "zero": helper.make_tensor("zero", TensorProto.INT8, [], [0]),
        "w": helper.make_tensor("w", TensorProto.FLOAT, [4, 4, 3, 3], [0] * 144),
        "v": helper.make_tensor("v", TensorProto.FLOAT, [36, 3], [0] * 108),
        "u": helper.make_tensor("u", TensorProto.FLOAT, [3, 2], [0] * 6),
    }
    made = helper.make_graph(NODES, "g", [x], [y], constants.values(), value_info=[shape])
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    if not lowered:
        return model.SerializeToString()
    wrapped = ir.from_proto(model)
    lower_lrn(wrapped, "slices")
    return ir.to_proto(wrapped).SerializeToString()


@pytest.mark.parametrize("lowered", [False, True])
@pytest.mark.parametrize(
    ("name", "kind", "layer"),
    [
        ("relu_1_nchwc", "Conv", Layer("net.0", "Conv")),  # the convolution, not its Relu
        ("fused node_Conv_5", "FusedConv", Layer("net.0", "Conv")),
        ("node_Conv_5_token_1", "QLinearConv", Layer("net.0", "Conv")),
        ("node_Conv_5/WithoutBiases", "Convolution", Layer("net.0", "Conv")),
        ("node_relu_1", "Relu", Layer("net.1", "Relu")),  # where it is a kernel of its own
        ("node_Gemm_1", "Gemm", Layer("head", "Gemm")),
        ("fused node_Gemm_13", "QGemm", Layer("node_Gemm_13", "Gemm")),  # no module is known
        ("node_Gemm_13/WithoutBiases", "FullyConnected", Layer("node_Gemm_13", "Gemm")),
        ("y", "FullyConnected", Layer("node_Gemm_13", "Gemm")),
        ("quantize_x", "QuantizeLinear", CASTS),
        ("dequantize_x", "DequantizeLinear", CASTS),
        ("ReorderOutput_token_16", "ReorderOutput", LAYOUTS),
        ("x_abcd_acdb_node_Conv_5", "Reorder", LAYOUTS),
        ("Transpose_token_10", "Transpose", LAYOUTS),
        ("something", "New", Layer("something", "New")),
        ("/a/b/new_token_3", "New", Layer("/a/b/new_token_3", "New")),
        ("node_Gemm_1/WithoutBiases/Multiply", "FullyConnected", Layer("head", "Gemm")),
    ],
)
def test_the_layer_of_a_kernel(name: str, kind: str, layer: Layer, *, lowered: bool) -> None:
    assert LayerNames(graph(lowered=lowered), MANIFEST).find(name, kind) == layer


def test_a_node_without_a_name_has_that_of_its_output() -> None:
    assert LayerNames(graph(lowered=False), MANIFEST).find("Flatten_5", "Flatten") == Layer(
        "flat", "Flatten"
    )


def test_all_that_an_lrn_layer_became_is_that_layer() -> None:
    data = graph(lowered=True)
    names = LayerNames(data, MANIFEST)
    lowered = [
        node for node in onnx.load_model_from_string(data).graph.node if "lowered" in node.name
    ]
    assert len(lowered) > 8
    for node in lowered:
        assert names.find(node.name, node.op_type) == Layer("net.2", "LRN")
    assert LayerNames(graph(lowered=False), MANIFEST).find("lrn", "LRN") == Layer("net.2", "LRN")


def test_an_lrn_layer_whose_bounds_are_gone_stands_by_its_own_names() -> None:
    data = graph(lowered=False).replace(b"normed", b"change")
    assert LayerNames(data, MANIFEST).find("lrn", "LRN") == Layer("lrn", "LRN")
