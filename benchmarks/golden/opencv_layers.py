"""OpenCV's answer for each of many small networks, in OpenCV's own environment."""

import json
import sys
from pathlib import Path

import cv2  # type: ignore[import-not-found]  # only that environment has it
import numpy as np


def main() -> None:
    """Answer for each folder of ``net.prototxt``, ``net.caffemodel`` and ``x.npy``."""
    task = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    answers = {}
    for name, folder in task.items():
        net = cv2.dnn.readNetFromCaffe(f"{folder}/deploy.prototxt", f"{folder}/net.caffemodel")
        net.setInput(np.load(f"{folder}/x.npy"))
        answers[name] = net.forward()  # of the last layer
    np.savez(sys.argv[2], version=np.array(cv2.__version__), **answers)


if __name__ == "__main__":
    main()
