"""OpenFace's network of the zoo, with the weights of its file of Torch, against OpenCV."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.golden.answers import error
from benchmarks.peers.environments import environment
from lrn_deploy.backends.protocol import Array
from lrn_deploy.network import load_network

SAME = 1e-5
"""Largest relative L2 error of a face: both compute in fp32."""


def checked(file: Path, images: Mapping[str, Array], folder: Path) -> dict[str, Any]:
    """Hold ``nn4_small2`` against OpenCV's reading of the same file.

    Args:
        file: OpenFace's ``nn4.small2.v1.t7``.
        images: Of shape (H, W, 3), uint8, RGB.
        folder: Where files may be left.
    """
    np.savez(folder / "faces.npz", **images)  # type: ignore[arg-type]  # names are free
    weights, answers = folder / "openface.npz", folder / "answers.npz"
    python = environment("opencv") / "bin" / "python"
    words = [python, Path(__file__).parent / "torch7.py", file, folder / "faces.npz"]
    subprocess.run([*words, weights, answers], check=True)
    network = load_network("nn4_small2", weights=weights)
    errors, lengths = {}, []
    with np.load(answers) as archive, torch.inference_mode():
        version = str(archive["version"])
        for name in images:
            face = network.module(torch.from_numpy(archive[f"{name}/blob"])).numpy()
            errors[name] = error(face, archive[f"{name}/face"])
            lengths.append(float(np.linalg.norm(face)))
    return {
        "opencv": version,
        "weights": network.source.weights.note,
        "relative_l2": errors,
        "lengths": lengths,
        "met": max(errors.values()) <= SAME and bool(np.allclose(lengths, 1, atol=1e-6)),
    }
