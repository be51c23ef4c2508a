"""What each kind of layer computes: its parameters, typed, with Caffe's defaults filled in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from lrn_deploy.lrn import LrnSpec

Sizes = tuple[int, ...]


@dataclass(frozen=True)
class Identity:
    """Dropout and Split: at deployment all tops are the bottom."""


@dataclass(frozen=True)
class Convolution:
    """Convolution, or if ``transposed`` Deconvolution, over all axes behind the channels.

    Attributes:
        outputs: Number of output channels.
        kernel: One size for each spatial axis; as are ``stride``, ``pad`` (at both ends) and
            ``dilation``.
        group: In how many groups the channels are.
        bias: Whether there is one.
        transposed: Whether it is a Deconvolution.
    """

    outputs: int
    kernel: Sizes
    stride: Sizes
    pad: Sizes
    dilation: Sizes
    group: int
    bias: bool
    transposed: bool


@dataclass(frozen=True)
class Pooling:
    """Pooling over height and width.

    Attributes:
        method: The largest value, or the average.
        kernel: Height and width; () pools over the whole plane.
        stride: Likewise.
        pad: Likewise, at both ends.
        floor: Whether the output's size is rounded down, as in some forks; Caffe rounds up.
    """

    method: Literal["MAX", "AVE"]
    kernel: Sizes
    stride: Sizes
    pad: Sizes
    floor: bool


@dataclass(frozen=True)
class Lrn:
    """Local response normalization, with alpha as given: Caffe divides it.

    Attributes:
        region: Over channels, or over a square of pixels in one channel.
        size: Channels in the window, or its height and width.
        alpha: Divided by ``size`` across channels, by its square within one.
        beta: The exponent.
        k: The constant; 1 within a channel, whatever is given.
        origins: Where region, size, alpha, beta and k were read, or that they are defaults.
    """

    region: Literal["ACROSS_CHANNELS", "WITHIN_CHANNEL"]
    size: int
    alpha: float
    beta: float
    k: float
    origins: Mapping[str, str]

    @property
    def divisor(self) -> int:
        """What alpha is divided by."""
        return self.size if self.region == "ACROSS_CHANNELS" else self.size**2

    @property
    def spec(self) -> LrnSpec | None:
        """Its parameters as the rest of the package has them; None within a channel."""
        if self.region != "ACROSS_CHANNELS":
            return None
        return LrnSpec(size=self.size, alpha=self.alpha, beta=self.beta, k=self.k)


@dataclass(frozen=True)
class InnerProduct:
    """A matrix product over the axes from ``axis`` on; if ``transpose``, weights are (K, N)."""

    outputs: int
    axis: int
    transpose: bool
    bias: bool


@dataclass(frozen=True)
class Eltwise:
    """Sum with coefficients, product or maximum of all bottoms."""

    operation: Literal["SUM", "PROD", "MAX"]
    coefficients: tuple[float, ...]


@dataclass(frozen=True)
class Concat:
    """Bottoms one behind the other."""

    axis: int


@dataclass(frozen=True)
class Slice:
    """One bottom cut at ``points``; without any, into equal parts."""

    axis: int
    points: Sizes


@dataclass(frozen=True)
class Softmax:
    """Softmax along one axis."""

    axis: int


@dataclass(frozen=True)
class Flatten:
    """The axes from ``axis`` to ``end`` become one."""

    axis: int
    end: int


@dataclass(frozen=True)
class Reshape:
    """``dims`` in place of ``count`` axes from ``axis`` on (-1: all); 0 copies, -1 infers."""

    dims: Sizes
    axis: int
    count: int


@dataclass(frozen=True)
class Crop:
    """The first bottom cut to the second's size from ``axis`` on, at ``offsets``."""

    axis: int
    offsets: Sizes


@dataclass(frozen=True)
class BatchNorm:
    """Normalization by stored mean and variance."""

    epsilon: float


@dataclass(frozen=True)
class Affine:
    """Scale and Bias: a product and a sum along ``count`` axes from ``axis`` on (-1: all).

    Attributes:
        axis: The first axis.
        count: How many axes a learned factor or summand has; 0: it is one number.
        scale: Whether there is a product, by weights or by the second bottom.
        bias: Whether there is a sum with weights or, without ``scale``, with the second bottom.
    """

    axis: int
    count: int
    scale: bool
    bias: bool


@dataclass(frozen=True)
class ArgMax:
    """Indices of the largest values, largest first; with ``values`` also, or only, those."""

    axis: int | None
    top: int
    values: bool


@dataclass(frozen=True)
class Reduction:
    """One number for all axes from ``axis`` on, times ``coefficient``."""

    operation: Literal["SUM", "ASUM", "SUMSQ", "MEAN"]
    axis: int
    coefficient: float


@dataclass(frozen=True)
class Tile:
    """``copies`` of the bottom one behind the other."""

    axis: int
    copies: int


@dataclass(frozen=True)
class Pointwise:
    """A function of each value.

    Attributes:
        function: Caffe's type of the layer.
        numbers: Its parameters by Caffe's names.
    """

    function: str
    numbers: Mapping[str, float]


@dataclass(frozen=True)
class PReLU:
    """A slope for negative values: one for each channel, or one for all."""

    shared: bool


Parameters = (
    Identity | Convolution | Pooling | Lrn | InnerProduct | Eltwise | Concat | Slice | Softmax
    | Flatten | Reshape | Crop | BatchNorm | Affine | ArgMax | Reduction | Tile | Pointwise | PReLU
)  # fmt: skip
