"""LRN by another runtime on a GPU, in turns with the fused kernel, in a process of its own.

``python -m benchmarks.gpu.kernels.rivals onnxruntime`` prints a line of JSON for each of AlexNet's
two layers: ``kernels_fast`` runs it, so that a runtime that crashes ends nothing else. These calls
cannot be captured in our graphs, so the host makes them one by one; its own time is told, too.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.gpu.kernels.cases import (
    DTYPES,
    SPEC,
    Case,
    in_torch,
    largest_error,
    reason,
)
from benchmarks.gpu.kernels.device import Device, Run, choose_device
from benchmarks.gpu.kernels.timing import measure
from benchmarks.harness import spread
from lrn_deploy.parity.graph import single_lrn

RIVALS = {"onnxruntime": "onnxruntime", "rtx": "tensorrt_rtx", "tensorrt": "tensorrt"}
"""The module that each needs."""
ROOT = Path(__file__).parents[3]
MOST_ERROR = 0.05
"""A rival may round in between; more than that is another function, or no result yet."""
_SHORT_MESSAGE = 300

Make = Callable[[Device, list[Tensor]], Run]


def lrn_graph(shape: tuple[int, ...], dtype: torch.dtype) -> bytes:
    """LRN alone, of a fixed shape."""
    from onnx import TensorProto

    model = single_lrn(SPEC)
    kind = TensorProto.FLOAT16 if dtype == torch.float16 else TensorProto.FLOAT
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.elem_type = kind
        for axis, size in zip(value.type.tensor_type.shape.dim, shape, strict=True):
            axis.dim_value = size
    return bytes(model.SerializeToString())


def onnx_runtime(device: Device, inputs: list[Tensor]) -> Run:
    """ONNX Runtime, on PyTorch's stream and memory."""
    import numpy as np
    import onnxruntime as ort

    x = inputs[0]
    kind = np.float16 if x.dtype == torch.float16 else np.float32
    settings = ort.SessionOptions()
    for key, value in device.session_entries.items():
        settings.add_session_config_entry(key, value)
    session = ort.InferenceSession(
        lrn_graph(tuple(x.shape), x.dtype),
        settings,
        providers=[(device.provider, device.provider_options())],
    )
    if session.get_providers()[0] != device.provider:
        raise RuntimeError(f"{device.provider} is not there")
    outputs = [torch.empty_like(item) for item in inputs]
    bindings = []
    for source, target in zip(inputs, outputs, strict=True):
        binding = session.io_binding()
        where = (device.name, 0, kind)
        binding.bind_input("x", *where, list(source.shape), source.data_ptr())
        binding.bind_output("y", *where, list(target.shape), target.data_ptr())
        bindings.append(binding)
    options = ort.RunOptions()
    options.add_run_config_entry("disable_synchronize_execution_providers", "1")
    calls = device.calls_through(inputs)

    def go() -> None:
        for call in range(calls):
            session.run_with_iobinding(bindings[call % len(bindings)], options)

    return device.enqueued(go, inputs, outputs)


def tensorrt_layer(device: Device, inputs: list[Tensor], name: Any) -> Run:
    """TensorRT's own LRN layer, on PyTorch's stream and memory."""
    from lrn_deploy.tensorrt.build import BuildRequest, build_engine
    from lrn_deploy.tensorrt.flavor import find_flavor

    x, batch = inputs[0], inputs[0].shape[0]
    flavor = find_flavor(name)
    request = BuildRequest(targets=(device.target,), batch=(batch, batch, batch))
    plan = build_engine(flavor, lrn_graph(tuple(x.shape), x.dtype), request).data
    runtime = flavor.start_runtime()

    def there(made: Any, what: str) -> Any:
        if made is None or made is False:
            said = flavor.errors[-1] if flavor.errors else "it says no reason"
            raise RuntimeError(f"{what} refused: {said}")
        return made

    engine = there(flavor.open_engine(runtime, plan), "the engine is")
    context = there(engine.create_execution_context(), "an execution context is")
    outputs = [torch.empty_like(item) for item in inputs]
    calls = device.calls_through(inputs)

    def go() -> None:
        stream = torch.cuda.current_stream().cuda_stream
        for call in range(calls):
            at = call % len(inputs)
            there(context.set_tensor_address("x", inputs[at].data_ptr()), "the input is")
            there(context.set_tensor_address("y", outputs[at].data_ptr()), "the output is")
            there(context.execute_async_v3(stream), "a run is")

    run = device.enqueued(go, inputs, outputs)
    run.held = (runtime, engine)
    return run


