"""A network's answers beside OpenCV's and beside those that are known."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.peers.environments import environment
from lrn_deploy import lrn
from lrn_deploy.backends.onnxruntime import OnnxRuntimeBackend
from lrn_deploy.backends.protocol import Array
from lrn_deploy.bundle import ArtifactData, Bundle
from lrn_deploy.caffe import read
from lrn_deploy.network import load_network
from lrn_deploy.parity.graph import parse, with_outputs
from lrn_deploy.parity.metrics import relative_l2

BUDGET = 5e-5
"""Largest relative L2 error at fc8: OpenCV computes LRN by logarithms, and is 2e-5 off itself."""
KNOWN_DIGITS = 6e-4
"""The known probabilities are written with three digits."""


@dataclass(frozen=True)
class Answers:
    """What a network answers for one image.

    Attributes:
        blob: The input, of shape (1, C, H, W).
        values: Each output that was asked for, of shape (1, classes).
    """

    blob: Array
    values: dict[str, Array]


def by_opencv(
    prototxt: Path,
    caffemodel: Path,
    images: Mapping[str, Array],
    *,
    size: tuple[int, int],
    mean: Sequence[float],
    outputs: Sequence[str],
) -> tuple[str, dict[str, Answers]]:
    """OpenCV's version, and its answers for each image.

    Args:
        prototxt: The network's layers.
        caffemodel: Its weights.
        images: Of shape (H, W, 3), uint8, RGB.
        size: Width and height that they are stretched to.
        mean: What is subtracted, in blue, green and red.
        outputs: The blobs that are asked for.
    """
    python = environment("opencv") / "bin" / "python"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        np.savez(folder / "images.npz", **images)  # type: ignore[arg-type]  # names are free
        task = {
            "prototxt": str(prototxt),
            "caffemodel": str(caffemodel),
            "images": str(folder / "images.npz"),
            "size": list(size),
            "mean": list(mean),
            "outputs": list(outputs),
        }
        (folder / "task.json").write_text(json.dumps(task), encoding="utf-8")
        words = [python, Path(__file__).parent / "opencv.py", folder / "task.json"]
        subprocess.run([*words, folder / "answers.npz"], check=True)
        with np.load(folder / "answers.npz") as archive:
            held = {key: archive[key] for key in archive.files}
    return str(held["version"]), {
        image: Answers(held[f"{image}/blob"], {key: held[f"{image}/{key}"] for key in outputs})
        for image in images
    }


def by_us(bundle: Bundle, blob: Array, values: Sequence[str]) -> dict[str, Array]:
    """Values of the canonical graph in ONNX Runtime, intermediate ones too."""
    return values_of(bundle.load("model").data, {bundle.manifest.inputs[0].name: blob}, values)


def values_of(graph: bytes, feeds: Mapping[str, Array], values: Sequence[str]) -> dict[str, Array]:
    """Values of any graph in ONNX Runtime."""
    data = with_outputs(parse(graph), values)
    with OnnxRuntimeBackend().load(ArtifactData("asked", "onnx", data)) as session:
        answer = session.run(feeds)
    return {name: answer[name] for name in values}


def compared(
    bundle: Bundle, theirs: Mapping[str, Answers], known: Mapping[str, Sequence[float]]
) -> dict[str, Any]:
    """Our answers against another's and against known probabilities, with the verdict.

    Args:
        bundle: The imported network, with the outputs ``fc8`` and ``prob`` somewhere in it.
        theirs: The other's answers, by image.
        known: Probabilities of some images, with three digits.
    """
    rows = {}
    for image, answers in theirs.items():
        ours = by_us(bundle, answers.blob, ("fc8", "prob"))
        row: dict[str, Any] = {
            "fc8_relative_l2": error(ours["fc8"], answers.values["fc8"]),
            "probability_max_difference": float(
                np.abs(ours["prob"] - answers.values["prob"]).max()
            ),
            "probabilities": [round(float(value), 4) for value in ours["prob"][0]],
            "class": int(ours["prob"].argmax()),
        }
        if image in known:
            row["known_max_difference"] = float(np.abs(ours["prob"][0] - known[image]).max())
        rows[image] = row
    worst = max(row["fc8_relative_l2"] for row in rows.values())
    apart = max((row.get("known_max_difference", 0.0) for row in rows.values()), default=0.0)
    return {
        "images": rows,
        "worst_fc8_relative_l2": worst,
        "budget": BUDGET,
        "met": bool(worst <= BUDGET and apart <= KNOWN_DIGITS and known.keys() <= rows.keys()),
    }


def by_the_zoo(
    network: str, prototxt: Path, caffemodel: Path, blobs: Mapping[str, Array], folder: Path
) -> dict[str, Array]:
    """Logits of the zoo's network, with the caffemodel's weights under Caffe's names."""
    held = {
        f"{layer.name}/{place}": blob
        for layer in read(prototxt, caffemodel).layers
        for place, blob in enumerate(layer.blobs)
    }
    np.savez(folder / f"{network}.npz", **held)  # type: ignore[arg-type]  # names are free
    module = load_network(network, weights=folder / f"{network}.npz").module
    with torch.inference_mode():
        return {name: module(torch.from_numpy(blob)).numpy() for name, blob in blobs.items()}


def denominators(bundle: Bundle, blob: Array) -> dict[str, dict[str, float]]:
    """What each LRN divides by: the median, the 99th percentile and the largest."""
    layers = bundle.manifest.lrn_layers
    inside = by_us(bundle, blob, [layer.input for layer in layers])
    told = {}
    for layer in layers:
        energy = lrn.activity(inside[layer.input], layer.spec, layer.convention)
        divided_by = (layer.spec.k * (1 + energy)) ** layer.spec.beta
        points = np.percentile(divided_by, [50, 99, 100])
        told[layer.name] = dict(zip(("median", "p99", "max"), map(float, points), strict=True))
    return told


def error(y: Array, r: Array) -> float:
    """Relative L2 error in float64."""
    return relative_l2(np.asarray(y, np.float64), np.asarray(r, np.float64))
