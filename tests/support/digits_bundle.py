"""The bundle of ``digits``, written by hand from its trained weights: exporting takes seconds."""

from __future__ import annotations

from pathlib import Path

import onnx
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import load_file

from lrn_deploy.bundle import Artifact, Bundle, LrnLayer, ModelSource, TensorSpec, Weights
from lrn_deploy.lrn import LrnSpec
from lrn_deploy.models import DIGITS_PREPROCESSING, WEIGHTS_FOLDER
from tests.support.image_bundles import colour_bundle

_LRN = {"size": 5, "alpha": 1e-4, "beta": 0.75}


def digits_bundle(path: Path) -> Bundle:
    """The network of ``models/digits.py``, layer by layer."""
    weights = load_file(WEIGHTS_FOLDER / "digits.safetensors")
    nodes, value = [], "image"

    def add(kind: str, name: str, *parameters: str, **attributes: object) -> None:
        nonlocal value
        nodes.append(helper.make_node(kind, [value, *parameters], [name], **attributes))
        value = name

    for block in (1, 2, 3):
        at = f"conv{block}"
        add("Conv", at, f"{at}.weight", f"{at}.bias", kernel_shape=[3, 3], pads=[1, 1, 1, 1])
        add("Relu", f"relu{block}")
        if block < 3:
            add("LRN", f"norm{block}", bias=1.0, **_LRN)
            add("MaxPool", f"pool{block}", kernel_shape=[2, 2], strides=[2, 2])
    add("Flatten", "flatten")
    add("Gemm", "scores", "fc4.weight", "fc4.bias", transB=1)
    graph = helper.make_graph(
        nodes,
        "digits",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 1, 8, 8])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["batch", 10])],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(model)
    bundle = colour_bundle(path, labels=None)
    record = bundle.add_file("model.onnx", model.SerializeToString())
    layers = [
        LrnLayer(
            name=f"norm{block}",
            spec=LrnSpec(k=1.0, **_LRN),  # type: ignore[arg-type]  # of whole and real numbers
            form="kept",
            input=f"relu{block}",
            output=f"norm{block}",
            shape=("batch", 32, side, side),
        )
        for block, side in ((1, 8), (2, 4))
    ]
    return bundle.update(
        model=ModelSource(
            name="digits",
            factory="digits",
            origin="zoo",
            input_shape=(1, 8, 8),
            weights=Weights(kind="shipped", note="trained, shipped as digits.safetensors"),
        ),
        inputs=(TensorSpec(name="image", dtype="float32", shape=("batch", 1, 8, 8)),),
        outputs=(TensorSpec(name="scores", dtype="float32", shape=("batch", 10)),),
        preprocessing=DIGITS_PREPROCESSING,
        labels=bundle.add_file("labels.txt", "\n".join(map(str, range(10))).encode()),
        lrn_layers=tuple(layers),
        artifacts={"model": Artifact(**record.model_dump(), format="onnx")},
    )
