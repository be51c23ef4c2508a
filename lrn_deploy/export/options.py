"""What to export: what the command line and other callers can choose."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lrn_deploy.options import REQUIRED, Written, explained, option
from lrn_deploy.said import AS_WRITTEN, Said

if TYPE_CHECKING:
    from torch import nn

    from lrn_deploy.bundle import TensorSpec

MIN_OPSET = 18
MAX_OPSET = 20


def read_inputs(words: Sequence[str]) -> tuple[TensorSpec, ...]:
    """Inputs as they are written, ``[NAME=]C,H,W[:DTYPE]`` each.

    The shape may be empty: one number for each row of the batch. An input without a name has an
    empty one.

    Raises:
        ValueError: If one is not written so.
    """
    from lrn_deploy.network.inputs import one_input

    inputs = []
    for word in words:
        found = re.fullmatch(r"(?:([^=,:]+)=)?((?:\d+(?:,\d+)*)?)(?::(\w+))?", word.strip())
        axes = [int(axis) for axis in found[2].split(",") if axis] if found else []
        if found is None or 0 in axes or not any(found.groups()):
            raise ValueError(
                f"'{word}' is no shape; write 3,227,227 or tokens=8:int64 for instance."
            )
        inputs.append(one_input(axes, name=found[1] or "", dtype=found[3] or "float32"))
    return tuple(inputs)


@explained
@dataclass(frozen=True)
class ExportOptions:
    """What to export."""

    factory: str | nn.Module = option(
        REQUIRED,
        "A name of the zoo, ``package.module:factory``, ``file.py:factory``, or a module, which "
        "becomes what was exported.",
        argument="MODEL",
        written=Written(str, str),
    )
    weights: Path | None = option(
        None,
        "PyTorch checkpoint, safetensors file or index, or .npz; with #KEY the mapping in it, "
        "where several fit.",
        metavar="FILE[#KEY]",
    )
    seed: int = option(0, "Seed of random weights.")
    input_shape: tuple[int, ...] | None = option(
        None, "Shape of the only input without the batch, if the network does not say.", flag=None
    )
    inputs: tuple[TensorSpec, ...] = option(
        (),
        "What is known of the inputs instead: the name, shape and type of each.",
        flag="shape",
        line="Shape of an input without the batch, for a factory; once for each input.",
        metavar="[NAME=]C,H,W[:DTYPE]",
        written=Written(str, read_inputs, many=True),
    )
    opset: int = option(MIN_OPSET, f"ONNX opset, {MIN_OPSET} to {MAX_OPSET}.")
    uint8_input: bool = option(
        False,
        "Take uint8 images (N, H, W, C), with preprocessing inside the graph.",
        flag="input",
        line="uint8: take images (N, H, W, C), with preprocessing inside the graph.",
        choices=("float", "uint8"),
        written=Written(
            str, lambda text: text == "uint8", lambda value: "uint8" if value else "float"
        ),
    )
    labels: Path | None = option(
        None, "Class names: one in each line, or JSON: a list or a map of indices to names."
    )
    name: str | None = option(None, "Name to serve and report it as; else its folder's.")
    preprocessing: Said = option(
        Said(),
        "What is said of how an image becomes an input, before what the network itself says.",
        **AS_WRITTEN,
    )
