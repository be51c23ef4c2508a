"""On a GPU: the fused LRN kernels against the float64 definition, and their time beside others'.

Time is that of the device: each candidate's calls are captured in a CUDA graph, or enqueued on a
stream, between two events. The calls go through as many input and output tensors as exceed the
GPU's second cache several times, so that every input comes from memory. Candidates take turns.

The floor of a call is its traffic, the input read once and the output written once, at the
bandwidth of a device-to-device copy of one GiB measured on the same GPU. All samples are kept, in
``results/gpu/plugins.json``; a target that is missed is told and ends with exit code 1.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from benchmarks.harness import spread, write_result
from benchmarks.gpu.rivals import (
    CALLS,
    SPEC,
    fusion_called,
    in_torch,
    onnx_runtime,
    tensorrt_layer,
    unfused_pair,
)
from lrn_deploy.errors import CHECK_FAILED, DONE, MISSING, LrnDeployError
from lrn_deploy.plugins import gpu, launch
from lrn_deploy.plugins.fusion import NAMES, Fusion
from lrn_deploy.plugins.launch import Plane, Tile

PLANES = {"first": (96, 55, 55), "second": (256, 27, 27)}
"""AlexNet's two LRN layers: channels, rows, columns."""
BATCHES = (1, 8, 32, 128)
DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
TIMED_DTYPES = ("float32", "float16")
ROUNDS, WARMUP = 15, 3
COPIED = 1 << 30
CACHES = 4
"""The tensors that calls go through are together as large as so many second caches."""
FROM_BATCH = 32
"""Targets hold from this batch on."""
BANDWIDTH_TARGET, PAIR_TARGET, EAGER_TARGET = 0.8, 1.5, 5.0
LARGEST_ERROR = {"float32": 2e-6, "float16": 1e-3, "bfloat16": 8e-3}
"""Relative, beside half a smallest normal number."""

Step = Callable[[Tensor], Tensor]


def traffic(fusion: Fusion, shape: tuple[int, ...], itemsize: int) -> int:
    """Bytes that must move: the input read once, the output written once."""
    height, width = fusion.output_size(*shape[2:])
    return (math.prod(shape) + math.prod(shape[:2]) * height * width) * itemsize


def check_equality() -> list[dict[str, Any]]:
    """Every fusion, type and layout on fresh random inputs, and at 1e2 times their size."""
    rows = []
    for name in NAMES:
        fusion = fusion_called(name)
        for kind, dtype in DTYPES.items():
            for layout in (torch.contiguous_format, torch.channels_last):
                for amplitude in (1.0, 1e2):
                    x = amplitude * torch.randn(3, 96, 55, 55, device="cuda")
                    x = x.to(dtype).contiguous(memory_format=layout)
                    wanted = in_torch(x.double(), fusion)
                    found = gpu.on_gpu(x, fusion).double()
                    floor = torch.finfo(dtype).smallest_normal
                    error = ((found - wanted).abs() / (wanted.abs() + floor)).max().item()
                    rows.append(
                        {
                            "fusion": name,
                            "dtype": kind,
                            "layout": str(layout),
                            "amplitude": amplitude,
                            "largest_relative_error": error,
                            "verdict": "pass" if error <= LARGEST_ERROR[kind] else "fail",
                        }
                    )
    return rows


