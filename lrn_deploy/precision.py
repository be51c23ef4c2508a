"""The precisions that there are: what each name means, and what can be made for which target."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Half = Literal["fp16", "bf16"]
EnginePrecision = Literal["fp32", "tf32", "fp16", "bf16", "int8"]
"""What TensorRT builds engines in."""


@dataclass(frozen=True)
class Precision:
    """What is computed in what.

    Attributes:
        half: The type that floats are rounded to; None for fp32.
        int8: Whether convolutions, and what else fits, are int8.
        bits: Bits of the weights of large fully connected layers, in blocks; None leaves them as
            they are.
        least_error: Relative L2 error that it cannot get below.
    """

    half: Half | None = None
    int8: bool = False
    bits: Literal[4, 8] | None = None
    least_error: float = 1e-4


PRECISIONS = {
    "fp32": Precision(least_error=0.0),
    "tf32": Precision(least_error=2e-5),  # fp32 with rounded matrix products
    "fp16": Precision(half="fp16", least_error=2e-5),
    "bf16": Precision(half="bf16"),
    "int8": Precision(int8=True),
    "int8-bf16": Precision(half="bf16", int8=True),  # in bf16 what int8 leaves in fp32
    "w8": Precision(bits=8),
    "w4": Precision(bits=4),
    "int8-w8": Precision(int8=True, bits=8),
    "int8-w4": Precision(int8=True, bits=4),
}

_WEIGHT_ONLY = tuple(name for name, precision in PRECISIONS.items() if precision.bits is not None)
TARGETS: dict[str, tuple[str, ...]] = {
    "tensorrt": ("fp32", "fp16", "bf16", "int8"),
    "cuda": ("fp32", "fp16"),
    "cpu": ("fp32", "int8", *_WEIGHT_ONLY),
    "openvino": ("fp32", "bf16", "int8", "int8-bf16", *_WEIGHT_ONLY),
}
"""What can be made for each target. ONNX Runtime has no bf16 convolution, on CUDA no int8 one, and
on the CPU it computes fp16 in fp32."""

QUANTIZERS: tuple[str, ...] = ("own", "nncf")
"""What can make int8; the first is this package's own."""


def variant_precisions() -> tuple[str, ...]:
    """Every precision that something can be made in, for one target or another."""
    made = {name for names in TARGETS.values() for name in names}
    return tuple(name for name in PRECISIONS if name in made)


def least_error(name: str) -> float:
    """Relative L2 error that a precision cannot get below; a usual one if it is not known."""
    return PRECISIONS.get(name, Precision()).least_error


def half(name: str) -> Half | None:
    """What a precision rounds its floats to; None for fp32, or if it is not known."""
    return PRECISIONS.get(name, Precision()).half


def is_plain(name: str) -> bool:
    """Whether the canonical graph is computed in a precision as it is."""
    known = PRECISIONS.get(name)
    return known is not None and known.half is None and not known.int8 and known.bits is None


def in_words(name: str) -> str:
    """A precision for people: ``8-bit integers, calibrated; the rest in bfloat16`` for instance."""
    known = PRECISIONS.get(name)
    if known is None:
        return name
    floats = {None: "32-bit floating point", "fp16": "16-bit floating point", "bf16": "bfloat16"}
    rest = floats[known.half]
    if name == "tf32":
        return f"{rest}, products of matrices rounded"
    parts = ["8-bit integers, calibrated"] if known.int8 else []
    parts += [f"{known.bits}-bit weights in blocks"] if known.bits else []
    return f"{' and '.join(parts)}; the rest in {rest}" if parts else rest
