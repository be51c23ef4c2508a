"""On a GPU: the time of the fused LRN kernels beside the same in PyTorch and other runtimes.

Beside the kernel: PyTorch eager, and where a pool is fused, the fused LRN and PyTorch's pool one
after the other; and a copy of the input, for what a call of this size can reach. At the first batch
in fp16 also the other tiles and ``torch.compile``, and for LRN alone ONNX Runtime and TensorRT. The
cases come by worth, so that a run that is cut short has those that matter most.

The stage fails if a kernel did not run or its result is wrong. A target that is missed is a figure
to report, not a broken check: it is printed and recorded, with the tile that was the best.
"""

from __future__ import annotations

import importlib.util
import sys
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - PyTorch's own spelling
from torch import Tensor

from benchmarks.gpu.kernels import rivals
from benchmarks.gpu.kernels.cases import (
    DTYPES,
    LARGEST_ERROR,
    Case,
    describe,
    evaluate,
    in_torch,
    largest_error,
    missed_targets,
    number,
    other_tiles,
    reason,
)
from benchmarks.gpu.kernels.compile import use_cache
from benchmarks.gpu.kernels.device import Device, Run, Step, choose_device
from benchmarks.gpu.kernels.timing import Candidates, copy_samples, measure
from benchmarks.gpu.record import Record, StageOptions, run_stage
from benchmarks.harness import spread
from lrn_deploy.plugins.fusion import Fusion

RIVAL_SECONDS = 40.0

Row = dict[str, Any]


def unfused_pair(x: Tensor, device: Device, fusion: Fusion) -> Tensor:
    """The fused LRN and PyTorch's max pool, one after the other."""
    norm = Fusion(fusion.spec, relu=fusion.relu)
    assert fusion.pool is not None
    if fusion.pool_first:
        return device.fused(F.max_pool2d(x, fusion.pool.kernel, fusion.pool.stride), norm)
    return F.max_pool2d(device.fused(x, norm), fusion.pool.kernel, fusion.pool.stride)


def candidates(device: Device, case: Case, inputs: list[Tensor]) -> Candidates:
    """All ways to compute a case in PyTorch, the fused kernel first."""
    fusion, found = case.fusion, Candidates(device)

    def add(name: str, step: Step) -> None:
        found.add(name, partial(device.captured, step, inputs))

    def compiled() -> Run:
        return device.captured(device.compiled(partial(in_torch, fusion=fusion)), inputs)

    add("fused", partial(device.fused, fusion=fusion))
    add("copy", torch.clone)
    add("torch eager", partial(in_torch, fusion=fusion))
    if fusion.pool:
        add("unfused pair", partial(unfused_pair, device=device, fusion=fusion))
    if case.closely:
        for tile in other_tiles(fusion, case.shape):
            add(f"fused {describe(tile)}", partial(device.fused, fusion=fusion, tile=tile))
        found.add("torch.compile", compiled)
    return found


def time_case(device: Device, case: Case) -> Row:
    """Every candidate's results and samples, what they mean, and the targets that are missed."""
    inputs = device.inputs(case.shape, DTYPES[case.dtype])
    found = candidates(device, case, inputs)
    wanted = in_torch(inputs[0].double(), case.fusion)
    errors = {
        key: largest_error(run.outputs[0], wanted)
        for key, run in found.runs.items()
        if key != "copy"
    }
    del wanted
    samples = measure(device, found.runs)
    device.settle()
    medians = {key: spread(values)["median"] for key, values in samples.items()}
    wrong = [
        f"{key} has an error of {error:.2g}, allowed are {LARGEST_ERROR[case.dtype]:g}"
        for key, error in errors.items()
        if key.startswith("fused") and not error <= LARGEST_ERROR[case.dtype]
    ]
    wrong += [
        f"{key} did not run: {why}" for key, why in found.not_run.items() if key.startswith("fused")
    ]
    return {
        "how": sorted({run.how for run in found.runs.values()}),
        "inputs": len(inputs),
        "wrong": wrong,
        "not_run": found.not_run,
        "largest_relative_error": {key: number(error) for key, error in errors.items()},
        "median_s": medians,
        "samples_s": samples,
    }


def attempt(device: Device, case: Case, bandwidth: float | None) -> Row:
    """A case's row, also where it raises, with as much as can be said of it."""
    try:
        row = time_case(device, case)
        if bandwidth is not None:
            row |= evaluate(case, row["median_s"], bandwidth)
            fused = "fused" in row["median_s"]
            row["missed"] = missed_targets(case, row, row["median_s"]) if fused else []
    except Exception as error:  # whatever one case meets, out of memory say, the others go on
        row = {"wrong": [f"not measured: {reason(error)}"]}
    else:
        return case.description | row
    device.free()  # after the error's traceback, which holds tensors, is gone
    return case.description | row


def tell(case: Case, row: Row) -> None:
    """A case in one line."""
    share = row.get("share_of_floor", {}).get("fused")
    rate = row.get("terabytes_per_s", {}).get("fused")
    speed = f"{share:.0%} of the copy, {rate:.2f} TB/s; times as fast as" if share else ""
    ratios = ", ".join(f"{key} {value:.2f}" for key, value in row.get("speedup", {}).items())
    findings = "; ".join([f"missed: {text}" for text in row.get("missed", [])] + row["wrong"])
    print(f"{case!s:<44} {speed} {ratios} {findings}".rstrip(), flush=True)


def bandwidth_of(device: Device, record: Record) -> float | None:
    """The best of several large copies; None, and a reason in the record, if none ran."""
    try:
        samples = copy_samples(device)
    except Exception as error:  # the times are worth it without a floor
        record.put("copy_not_run", reason(error))
        return None
    record.put("copy_bandwidth", max(samples))
    record.put("copy_bandwidth_samples", samples)
    return max(samples)


def time_rivals(device: Device, record: Record) -> None:
    """ONNX Runtime's and TensorRT's LRN, each in a process of its own."""
    device.free()  # theirs is the same memory
    for name, module in rivals.RIVALS.items():
        if importlib.util.find_spec(module) is None:
            record.add("rivals", {"rival": name, "not_run": f"{module} is not installed"})
            continue
        for row in rivals.ask(device, name, RIVAL_SECONDS):
            record.add("rivals", row)
            said = row.get("not_run") or f"the fused kernel is {row['speedup']:.2f} times as fast"
            print(f"{name}, lrn {row['layer']} {row['dtype']}: {said}", flush=True)


def stage(options: StageOptions) -> int:
    """Measure case by case, each a row at once."""
    device = choose_device(dry=options.dry)
    record = Record(options, "kernels_fast")
    use_cache(options.work)
    record.put("device", device.name)
    failed, missed = [], []
    with device.stream():
        bandwidth = bandwidth_of(device, record)
        device.free()
        for case in device.cases():
            row = attempt(device, case, bandwidth)
            record.add("timings", row)
            tell(case, row)
            failed += [f"{case}: {text}" for text in row["wrong"]]
            missed += [f"{case}: {text}" for text in row.get("missed", [])]
    record.put("missed", missed)
    time_rivals(device, record)
    told = f", a copy moves {bandwidth / 1e12:.2f} TB/s" if bandwidth else ""
    record.put("headline", f"{len(failed)} wrong, {len(missed)} targets missed{told}")
    return record.finish(failed)


if __name__ == "__main__":
    sys.exit(run_stage(stage))
