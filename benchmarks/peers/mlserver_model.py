"""The network behind MLServer: a custom runtime, pictures as base64.

Over HTTP MLServer reads JSON only, so base64 is how it takes bytes, not their numbers written out.
"""

import numpy as np
import onnxruntime
from mlserver import MLModel  # type: ignore[import-not-found] # in its own environment
from mlserver.codecs import Base64Codec, NumpyCodec  # type: ignore[import-not-found] # likewise
from mlserver.types import (  # type: ignore[import-not-found] # likewise
    InferenceRequest,
    InferenceResponse,
)


class Network(MLModel):  # type: ignore[misc] # likewise
    """Runs what MLServer's adaptive batching has joined."""

    async def load(self) -> bool:
        """Load the ONNX file that the settings name."""
        told = self.settings.parameters
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = int(told.extra["threads"])
        self.session = onnxruntime.InferenceSession(
            told.uri, options, providers=["CPUExecutionProvider"]
        )
        self.spec = self.session.get_inputs()[0]
        self.dtype = {"tensor(uint8)": np.uint8, "tensor(float)": np.float32}[self.spec.type]
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Run a batch."""
        pictures = Base64Codec.decode_input(payload.inputs[0])
        rows = np.stack([np.frombuffer(picture, self.dtype) for picture in pictures])
        batch = rows.reshape(-1, *self.spec.shape[1:])
        result = self.session.run(None, {self.spec.name: batch})[0]
        return InferenceResponse(
            model_name=self.name, outputs=[NumpyCodec.encode_output("output", result)]
        )
