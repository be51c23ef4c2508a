"""The fused LRN kernels' cases on a GPU: shapes, bytes, targets, and how a time is judged.

``kernels_right`` checks results and ``kernels_fast`` measures times; here is what both share, plain
arithmetic and PyTorch's own functions, on whatever device a tensor is.

The floor of a call is its traffic, the input read once and the output written once, at the
bandwidth of a large copy on the same device.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - PyTorch's own spelling
from torch import Tensor

from lrn_deploy.lrn import LrnSpec
from lrn_deploy.plugins import launch
from lrn_deploy.plugins.fusion import Fusion, Pool
from lrn_deploy.plugins.launch import Plane, Tile

SPEC = LrnSpec(5, 1e-4, 0.75, 2.0)
PLANES = {"first": (96, 55, 55), "second": (256, 27, 27)}
"""AlexNet's two LRN layers: channels, rows, columns."""
DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
TIMED = ("relu_lrn_maxpool", "relu_maxpool_lrn", "relu_lrn", "lrn")
"""The fusions that are timed, AlexNet's and CaffeNet's blocks first."""
FROM_BATCH = 32
"""Targets hold from this batch on."""
BANDWIDTH_TARGET, PAIR_TARGET, EAGER_TARGET = 0.8, 1.5, 5.0
LARGEST_ERROR = {"float32": 2e-6, "float16": 1e-3, "bfloat16": 8e-3}
"""Relative, beside half a smallest normal number."""

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Case:
    """One fusion on one input.

    Attributes:
        fusion: What is computed.
        layer: Whose input it is, a key of ``PLANES``.
        dtype: Its type, a key of ``DTYPES``.
        shape: Its shape, batch first.
        closely: Whether every tile and PyTorch's compiler are measured, too.
    """

    fusion: Fusion
    layer: str
    dtype: str
    shape: Shape
    closely: bool

    def __str__(self) -> str:
        return f"{self.fusion.name} {self.layer} {self.dtype} batch {self.shape[0]}"

    @property
    def description(self) -> dict[str, Any]:
        """What a row of results begins with."""
        return {
            "fusion": self.fusion.name,
            "layer": self.layer,
            "dtype": self.dtype,
            "batch": self.shape[0],
            "shape": list(self.shape),
        }


def timed_cases(
    planes: Mapping[str, Shape], batches: tuple[int, ...], kinds: tuple[str, ...]
) -> Iterator[Case]:
    """What is timed, by worth: the first batch in the first type, looked at closely, before all."""
    for kind in kinds:
        for batch in batches:
            closely = (kind, batch) == (kinds[0], batches[0])
            for name in TIMED:
                for layer, plane in planes.items():
                    yield Case(fusion_called(name), layer, kind, (batch, *plane), closely)


def fusion_called(name: str) -> Fusion:
    """A fusion with AlexNet's parameters."""
    pool = Pool() if "maxpool" in name else None
    return Fusion(
        SPEC, relu=name.startswith("relu"), pool=pool, pool_first=name.endswith("maxpool_lrn")
    )


def in_torch(x: Tensor, fusion: Fusion) -> Tensor:
    """The same in PyTorch's own functions, in the type of ``x``."""
    spec, pool = fusion.spec, fusion.pool
    x = F.relu(x) if fusion.relu else x
    if pool and fusion.pool_first:
        x = F.max_pool2d(x, pool.kernel, pool.stride)
    x = F.local_response_norm(x, spec.size, spec.alpha, spec.beta, spec.k)
    return F.max_pool2d(x, pool.kernel, pool.stride) if pool and not fusion.pool_first else x


def largest_error(found: Tensor, wanted: Tensor) -> float:
    """The largest relative difference from a float64 result; not finite if a value is not."""
    floor = torch.finfo(found.dtype).smallest_normal
    return float(((found.double() - wanted).abs() / (wanted.abs() + floor)).max().item())


