"""The network behind BentoML: a service with a batchable API, pictures as multipart files.

Its other way to take an array is JSON, its numbers written out.
"""

import os
from pathlib import Path

import bentoml  # type: ignore[import-not-found] # in its own environment
import numpy as np
import onnxruntime


@bentoml.service(workers=1, traffic={"timeout": 60})
class Network:
    """One worker, as one session uses all the threads it is given."""

    def __init__(self) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = int(os.environ["PEER_THREADS"])
        self.session = onnxruntime.InferenceSession(
            os.environ["PEER_ONNX"], options, providers=["CPUExecutionProvider"]
        )
        self.spec = self.session.get_inputs()[0]
        self.dtype = {"tensor(uint8)": np.uint8, "tensor(float)": np.float32}[self.spec.type]

    @bentoml.api(  # type: ignore[untyped-decorator] # bentoml is not installed here
        batchable=True, max_batch_size=int(os.environ["PEER_MAX_BATCH"]), max_latency_ms=60_000
    )
    def predict(self, files: list[Path]) -> np.ndarray:
        """Run a batch."""
        rows = np.stack([np.fromfile(file, self.dtype) for file in files])
        batch = rows.reshape(-1, *self.spec.shape[1:])
        result: np.ndarray = self.session.run(None, {self.spec.name: batch})[0]
        return result
