"""What Local Response Normalization is: its parameters, its windows and its float64 reference.

Across-channel LRN (Krizhevsky, Sutskever and Hinton, 2012, section 3.3) maps ``x`` of shape
``(N, C, *)`` to::

    y[:, c] = x[:, c] / (k + alpha / size * sum(x[:, j] ** 2 for j in window(c))) ** beta

PyTorch, ONNX, Caffe and TensorRT divide alpha by the nominal size, also at the borders; the paper
and TensorFlow do not divide. Frameworks agree on the window of an odd size and differ on an even
one (:data:`Convention`). ``torch.nn.CrossMapLRN2d``, PyTorch's older layer, differs on any size:
its sum never lets channel 0 go.

This module needs numpy only, and nothing else of this package but its errors.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lrn_deploy.errors import BadInputError

Convention = Literal["torch", "onnx", "cross-map"]
"""Which channels a size means. The extra channel of an even window is the left one for torch
(``nn.LocalResponseNorm``) and the right one for ONNX; ``cross-map`` (``nn.CrossMapLRN2d``) has no
extra one, and channel 0 belongs to the window of every channel."""


@dataclass(frozen=True)
class LrnSpec:
    """Parameters of an across-channel LRN in PyTorch's convention (alpha divided by size).

    Attributes:
        size: Number of channels in the window, at least 1.
        alpha: Factor of the mean square over the window.
        beta: Exponent of the denominator.
        k: Constant added inside the denominator; ONNX calls it ``bias``.

    The defaults are those of ``torch.nn.LocalResponseNorm``.

    Raises:
        BadInputError: If size is not a positive integer or a parameter is not finite.
    """

    size: int
    alpha: float = 1e-4
    beta: float = 0.75
    k: float = 1.0

    def __post_init__(self) -> None:
        if isinstance(self.size, bool) or not isinstance(self.size, int) or self.size < 1:
            raise BadInputError(
                f"LRN size must be an integer of at least 1, got {self.size!r}.",
                "The size counts the channels in the window; AlexNet uses 5.",
            )
        for name in ("alpha", "beta", "k"):
            value = getattr(self, name)
            if not math.isfinite(value):
                raise BadInputError(f"LRN {name} must be a finite number, got {value!r}.")

    def offsets(self, convention: Convention = "torch") -> tuple[int, int]:
        """First and last channel of the window, both inclusive, relative to its centre.

        torch takes ``[-(size // 2), (size - 1) // 2]``, ONNX ``[-((size - 1) // 2), size // 2]``
        (ONNX operator LRN-13): equal for odd sizes, mirrored for even ones. Cross-map takes
        ``(size - 1) // 2`` on both sides; its channel 0 is not among the offsets.
        """
        shorter, longer = (self.size - 1) // 2, self.size // 2
        return {
            "torch": (-longer, shorter),
            "onnx": (-shorter, longer),
            "cross-map": (-shorter, shorter),
        }[convention]

    def window(
        self, channel: int, channels: int, convention: Convention = "torch"
    ) -> Sequence[int]:
        """Channels that are summed for ``channel`` out of ``channels``, cut at the borders."""
        if not 0 <= channel < channels:
            raise BadInputError(f"Channel {channel} is not one of the {channels} channels.")
        first, last = self.offsets(convention)
        near = range(max(0, channel + first), min(channels, channel + last + 1))
        return (0, *near) if convention == "cross-map" and near[0] > 0 else near

    def first_difference(self, channels: int, one: Convention, other: Convention) -> int | None:
        """The first channel whose window differs between two conventions; None if none does."""
        for channel in range(channels):
            windows = (self.window(channel, channels, convention) for convention in (one, other))
            if len({tuple(window) for window in windows}) > 1:
                return channel
        return None


def energy(x: ArrayLike, spec: LrnSpec, convention: Convention = "torch") -> NDArray[np.float64]:
    """``alpha / size * sum of squares over the window``: what LRN adds to ``k``, in float64.

    Args:
        x: Array of shape (N, C, *), rank at least 3, any real dtype.
        spec: The LRN's parameters.
        convention: Whose window the size means.

    Returns:
        Array of the shape of ``x``, float64. A non-finite value reaches only its own windows.

    Raises:
        BadInputError: If ``x`` has a rank below 3.
    """
    values = np.asarray(x, dtype=np.float64)
    if values.ndim < 3:
        raise BadInputError(
            f"LRN takes an array of shape (N, C, *) with rank 3 or more, got shape {values.shape}."
        )
    channels = values.shape[1]
    squares = np.square(values)
    total = np.zeros_like(squares)
    first, last = spec.offsets(convention)
    for offset in range(max(first, 1 - channels), min(last, channels - 1) + 1):
        low, high = max(0, -offset), min(channels, channels - offset)
        total[:, low:high] += squares[:, low + offset : high + offset]
    if convention == "cross-map":
        total[:, 1 - first :] += squares[:, :1]
    return total * (spec.alpha / spec.size)


def reference(x: ArrayLike, spec: LrnSpec, convention: Convention = "torch") -> NDArray[np.float64]:
    """LRN of ``x`` in float64: the definition that every other implementation is held against.

    Args, shapes and errors are those of :func:`energy`. Where ``k + energy`` is negative and beta
    fractional, or zero, the result is NaN or infinite, as in PyTorch.

    Returns:
        Array of the shape of ``x``, float64.
    """
    values = np.asarray(x, dtype=np.float64)
    with np.errstate(all="ignore"):
        denominator = (spec.k + energy(values, spec, convention)) ** spec.beta
        return np.asarray(values / denominator)


def activity(x: ArrayLike, spec: LrnSpec, convention: Convention = "torch") -> NDArray[np.float64]:
    """How far each position's energy moves the denominator: ``energy / |k|``, shape of ``x``.

    Far below 1 the layer only multiplies by ``k ** -beta``, and a wrong alpha or window cannot
    be seen in its output.
    """
    if not spec.k:
        return np.full(np.shape(x), np.inf)
    return energy(x, spec, convention) / abs(spec.k)


def from_paper(n: int, alpha: float, beta: float, k: float) -> LrnSpec:
    """The paper's form, whose alpha is not divided by n (Krizhevsky et al. 2012, section 3.3)."""
    return LrnSpec(size=n, alpha=alpha * n, beta=beta, k=k)


def from_tensorflow(
    depth_radius: int = 5, bias: float = 1.0, alpha: float = 1.0, beta: float = 0.5
) -> LrnSpec:
    """``tf.nn.local_response_normalization``: radius instead of size, undivided alpha.

    The defaults are TensorFlow's own.

    Raises:
        BadInputError: If depth_radius is negative.
    """
    if depth_radius < 0:
        raise BadInputError(f"TensorFlow's depth_radius must be 0 or more, got {depth_radius}.")
    size = 2 * depth_radius + 1
    return LrnSpec(size=size, alpha=alpha * size, beta=beta, k=bias)


def from_caffe(
    local_size: int = 5,
    alpha: float = 1.0,
    beta: float = 0.75,
    k: float = 1.0,
    norm_region: str = "ACROSS_CHANNELS",
) -> LrnSpec:
    """Caffe's ``LRNParameter``, with Caffe's defaults; alpha is divided by local_size as here.

    Raises:
        BadInputError: For WITHIN_CHANNEL, which sums over a square of pixels in one channel, or an
            even local_size, which Caffe itself refuses.
    """
    if norm_region != "ACROSS_CHANNELS":
        raise BadInputError(
            f"Caffe's LRN with norm_region {norm_region} is not supported: WITHIN_CHANNEL sums "
            "over neighbouring pixels of one channel, which the ONNX LRN operator cannot express.",
            "Only ACROSS_CHANNELS, which sums over neighbouring channels, can be deployed.",
        )
    if local_size % 2 == 0:
        raise BadInputError(f"Caffe's LRN takes an odd local_size only, got {local_size}.")
    return LrnSpec(size=local_size, alpha=alpha, beta=beta, k=k)
