"""Caffe's layers one by one beside OpenCV 4, where OpenCV keeps to Caffe's rules.

It does not for LRN's ``k`` and an absent ``alpha``, ``transpose: true``, layers of the phase
TRAIN, and windows that lie outside the image: those are left out here, and held against a reference
of our own by the tests.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.peers.environments import environment
from lrn_deploy.backends.onnxruntime import OnnxRuntimeBackend
from lrn_deploy.backends.protocol import Array
from lrn_deploy.bundle import ArtifactData
from lrn_deploy.caffe import read, to_onnx
from lrn_deploy.parity.metrics import relative_l2

BUDGET = 2e-5
"""Relative L2: OpenCV computes LRN by logarithms."""
SHAPE = (6, 13, 11)
_POOL = "pooling_param {{ pool: {} {} }}"
_WINDOWS = (
    "kernel_size: 2 stride: 2",
    "kernel_size: 3 stride: 2",
    "kernel_size: 3 stride: 2 pad: 1",
    "kernel_size: 3 stride: 1 pad: 1",
    "kernel_size: 2 stride: 2 pad: 1",
    "kernel_h: 3 kernel_w: 2 stride_h: 1 stride_w: 2",
    "kernel_size: 5 stride: 3 pad: 2",
    "global_pooling: true",
)
_CONV = "convolution_param {{ num_output: 4 {} }}"
_LRN = "lrn_param {{ alpha: {} beta: {} local_size: {} norm_region: {} }}"


def cases() -> Iterator[tuple[str, str, list[Array]]]:
    """Name, layers that make ``y`` of ``data``, and the weights of the layer ``l``."""
    rng = np.random.default_rng(23)

    def weights(*shapes: Sequence[int]) -> list[Array]:
        return [rng.normal(0, 0.5, shape).astype(np.float32) for shape in shapes]

    def one(kind: str, parameters: str = "", bottom: str = 'bottom: "data"') -> str:
        return f'layer {{ name: "l" type: "{kind}" {bottom} top: "y" {parameters} }}'

    for kind in ("MAX", "AVE"):
        for window in _WINDOWS:
            yield f"Pooling {kind} {window}", one("Pooling", _POOL.format(kind, window)), []
    for region in ("ACROSS_CHANNELS", "WITHIN_CHANNEL"):
        for alpha, beta, size in ((1.0, 0.75, 5), (0.5, 0.5, 3), (1e-4, 0.75, 5), (2.0, 1.0, 7)):
            text = _LRN.format(alpha, beta, size, region)
            yield f"LRN {region} {alpha} {beta} {size}", one("LRN", text), []
    for text, shapes in (
        ("kernel_size: 3", ((4, 6, 3, 3), (4,))),
        ("kernel_size: 3 stride: 2 pad: 1 group: 2", ((4, 3, 3, 3), (4,))),
        ("kernel_size: 3 dilation: 2 bias_term: false", ((4, 6, 3, 3),)),
        ("kernel_h: 1 kernel_w: 3 pad_h: 0 pad_w: 1", ((4, 6, 1, 3), (4,))),
    ):
        yield f"Convolution {text}", one("Convolution", _CONV.format(text)), weights(*shapes)
    text = "kernel_size: 4 stride: 2 pad: 1"
    yield (
        f"Deconvolution {text}",
        one("Deconvolution", _CONV.format(text)),
        weights((6, 4, 4, 4), (4,)),
    )
    for axis, inner in ((1, 6 * 13 * 11), (2, 13 * 11), (-1, 11)):
        text = f"inner_product_param {{ num_output: 5 axis: {axis} }}"
        yield f"InnerProduct axis {axis}", one("InnerProduct", text), weights((5, inner), (5,))
    for kind, text in (
        ("ReLU", "relu_param { negative_slope: 0.1 }"),
        ("Sigmoid", ""),
        ("TanH", ""),
        ("AbsVal", ""),
        ("ELU", "elu_param { alpha: 0.7 }"),
        ("Power", "power_param { power: 2 scale: 0.5 shift: 1 }"),
        ("Softmax", ""),
        ("Softmax", "softmax_param { axis: 2 }"),
        ("Flatten", ""),
    ):
        yield f"{kind} {text}".strip(), one(kind, text), []
    yield "PReLU", one("PReLU"), weights((6,))
    yield (
        "BatchNorm",
        one("BatchNorm"),
        [
            *weights((6,)),
            np.abs(*weights((6,))) + 1,
            np.array([2], np.float32),
        ],
    )
    text = "scale_param { bias_term: true }"
    yield "Scale with a bias", one("Scale", text), weights((6,), (6,))
    relu = 'layer { name: "r" type: "ReLU" bottom: "data" top: "r" }'
    both = 'bottom: "data" bottom: "r"'
    for text in ("SUM coeff: 2 coeff: -0.5", "PROD", "MAX"):
        parameters = f"eltwise_param {{ operation: {text} }}"
        yield f"Eltwise {text}", relu + one("Eltwise", parameters, both), []
    for axis in (1, 2):
        parameters = f"concat_param {{ axis: {axis} }}"
        yield f"Concat axis {axis}", relu + one("Concat", parameters, both), []
    again = 'layer { name: "i" type: "ReLU" bottom: "r" top: "r" }'
    yield "read after a change in place", relu + again + one("Eltwise", "", both), []


def compared(folder: Path) -> dict[str, Any]:
    """Relative L2 error of each layer against OpenCV.

    Args:
        folder: Where files are written.
    """
    from tests.support.caffe_files import deploy, write

    rng = np.random.default_rng(5)
    folders, ours = {}, {}
    for at, (name, layers, weights) in enumerate(cases()):
        place = folder / str(at)
        place.mkdir(parents=True)
        x = rng.normal(0, 2, (1, *SHAPE)).astype(np.float32)
        np.save(place / "x.npy", x)
        files = write(place, deploy(SHAPE, layers), {"l": weights or [np.ones(1, np.float32)]})
        data = to_onnx(read(*files)).SerializeToString()
        with OnnxRuntimeBackend().load(ArtifactData("model", "onnx", data)) as session:
            ours[name] = session.run({"data": x})["y"]
        folders[name] = str(place)
    version, theirs = _by_opencv(folders, folder)
    errors = {name: relative_l2(value, theirs[name]) for name, value in ours.items()}
    return {
        "opencv": version,
        "budget": BUDGET,
        "errors": errors,
        "met": all(error <= BUDGET for error in errors.values()),
    }


def _by_opencv(folders: Mapping[str, str], folder: Path) -> tuple[str, dict[str, Array]]:
    python = environment("opencv") / "bin" / "python"
    (folder / "task.json").write_text(json.dumps(folders), encoding="utf-8")
    words = [python, Path(__file__).parent / "opencv_layers.py", folder / "task.json"]
    subprocess.run([*words, folder / "answers.npz"], check=True)
    with np.load(folder / "answers.npz") as archive:
        held = {key: archive[key] for key in archive.files}
    return str(held.pop("version")), held