def tensors(shape: tuple[int, ...], dtype: torch.dtype) -> list[Tensor]:
    """Random inputs, together several times as large as the second cache."""
    size = math.prod(shape) * dtype.itemsize
    cache = torch.cuda.get_device_properties().L2_cache_size
    count = min(CALLS, max(1, -(-CACHES * cache // size)))
    return [torch.randn(shape, device="cuda").to(dtype) for _ in range(count)]


def captured(step: Step, inputs: list[Tensor]) -> Callable[[], None]:
    """``CALLS`` calls in one CUDA graph."""
    stream = torch.cuda.Stream()  # type: ignore[no-untyped-call] # torch's
    with torch.cuda.stream(stream):
        for x in inputs[:3]:
            step(x)
    stream.synchronize()
    graph = torch.cuda.CUDAGraph()
    kept = []  # outputs stay apart, as inputs do
    with torch.cuda.graph(graph):
        for call in range(CALLS):
            kept.append(step(inputs[call % len(inputs)]))
            kept = kept[-len(inputs) :]
    return graph.replay


def enqueued(step: Step, inputs: list[Tensor]) -> Callable[[], None]:
    """``CALLS`` calls from Python, where a graph cannot be captured."""

    def run() -> None:
        for call in range(CALLS):
            step(inputs[call % len(inputs)])

    return run


def device_seconds(run: Callable[[], None]) -> float:
    """Seconds of one call between two events."""
    start: Any = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call] # torch's
    end: Any = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call] # torch's
    start.record()
    run()
    end.record()
    end.synchronize()
    return float(start.elapsed_time(end)) / 1e3 / CALLS


def measure(runs: dict[str, Callable[[], None]]) -> dict[str, list[float]]:
    """Seconds of each candidate, in turns whose order rotates."""
    names = list(runs)
    samples: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(WARMUP + ROUNDS):
        at = turn % len(names)
        for name in names[at:] + names[:at]:
            seconds = device_seconds(runs[name])
            if turn >= WARMUP:
                samples[name].append(seconds)
    return samples


def copy_bandwidth() -> float:
    """Bytes in a second, read and written, of a copy on the device; the best of several."""
    source = torch.empty(COPIED, dtype=torch.uint8, device="cuda")
    target = torch.empty_like(source)
    run = enqueued(target.copy_, [source])
    return 2 * COPIED / min(device_seconds(run) for _ in range(5))


@dataclass
class Candidates:
    """What runs in one case, and why others do not."""

    runs: dict[str, Callable[[], None]]
    not_run: dict[str, str]

    def add(self, name: str, make: Callable[[], Callable[[], None]]) -> None:
        """Add a candidate, or the reason why it cannot run."""
        try:
            run = make()
            run()
            torch.cuda.synchronize()
        except Exception as error:  # each runtime has exceptions of its own
            self.not_run[name] = f"{type(error).__name__}: {error}".splitlines()[0]
            return
        self.runs[name] = run


def candidates(fusion: Fusion, shape: tuple[int, ...], dtype: torch.dtype) -> Candidates:
    """All ways to compute a fusion."""
    inputs = tensors(shape, dtype)
    height, width = shape[2:] if fusion.pool else (1, shape[2] * shape[3])
    plane = Plane(shape[1], height, width)
    found = Candidates({}, {})
    tiles = dict.fromkeys(
        (launch.default_tile(fusion, plane, shape[0]), *launch.tiles(fusion, plane))
    )
    for tile in tiles:
        name = "fused" if not found.runs else f"fused {describe(tile)}"
        found.add(name, partial(captured, partial(gpu.on_gpu, fusion=fusion, tile=tile), inputs))
    eager = partial(in_torch, fusion=fusion)
    torch._dynamo.reset()  # else a function that was compiled for many shapes runs eagerly
    found.add("torch eager", partial(captured, eager, inputs))
    found.add("torch.compile", partial(captured, torch.compile(eager, dynamic=False), inputs))
    if fusion.pool:
        found.add("unfused pair", partial(captured, partial(unfused_pair, fusion=fusion), inputs))
    if fusion.name == "lrn":
        found.add("onnxruntime CUDA", partial(onnx_runtime, inputs))
        for flavor in ("tensorrt", "rtx"):
            found.add(flavor, partial(tensorrt_layer, flavor, inputs))
    return found


def describe(tile: Tile) -> str:
    """A tile in a few characters."""
    return f"{tile.lanes}x{tile.channels}"


def time_all(bandwidth: float) -> Iterator[dict[str, Any]]:
    """Every fusion at AlexNet's two shapes, batch by batch."""
    for name in NAMES:
        fusion = fusion_called(name)
        for layer, plane in PLANES.items():
            for kind in TIMED_DTYPES:
                for batch in BATCHES:
                    shape, dtype = (batch, *plane), DTYPES[kind]
                    found = candidates(fusion, shape, dtype)
                    samples = measure(found.runs)
                    medians = {key: spread(values)["median"] for key, values in samples.items()}
                    moved = traffic(fusion, shape, dtype.itemsize)
                    row = {
                        "fusion": name,
                        "layer": layer,
                        "dtype": kind,
                        "batch": batch,
                        "floor_s": moved / bandwidth,
                        "share_of_floor": {k: moved / bandwidth / s for k, s in medians.items()},
                        "not_run": found.not_run,
                        "samples_s": samples,
                    }
                    yield row | judge(row, medians)


def judge(row: dict[str, Any], medians: dict[str, float]) -> dict[str, Any]:
    """How the fused kernel compares, and which targets it misses."""
    if "fused" not in medians:
        return {"speedup": {}, "missed": [f"the kernel did not run: {row['not_run']}"]}
    speedup = {key: seconds / medians["fused"] for key, seconds in medians.items()}
    missed = []
    if row["batch"] >= FROM_BATCH:
        share = row["share_of_floor"]["fused"]
        if "maxpool" not in row["fusion"] and share < BANDWIDTH_TARGET:
            missed.append(f"{share:.0%} of the copy's bandwidth, not {BANDWIDTH_TARGET:.0%}")
        targets = {"unfused pair": PAIR_TARGET, "torch eager": EAGER_TARGET}
        for key, target in targets.items():
            if speedup.get(key, math.inf) < target:
                missed.append(f"{speedup[key]:.2f} times {key}, not {target:g}")
    return {"speedup": speedup, "missed": missed}


def main() -> int:
    """Check, measure, print and write; 1 if a result is wrong or a target is missed."""
    if not torch.cuda.is_available():
        print("PyTorch finds no GPU here, so nothing was measured.")
        return MISSING
    try:
        equality = check_equality()
    except LrnDeployError as error:
        print(error)
        return error.exit_code
    bandwidth = copy_bandwidth()
    timings = []
    for row in time_all(bandwidth):
        timings.append(row)
        ratios = ", ".join(f"{key} {value:.2f}" for key, value in row["speedup"].items())
        share = row["share_of_floor"].get("fused", 0)
        print(
            f"{row['fusion']:<17} {row['layer']:<6} {row['dtype']} batch {row['batch']:<3} "
            f"{share:.0%} of the floor; times as fast as: {ratios} {'; '.join(row['missed'])}",
            flush=True,
        )
    result = {
        "what": "fused LRN kernels, seconds of the device for one call",
        "spec": asdict(SPEC),
        "copy_bandwidth": bandwidth,
        "equality": equality,
        "timings": timings,
    }
    file = write_result("gpu/plugins", result)
    wrong = [row for row in equality if row["verdict"] == "fail"]
    missed = [row for row in timings if row["missed"]]
    print(f"{len(wrong)} results wrong, {len(missed)} cases miss a target; wrote {file.name}")
    return CHECK_FAILED if wrong or missed else DONE


if __name__ == "__main__":
    sys.exit(main())
