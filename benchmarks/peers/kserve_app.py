"""The network behind KServe's Python server: a ``kserve.Model``, binary tensors both ways.

It does not batch: KServe's batcher is a container of its own beside it.
"""

import argparse
import os
import uuid
from typing import Any

import kserve  # type: ignore[import-not-found,unused-ignore] # in its own environment
import numpy as np
import onnxruntime


class Network(kserve.Model):  # type: ignore[misc,unused-ignore] # likewise
    """One session, which uses all the threads it is given."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.load()

    def load(self) -> bool:
        """Load the ONNX file."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = int(os.environ["PEER_THREADS"])
        self.session = onnxruntime.InferenceSession(
            os.environ["PEER_ONNX"], options, providers=["CPUExecutionProvider"]
        )
        self.spec = self.session.get_inputs()[0]
        self.ready = True
        return True

    def predict(self, payload: Any, headers: Any = None, response_headers: Any = None) -> Any:  # noqa: ARG002 - KServe's signature
        """Run one request's rows."""
        rows = payload.inputs[0].as_numpy()
        result: np.ndarray = self.session.run(None, {self.spec.name: rows})[0]
        kind = {"float32": "FP32", "uint8": "UINT8"}[result.dtype.name]
        output = kserve.InferOutput("output", list(result.shape), kind)
        output.set_data_from_numpy(result, binary_data=True)
        name = payload.id or uuid.uuid4().hex  # without one it is refused
        return kserve.InferResponse(name, self.name, [output], use_binary_outputs=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(parents=[kserve.model_server.parser])
    parser.parse_known_args()
    kserve.ModelServer(workers=1, enable_grpc=False).start([Network(os.environ["PEER_NAME"])])
