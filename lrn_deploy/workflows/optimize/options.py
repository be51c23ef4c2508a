"""What variant to make: what the command line and other callers can choose."""

from __future__ import annotations

from dataclasses import dataclass
from operator import not_
from pathlib import Path

from lrn_deploy.options import REQUIRED, Written, explained, option
from lrn_deploy.precision import QUANTIZERS, TARGETS, variant_precisions


@explained
@dataclass(frozen=True)
class OptimizeOptions:
    """What variant of a graph to make."""

    target: str = option(REQUIRED, "What the graph is for.", choices=tuple(TARGETS))
    precision: str = option(
        REQUIRED,
        "What it computes in. Its inputs and outputs stay as they are.",
        choices=variant_precisions(),
    )
    quantizer: str = option(
        QUANTIZERS[0],
        "What makes int8 for cpu and openvino. NNCF is the extra 'quantize'.",
        choices=QUANTIZERS,
    )
    calibration: Path | None = option(
        None,
        "Folder of images for int8. Default: images that fit the network.",
        path="existing folder",
    )
    keep_lrn_fp32: bool = option(
        True,
        "False computes LRN in fp16 or bf16, too.",
        flag="half-lrn",
        line="Compute LRN in fp16 or bf16, too, not in fp32.",
        written=Written(bool, not_, not_),
    )
