"""The variants that there can be: what each is made of, and what it is called."""

from __future__ import annotations

from dataclasses import dataclass

from lrn_deploy.errors import BadInputError
from lrn_deploy.passes.quantization.qdq import Activations
from lrn_deploy.passes.quantization.quantize_weights import Bits
from lrn_deploy.placement import MODEL
from lrn_deploy.precision import PRECISIONS, QUANTIZERS, TARGETS, Half

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
        precision: Its name, one of those that ``TARGETS`` has for the target.
        quantizer: What makes int8, one of ``QUANTIZERS``.
        half: The type of a half precision graph; None for one in fp32, int8 aside.
    """

    target: str
    precision: str
    quantizer: str
    half: Half | None

    @property
    def int8(self) -> bool:
        """Whether convolutions, and what else fits, are int8."""
        return PRECISIONS[self.precision].int8

    @property
    def bits(self) -> Bits | None:
        """Bits of the weights of large fully connected layers; None leaves them as they are."""
        return PRECISIONS[self.precision].bits

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
            return MODEL
        name = f"{_SHORT.get(self.target, self.target)}-{self.precision}"
        return name if self.quantizer == QUANTIZERS[0] else f"{name}-{self.quantizer}"

    @property
    def activations(self) -> Activations:
        """TensorRT takes symmetric ones only; elsewhere twice the steps behind a ReLU are free."""
        return "int8" if self.target == "tensorrt" else "uint8"


def recipe(target: str, precision: str, quantizer: str = QUANTIZERS[0]) -> Recipe:
    """What the variant for a target in a precision is made of.

    Raises:
        BadInputError: If there is no such variant.
    """
    if target not in TARGETS:
        raise BadInputError(
            f"There is no target '{target}'.", f"Choose one of {', '.join(TARGETS)}."
        )
    if precision not in TARGETS[target]:
        raise BadInputError(
            f"The target {target} has no precision '{precision}'.",
            f"Choose one of {', '.join(TARGETS[target])}.",
        )
    if quantizer != QUANTIZERS[0]:
        _check_quantizer(target, precision, quantizer)
    # OpenVINO itself computes an fp32 graph in bf16.
    half = None if target == "openvino" else PRECISIONS[precision].half
    return Recipe(target, precision, quantizer, half)


def variant_name(target: str, precision: str, quantizer: str = QUANTIZERS[0]) -> str:
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
    if not PRECISIONS[precision].int8:
        raise BadInputError(
            f"{precision} is not quantized.", "Leave --quantizer out, or use --precision int8."
        )
    if target not in _NNCF_TARGETS:
        raise BadInputError(
            f"NNCF makes uint8 activations, which {target} does not take.", "Use --quantizer own."
        )
    if PRECISIONS[precision].bits is not None:
        raise BadInputError(
            f"The quantizer {quantizer} does not make {precision}.", "Use --quantizer own."
        )
