"""ONNX Runtime's CUDA provider on memory of the device, with and without its CUDA graphs."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import onnxruntime

from benchmarks.gpu.contenders.device import Device, open_device
from benchmarks.gpu.contenders.worker import CALLS, Candidate, Ready, answer
from benchmarks.gpu.made import BATCHES, networks
from benchmarks.gpu.record import StageOptions, run_stage
from lrn_deploy.bundle import Bundle, TensorSpec

_GRAPHS = (("model", "fp32"), ("model", "tf32"), ("cuda-fp16", "fp16"))


def prepare(options: StageOptions) -> Ready:
    """Every graph at every batch size, and a copy on the device as the measure of its memory."""
    ready = Ready()
    device = open_device(dry=options.dry)
    ready.add("copy", 0, lambda: Candidate("copy of 1 GiB", "", 0, device.copy_seconds()))
    bundle = Bundle.open(options.work / networks(options)[0])
    (spec,) = bundle.manifest.inputs
    for artifact, precision in _GRAPHS:
        data = bundle.load(artifact).data
        name = f"onnxruntime {precision}"
        shared: list[Any] = []  # one session serves every batch size, unless it captures graphs

        def session(data: bytes = data, precision: str = precision, shared: Any = shared) -> Any:
            if not shared:
                shared.append(make_session(data, precision, device, graphs=False))
            return shared[0]

        for batch in BATCHES:
            ready.add(name, batch, partial(plain, name, precision, session, spec, batch, device))
            again = partial(make_session, data, precision, device, graphs=True)
            label = f"{name}, CUDA graph"
            ready.add(
                label, batch, partial(plain, label, precision, again, spec, batch, device, True)
            )
    return ready


def make_session(data: bytes, precision: str, device: Device, *, graphs: bool) -> Any:
    """A session on the device's stream."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    if not device.stream:
        return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    provider = {
        "device_id": "0",
        "use_tf32": "1" if precision == "tf32" else "0",
        "user_compute_stream": str(device.stream),
        "enable_cuda_graph": "1" if graphs else "0",
    }
    session = onnxruntime.InferenceSession(
        data, options, providers=[("CUDAExecutionProvider", provider)]
    )
    if session.get_providers()[0] != "CUDAExecutionProvider":
        raise RuntimeError("the CUDA provider is not there")
    return session


def plain(
    name: str,
    precision: str,
    make: Callable[[], Any],
    spec: TensorSpec,
    batch: int,
    device: Device,
    graphs: bool = False,
) -> Candidate:
    """A candidate of a session, whose input and output stay on the device."""
    session = make()
    x = np.random.default_rng(0).normal(size=spec.at_batch(batch)).astype(spec.dtype)
    place = "cuda" if device.stream else "cpu"
    on_device = onnxruntime.OrtValue.ortvalue_from_numpy(x, place, 0)
    output = session.get_outputs()[0].name
    first = session.run([output], {spec.name: x})[0] if not graphs else None
    classes = first.shape[1:] if first is not None else tuple(session.get_outputs()[0].shape[1:])
    result = onnxruntime.OrtValue.ortvalue_from_shape_and_type(
        (batch, *classes), np.float32, place, 0
    )
    binding = session.io_binding()
    binding.bind_ortvalue_input(spec.name, on_device)
    binding.bind_ortvalue_output(output, result)
    options = onnxruntime.RunOptions()
    options.add_run_config_entry("disable_synchronize_execution_providers", "1")

    def run() -> None:
        session.run_with_iobinding(binding, options)

    for _ in range(3):  # the first run of a CUDA graph captures it
        run()
    whole = None if graphs else partial(session.run, [output], {spec.name: x})
    return Candidate(name, precision, batch, partial(device.seconds, run, CALLS), whole)


if __name__ == "__main__":
    sys.exit(run_stage(lambda options: answer(prepare, options)))
