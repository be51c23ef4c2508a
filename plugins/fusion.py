"""What is fused: an LRN with the ReLU before it and the max pool on either side.

Everything here is plain arithmetic on sizes; nothing of it needs torch or Triton.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from lrn_deploy.errors import BadInputError
from lrn_deploy.lrn import Convention, LrnSpec

MAX_SIZE = 31
MAX_BETA = 8.0
MAX_POOL = 7
_NO_BETA = 1e-12
"""A part of beta that changes no fp32 value by as much as half of its last place."""
_MAX_FLOAT = float(np.finfo(np.float32).max)

NAMES = (
    "lrn",
    "relu_lrn",
    "lrn_maxpool",
    "relu_lrn_maxpool",
    "maxpool_lrn",
    "relu_maxpool_lrn",
)
"""All fusions, their stages in the order in which they are applied."""


@dataclass(frozen=True)
class Pool:
    """A two-dimensional max pool, as PyTorch describes it.

    Attributes:
        kernel: Rows and columns of its window.
        stride: Steps between windows.
        padding: Rows above and below, columns left and right, that count as minus infinity.
        ceil_mode: Whether a window may reach over the end of the image.
    """

    kernel: tuple[int, int] = (3, 3)
    stride: tuple[int, int] = (2, 2)
    padding: tuple[int, int] = (0, 0)
    ceil_mode: bool = False

    def output_size(self, height: int, width: int) -> tuple[int, int]:
        """Rows and columns that come out; below 1 if the window is larger than the image."""
        return self._along(0, height), self._along(1, width)

    def _along(self, axis: int, size: int) -> int:
        stride, padding = self.stride[axis], self.padding[axis]
        room = size + 2 * padding - self.kernel[axis]
        if room < 0 and not self.ceil_mode:
            return 0
        steps = -(-room // stride) if self.ceil_mode else room // stride
        if self.ceil_mode and steps * stride >= size + padding:
            steps -= 1  # the last window would begin behind the image
        return steps + 1


@dataclass(frozen=True)
class Fusion:
    """An LRN and what is computed with it.

    Attributes:
        spec: The LRN's parameters.
        relu: Whether values below zero become zero first.
        pool: The max pool, if any.
        pool_first: Whether it comes before LRN, as in CaffeNet, or after it, as in AlexNet.
        convention: Whose window an even size means.

    Raises:
        BadInputError: If the kernel does not cover it.
    """

    spec: LrnSpec
    relu: bool = False
    pool: Pool | None = None
    pool_first: bool = False
    convention: Convention = "torch"

    def __post_init__(self) -> None:
        reason = why_not_covered(self.spec, self.pool)
        if reason:
            raise BadInputError(
                f"The fused LRN kernel does not cover this layer: {reason}.",
                "Use PyTorch's own modules for it.",
            )

    @property
    def name(self) -> str:
        """Its stages in order, one of :data:`NAMES`."""
        stages = ["relu"] if self.relu else []
        norm = ["lrn"] if self.pool is None else ["lrn", "maxpool"]
        return "_".join(stages + (norm[::-1] if self.pool_first else norm))

    def output_size(self, height: int, width: int) -> tuple[int, int]:
        """Rows and columns that come out.

        Raises:
            BadInputError: If the pool's window is larger than the image.
        """
        if self.pool is None:
            return height, width
        size = self.pool.output_size(height, width)
        if min(size) < 1:
            raise BadInputError(
                f"A pool of {self.pool.kernel[0]} x {self.pool.kernel[1]} does not fit on an image "
                f"of {height} x {width}."
            )
        return size


def why_not_covered(spec: LrnSpec, pool: Pool | None) -> str:
    """Why the kernel cannot compute an LRN with a pool; empty if it can."""
    if spec.size > MAX_SIZE:
        return f"its size {spec.size} is above {MAX_SIZE}"
    if abs(spec.beta) > MAX_BETA:
        return f"its beta {spec.beta:g} is not within {MAX_BETA:g}"
    for name, value in (("alpha", spec.alpha), ("k", spec.k)):
        if abs(value) > _MAX_FLOAT:
            return f"its {name} {value:g} is infinite in fp32"
    if pool is None:
        return ""
    if not all(1 <= n <= MAX_POOL for n in pool.kernel):
        return f"its pool's window {pool.kernel} is not within {MAX_POOL} x {MAX_POOL}"
    if min(pool.stride) < 1:
        return f"its pool's stride {pool.stride} is below 1"
    if any(not 0 <= pad <= n // 2 for pad, n in zip(pool.padding, pool.kernel, strict=True)):
        return f"its pool's padding {pool.padding} is above half of its window"
    return ""


def split_beta(beta: float) -> tuple[int, int, float]:
    """``abs(beta)`` as whole, fourths and the rest: 0.75 is (0, 3, 0.0), 0.6 is (0, 2, 0.1)."""
    quarters = math.floor(4 * abs(beta))
    rest = abs(beta) - quarters / 4
    return quarters // 4, quarters % 4, rest if rest > _NO_BETA else 0.0