MAKERS: dict[str, Make] = {
    "onnxruntime": onnx_runtime,
    "rtx": partial(tensorrt_layer, name="rtx"),
    "tensorrt": partial(tensorrt_layer, name="tensorrt"),
}


def cases(device: Device) -> list[Case]:
    """LRN alone, at the first batch in the first type."""
    return [case for case in device.cases() if case.closely and case.fusion.name == "lrn"]


def measure_beside(device: Device, case: Case, name: str, make: Make) -> dict[str, Any]:
    """A rival and the fused kernel in turns: samples, speedup, the rival's error."""
    inputs = device.inputs(case.shape, DTYPES[case.dtype])
    # First: nothing that a runtime's threads do can fall into the capture.
    fused = device.captured(partial(device.fused, fusion=case.fusion), inputs)
    theirs = make(device, inputs)
    samples = measure(device, {name: theirs, "fused": fused})
    device.settle()
    error = largest_error(theirs.outputs[0], in_torch(inputs[0].double(), case.fusion))
    if not error <= MOST_ERROR:  # the times of what did not happen mean nothing
        raise RuntimeError(f"its result has an error of {error:.2g}")
    medians = {key: spread(values)["median"] for key, values in samples.items()}
    return {
        "how": {name: theirs.how, "fused": fused.how},
        "largest_relative_error": error,
        "median_s": medians,
        "host_s": spread(theirs.host_s)["median"],
        "speedup": medians[name] / medians["fused"],
        "samples_s": samples,
    }


def ask(device: Device, name: str, seconds: float) -> list[dict[str, Any]]:
    """Run a rival in a child process.

    Args:
        device: Where.
        name: One of ``RIVALS``.
        seconds: How long it may take.

    Returns:
        A row for each layer, with what was measured or with the reason why not.
    """
    command = [sys.executable, "-m", "benchmarks.gpu.kernels.rivals", name, *device.options]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, timeout=seconds, check=False)
        said, why = done.stdout, f"its process ended with {done.returncode}"
        last = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
        why = ": ".join([why, *last])[:_SHORT_MESSAGE]
    except subprocess.TimeoutExpired as error:
        said, why = error.stdout or b"", f"it took longer than {seconds:g} seconds"
    rows = read_rows(said)
    return [
        case.description
        | {"rival": name, "in_turns_with": "the fused kernel alone, in a process of their own"}
        | rows.get(str(case), {"not_run": why})
        for case in cases(device)
    ]


def read_rows(said: bytes) -> dict[str, dict[str, Any]]:
    """The rows among what a child printed, by case; a line that was cut off is none."""
    rows = {}
    for line in said.decode(errors="replace").splitlines():
        try:
            case, row = json.loads(line)["case"], json.loads(line)["row"]
        except (ValueError, TypeError, KeyError):
            continue
        rows[case] = row
    return rows


def main() -> int:
    """Measure a rival at each layer and print its rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rival", choices=MAKERS)
    parser.add_argument("--dry", action="store_true", help="on the CPU")
    told = parser.parse_args()
    device = choose_device(dry=told.dry)
    with device.stream():
        for case in cases(device):
            try:
                row = measure_beside(device, case, told.rival, MAKERS[told.rival])
            except Exception as error:  # each runtime has exceptions of its own
                row = {"not_run": reason(error)}
            print(json.dumps({"case": str(case), "row": row}), flush=True)
            device.free()
    return 0


if __name__ == "__main__":
    sys.exit(main())
