"""What is compared: what users would pick, and every artifact of this project that runs here.

Every candidate takes and gives NumPy arrays, has two threads and a free batch axis, as a server
needs it. Peers are called by their runtimes' own interfaces; ours by the backends that serve.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnxruntime as ort
import torch

from lrn_deploy.backends.protocol import Array, Backend
from lrn_deploy.backends.registry import artifact_backends, runs
from lrn_deploy.bundle import Bundle
from lrn_deploy.errors import LrnDeployError
from lrn_deploy.network import Network
from lrn_deploy.workflows.tune.variants import make, possible

THREADS = 2
RUNTIMES = {"onnxruntime": "ONNX Runtime", "openvino": "OpenVINO"}
EAGER = "torch eager"
COMPILED = "torch.compile, freezing"
ORT_DYNAMO = "ONNX Runtime, dynamo export"
ORT_SCRIPT = "ONNX Runtime, TorchScript export"
OPENVINO = "OpenVINO, fp32"
OPENVINO_BF16 = "OpenVINO, bf16"
NNCF = "OpenVINO, int8 by NNCF"
NNCF_BF16 = "OpenVINO, int8 by NNCF, bf16 between"
NNCF_WHOLE = "OpenVINO, int8 by NNCF, given our graph"
NNCF_WHOLE_BF16 = "OpenVINO, int8 by NNCF, bf16 between, given our graph"

Run = Callable[[Array], Array]
Side = Literal["ours", "peer"]


@dataclass(frozen=True)
class Candidate:
    """A way to run a network.

    Attributes:
        name: What no other candidate is called.
        side: Whether it is ours.
        runtime: Whose code computes it.
        precision: What it computes in.
        run: From inputs of shape (N, *) to the outputs; None if it cannot run here.
        reason: Why it cannot.
    """

    name: str
    side: Side
    runtime: str
    precision: str
    run: Run | None
    reason: str = ""


def peers(
    network: Network,
    model: Path,
    calibration: Array,
    folder: Path,
    without: Collection[str] = (),
) -> Iterator[Candidate]:
    """What users would pick; whatever cannot be made is there with its reason.

    OpenVINO is slow at what PyTorch's export leaves of LRN. So that NNCF is given its best, it is
    there once more with our graph, where LRN is whole.

    Args:
        network: The network in PyTorch.
        model: Our canonical graph of it.
        calibration: The inputs that our int8 variants are calibrated on, for NNCF.
        folder: Where the stock exports are written.
        without: Names of peers to leave out.
    """
    dynamo, script = folder / "dynamo.onnx", folder / "torchscript.onnx"
    stock_exports(network, dynamo, script)
    int8 = cache(lambda file: quantized(file, calibration))
    recipes: tuple[tuple[str, str, str, Callable[[], Run]], ...] = (
        (EAGER, "PyTorch", "fp32", lambda: eager(network)),
        (COMPILED, "PyTorch", "fp32", lambda: compiled(network)),
        (ORT_DYNAMO, "ONNX Runtime", "fp32", lambda: on_onnxruntime(dynamo)),
        (ORT_SCRIPT, "ONNX Runtime", "fp32", lambda: on_onnxruntime(script)),
        (OPENVINO, "OpenVINO", "fp32", lambda: on_openvino(read(dynamo), "f32")),
        (OPENVINO_BF16, "OpenVINO", "bf16", lambda: on_openvino(read(dynamo), "bf16")),
        (NNCF, "OpenVINO", "int8", lambda: on_openvino(int8(dynamo), "f32")),
        (NNCF_BF16, "OpenVINO", "int8-bf16", lambda: on_openvino(int8(dynamo), "bf16")),
        (NNCF_WHOLE, "OpenVINO", "int8", lambda: on_openvino(int8(model), "f32")),
        (NNCF_WHOLE_BF16, "OpenVINO", "int8-bf16", lambda: on_openvino(int8(model), "bf16")),
    )
    for name, runtime, precision, open_peer in recipes:
        if name in without:
            continue
        try:
            run, reason = open_peer(), ""
        except Exception as error:  # each tool raises its own, and a reason is a result
            run, reason = None, str(error).strip().splitlines()[0]
        yield Candidate(name, "peer", runtime, precision, run, reason)


def ours(bundle: Bundle) -> Iterator[Candidate]:
    """Every artifact for this kind of machine on every backend that runs it here."""
    for plan in possible(("cpu",)):
        made = make(bundle, plan, calibration=None)
        if isinstance(made, str):
            yield Candidate(plan.name, "ours", "", plan.precision, None, made)
        else:
            bundle = made.bundle
    for name, artifact in bundle.manifest.artifacts.items():
        for backend in artifact_backends(["cpu"], threads=THREADS):
            if runs(backend, artifact):
                yield _ours(bundle, name, backend)


def title(artifact: str, backend: str) -> str:
    """What one of ours is called.

    Args:
        artifact: The artifact's name.
        backend: Backend and device, ``openvino:cpu``.
    """
    name = backend.partition(":")[0]
    return f"{artifact} on {RUNTIMES.get(name, name)}"


def _ours(bundle: Bundle, name: str, backend: Backend) -> Candidate:
    precision = bundle.manifest.artifact(name).precision
    runtime = RUNTIMES.get(backend.name, backend.name)
    called = title(name, backend.name)
    try:
        session = backend.load(bundle.load(name))
    except LrnDeployError as error:
        return Candidate(called, "ours", runtime, precision, None, error.message)
    (x,), (y,) = session.inputs, session.outputs

    def run(inputs: Array) -> Array:
        return session.run({x.name: inputs})[y.name]

    return Candidate(called, "ours", runtime, precision, run)


def stock_exports(network: Network, dynamo: Path, script: Path) -> None:
    """Write both of PyTorch's own exports, with a free batch axis."""
    example = (torch.zeros(2, *network.source.input_shape),)
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network.module,
            example,
            dynamo,
            dynamo=True,
            verbose=False,
            dynamic_shapes=({0: torch.export.Dim("batch")},),
        )
        torch.onnx.export(
            network.module,
            example,
            str(script),
            dynamo=False,
            input_names=["x"],
            dynamic_axes={"x": {0: "batch"}},
        )


