"""Pass ``quantize_nncf``: int8 by NNCF, OpenVINO's own quantizer, in the Q/DQ format.

Before::

    x -> Conv(., weight, bias) -> Relu -> LRN -> MaxPool -> y

After::

    x -> Q/DQ -> Conv(., ., bias) -> Relu -> LRN -> Q/DQ -> MaxPool -> y
     int8 weight -> DequantizeLinear -^

What NNCF's post-training quantization does by default: symmetric scales, one for each output
channel of a weight, ranges of activations averaged over the inputs, biases corrected. It is an
alternative to :mod:`.quantize`, and which of the two errs less depends on the
network. Every LRN layer stays in fp32.

Not for TensorRT: behind a ReLU NNCF's activations are uint8 (it refuses to force them to int8),
which TensorRT has no kernels for. TensorRT for RTX parses and builds such a graph without a word,
so there is nothing to rely on.

Requires: ONNX Runtime, which NNCF collects its statistics with. Ensures: names of all values are
kept; the same inputs give the same bytes again.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import logging
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import onnx_ir as ir

from lrn_deploy.errors import BadInputError, MissingError
from lrn_deploy.extras import install
from lrn_deploy.passes.lrn.lrn_blocks import Bounds, find_lrn_nodes
from lrn_deploy.passes.prepare import prepare
from lrn_deploy.passes.quantization.observe import Array

_NO_TELEMETRY = "NNCF_CI"
"""The environment variable that keeps NNCF from reporting home; it is read on import."""


def check_installed() -> None:
    """Refuse to go on without NNCF.

    Raises:
        MissingError: If it is not installed.
    """
    if importlib.util.find_spec("nncf") is None:
        raise MissingError(
            "The quantizer NNCF is not installed.",
            f"Use --quantizer own, or install it with: {install('quantize')}",
        )


def quantize_nncf(
    model: ir.Model,
    inputs: Sequence[Mapping[str, Array]],
    *,
    lrn_layers: Iterable[Bounds] = (),
) -> ir.Model:
    """Quantize a graph; see the module's docstring.

    Args:
        model: The graph; it is prepared in place, and not quantized.
        inputs: The calibration inputs, one feed for each run.
        lrn_layers: The bounds of each LRN layer, whose nodes are left alone.

    Returns:
        The quantized graph.

    Raises:
        BadInputError: If NNCF finds nothing to quantize, or cannot take the graph.
        MissingError: If NNCF is not installed.
    """
    check_installed()
    prepare(model)
    ignored = sorted(str(node.name) for node in find_lrn_nodes(model.graph, lrn_layers))
    with _quiet():
        nncf = _import()
        try:
            made = nncf.quantize(
                ir.to_proto(model),
                nncf.Dataset(inputs),
                subset_size=len(inputs),
                ignored_scope=nncf.IgnoredScope(names=ignored, validate=False),
            )
        except Exception as error:  # NNCF's own exceptions share no other base class
            raise BadInputError(
                f"NNCF cannot quantize the graph: {_first_line(error)}", "Use --quantizer own."
            ) from error
    if not any(node.op_type == "QuantizeLinear" for node in made.graph.node):
        raise BadInputError(
            "The network has no convolution or fully connected layer that could be quantized."
        )
    quantized: ir.Model = ir.from_proto(made)
    return quantized


def _import() -> Any:
    """NNCF, which is told before its import to send nothing."""
    before = os.environ.get(_NO_TELEMETRY)
    os.environ[_NO_TELEMETRY] = "1"
    try:
        import nncf
    finally:
        if before is None:
            del os.environ[_NO_TELEMETRY]
        else:
            os.environ[_NO_TELEMETRY] = before
    nncf.set_log_level(logging.CRITICAL)
    return nncf


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep NNCF's progress bars off stdout, which belongs to the command's answer."""
    with contextlib.redirect_stdout(io.StringIO()):
        yield


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0].rstrip(".") + "."
