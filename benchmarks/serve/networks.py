"""What is served: networks that do nothing, digits, and AlexNet in fp32 and int8."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from benchmarks.peers.bundles import graph_bundle
from lrn_deploy.bundle import Bundle
from lrn_deploy.cli import run

_SIDE = 227


def nothing(folder: Path, *, floats: bool) -> Bundle:
    """A graph that looks at one pixel of an AlexNet input: all that is left is the server.

    Args:
        folder: Where its bundle is made.
        floats: float32 (N, 3, 227, 227), 618,348 bytes a row; else uint8 (N, 227, 227, 3), 154,587.
    """
    name = "nothing-618k" if floats else "nothing-155k"
    kind = TensorProto.FLOAT if floats else TensorProto.UINT8
    shape: list[int | str] = ["batch", *((3, _SIDE, _SIDE) if floats else (_SIDE, _SIDE, 3))]
    bounds = {"starts": [0, 0, 0], "ends": [3, 1, 1] if floats else [1, 1, 3], "axes": [1, 2, 3]}
    graph = helper.make_graph(
        [
            helper.make_node("Slice", ["input", *bounds], ["pixel"]),
            helper.make_node("Flatten", ["pixel"], ["output"]),
        ],
        name,
        [helper.make_tensor_value_info("input", kind, shape)],
        [helper.make_tensor_value_info("output", kind, ["batch", 3])],
        [numpy_helper.from_array(np.array(value, np.int64), key) for key, value in bounds.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    return graph_bundle(folder / name, model, (3, _SIDE, _SIDE))


def network(folder: Path, model: str, precision: str = "fp32") -> Bundle:
    """A network of the zoo that takes uint8 pictures, as its variant for the CPU.

    Returns:
        A bundle whose only graph is that variant.
    """
    source = folder / f"{model}-source"
    if not source.exists():
        _do("export", model, "--input", "uint8", "-o", str(source))
    _do("optimize", str(source), "--target", "cpu", "--precision", precision)
    graph = onnx.load(source / "variants" / f"cpu-{precision}.onnx")
    graph.graph.name = f"{model}-{precision}"
    shape = Bundle.open(source).manifest.model.input_shape
    return graph_bundle(folder / graph.graph.name, graph, shape)


def _do(*arguments: str) -> None:
    if run([*arguments]) != 0:
        raise RuntimeError(f"lrn-deploy {' '.join(arguments)} failed")
