"""TensorRT's complaints as sentences that name the node and what to do."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from lrn_deploy.errors import BadInputError, LrnDeployError, MissingError
from lrn_deploy.tensorrt.layers import NetworkLayer

_NO_OPERATOR = ("UNSUPPORTED_NODE", "Plugin not found", "Op type ")
_TURING = re.compile(r"Cannot compile operation '(?P<node>[^']*)' for Turing")
_NO_DRIVER = re.compile(r"cudaError 35|cudaError 100|no CUDA-capable device")
_NOISE = re.compile(r"Thread context has not been set|cudaError 35")
_HINT_TURING = (
    "Build with '--precision fp16', which Turing runs on its tensor cores, or leave sm75 out."
)


def parser_error(errors: Sequence[Any]) -> BadInputError:
    """What the parser refused, from its ``ParserError`` objects.

    One node can give several errors; each node is named once, with the first one's reason.
    """
    sentences: dict[int, str] = {}
    for error in errors:
        sentences.setdefault(error.node(), _node_sentence(error))
    if not sentences:
        return BadInputError(
            "TensorRT could not parse the graph and does not say why.", "Export the bundle again."
        )
    shown = list(sentences.values())[:3]
    more = len(sentences) - len(shown)
    if more:
        shown.append(f"{more} more nodes are refused.")
    return BadInputError(
        " ".join(shown),
        "Write these nodes with operators that TensorRT has (its ONNX parser documents them), or "
        "run the bundle with ONNX Runtime.",
    )


def builder_error(errors: Sequence[str]) -> LrnDeployError:
    """Why the builder made no engine, from the messages that it logged."""
    text = "\n".join(errors)
    turing = _TURING.search(text)
    if turing:
        return turing_error(turing["node"])
    if _NO_DRIVER.search(text):
        return MissingError(
            "TensorRT found no NVIDIA GPU to build for.",
            "Name the GPU's compute capability with '--target sm89' for instance "
            "(needs tensorrt-rtx), or build on the machine with the GPU.",
        )
    return BadInputError(
        f"TensorRT could not build the engine: {reason(errors)}.",
        "Run it again with '--debug' for all messages; another '--precision' or '--target' may do.",
    )


def reason(errors: Sequence[str]) -> str:
    """The last of TensorRT's messages that says something, without its full stop."""
    said = (line.strip().rstrip(".") for line in reversed(errors) if not _NOISE.search(line))
    return next(said, "it does not say why")


def turing_error(node: str) -> BadInputError:
    """Turing's limit, on which the builder says only ``FP32 GEMM is not supported``."""
    return BadInputError(
        f"TensorRT for RTX has no matrix product in fp32, and nothing in bf16, for Turing (sm75), "
        f"which the layer '{node}' asks for.",
        _HINT_TURING,
    )


def find_turing_refusal(layers: Sequence[NetworkLayer]) -> str:
    """Name of the first layer that TensorRT for RTX refuses for Turing; empty if there is none.

    Measured with tensorrt-rtx 1.7: fp32 convolutions and LRN build for sm75, fp32 matrix products
    and every bf16 product or convolution do not.
    """
    for layer in layers:
        types = {value.dtype for value in layer.inputs}
        if "bf16" in types or (layer.type == "MATRIX_MULTIPLY" and "fp32" in types):
            return layer.name
    return ""


def _node_sentence(error: Any) -> str:
    text = str(error.desc())
    operator = error.node_operator()
    if not operator:
        return f"The graph is no ONNX model that TensorRT can parse: {_first_line(text)}."
    name = error.node_name()
    node = f"node '{name}' ({operator})" if name else f"node {error.node()} ({operator})"
    if any(mark in f"{error.code().name} {text}" for mark in _NO_OPERATOR):
        return f"TensorRT cannot take {node}: it has no such operator, or not in this form."
    return f"TensorRT cannot take {node}: {_first_line(text)}."


def _first_line(text: str) -> str:
    """The first line that says something; "Invalid Node" only repeats the name."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    said = [line for line in lines if not line.startswith("Invalid Node")]
    return (said or lines or ["no reason given"])[0].rstrip(".")
