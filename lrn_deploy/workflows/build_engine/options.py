"""What engine to build: what the command line and other callers can choose."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from lrn_deploy.options import Written, binary_size, explained, option
from lrn_deploy.precision import EnginePrecision

DEFAULT_BATCH = (1, 8, 32)


def three_batches(text: str) -> tuple[int, int, int]:
    """``MIN,OPT,MAX`` as three numbers, whose order is checked when an engine is built.

    Raises:
        ValueError: If it is not that.
    """
    parts = text.split(",")
    if len(parts) != 3 or not all(part.strip().isdecimal() for part in parts):
        raise ValueError(f"'{text}' is no profile; write 1,8,32 for instance.")
    low, best, high = (int(part) for part in parts)
    return low, best, high


@explained
@dataclass(frozen=True)
class EngineOptions:
    """What engine to build of a bundle."""

    flavor: Literal["auto", "tensorrt", "rtx"] = option(
        "auto", "Which TensorRT; ``rtx`` builds without a GPU."
    )
    precision: EnginePrecision = option(
        "fp32",
        "What the graph computes in; ``tf32`` is fp32 with rounded matrix products.",
        line="fp16, bf16 and int8 build the variant of 'optimize --target tensorrt'.",
    )
    targets: tuple[str, ...] = option(
        (),
        "Compute capabilities, ``current`` or ``portable``; empty chooses by the machine.",
        flag="target",
        line="GPU to build for, sm89 for instance; may be repeated for one engine for several. "
        "portable: leave the choice to tensorrt-rtx. "
        "Default: this machine's GPU; without one, sm86, sm89 and sm120.",
        metavar="SM|current|portable",
    )
    batch: tuple[int, int, int] = option(
        DEFAULT_BATCH,
        "Smallest, best and largest batch of the engine.",
        metavar="MIN,OPT,MAX",
        written=Written(str, three_batches, lambda batch: ",".join(map(str, batch))),
    )
    workspace: int | None = option(
        None,
        "Limit of scratch GPU memory while building, in bytes.",
        line="Limit of scratch GPU memory, 4G for instance. Default: the builder's own.",
        metavar="SIZE",
        written=Written(str, binary_size),
    )
    timing_cache: Path | None = option(
        None, "File of measurements to start from and to write back (tensorrt only)."
    )
    calibration: Path | None = option(
        None,
        "Folder of images for int8. Default: two photographs that scikit-learn brings, or the "
        "digits that the zoo's digit networks were trained on.",
        path="existing folder",
    )
    allow_other_types: bool = option(
        False,
        "Keep an engine whose layers compute in other types than its graph's (known on a GPU).",
    )
    plugins: Literal["auto", "off"] = option(
        "off",
        "``auto``: LRN with ReLU and pool in one kernel of ours (tensorrt only; not run yet).",
    )
    lrn: Literal["auto", "layer"] = option(
        "auto",
        "``layer``: leave LRN to TensorRT's own layer, which in rtx is slow; ``auto``: not there.",
    )
