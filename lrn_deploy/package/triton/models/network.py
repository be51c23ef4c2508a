"""A network behind Triton's Python backend, as lrn-deploy packaged it.

It needs numpy, and ONNX Runtime or OpenVINO, whichever the configuration names. It refuses files
that are not those that were packaged. Requests that come together are run together; each gets its
own rows, of the outputs that it asked for, and one that fails fails alone.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils  # type: ignore[import-not-found] # Triton's own

_SHARED_WEIGHT = "AddInitializedOrtValue"


class TritonPythonModel:
    """What the Python backend calls."""

    def initialize(self, args: dict[str, str]) -> None:
        """Check the files and load the network.

        Args:
            args: What the backend tells: the configuration as JSON, where the model lies, on which
                GPU this instance is to run.
        """
        config = json.loads(args["model_config"])
        told = {key: value["string_value"] for key, value in config["parameters"].items()}
        folder = Path(args["model_repository"])
        data = checked(folder, json.loads(told["sha256"]))[told["file"]]
        self.inputs = [one["name"] for one in config["input"]]
        self.outputs = [one["name"] for one in config["output"]]
        self.batches = config["max_batch_size"] > 0
        if told["runtime"] == "openvino":
            self.run = _openvino(data, int(told["threads"]), told["precision"])
        else:
            gpu = args.get("model_instance_device_id", "0")
            on_gpu = args.get("model_instance_kind") == "GPU"
            self.run = _onnxruntime(data, int(told["threads"]), int(gpu) if on_gpu else None)

    def execute(self, requests: list[Any]) -> list[Any]:
        """One response for each request, in their order."""
        feeds = [
            {
                name: pb_utils.get_input_tensor_by_name(request, name).as_numpy()
                for name in self.inputs
            }
            for request in requests
        ]
        groups: dict[Any, list[int]] = {}
        for at, arrays in enumerate(feeds):
            # Only rows of the same shape can be put together, and only where there is a batch.
            key = tuple(array.shape[1:] for array in arrays.values()) if self.batches else at
            groups.setdefault(key, []).append(at)
        responses: dict[int, Any] = {}
        for members in groups.values():
            responses.update(self._run_together(members, feeds, requests))
        return [responses[at] for at in range(len(requests))]

    def _run_together(
        self, members: list[int], feeds: list[dict[str, Any]], requests: list[Any]
    ) -> dict[int, Any]:
        """Run requests as one batch, or each alone if that fails, so that only the culprit does."""
        joined = {
            name: np.concatenate([feeds[at][name] for at in members])
            if len(members) > 1
            else feeds[members[0]][name]
            for name in self.inputs
        }
        wanted = {name for at in members for name in requests[at].requested_output_names()}
        names = [name for name in self.outputs if name in wanted]
        try:
            values = self.run(names, joined)
            results = {name: values[at] for at, name in enumerate(names)}
        except Exception as error:  # runtimes raise what they like
            if len(members) == 1:
                refusal = pb_utils.TritonError(f"The network could not be run: {error}")
                return {members[0]: pb_utils.InferenceResponse([], refusal)}
            alone: dict[int, Any] = {}
            for at in members:
                alone.update(self._run_together([at], feeds, requests))
            return alone
        responses = {}
        start = 0
        for at in members:
            stop = start + len(next(iter(feeds[at].values()))) if self.batches else None
            own = set(requests[at].requested_output_names())
            responses[at] = pb_utils.InferenceResponse(
                [
                    pb_utils.Tensor(name, np.ascontiguousarray(result[start:stop]))
                    for name, result in results.items()
                    if name in own
                ]
            )
            start = stop or 0
        return responses


def checked(folder: Path, digests: dict[str, str]) -> dict[str, bytes]:
    """What the files of a model hold, if they are those that were packaged.

    Args:
        folder: The model's folder.
        digests: SHA-256 of its files by their paths in it.
    """
    contents = {}
    for name, digest in digests.items():
        try:
            contents[name] = (folder / name).read_bytes()
        except OSError as error:
            raise pb_utils.TritonModelException(
                f"'{folder.name}/{name}' cannot be read: {error.strerror}. Package it again."
            ) from error
        if hashlib.sha256(contents[name]).hexdigest() != digest:
            raise pb_utils.TritonModelException(
                f"'{folder.name}/{name}' was changed after it was packaged: its SHA-256 is not "
                f"{digest[:12]}.... Package it again; nothing was loaded."
            )
    return contents


def _onnxruntime(data: bytes, threads: int, gpu: int | None) -> Any:
    """A function of the names of outputs and the inputs, run by ONNX Runtime."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # on by default since 1.32
    try:
        import onnxruntime
    except ImportError as error:
        raise pb_utils.TritonModelException(
            "The Python backend has no ONNX Runtime: pip install onnxruntime, or onnxruntime-gpu."
        ) from error

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    providers: list[Any] = ["CPUExecutionProvider"]
    if gpu is None:
        # Without VNNI the sums of two int8 products would saturate; elsewhere it does nothing.
        options.add_session_config_entry("session.x64quantprecision", "1")
    else:
        options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
        told = {"device_id": gpu, "use_tf32": 0, "cudnn_conv_algo_search": "HEURISTIC"}
        providers = [("CUDAExecutionProvider", told)]

    def make() -> Any:
        return onnxruntime.InferenceSession(data, options, providers=providers, enable_fallback=0)

    try:
        session = make()
    except Exception as error:  # ONNX Runtime's own exceptions share no other base class
        if gpu is not None or _SHARED_WEIGHT not in str(error):
            raise
        # It cannot turn a weight that two layers share: those compute in fp32 on the same values.
        options.add_session_config_entry("session.disable_quant_qdq", "1")
        session = make()
    session._model_bytes = None  # it would keep them for a fallback, which is never wanted
    first = providers[0][0] if gpu is not None else providers[0]
    if session.get_providers()[0] != first:
        raise pb_utils.TritonModelException(
            f"ONNX Runtime would run it on {session.get_providers()[0]}, not on {first}."
        )
    return session.run


def _openvino(data: bytes, threads: int, precision: str) -> Any:
    """A function of the names of outputs and the inputs, run by OpenVINO on the CPU."""
    try:
        import openvino
    except ImportError as error:
        raise pb_utils.TritonModelException(
            "The Python backend has no OpenVINO: pip install openvino."
        ) from error
    options: dict[str, Any] = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": precision,
    }
    if threads:
        options["INFERENCE_NUM_THREADS"] = threads
    core = openvino.Core()
    request = core.compile_model(core.read_model(data), "CPU", options).create_infer_request()

    def run(names: list[str], feeds: dict[str, Any]) -> list[Any]:
        results = request.infer(feeds)
        return [results[name] for name in names]

    return run
