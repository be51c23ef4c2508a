"""ONNX Runtime's CUDA provider on memory of the device, with and without its CUDA graphs.

If ``LRN_GRAPHS`` is ``forms``, with channels last and with LRN written otherwise.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime

from benchmarks.gpu.contenders import FORMS, GRAPHS
from benchmarks.gpu.contenders.device import Device, open_device
from benchmarks.gpu.contenders.worker import CALLS, Candidate, Ready, answer
from benchmarks.gpu.made import BATCHES, networks
from benchmarks.gpu.record import StageOptions, run_stage
from lrn_deploy.bundle import Bundle, TensorSpec
from lrn_deploy.passes.lrn.lower_lrn import lower_lrn


@dataclass(frozen=True)
class Setting:
    """One way to run a graph of the bundle.

    Attributes:
        artifact: The graph.
        precision: What it computes in.
        captured: As a CUDA graph of ONNX Runtime's own.
        nhwc: Convolutions with channels last, as the tensor cores take them.
        lrn: How LRN is written; empty for its node.
    """

    artifact: str
    precision: str
    captured: bool
    nhwc: bool = False
    lrn: str = ""

    @property
    def name(self) -> str:
        """What to call it."""
        words = [f"onnxruntime {self.precision}", *(["channels last"] * self.nhwc)]
        words += [f"LRN by {self.lrn}"] if self.lrn else []
        return ", ".join([*words, *(["CUDA graph"] * self.captured)])


PLAIN = tuple(
    Setting(artifact, precision, captured)
    for artifact, precision in (("model", "fp32"), ("model", "tf32"), ("cuda-fp16", "fp16"))
    for captured in (False, True)
)
OTHERS = tuple(
    Setting(artifact, precision, captured=True, nhwc=nhwc, lrn=lrn)
    for artifact, precision in (("cuda-fp16", "fp16"), ("model", "tf32"))
    for nhwc, lrn in ((True, ""), (False, "band"), (True, "band"), (False, "slices"))
)


def prepare(options: StageOptions) -> Ready:
    """Every setting at every batch size, and a copy on the device as the measure of its memory."""
    ready = Ready()
    device = open_device(dry=options.dry)
    bundle = Bundle.open(options.work / networks(options)[0])
    (spec,) = bundle.manifest.inputs
    forms = os.environ.get(GRAPHS) == FORMS
    if not forms:
        ready.add("copy", 0, lambda: Candidate("copy of 1 GiB", "", 0, device.copy_seconds()))
    shared: dict[Setting, Any] = {}  # one session for every batch size, unless it captures graphs
    for batch in BATCHES:
        for setting in OTHERS if forms else PLAIN:
            make = partial(candidate, setting, bundle, spec, batch, device, shared)
            ready.add(setting.name, batch, make)
    return ready


def graph_of(bundle: Bundle, setting: Setting) -> bytes:
    """The graph with LRN written as the setting says."""
    data = bundle.load(setting.artifact).data
    if not setting.lrn:
        return data
    model = ir.from_proto(onnx.load_model_from_string(data))
    lower_lrn(model, "band" if setting.lrn == "band" else "slices")
    return bytes(ir.to_proto(model).SerializeToString())


def make_session(data: bytes, setting: Setting, device: Device) -> Any:
    """A session on the device's stream."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    if not device.stream:
        return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    provider = {
        "device_id": "0",
        "use_tf32": "1" if setting.precision == "tf32" else "0",
        "user_compute_stream": str(device.stream),
        "enable_cuda_graph": "1" if setting.captured else "0",
        "prefer_nhwc": "1" if setting.nhwc else "0",
    }
    session = onnxruntime.InferenceSession(
        data, options, providers=[("CUDAExecutionProvider", provider)]
    )
    if session.get_providers()[0] != "CUDAExecutionProvider":
        raise RuntimeError("the CUDA provider is not there")
    return session


def candidate(
    setting: Setting,
    bundle: Bundle,
    spec: TensorSpec,
    batch: int,
    device: Device,
    shared: dict[Setting, Any],
) -> Candidate:
    """A setting at one batch size, whose input and output stay on the device."""
    session = shared.get(setting)
    if session is None:
        session = make_session(graph_of(bundle, setting), setting, device)
        if not setting.captured:
            shared[setting] = session
    x = np.random.default_rng(0).normal(size=spec.at_batch(batch)).astype(spec.dtype)
    place = "cuda" if device.stream else "cpu"
    on_device = onnxruntime.OrtValue.ortvalue_from_numpy(x, place, 0)
    (output,) = bundle.manifest.outputs
    result = onnxruntime.OrtValue.ortvalue_from_shape_and_type(
        output.at_batch(batch), np.float32, place, 0
    )
    binding = session.io_binding()
    binding.bind_ortvalue_input(spec.name, on_device)
    binding.bind_ortvalue_output(output.name, result)
    options = onnxruntime.RunOptions()
    options.add_run_config_entry("disable_synchronize_execution_providers", "1")

    def run() -> None:
        session.run_with_iobinding(binding, options)

    for _ in range(3):  # the first run of a CUDA graph captures it
        run()
    whole = None if setting.captured else partial(session.run, [output.name], {spec.name: x})
    timed = partial(device.seconds, run, CALLS)
    return Candidate(setting.name, setting.precision, batch, timed, whole)


if __name__ == "__main__":
    sys.exit(run_stage(lambda options: answer(prepare, options)))
