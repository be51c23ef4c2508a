"""OpenCV's answers, by OpenCV's own environment, where this file imports nothing of ours.

OpenCV 4 is the last one that reads Caffe's files. It ignores LRN's ``k`` and takes an absent
``alpha`` for 1e-4; these networks have k = 1 and say their alpha, so its answers count here.
"""

import json
import sys
from pathlib import Path

import cv2  # type: ignore[import-not-found]  # only that environment has it
import numpy as np


def main() -> None:
    """Answer for each image; arguments are the task, as JSON, and the file to write."""
    task = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    with np.load(task["images"]) as archive:
        images = {name: archive[name] for name in archive.files}
    blobs = {
        name: cv2.dnn.blobFromImage(
            np.ascontiguousarray(image[:, :, ::-1]),  # RGB -> BGR
            scalefactor=1.0,
            size=tuple(task["size"]),
            mean=tuple(task["mean"]),
            swapRB=False,
            crop=False,
        )
        for name, image in images.items()
    }
    answers = {f"{name}/blob": blob for name, blob in blobs.items()}
    net = cv2.dnn.readNetFromCaffe(task["prototxt"], task["caffemodel"])
    for name, blob in blobs.items():
        net.setInput(blob)
        for output, value in zip(task["outputs"], net.forward(task["outputs"]), strict=True):
            answers[f"{name}/{output}"] = value
    np.savez(sys.argv[2], version=np.array(cv2.__version__), **answers)


if __name__ == "__main__":
    main()
