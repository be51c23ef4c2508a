"""Compiling the fused kernels on all of a machine's cores before they are needed one by one.

Triton compiles a kernel at its first call, on one core. What is compiled here is what the calls of
``kernels_right`` and ``kernels_fast`` would compile; it is in Triton's own cache afterwards.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks.gpu.kernels.cases import (
    DTYPES,
    Shape,
    default_tile,
    other_tiles,
    plane_of,
)
from benchmarks.gpu.kernels.device import Device
from lrn_deploy.plugins import launch
from lrn_deploy.plugins.fusion import Fusion
from lrn_deploy.plugins.launch import Plane, Tile


@dataclass(frozen=True)
class Job:
    """A kernel that will be called.

    Attributes:
        fusion: What it computes.
        plane: What on.
        dtype: In which type.
        batch: How many; Triton makes another kernel for 1 and for multiples of 16.
        tile: How the work is cut.
    """

    fusion: Fusion
    plane: Plane
    dtype: torch.dtype
    batch: int
    tile: Tile


def use_cache(work: Path) -> None:
    """Let all stages use one cache of Triton's.

    PyTorch's compiler moves the cache of a process that it is used in, unless it is named.
    """
    os.environ.setdefault("TRITON_CACHE_DIR", str((work / "triton").absolute()))


def checked_jobs(shape: Shape, fusions: Iterable[Fusion]) -> Iterator[Job]:
    """The kernels whose results are checked."""
    for fusion in fusions:
        for dtype in DTYPES.values():
            for channels_last in (False, True):
                plane = plane_of(fusion, shape, channels_last=channels_last)
                tile = launch.default_tile(fusion, plane, shape[0])
                yield Job(fusion, plane, dtype, shape[0], tile)


def timed_jobs(device: Device) -> Iterator[Job]:
    """The kernels that are timed, those of unfused pairs included."""
    for case in device.cases():
        fusion, shape, dtype = case.fusion, case.shape, DTYPES[case.dtype]
        tiles = [default_tile(fusion, shape), *(other_tiles(fusion, shape) if case.closely else ())]
        for tile in tiles:
            yield Job(fusion, plane_of(fusion, shape), dtype, shape[0], tile)
        if fusion.pool:
            norm = Fusion(fusion.spec, relu=fusion.relu)
            image = fusion.output_size(*shape[2:]) if fusion.pool_first else shape[2:]
            shape = (*shape[:2], *image)
            tile = default_tile(norm, shape)
            yield Job(norm, plane_of(norm, shape), dtype, shape[0], tile)


def compile_all(device: Device, jobs: Iterable[Job]) -> dict[str, Any]:
    """Compile, in threads: Triton's passes and NVIDIA's assembler run beside each other in them.

    Returns:
        How many kernels, in how many seconds; one that does not compile tells so when it is called.
    """
    from triton import AsyncCompileMode

    from lrn_deploy.plugins.kernels import fused_lrn

    before = time.perf_counter()
    wanted = list(dict.fromkeys(jobs))[: device.compiled_ahead]
    pool = ThreadPoolExecutor(os.cpu_count())
    with device.compiler(), pool, AsyncCompileMode(pool, ignore_errors=True):
        for job in wanted:
            fused_lrn.warmup(
                *(job.dtype, job.batch, job.dtype),
                grid=(1,),
                **launch.constants(job.fusion, job.plane, job.tile, job.batch),
                num_warps=job.tile.warps,
                enable_fp_fusion=True,
            )
    return {"kernels": len(wanted), "seconds": round(time.perf_counter() - before, 1)}
