"""The network behind LitServe: a LitAPI with batching, pictures as multipart files.

LitServe reads a body as JSON or as a form, so a form is how it takes bytes as they are.
"""

import os
from typing import Any

import litserve  # type: ignore[import-not-found] # in its own environment
import numpy as np
import onnxruntime
from fastapi import Request, Response  # type: ignore[import-not-found,unused-ignore] # likewise


class Network(litserve.LitAPI):  # type: ignore[misc] # likewise
    """Decodes, batches, runs, and gives each caller its own row."""

    def setup(self, device: str) -> None:  # noqa: ARG002 - LitServe's signature
        """Load the ONNX file."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = int(os.environ["PEER_THREADS"])
        self.session = onnxruntime.InferenceSession(
            os.environ["PEER_ONNX"], options, providers=["CPUExecutionProvider"]
        )
        self.spec = self.session.get_inputs()[0]
        self.dtype = {"tensor(uint8)": np.uint8, "tensor(float)": np.float32}[self.spec.type]

    def decode_request(self, request: Request) -> Any:
        """The file's bytes as an array."""
        content = request["input"].file.read()
        return np.frombuffer(content, self.dtype).reshape(self.spec.shape[1:])

    def predict(self, x: Any) -> Any:
        """Run; batches come stacked, a row alone without its axis."""
        alone = x.ndim == len(self.spec.shape) - 1
        rows = self.session.run(None, {self.spec.name: x[None] if alone else x})[0]
        return rows[0] if alone else rows

    def encode_response(self, output: Any) -> Response:
        """The row's bytes."""
        return Response(output.tobytes(), media_type="application/octet-stream")


if __name__ == "__main__":
    litserve.LitServer(
        Network(max_batch_size=int(os.environ["PEER_MAX_BATCH"]), batch_timeout=0.0),
        accelerator="cpu",
        workers_per_device=1,
        fast_queue=True,
    ).run(
        host="127.0.0.1",
        port=int(os.environ["PEER_PORT"]),
        generate_client_file=False,
        log_level="error",
    )
