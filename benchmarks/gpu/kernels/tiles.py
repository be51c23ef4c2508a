"""On a GPU: which tile suits the LRN kernels, and how near to a copy it comes.

More channels in a lane load less of the windows' overlap twice and take more registers; more lanes
for a warp give it more to do while it waits. What is best, only a GPU tells.
"""

from __future__ import annotations

import itertools
import sys
from functools import partial
from typing import Any

import torch

from benchmarks.gpu.kernels.cases import (
    DTYPES,
    Case,
    describe,
    fusion_called,
    plane_of,
    reason,
    traffic,
)
from benchmarks.gpu.kernels.compile import Job, compile_all, use_cache
from benchmarks.gpu.kernels.device import Device, choose_device
from benchmarks.gpu.kernels.timing import Candidates, copy_samples, measure
from benchmarks.gpu.record import Record, StageOptions, run_stage
from benchmarks.harness import spread
from lrn_deploy.plugins.launch import Tile

FUSIONS = ("lrn", "relu_lrn", "relu_lrn_maxpool", "relu_maxpool_lrn")
SHAPES = ((128, 4), (64, 2), (256, 8))
"""Lanes and warps of a program."""
CHANNELS = (16, 32, 48)
WITH_POOL = (4, 8, 16)


def cases(device: Device) -> list[Case]:
    """LRN without and with a pool, of both layers in both types, at the smaller batch first."""
    return [
        Case(fusion_called(name), layer, kind, (batch, *plane), closely=False)
        for batch in device.batches
        for name in FUSIONS
        if batch == device.batches[0] or "maxpool" not in name
        for kind in device.kinds
        for layer, plane in device.planes.items()
    ]


def tiles(case: Case) -> list[Tile]:
    """What is tried; with a pool fewer channels, since a lane holds all of them twice."""
    channels = WITH_POOL if "maxpool" in case.fusion.name else CHANNELS
    return [
        Tile(lanes=lanes, warps=warps, channels=count)
        for (lanes, warps), count in itertools.product(SHAPES, channels)
    ]


def time_case(device: Device, case: Case) -> dict[str, Any]:
    """Medians in seconds of a call with each tile, and of a copy of the input."""
    inputs = device.inputs(case.shape, DTYPES[case.dtype])
    found = Candidates(device)
    found.add("copy", partial(device.captured, torch.clone, inputs))
    for tile in tiles(case):
        step = partial(device.fused, fusion=case.fusion, tile=tile)
        found.add(f"{describe(tile)}/{tile.warps}", partial(device.captured, step, inputs))
    samples = measure(device, found.runs)
    device.settle()
    medians = {name: spread(values)["median"] for name, values in samples.items()}
    moved = traffic(case.fusion, case.shape, DTYPES[case.dtype].itemsize)
    best = min((name for name in medians if name != "copy"), key=medians.__getitem__)
    return {
        "median_s": medians,
        "best": best,
        "best_terabytes_per_s": moved / medians[best] / 1e12,
        "not_run": found.not_run,
    }


def stage(options: StageOptions) -> int:
    """Compile all, then time case by case."""
    device = choose_device(dry=options.dry)
    record = Record(options, "kernels_tiles")
    use_cache(options.work)
    wanted = cases(device)
    failed = []
    with device.stream():
        record.put("copy_bandwidth", max(copy_samples(device)))
        jobs = [
            Job(case.fusion, plane_of(case.fusion, case.shape), kind, case.shape[0], tile)
            for case in wanted
            for kind in (DTYPES[case.dtype],)
            for tile in tiles(case)
        ]
        record.put("compiled", compile_all(device, jobs))
        for case in wanted:
            try:
                row = time_case(device, case)
            except Exception as error:  # whatever one case meets, the others go on
                failed.append(f"{case}: {reason(error)}")
                continue
            record.add("cases", case.description | row)
            print(f"{case}: {row['best']} {row['best_terabytes_per_s']:.2f} TB/s", flush=True)
            device.free()
    record.put("headline", f"{len(wanted) - len(failed)} of {len(wanted)} cases timed")
    return record.finish(failed)


if __name__ == "__main__":
    sys.exit(run_stage(stage))
