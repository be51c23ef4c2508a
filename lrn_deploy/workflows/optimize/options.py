"""What variant to make: what the command line and other callers can choose."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class OptimizeOptions:
    """What variant of a graph to make.

    Attributes:
        target: ``tensorrt``, ``cuda``, ``cpu`` or ``openvino``.
        precision: One that ``PRECISIONS`` lists for the target.
        quantizer: What makes int8, ``own`` or ``nncf``.
        calibration: Folder of images for int8; None for images that fit the network.
        keep_lrn_fp32: False computes LRN in fp16 or bf16 like the rest.
    """

    target: str
    precision: str
    quantizer: str = "own"
    calibration: Path | None = None
    keep_lrn_fp32: bool = True
