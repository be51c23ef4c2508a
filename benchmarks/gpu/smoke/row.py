"""One row of the stage ``smoke``: an engine for one target and precision, built and run.

    python -m benchmarks.gpu.smoke.row TARGET PRECISION --file ROW.json

Needs the standard library, NumPy, ``tensorrt_rtx`` and ``cuda.bindings``. The file is written again
with each fact, so that it tells how far a process came that crashed.
"""

from __future__ import annotations

import argparse
import ctypes
import importlib
import math
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from benchmarks.gpu.files import write_json
from lrn_deploy.errors import CANNOT_WRITE, CHECK_FAILED, DONE

DRY_CURRENT = "sm86"
"""What stands for ``current`` where there is no GPU."""
BATCHES = (1, 3, 32)
GRAPHS = ("DISABLED", "WHOLE_GRAPH_CAPTURE")
RUNS = 5

MAPS, SIZE, OUTPUTS = 16, 8, 10
LRN_SIZE, LRN_ALPHA, LRN_BETA, LRN_K = 5, 0.1, 0.75, 2.0
_CHANNELS = 8
_POOLED = MAPS * 3 * 3

_MESSAGES = 200
_SERIOUS = ("INTERNAL_ERROR", "ERROR", "WARNING")
_INSPECTOR_CHARACTERS = 6000
_PR_SET_PDEATHSIG = 1

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Weights:
    """Of the convolution (16, 8, 3, 3) and of the matrix product (144, 10)."""

    convolution: Array
    product: Array


def make_weights() -> Weights:
    """The same in every process."""
    random = np.random.default_rng(0)
    return Weights(
        random.normal(0, 0.2, (MAPS, _CHANNELS, 3, 3)).astype(np.float32),
        random.normal(0, 0.1, (_POOLED, OUTPUTS)).astype(np.float32),
    )


def make_input(batch: int) -> Array:
    """The same in every process."""
    shape = (batch, _CHANNELS, SIZE, SIZE)
    return np.random.default_rng(batch).normal(size=shape).astype(np.float32)


