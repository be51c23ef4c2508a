"""Whether a TensorRT keeps fp32 products in fp32 on a GPU, found out by running one.

TF32 is a flag of the builder, switched off for fp32 engines, and neither the engine's types nor its
inspector tell whether that was obeyed: TF32 values are fp32 values. TensorRT for RTX 1.6.1 on an
H200, a GPU that it has no target for, was told not to and did it all the same.
"""

from __future__ import annotations

from contextlib import closing

import numpy as np
import onnx
from onnx import helper, numpy_helper

from lrn_deploy.bundle import ArtifactData, EngineRecord
from lrn_deploy.tensorrt.build import BuildRequest
from lrn_deploy.tensorrt.device.cuda import Device
from lrn_deploy.tensorrt.device.run import EngineRunner
from lrn_deploy.tensorrt.flavor import Flavor
from lrn_deploy.tensorrt.process import build_in_process
from lrn_deploy.tensorrt.targets import CURRENT

_CHANNELS, _SIDE, _WINDOW = 64, 8, 3
LARGEST_FP32_ERROR = 2e-5
"""Relative L2 error of the product that fp32 stays far below (2e-7) and TF32 far above (4e-4)."""


def rounds_to_tf32(flavor: Flavor, device: Device) -> bool:
    """Whether a convolution that is asked for in fp32 is computed in TF32.

    It builds and runs a small engine, which takes some seconds.

    Args:
        flavor: The TensorRT.
        device: The GPU that is there.

    Raises:
        LrnDeployError: If the engine cannot be built or run.
    """
    rng = np.random.default_rng(0)
    shape = (1, _CHANNELS, _SIDE, _SIDE)
    x = rng.normal(size=shape).astype(np.float32)
    weights = rng.normal(size=(_CHANNELS, _CHANNELS, _WINDOW, _WINDOW)).astype(np.float32)
    request = BuildRequest(targets=(CURRENT,), batch=(1, 1, 1))
    built = build_in_process(flavor.name, _graph(weights), request)
    record = EngineRecord(
        flavor=flavor.name,
        version=flavor.version,
        platform="",
        targets=(device.sm,),
        precision="fp32",
        batch=request.batch,
        profile=built.profile,
        source_sha256="",
        build_seconds=built.seconds,
        peak_memory=built.peak_memory,
        reproducible=built.reproducible,
    )
    artifact = ArtifactData("TF32 probe", flavor.format, built.data, engine=record)
    with closing(EngineRunner(flavor, artifact, device, None)) as runner:
        found = runner.run({"x": x})["y"]
    return product_error(found, x, weights) > LARGEST_FP32_ERROR


def product_error(
    y: np.ndarray[tuple[int, ...], np.dtype[np.float32]],
    x: np.ndarray[tuple[int, ...], np.dtype[np.float32]],
    weights: np.ndarray[tuple[int, ...], np.dtype[np.float32]],
) -> float:
    """Relative L2 error of a convolution without padding.

    Args:
        y: What was computed, (1, out, height, width).
        x: Its input, (1, in, height + 2, width + 2).
        weights: Its weights, (out, in, 3, 3).
    """
    windows = np.lib.stride_tricks.sliding_window_view(
        x[0].astype(np.float64), (_WINDOW, _WINDOW), axis=(1, 2)
    )
    truth = np.einsum("chwij,ocij->ohw", windows, weights.astype(np.float64))
    return float(np.linalg.norm(y[0] - truth) / np.linalg.norm(truth))


def _graph(weights: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> bytes:
    side = _SIDE - _WINDOW + 1
    graph = helper.make_graph(
        [helper.make_node("Conv", ["x", "w"], ["y"])],
        "product",
        [_value("x", _SIDE)],
        [_value("y", side)],
        [numpy_helper.from_array(weights, "w")],
    )
    opset = helper.make_opsetid("", 18)
    return bytes(helper.make_model(graph, opset_imports=[opset], ir_version=10).SerializeToString())


def _value(name: str, side: int) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, _CHANNELS, side, side])
