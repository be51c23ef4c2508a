"""OpenFace's file of Torch: its weights, and OpenCV's answers, in OpenCV's own environment."""

import sys
from typing import Any

import cv2  # type: ignore[import-not-found]  # only that environment has it
import numpy as np
import torchfile  # type: ignore[import-not-found]  # only that environment has it

KINDS = {"nn.SpatialConvolution": "conv", "nn.SpatialBatchNormalization": "bn"}


def main() -> None:
    """Arguments: the file, an archive of images, the archives of weights and of answers to be."""
    file, images, weights, answers = sys.argv[1:]
    held: dict[str, Any] = {}
    for number, module in enumerate(torchfile.load(file)[b"modules"], 1):
        if module.torch_typename() != b"nn.Inception":
            put(held, f"layer{number}", module)
            continue
        (together,) = module[b"modules"]
        for place, branch in enumerate(together[b"modules"]):
            for step, layer in enumerate(branch[b"modules"], 1):
                kind = KINDS.get(layer.torch_typename().decode())
                if kind:
                    put(held, f"layer{number}.seq_list.{place}.{step}_{kind}", layer)
    np.savez(weights, **held)
    net = cv2.dnn.readNetFromTorch(file)
    told: dict[str, Any] = {"version": np.array(cv2.__version__)}
    with np.load(images) as archive:
        for name in archive.files:
            blob = cv2.dnn.blobFromImage(archive[name], 1 / 255, (96, 96), crop=False)
            net.setInput(blob)
            told |= {f"{name}/blob": blob, f"{name}/face": net.forward()}
    np.savez(answers, **told)


def put(held: dict[str, Any], layer: str, module: Any) -> None:
    """What a module of Torch's has learned, by PyTorch's names."""
    known = module._obj
    for part in ("weight", "bias", "running_mean"):
        value = known.get(part.encode())
        if isinstance(value, np.ndarray):
            held[f"{layer}.{part}"] = value
    if b"nInputPlane" in known:  # SpatialConvolutionMM keeps a matrix
        shape = (-1, known[b"nInputPlane"], known[b"kH"], known[b"kW"])
        held[f"{layer}.weight"] = held[f"{layer}.weight"].reshape(shape)
    if b"running_std" in known:  # Torch kept 1 / sqrt(variance + epsilon)
        variance = known[b"running_std"].astype(np.float64) ** -2 - known[b"eps"]
        held[f"{layer}.running_var"] = variance.astype(np.float32)


if __name__ == "__main__":
    main()
