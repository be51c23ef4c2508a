"""The variants that there can be: targets, precisions, and what their names mean."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from lrn_deploy.errors import BadInputError
from lrn_deploy.passes.quantization.qdq import Activations
from lrn_deploy.passes.quantization.quantize_weights import Bits

SOURCE = "model"
"""The canonical graph, from which all variants are made."""

_WEIGHT_ONLY = ("w8", "w4", "int8-w8", "int8-w4")
PRECISIONS: dict[str, tuple[str, ...]] = {
    "tensorrt": ("fp32", "fp16", "bf16", "int8"),
    "cuda": ("fp32", "fp16"),
    "cpu": ("fp32", "int8", *_WEIGHT_ONLY),
    "openvino": ("fp32", "bf16", "int8", "int8-bf16", *_WEIGHT_ONLY),
}
"""What can be made for each target. ONNX Runtime has no bf16 convolution, on CUDA no int8 one, and
on the CPU it computes fp16 in fp32. In OpenVINO int8-bf16 computes in bf16 what int8 leaves in
fp32. w8 and w4 have 8- and 4-bit weights, in blocks, in large fully connected layers, and fp32
elsewhere; with int8 before it the convolutions are int8."""

QUANTIZERS: tuple[str, ...] = ("own", "nncf")
"""What can make int8."""

LOWERS_LRN = frozenset({"cpu"})
"""ONNX Runtime's CPU kernel for LRN is slow; its CUDA kernel, TensorRT's layer and OpenVINO's are
not."""

_NNCF_TARGETS = frozenset({"cpu", "openvino"})
_SHORT = {"tensorrt": "trt"}


@dataclass(frozen=True)
class Recipe:
    """What a variant is made of.

    Attributes:
        target: What it is for.
        precision: Its name, one of :data:`PRECISIONS`.
        quantizer: What makes int8, one of :data:`QUANTIZERS`.
        half: The type of a half precision graph; None for one in fp32, int8 aside.
        int8: Whether convolutions, and what else fits, are int8.
        bits: Bits of the weights of large fully connected layers; None leaves them as they are.
    """

    target: str
    precision: str
    quantizer: str
    half: Literal["fp16", "bf16"] | None
    int8: bool
    bits: Bits | None

    @property
    def calibrated(self) -> bool:
        """Whether making it takes calibration inputs."""
        return self.int8 or self.bits is not None

    @property
    def lowers_lrn(self) -> bool:
        """Whether LRN is written in other operators."""
        return self.target in LOWERS_LRN

    @property
    def name(self) -> str:
        """Name of the artifact; fp32 is the canonical graph, but for ONNX Runtime on the CPU."""
        if self.precision == "fp32" and not self.lowers_lrn:
            return SOURCE
        name = f"{_SHORT.get(self.target, self.target)}-{self.precision}"
        return name if self.quantizer == QUANTIZERS[0] else f"{name}-{self.quantizer}"

    @property
    def activations(self) -> Activations:
        """TensorRT takes symmetric ones only; elsewhere twice the steps behind a ReLU are free."""
        return "int8" if self.target == "tensorrt" else "uint8"


def recipe(target: str, precision: str, quantizer: str = "own") -> Recipe:
    """What the variant for a target in a precision is made of.

    Raises:
        BadInputError: If there is no such variant.
    """
    if target not in PRECISIONS:
        raise BadInputError(
            f"There is no target '{target}'.", f"Choose one of {', '.join(PRECISIONS)}."
        )
    if precision not in PRECISIONS[target]:
        raise BadInputError(
            f"The target {target} has no precision '{precision}'.",
            f"Choose one of {', '.join(PRECISIONS[target])}.",
        )
    parts = precision.split("-")
    bits: Bits | None = 8 if "w8" in parts else 4 if "w4" in parts else None
    half: Literal["fp16", "bf16"] | None = None
    if target != "openvino":  # OpenVINO itself computes an fp32 graph in bf16
        half = "fp16" if "fp16" in parts else "bf16" if "bf16" in parts else None
    if quantizer != "own":
        _check_quantizer(target, precision, quantizer)
    return Recipe(target, precision, quantizer, half, "int8" in parts, bits)


def variant_name(target: str, precision: str, quantizer: str = "own") -> str:
    """Name of the artifact; see :attr:`Recipe.name`.

    Raises:
        BadInputError: If there is no such variant.
    """
    return recipe(target, precision, quantizer).name


def _check_quantizer(target: str, precision: str, quantizer: str) -> None:
    if quantizer not in QUANTIZERS:
        raise BadInputError(
            f"There is no quantizer '{quantizer}'.", f"Choose one of {', '.join(QUANTIZERS)}."
        )
    if "int8" not in precision:
        raise BadInputError(
            f"{precision} is not quantized.", "Leave --quantizer out, or use --precision int8."
        )
    if target not in _NNCF_TARGETS:
        raise BadInputError(
            f"NNCF makes uint8 activations, which {target} does not take.", "Use --quantizer own."
        )
    if precision in _WEIGHT_ONLY:
        raise BadInputError(
            f"The quantizer {quantizer} does not make {precision}.", "Use --quantizer own."
        )
