"""A bundle whose network sees where an image is bright: small enough to compute by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from lrn_deploy.bundle import Artifact, Bundle, Preprocessing, TensorSpec
from tests.support.image_bundles import colour_bundle

QUADRANTS = ("top left", "top right", "bottom left", "bottom right")
SIDE = 8
UNIT = Preprocessing(resize=None, crop=(SIDE, SIDE), mean=(0, 0, 0), std=(1, 1, 1))


def quadrant_bundle(
    path: Path, *, preprocessing: Preprocessing = UNIT, batch: int | str = "batch"
) -> Bundle:
    """A network of four classes, whose scores are ten times the mean of each quadrant.

    Args:
        path: The bundle's folder.
        preprocessing: To 8 x 8 pixels.
        batch: A number fixes the batch.
    """
    graph = helper.make_graph(
        [
            helper.make_node(
                "AveragePool", ["image"], ["quarters"], kernel_shape=[4, 4], strides=[4, 4]
            ),
            helper.make_node("ReduceMean", ["quarters", "channels"], ["means"], keepdims=0),
            helper.make_node("Flatten", ["means"], ["flat"]),
            helper.make_node("Mul", ["flat", "ten"], ["scores"]),
        ],
        "quadrants",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [batch, 3, SIDE, SIDE])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [batch, len(QUADRANTS)])],
        [
            numpy_helper.from_array(np.float32(10), "ten"),
            numpy_helper.from_array(np.array([1], np.int64), "channels"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(model)
    bundle = colour_bundle(path, labels=None)
    record = bundle.add_file("model.onnx", model.SerializeToString())
    return bundle.update(
        model=bundle.manifest.model.model_copy(update={"name": "quadrants"}),
        inputs=(TensorSpec(name="image", dtype="float32", shape=(batch, 3, SIDE, SIDE)),),
        outputs=(TensorSpec(name="scores", dtype="float32", shape=(batch, len(QUADRANTS))),),
        preprocessing=preprocessing,
        labels=bundle.add_file("labels.txt", "\n".join(QUADRANTS).encode()),
        artifacts={"model": Artifact(**record.model_dump(), format="onnx")},
    )
