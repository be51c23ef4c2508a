"""The onnx package's ``light_*`` models, the zoo's files without weights, with seeded weights.

Hidden units of the large fully connected layers are fewer, so that a test takes a second or two.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper

WITH_LRN = ("light_bvlc_alexnet", "light_inception_v1", "light_zfnet512")
NAMES = (*WITH_LRN, "light_inception_v2")

_FOLDER = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
_HIDDEN = {4096: 64}


def light(name: str, *, scores: bool = False) -> onnx.ModelProto:
    """A model of the zoo with He-normal weights in place of its constant ones.

    Args:
        name: One of :data:`NAMES`.
        scores: End before the Softmax, which makes of random weights' scores next to no signal or
            one certain class.
    """
    model = onnx.load(_FOLDER / f"{name}.onnx")
    graph, rng = model.graph, np.random.default_rng(0)
    shapes = {item.name: numpy_helper.to_array(item) for item in graph.initializer}
    kept, weights = [], []
    for node in graph.node:
        if node.op_type != "ConstantOfShape":
            kept.append(onnx.NodeProto.FromString(node.SerializeToString()))
            continue
        (weight,) = node.output
        shape = [_HIDDEN.get(int(axis), int(axis)) for axis in shapes[node.input[0]]]
        if len(shape) > 1:
            values = rng.standard_normal(shape) * np.sqrt(2 / np.prod(shape[1:]))
        else:  # one for what a BatchNormalization scales by, zero for what is added
            scales = weight.endswith(("_scale_0", "_var_0", "/sc_w_0"))
            values = np.ones(shape) if scales else np.zeros(shape)
        weights.append(numpy_helper.from_array(values.astype(np.float32), weight))
    del graph.node[:]
    if scores:
        graph.output[0].name = kept.pop().input[0]
    graph.node.extend(kept)
    graph.initializer.extend(weights)
    graph.input.extend(
        helper.make_tensor_value_info(item.name, item.data_type, item.dims) for item in weights
    )
    return model
