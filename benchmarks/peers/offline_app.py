"""A bare session of ONNX Runtime, which runs whole batches for as long as it is told.

Reads a number of seconds from each line of stdin, and writes rows and seconds as a line of JSON.
A program of its own, with nothing else loaded, so that its memory is the session's.
"""

import hashlib
import json
import sys
import time
from pathlib import Path

import numpy as np
import onnxruntime


def main(file: str, threads: int, rows: int) -> None:
    """Hash a graph, load it, run batch 1 and the largest, and then what is asked for."""
    with Path(file).open("rb") as stream:
        hashlib.file_digest(stream, "sha256")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    spec = session.get_inputs()[0]
    dtype = {"tensor(uint8)": np.uint8, "tensor(float)": np.float32}[spec.type]
    shape = (rows, *spec.shape[1:])
    batch = np.random.default_rng(0).integers(0, 256, shape).astype(dtype)
    for some in (batch[:1], batch):
        session.run(None, {spec.name: some})
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        done = 0
        started = time.perf_counter()
        while time.perf_counter() - started < float(line):
            session.run(None, {spec.name: batch})
            done += rows
        seconds = time.perf_counter() - started
        print(json.dumps({"rows": done, "seconds": seconds}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
