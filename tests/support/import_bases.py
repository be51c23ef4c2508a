"""Small files that import: what the fuzz mutates."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx

from tests.support.caffe_files import caffemodel, deploy
from tests.support.onnx_graphs import model, node, zoo

RNG = np.random.default_rng(3)
BLOBS = {
    "c": [RNG.normal(0, 1, (4, 3, 3, 3)).astype(np.float32), np.ones(4, np.float32)],
    "f": [RNG.normal(0, 1, (5, 16)).astype(np.float32), np.zeros(5, np.float32)],
}
V0 = """\
name: "net" input: "data" input_dim: 7 input_dim: 3 input_dim: 5 input_dim: 5
layers { layer { name: "pad" type: "padding" pad: 1 } bottom: "data" top: "wide" }
layers { layer { name: "c" type: "conv" num_output: 4 kernelsize: 3 stride: 2
  weight_filler { type: "gaussian" std: 0.01 } } bottom: "wide" top: "c" }
layers { layer { name: "n" type: "lrn" local_size: 3 alpha: 0.5 } bottom: "c" top: "n" }
layers { layer { name: "p" type: "pool" pool: AVE kernelsize: 2 stride: 1 } bottom: "n" top: "p" }
layers { layer { name: "f" type: "innerproduct" num_output: 5 } bottom: "p" top: "f" }
"""
V1 = """\
name: "net" input: "data" input_dim: 7 input_dim: 3 input_dim: 5 input_dim: 5
layers { name: "c" type: CONVOLUTION bottom: "data" top: "c" blobs_lr: 1
  convolution_param { num_output: 4 kernel_size: 3 stride: 2 pad: 1 } }
layers { name: "n" type: LRN bottom: "c" top: "n"
  lrn_param { local_size: 3 norm_region: WITHIN_CHANNEL } }
layers { name: "p" type: POOLING bottom: "n" top: "p" pooling_param { kernel_size: 2 stride: 1 } }
layers { name: "f" type: INNER_PRODUCT bottom: "p" top: "f" inner_product_param { num_output: 5 } }
layers { name: "s" type: 20 bottom: "f" top: "s" }
"""
V2 = deploy(
    (3, 5, 5),
    """\
layer { name: "c" type: "Convolution" bottom: "data" top: "c"
  convolution_param { num_output: 4 kernel_size: 3 stride: 2 pad: 1 } }
layer { name: "r" type: "ReLU" bottom: "c" top: "c" include { phase: TEST } }
layer { name: "n" type: "LRN" bottom: "c" top: "n" lrn_param { local_size: 3 alpha: 0.5 k: 2 } }
layer { name: "e" type: "Eltwise" bottom: "n" bottom: "c" top: "e"
  eltwise_param { operation: SUM coeff: 1 coeff: -0.5 } }
layer { name: "cut" type: "Slice" bottom: "e" top: "a" top: "b" slice_param { slice_point: 1 } }
layer { name: "join" type: "Concat" bottom: "b" bottom: "a" top: "j" }
layer { name: "p" type: "Pooling" bottom: "j" top: "p"
  pooling_param { pool: AVE kernel_size: 2 stride: 1 } }
layer { name: "f" type: "InnerProduct" bottom: "p" top: "f" inner_product_param { num_output: 5 } }
layer { name: "s" type: "Softmax" bottom: "f" top: "s" }
""",
)


def torn() -> onnx.ModelProto:
    """An LRN of 3 channels, by hand: slices of its squares, added."""
    arrays: dict[str, np.ndarray[Any, Any]] = {
        "w": RNG.normal(0, 1, (4, 3, 1, 1)).astype(np.float32),
        "one": np.array([1], np.int64),
        "widths": np.array([0, 1, 0, 0, 0, 1, 0, 0], np.int64),
        "starts0": np.array([0], np.int64),
        "starts2": np.array([2], np.int64),
        "ends4": np.array([4], np.int64),
        "ends5": np.array([5], np.int64),
        "ends6": np.array([6], np.int64),
        "alpha": np.array(0.1, np.float32),
        "k": np.array(2, np.float32),
        "beta": np.array(0.75, np.float32),
    }
    nodes = [
        node("Conv", "x w", "c"),
        node("Mul", "c c", "s"),
        node("Pad", "s widths", "p"),
        node("Slice", "p starts0 ends4 one", "p0"),
        node("Slice", "p one ends5 one", "p1"),
        node("Slice", "p starts2 ends6 one", "p2"),
        node("Add", "p0 p1", "a"),
        node("Add", "a p2", "b"),
        node("Mul", "b alpha", "d"),
        node("Add", "d k", "e"),
        node("Pow", "e beta", "f"),
        node("Div", "c f", "y"),
    ]
    return model(nodes, {"x": [1, 3, 4, 4]}, {"y": None}, arrays, opset=13)


def beside() -> dict[str, bytes]:
    """A file with a weight in another."""
    made = zoo(9)
    tensor = made.graph.initializer[0]
    data = bytes(tensor.raw_data)
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    for key, value in (("location", "w.bin"), ("offset", "0"), ("length", str(len(data)))):
        tensor.external_data.add(key=key, value=value)
    return {"net.onnx": made.SerializeToString(), "w.bin": data}


def pair(text: str, generation: int) -> dict[str, bytes]:
    """Both files of a network of Caffe's."""
    weights = caffemodel(BLOBS, generation)  # type: ignore[arg-type]  # 0, 1 or 2
    return {"net.prototxt": text.encode(), "net.caffemodel": weights}


BASES: tuple[tuple[str, dict[str, bytes]], ...] = (
    *((f"opset {opset}", {"net.onnx": zoo(opset).SerializeToString()}) for opset in (3, 6, 9)),
    ("torn", {"net.onnx": torn().SerializeToString()}),
    ("weights beside", beside()),
    ("caffe 0", pair(V0, 1)),
    ("caffe 1", pair(V1, 0)),
    ("caffe 2", pair(V2, 2)),
)
