"""ONNX files as people have them: small networks with LRN, as exporters of each age wrote them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

Array = NDArray[Any]
FLOAT = TensorProto.FLOAT


def model(
    nodes: Sequence[onnx.NodeProto],
    inputs: Mapping[str, Sequence[int | str]],
    outputs: Mapping[str, Sequence[int | str] | None],
    weights: Mapping[str, Array] | None = None,
    *,
    opset: int = 18,
    ir_version: int = 8,
    listed: bool = False,
) -> onnx.ModelProto:
    """A model of float inputs and outputs; ``listed`` puts its weights among the inputs."""
    tensors = [numpy_helper.from_array(values, name) for name, values in (weights or {}).items()]
    values = [helper.make_tensor_value_info(name, FLOAT, dims) for name, dims in inputs.items()]
    if listed:
        values += [helper.make_tensor_value_info(t.name, t.data_type, t.dims) for t in tensors]
    graph = helper.make_graph(
        nodes,
        "graph",
        values,
        [helper.make_tensor_value_info(name, FLOAT, dims) for name, dims in outputs.items()],
        tensors,
    )
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=ir_version
    )


def node(kind: str, inputs: str, outputs: str, **attributes: Any) -> onnx.NodeProto:
    """A node whose inputs and outputs are named in words; a ``-`` is one that is left out."""
    names = ["" if name == "-" else name for name in inputs.split()]
    return helper.make_node(kind, names, outputs.split(), name=f"{outputs}_node", **attributes)


def zoo(opset: int, *, batch: int | str = 1) -> onnx.ModelProto:
    """A network as the zoo's files of that opset have it, with what the opset had of its own."""
    rng = np.random.default_rng(7)
    old, oldest = opset < 7, opset < 5
    consumed: dict[str, Any] = {"consumed_inputs": [0]} if opset < 6 else {}
    test: dict[str, Any] = {"is_test": 1} if old else {}
    broadcast: dict[str, Any] = {"broadcast": 1} if old else {}
    weights = {
        "w1": rng.normal(0, 0.4, (12, 3, 3, 3)),
        "b1": rng.normal(0, 0.1, 12),
        "scale": rng.uniform(0.5, 1.5, 12),
        "shift": rng.normal(0, 0.1, 12),
        "mean": rng.normal(0, 0.1, 12),
        "var": rng.uniform(0.5, 1.5, 12),
        "w2": rng.normal(0, 0.2, (6, 12, 3, 3)),
        "bias": rng.normal(0, 0.5, 6 if old else (6, 1, 1)),
        "fc": rng.normal(0, 0.3, (5, 24)),
        "fb": rng.normal(0, 0.1, 5),
        "unused": rng.normal(0, 1, 3),
    }
    arrays = {name: np.asarray(values, np.float32) for name, values in weights.items()}
    axis: dict[str, Any] = {"axis": 1} if old else {}
    if oldest:
        reshape = node("Reshape", "added", "flat", shape=[1, 24])
    else:
        arrays["target"] = np.array([1, 24], np.int64)
        reshape = node("Reshape", "added target", "flat")
    batch_norm: dict[str, Any] = {"consumed_inputs": [0, 0, 0, 1, 1]} if opset < 6 else {}
    nodes = [
        node("Conv", "data w1 b1", "conv1", kernel_shape=[3, 3]),
        node("BatchNormalization", "conv1 scale shift mean var", "bn", **test, **batch_norm),
        node("Relu", "bn", "relu1", **consumed),
        node("LRN", "relu1", "norm1", size=5, alpha=0.3, bias=2.0),
        node("MaxPool", "norm1", "pool1", kernel_shape=[2, 2], strides=[2, 2]),
        node("Conv", "pool1 w2", "conv2", kernel_shape=[3, 3]),
        node("Add", "conv2 bias", "added", **broadcast, **axis),
        reshape,
        node("Gemm", "flat fc fb", "fc1", transB=1, **broadcast),
        node("Dropout", "fc1", "dropped mask", **test, ratio=0.5),
        node("Softmax", "dropped", "prob"),
    ]
    inputs = {"data": [batch, 3, 10, 10]}
    return model(
        nodes, inputs, {"prob": [batch, 5]}, arrays, opset=opset, ir_version=3, listed=True
    )


def save(folder: Path, made: onnx.ModelProto, name: str = "net.onnx") -> Path:
    """The file of a model."""
    path = folder / name
    path.write_bytes(made.SerializeToString())
    return path


def by_onnxruntime(data: bytes, feeds: Mapping[str, Array]) -> list[Array]:
    """What ONNX Runtime makes of a file, with nothing in it optimised."""
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    session = ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    return [np.asarray(value) for value in session.run(None, dict(feeds))]


def by_openvino(data: bytes, feeds: Mapping[str, Array]) -> list[Array]:
    """What OpenVINO makes of a file in float32."""
    import openvino

    core = openvino.Core()
    options = {"INFERENCE_PRECISION_HINT": "f32"}
    compiled = core.compile_model(core.read_model(data), "CPU", options)
    made = compiled.create_infer_request().infer(dict(feeds))
    return [np.array(made[at]) for at in range(len(compiled.outputs))]
