"""What engine to build: what the command line and other callers can choose."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Precision = Literal["fp32", "tf32", "fp16", "bf16", "int8"]

DEFAULT_BATCH = (1, 8, 32)


@dataclass(frozen=True)
class EngineRequest:
    """What engine to build of a bundle; the fields are the options of ``build-engine``.

    Attributes:
        flavor: Which TensorRT.
        precision: What the graph computes in; ``tf32`` is fp32 with rounded matrix products.
        targets: Compute capabilities, ``current`` or ``portable``; empty chooses by the machine.
        batch: Smallest, best and largest batch.
        workspace: Limit of scratch GPU memory while building, in bytes.
        timing_cache: File to start from and to write back.
        calibration: Folder of images for int8; None for crops of scikit-learn's two photographs, or
            for the zoo's digit networks their training images.
        allow_other_types: Keep an engine whose layers compute in other types than the graph's.
        plugins: ``auto`` computes LRN with our plugins where TensorRT takes them: full TensorRT
            does, TensorRT for RTX never gets one.
        lrn: ``layer`` leaves LRN to TensorRT's own layer; ``auto`` does so in full TensorRT, and
            for TensorRT for RTX, whose layer is slow, writes it out.
    """

    flavor: Literal["auto", "tensorrt", "rtx"] = "auto"
    precision: Precision = "fp32"
    targets: tuple[str, ...] = ()
    batch: tuple[int, int, int] = DEFAULT_BATCH
    workspace: int | None = None
    timing_cache: Path | None = None
    calibration: Path | None = None
    allow_other_types: bool = False
    plugins: Literal["auto", "off"] = "off"
    lrn: Literal["auto", "layer"] = "auto"
