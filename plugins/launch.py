"""How the kernel is launched: its compile-time constants, its tile, its number of programs.

The same for PyTorch, for ahead-of-time compilation and for TensorRT; needs neither of them.
"""

from __future__ import annotations

from dataclasses import dataclass

from lrn_deploy.errors import BadInputError
from lrn_deploy.plugins.fusion import Fusion, split_beta

Constant = int | float | bool

_MAX_INT32 = 2**31 - 1
_ENOUGH = 1 << 16
"""Lanes, over all chunks of channels, that keep a large GPU's memory busy."""


@dataclass(frozen=True)
class Plane:
    """What the kernel knows of its input besides the batch.

    Attributes:
        channels: C.
        height: H; 1 where LRN has no pool, whose width is then all positions of an image.
        width: W.
        channels_last: Whether memory holds (N, H, W, C) instead of (N, C, H, W).
    """

    channels: int
    height: int
    width: int
    channels_last: bool = False

    def __post_init__(self) -> None:
        if self.channels < 1:
            raise BadInputError(
                f"A fused LRN needs at least one channel, and this input has {self.channels}.",
            )


@dataclass(frozen=True)
class Tile:
    """How the work is cut; every choice gives the same result.

    Attributes:
        lanes: Vector elements of a program, a power of 2.
        warps: Warps that share them.
        channels: Channels that a lane computes; always 1 where channels are last.
    """

    lanes: int = 128
    warps: int = 4
    channels: int = 16


def tiles(fusion: Fusion, plane: Plane) -> tuple[Tile, ...]:
    """The tiles worth trying, the best guess for many images first and for few last.

    More channels in a lane load less of the windows' overlap twice, and take more registers.
    """
    if plane.channels_last:
        # With 4 warps, 256 lanes spill on Turing.
        return tuple(Tile(channels=1, lanes=n, warps=w) for n, w in ((512, 4), (256, 8), (128, 4)))
    most = 16 if fusion.spec.size <= 16 else 32
    return tuple(Tile(channels=n) for n in (most, 8, 4))


def default_tile(fusion: Fusion, plane: Plane, batch: int) -> Tile:
    """The tile that is taken where none was measured."""
    choices = tiles(fusion, plane)
    lanes = lanes_of_image(fusion, plane) * batch
    enough = (tile for tile in choices if lanes * chunks(plane, tile) >= _ENOUGH)
    return next(enough, choices[-1])


def constants(fusion: Fusion, plane: Plane, tile: Tile, batch: int) -> dict[str, Constant]:
    """The kernel's compile-time constants by name.

    Args:
        fusion: What to compute.
        plane: What on.
        tile: How to cut it.
        batch: The largest batch; only whether it needs 64-bit lane numbers enters.
    """
    pool = fusion.pool
    out_height, out_width = fusion.output_size(plane.height, plane.width)
    whole, fourths, rest = split_beta(fusion.spec.beta)
    lanes = programs(fusion, plane, tile, batch) * tile.lanes
    return {
        "C": plane.channels,
        "H": plane.height,
        "W": plane.width,
        "OUT_H": out_height,
        "OUT_W": out_width,
        "CHANNELS_LAST": plane.channels_last,
        "RELU": fusion.relu,
        "POOL_FIRST": fusion.pool_first and pool is not None,
        "POOL_H": pool.kernel[0] if pool else 1,
        "POOL_W": pool.kernel[1] if pool else 1,
        "STRIDE_H": pool.stride[0] if pool else 1,
        "STRIDE_W": pool.stride[1] if pool else 1,
        "PAD_H": pool.padding[0] if pool else 0,
        "PAD_W": pool.padding[1] if pool else 0,
        "SIZE": fusion.spec.size,
        "FIRST": fusion.spec.offsets(fusion.convention)[0],
        "SCALE": fusion.spec.alpha / fusion.spec.size,
        "K": float(fusion.spec.k),
        "WHOLE": whole,
        "FOURTHS": fourths,
        "REST": rest,
        "NEGATIVE": fusion.spec.beta < 0,
        "WIDE": lanes > _MAX_INT32,
        "BLOCK": tile.lanes,
        "OUT_CHANNELS": tile.channels,
    }


def lanes_of_image(fusion: Fusion, plane: Plane) -> int:
    """Lanes that one image takes, without its chunks of channels."""
    height, width = fusion.output_size(plane.height, plane.width)
    return height * width * (plane.channels if plane.channels_last else 1)


def chunks(plane: Plane, tile: Tile) -> int:
    """Programs beside each other along the channels."""
    return 1 if plane.channels_last else -(-plane.channels // tile.channels)


def programs(fusion: Fusion, plane: Plane, tile: Tile, batch: int) -> int:
    """Programs of a launch, all along the first axis of the grid."""
    lanes = lanes_of_image(fusion, plane) * batch
    return -(-lanes // tile.lanes) * chunks(plane, tile)
