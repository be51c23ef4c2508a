"""A model of Triton's Python backend: a batch through one session of ONNX Runtime."""

import json
from typing import Any

import numpy as np
import onnxruntime
import triton_python_backend_utils as pb_utils  # type: ignore[import-not-found] # Triton's own


class TritonPythonModel:
    """What the Python backend calls."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load the ONNX file that the configuration names."""
        config = json.loads(args["model_config"])
        told = {name: entry["string_value"] for name, entry in config["parameters"].items()}
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = int(told["threads"])
        self.session = onnxruntime.InferenceSession(
            told["onnx"], options, providers=["CPUExecutionProvider"]
        )
        self.inputs = [one.name for one in self.session.get_inputs()]
        self.outputs = [one.name for one in self.session.get_outputs()]

    def execute(self, requests: list[Any]) -> list[Any]:
        """Run all requests together and give each its own rows."""
        parts = [
            [pb_utils.get_input_tensor_by_name(request, name).as_numpy() for name in self.inputs]
            for request in requests
        ]
        feeds = {
            name: np.concatenate(arrays) if len(arrays) > 1 else arrays[0]
            for name, arrays in zip(self.inputs, zip(*parts, strict=True), strict=True)
        }
        results = self.session.run(self.outputs, feeds)
        responses = []
        start = 0
        for request, arrays in zip(requests, parts, strict=True):
            stop = start + len(arrays[0])
            wanted = set(request.requested_output_names())
            responses.append(
                pb_utils.InferenceResponse(
                    [
                        pb_utils.Tensor(name, np.ascontiguousarray(result[start:stop]))
                        for name, result in zip(self.outputs, results, strict=True)
                        if name in wanted
                    ]
                )
            )
            start = stop
        return responses