def truth(x: Array, weights: Weights) -> NDArray[np.float64]:
    """What the network computes, in float64."""
    padded = np.pad(x.astype(np.float64), ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = sliding_window_view(padded, (3, 3), axis=(2, 3))
    y = np.einsum("nchwij,ocij->nohw", windows, weights.convolution.astype(np.float64))
    y = np.maximum(y, 0)
    half = LRN_SIZE // 2
    squares = np.pad(y * y, ((0, 0), (half, half), (0, 0), (0, 0)))
    sums = sliding_window_view(squares, LRN_SIZE, axis=1).sum(axis=-1)
    y = y / (LRN_K + LRN_ALPHA / LRN_SIZE * sums) ** LRN_BETA
    pooled = sliding_window_view(y, (3, 3), axis=(2, 3))[:, :, ::2, ::2].max(axis=(-2, -1))
    flat = pooled.reshape(len(x), _POOLED)
    return np.asarray(flat @ weights.product.astype(np.float64))


@dataclass
class Row:
    """What is found out about one target and precision, written to a file with each fact."""

    file: Path
    content: dict[str, Any]
    messages: list[str] = field(default_factory=list)

    def note(self, **facts: Any) -> None:
        """Add facts, of JSON's types."""
        self.content |= facts
        self.content["log"] = self.messages[-_MESSAGES:]
        serious = [text for text in self.messages if text.startswith(_SERIOUS)]
        self.content["errors"] = serious[-_MESSAGES:]
        write_json(self.file, self.content)

    def try_to_note(self, name: str, find: Callable[[], Any]) -> None:
        """Note what ``find`` returns, or why it cannot be had; the row goes on either way."""
        try:
            self.note(**{name: find()})
        except Exception as error:  # whatever this version of TensorRT raises
            self.note(**{name: f"{type(error).__name__}: {error}"})

    @property
    def last_error(self) -> str:
        """TensorRT's last error message."""
        errors = [text for text in self.messages if "ERROR" in text.split(" ", 1)[0]]
        return errors[-1] if errors else "TensorRT gave no reason"


class RowError(Exception):
    """A row cannot go on, and why."""


def make_logger(trt: Any, messages: list[str]) -> Any:
    """A TensorRT logger that keeps everything, and prints what a crash must not take along."""
    base: Any = trt.ILogger

    class Logger(base):  # type: ignore[misc] # whichever is there
        def __init__(self) -> None:
            base.__init__(self)

        def log(self, severity: Any, message: str) -> None:
            text = f"{severity.name} {message}"
            messages.append(text)
            if text.startswith(_SERIOUS):
                print(text, flush=True)

    return Logger()


def add_network(trt: Any, network: Any, weights: Weights, precision: str) -> None:
    """The layers, strongly typed; LRN in fp32, input and output as well."""
    kind = {"fp16": trt.float16, "bf16": trt.bfloat16}.get(precision, trt.float32)

    def cast(value: Any, wanted: Any) -> Any:
        return value if value.dtype == wanted else network.add_cast(value, wanted).get_output(0)

    def constant(values: Array) -> Any:
        layer = network.add_constant(values.shape, trt.Weights(values))
        return cast(layer.get_output(0), kind)

    x = cast(network.add_input("x", trt.float32, (-1, _CHANNELS, SIZE, SIZE)), kind)
    layer = network.add_convolution_nd(x, MAPS, (3, 3), trt.Weights(), trt.Weights())
    layer.set_input(1, constant(weights.convolution))
    layer.padding_nd = (1, 1)
    y = network.add_activation(layer.get_output(0), trt.ActivationType.RELU).get_output(0)
    y = cast(y, trt.float32)
    y = network.add_lrn(y, LRN_SIZE, LRN_ALPHA, LRN_BETA, LRN_K).get_output(0)
    layer = network.add_pooling_nd(cast(y, kind), trt.PoolingType.MAX, (3, 3))
    layer.stride_nd = (2, 2)
    layer = network.add_shuffle(layer.get_output(0))
    layer.reshape_dims = (-1, _POOLED)
    plain = trt.MatrixOperation.NONE
    product = constant(weights.product)
    y = network.add_matrix_multiply(layer.get_output(0), plain, product, plain).get_output(0)
    y = cast(y, trt.float32)
    y.name = "y"
    network.mark_output(y)


def build(trt: Any, logger: Any, row: Row) -> bytes:
    """The engine for the row's target and precision.

    Raises:
        RowError: If TensorRT refuses.
    """
    target, precision = row.content["built_for"], row.content["precision"]
    start = time.perf_counter()
    builder = trt.Builder(logger)
    config = builder.create_builder_config()
    if precision != "tf32":
        config.clear_flag(trt.BuilderFlag.TF32)
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    if target != "none":
        config.num_compute_capabilities = 1
        capability = getattr(trt.ComputeCapability, target.upper())
        row.note(set_target=bool(config.set_compute_capability(capability, 0)))
    flags = 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
    network = builder.create_network(flags)
    weights = make_weights()  # TensorRT reads them while it builds
    add_network(trt, network, weights, precision)
    profile = builder.create_optimization_profile()
    shapes = [(batch, _CHANNELS, SIZE, SIZE) for batch in (min(BATCHES), 8, max(BATCHES))]
    profile.set_shape("x", *shapes)
    config.add_optimization_profile(profile)
    plan = builder.build_serialized_network(network, config)
    row.note(build_s=round(time.perf_counter() - start, 2))
    if plan is None:
        raise RowError(f"no engine was built: {row.last_error}")
    row.note(plan_bytes=plan.nbytes)
    return bytes(plan)


def load(trt: Any, logger: Any, plan: bytes, row: Row) -> Any:
    """The engine, deserialised, and the runtime it came from.

    Raises:
        RowError: If TensorRT refuses it.
    """
    runtime = trt.Runtime(logger)
    runtime.engine_host_code_allowed = False
    row.try_to_note("validity", lambda: [str(item) for item in runtime.get_engine_validity(plan)])
    engine = runtime.deserialize_cuda_engine(plan)
    row.note(deserialized=engine is not None)
    if engine is None:
        raise RowError(f"the engine was refused: {row.last_error}")
    layers = trt.LayerInformationFormat.JSON
    row.try_to_note(
        "inspector",
        lambda: engine.create_engine_inspector().get_engine_information(layers)[
            :_INSPECTOR_CHARACTERS
        ],
    )
    row.note(scratch_bytes=int(engine.device_memory_size_v2))
    return runtime, engine


class Cuda:
    """CUDA's runtime, a stream and what the engine needs of the GPU's memory."""

    def __init__(self, scratch: int) -> None:
        self.api: Any = importlib.import_module("cuda.bindings.runtime")
        self.stream = int(self.call("cudaStreamCreateWithFlags", self.api.cudaStreamNonBlocking))
        image = _CHANNELS * SIZE * SIZE * 4
        self.x = int(self.call("cudaMalloc", max(BATCHES) * image))
        self.y = int(self.call("cudaMalloc", max(BATCHES) * OUTPUTS * 4))
        self.scratch_bytes = scratch
        self.scratch = int(self.call("cudaMalloc", max(scratch, 256)))

    def call(self, name: str, *arguments: Any) -> Any:
        """What a function of CUDA returns.

        Raises:
            RowError: If that is an error.
        """
        code, *results = getattr(self.api, name)(*arguments)
        if code.name != "cudaSuccess":
            raise RowError(f"{name}: {code.name}")
        return results[0] if results else None

    def synchronize(self) -> None:
        """Wait for the stream."""
        self.call("cudaStreamSynchronize", self.stream)

    def send(self, values: Array) -> None:
        """Copy the input to the GPU."""
        kind = self.api.cudaMemcpyKind.cudaMemcpyHostToDevice
        self.call("cudaMemcpy", self.x, values.ctypes.data, values.nbytes, kind)

    def fetch(self, values: Array) -> None:
        """Copy the output from the GPU."""
        kind = self.api.cudaMemcpyKind.cudaMemcpyDeviceToHost
        self.call("cudaMemcpy", values.ctypes.data, self.y, values.nbytes, kind)


def run_engine(trt: Any, engine: Any, row: Row) -> None:
    """Run the engine without and with TensorRT's CUDA graphs, and note each batch's outcome.

    Raises:
        RowError: If CUDA fails; after that nothing more can be run in this process.
    """
    cuda = Cuda(int(engine.device_memory_size_v2))
    held = []  # the process crashes if a runtime cache goes while it is in use
    kernels = b""
    for graphs in GRAPHS:
        config = engine.create_runtime_config()
        user_managed = trt.ExecutionContextAllocationStrategy.USER_MANAGED
        config.set_execution_context_allocation_strategy(user_managed)
        config.cuda_graph_strategy = getattr(trt.CudaGraphStrategy, graphs)
        # All kernels are compiled with the context, so the times are those of the final ones.
        eager = trt.DynamicShapesKernelSpecializationStrategy.EAGER
        config.dynamic_shapes_kernel_specialization_strategy = eager
        cache = config.create_runtime_cache()
        if kernels:  # the second strategy shows what a cache of compiled kernels saves
            row.try_to_note("cache_loaded", partial(load_kernels, cache, kernels))
        row.note(cache_set=bool(config.set_runtime_cache(cache)))
        held.append((config, cache))
        for batch in BATCHES:
            found = {"graphs": graphs, "batch": batch} | run_batch(engine, config, cuda, batch, row)
            row.note(runs=[*row.content.get("runs", []), found])
        kernels = bytes(cache.serialize())
        row.note(cache_bytes=len(kernels))


def load_kernels(cache: Any, kernels: bytes) -> bool:
    """Fill a runtime cache; whether TensorRT took it."""
    return bool(cache.deserialize(kernels))


def run_batch(engine: Any, config: Any, cuda: Cuda, batch: int, row: Row) -> dict[str, Any]:
    """Run one batch several times with a context of its own: the error, and times in ms.

    Raises:
        RowError: If CUDA fails.
    """
    start = time.perf_counter()
    context = engine.create_execution_context(config)
    if context is None:
        return {"error": None, "why": f"no context: {row.last_error}"}
    made = time.perf_counter() - start
    x, y = make_input(batch), np.full((batch, OUTPUTS), np.nan, np.float32)
    context.set_device_memory(cuda.scratch, cuda.scratch_bytes)
    accepted = [
        bool(context.set_input_shape("x", x.shape)),
        bool(context.set_tensor_address("x", cuda.x)),
        bool(context.set_tensor_address("y", cuda.y)),
    ]
    cuda.send(x)
    times, enqueued = [], []
    for _ in range(RUNS):
        start = time.perf_counter()
        enqueued.append(bool(context.execute_async_v3(cuda.stream)))
        cuda.synchronize()
        times.append(round(1e3 * (time.perf_counter() - start), 3))
    cuda.fetch(y)
    wanted = truth(x, make_weights())
    error = float(np.linalg.norm(y - wanted) / np.linalg.norm(wanted))
    found = {
        "error": error if math.isfinite(error) else None,
        "context_ms": round(1e3 * made, 3),
        "ms": times,
        "accepted": accepted,
        "enqueued": enqueued,
        "why": "" if all(accepted + enqueued) else f"refused: {row.last_error}",
    }
    try:
        found["capturable"] = bool(context.is_stream_capturable(cuda.stream))
    except Exception as reason:  # only worth knowing
        found["capturable"] = f"{type(reason).__name__}: {reason}"
    return found


def run_row(target: str, precision: str, file: Path, *, dry: bool) -> int:
    """Build one row's engine, and run it unless ``dry``; the exit code."""
    built_for = DRY_CURRENT if dry and target == "current" else target
    row = Row(file, {"target": target, "precision": precision, "built_for": built_for})
    row.note()
    try:
        trt = importlib.import_module("tensorrt_rtx")
        row.note(version=str(trt.__version__))
        logger = make_logger(trt, row.messages)
        plan = build(trt, logger, row)
        if dry:
            return DONE
        runtime, engine = load(trt, logger, plan, row)
        run_engine(trt, engine, row)
        del runtime  # it had to live as long as the engine
    except RowError as error:
        row.note(stopped=str(error))
        print(error, flush=True)
        return CHECK_FAILED
    except Exception as error:  # a row tells whatever happened
        traceback.print_exc()
        row.note(stopped=f"{type(error).__name__}: {error}")
        return CHECK_FAILED
    return DONE


def main(arguments: Sequence[str] | None = None) -> int:
    """Read what to build, and do it; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="benchmarks.gpu.smoke.row", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("target", help="none, current, sm80, ...")
    parser.add_argument("precision", choices=("fp32", "tf32", "fp16", "bf16"))
    parser.add_argument("--file", type=Path, required=True, help="what to write")
    parser.add_argument("--dry", action="store_true", help="build, but run nothing")
    asked = parser.parse_args(arguments)
    if sys.platform == "linux":  # no row outlives the process that asked for it
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    try:
        return run_row(asked.target, asked.precision, asked.file, dry=asked.dry)
    except OSError as error:
        print(f"Cannot write '{asked.file}': {error.strerror or error}.", file=sys.stderr)
        return CANNOT_WRITE


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # TensorRT's destructors are not what is asked here