def eager(network: Network) -> Run:
    """PyTorch as it is."""

    def run(inputs: Array) -> Array:
        with torch.inference_mode():
            return np.asarray(network.module(torch.from_numpy(inputs)).numpy())

    return run


def compiled(network: Network) -> Run:
    """``torch.compile`` with frozen weights, compiled anew for each batch size."""
    import torch._inductor.config as inductor

    inductor.freezing = True
    module = torch.compile(network.module, dynamic=False)

    def run(inputs: Array) -> Array:
        with torch.no_grad():
            return np.asarray(module(torch.from_numpy(inputs)).numpy())

    run(np.zeros((1, *network.source.input_shape), np.float32))  # a missing compiler shows here
    return run


def on_onnxruntime(file: Path) -> Run:
    """A file in ONNX Runtime on the CPU."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = THREADS
    session = ort.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda inputs: session.run(None, {name: inputs})[0]


def read(file: Path) -> Any:
    """A file as OpenVINO's model."""
    import openvino

    return openvino.Core().read_model(file)


def on_openvino(model: Any, hint: str) -> Run:
    """A model in OpenVINO on the CPU, its float layers in ``f32`` or ``bf16``."""
    import openvino

    core = openvino.Core()
    if hint == "bf16" and "BF16" not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        raise RuntimeError("this processor has no bf16 units")
    options = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": hint,
        "INFERENCE_NUM_THREADS": THREADS,
    }
    request = core.compile_model(model, "CPU", options).create_infer_request()
    return lambda inputs: request.infer([inputs], share_inputs=True)[0]


def quantized(file: Path, calibration: Array) -> Any:
    """OpenVINO's model of a file, quantized to int8 by NNCF with its defaults."""
    nncf: Any = import_module("nncf")
    nncf.set_log_level(logging.ERROR)
    rows = nncf.Dataset([row[np.newaxis] for row in calibration])
    return nncf.quantize(read(file), rows, subset_size=len(calibration))