def number(value: float) -> float | str:
    """A number as JSON knows it: those that are not finite by their names."""
    return value if math.isfinite(value) else str(value)


def reason(error: Exception) -> str:
    """The kind of an error and its message's first line."""
    return f"{type(error).__name__}: {error}".splitlines()[0]


def traffic(fusion: Fusion, shape: Shape, itemsize: int) -> int:
    """Bytes that must move: the input read once, the output written once."""
    height, width = fusion.output_size(*shape[2:])
    return (math.prod(shape) + math.prod(shape[:2]) * height * width) * itemsize


def plane_of(fusion: Fusion, shape: Shape, *, channels_last: bool = False) -> Plane:
    """What the kernel knows of an input of a shape."""
    height, width = shape[2:] if fusion.pool else (1, math.prod(shape[2:]))
    return Plane(shape[1], height, width, channels_last)


def default_tile(fusion: Fusion, shape: Shape) -> Tile:
    """The tile that is taken where none is named, channels first."""
    return launch.default_tile(fusion, plane_of(fusion, shape), shape[0])


def other_tiles(fusion: Fusion, shape: Shape) -> list[Tile]:
    """All tiles but that one."""
    default = default_tile(fusion, shape)
    return [tile for tile in launch.tiles(fusion, plane_of(fusion, shape)) if tile != default]


def describe(tile: Tile) -> str:
    """A tile in a few characters."""
    return f"{tile.lanes}x{tile.channels}"


def evaluate(case: Case, medians: Mapping[str, float], bandwidth: float) -> dict[str, Any]:
    """What the median times of a case's candidates mean.

    Args:
        case: What was measured.
        medians: Seconds of a call by candidate. ``fused`` is the default tile, ``fused 128x8``
            another one, ``copy`` a copy of the input.
        bandwidth: Bytes in a second, read and written, of a large copy.
    """
    itemsize = DTYPES[case.dtype].itemsize
    moved = traffic(case.fusion, case.shape, itemsize)
    copied = 2 * math.prod(case.shape) * itemsize
    tiles = {key: seconds for key, seconds in medians.items() if key.startswith("fused")}
    default = describe(default_tile(case.fusion, case.shape))
    best = min(tiles, key=lambda key: tiles[key], default=None)
    others = {key: s for key, s in medians.items() if key != "copy" and key not in tiles}
    fused = medians.get("fused")
    return {
        "moved_bytes": moved,
        "floor_s": moved / bandwidth,
        "share_of_floor": {
            key: moved / bandwidth / seconds for key, seconds in medians.items() if key != "copy"
        },
        "terabytes_per_s": {
            key: (copied if key == "copy" else moved) / seconds / 1e12
            for key, seconds in medians.items()
        },
        "default_tile": default,
        "best_tile": best.partition(" ")[2] or default if best and len(tiles) > 1 else None,
        "speedup": {key: seconds / fused for key, seconds in others.items()} if fused else {},
    }


def missed_targets(case: Case, row: Mapping[str, Any], medians: Mapping[str, float]) -> list[str]:
    """The targets that the fused kernel misses, a sentence each, in a row that it is in."""
    missed = []
    if case.shape[0] >= FROM_BATCH:
        share = row["share_of_floor"]["fused"]
        if case.fusion.pool is None and share < BANDWIDTH_TARGET:
            missed.append(f"{share:.0%} of the copy's bandwidth, not {BANDWIDTH_TARGET:.0%}")
        targets = {"unfused pair": PAIR_TARGET, "torch eager": EAGER_TARGET}
        for key, target in targets.items():
            if row["speedup"].get(key, math.inf) < target:
                missed.append(f"{row['speedup'][key]:.2f} times {key}, not {target:g}")
    best = row["best_tile"]
    if missed and best not in (None, row["default_tile"]):
        gain = medians["fused"] / medians[f"fused {best}"]
        missed.append(f"tile {best} would be {gain:.2f} times as fast as {row['default_tile']}")
    return missed
