"""Which LRN layers become TensorRT's own LRN layer, and the rewriting of the others.

The limits of ``ILRNLayer`` were read from the parser's answers (tests/unit/tensorrt compares them
again): an odd window of 1 to 15, k of 1e-5 to 1e10, beta of 0.01 to 1e5, alpha within 1e20. Its
documentation tells neither upper limit. Out of range is an error there, not a clamp. A rank above
4 is accepted, but then the third axis from the last is normalised instead of the channels, so
only rank 4 is handed over.

TensorRT for RTX computes its LRN layer as a pooling over the channels: with 1.6.1 on an H200 that
took more than half of an AlexNet's time at a batch of one (docs/tensorrt.md has the figures). Sums
of slices, which it joins into few kernels, are the same function; so there every layer that can be
written that way is, unless its own layer is asked for.
"""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir

from lrn_deploy.bundle import EngineLrn
from lrn_deploy.errors import BadInputError
from lrn_deploy.lrn import LrnSpec
from lrn_deploy.passes.legalize_lrn import Legalized, write_out_lrn
from lrn_deploy.passes.lower_lrn import lower_lrn

MAX_WINDOW = 15
MAX_ALPHA = np.float32(1e20)
K_RANGE = (np.float32(1e-5), np.float32(1e10))
BETA_RANGE = (np.float32(0.01), np.float32(1e5))
SLOW_LAYER = "TensorRT for RTX computes its own LRN layer as a pooling, which takes longer"


def why_not_native(spec: LrnSpec, rank: int) -> str:
    """Why TensorRT's LRN layer cannot hold an LRN on an input of ``rank`` axes; empty if it can.

    Parameters are compared as fp32, in which ONNX stores them: 1e-5 itself is allowed for k,
    although its fp32 value lies below the decimal one.
    """
    if spec.size % 2 == 0 or spec.size > MAX_WINDOW:
        return f"its window of {spec.size} is not odd and at most {MAX_WINDOW}"
    for name, value, (low, high) in (("k", spec.k, K_RANGE), ("beta", spec.beta, BETA_RANGE)):
        if not low <= np.float32(value) <= high:
            return f"{name} {value:g} is not from {low:g} to {high:g}"
    if abs(np.float32(spec.alpha)) > MAX_ALPHA:
        return f"alpha {spec.alpha:g} is not within {MAX_ALPHA:g}"
    if rank != 4:
        return f"its input has rank {rank}, and only rank 4 is normalised over the channels"
    return ""


def fit_lrn(data: bytes, *, own_layer: bool = True) -> tuple[bytes, tuple[EngineLrn, ...]]:
    """Write out the LRN nodes of a graph that TensorRT cannot hold, or had better not.

    Args:
        data: A serialised ONNX model.
        own_layer: Leave to TensorRT's own LRN layer what that can hold.

    Returns:
        The model, the same bytes if nothing had to be changed, and what became of each LRN node.

    Raises:
        BadInputError: If ``data`` is no ONNX model.
    """
    try:
        model = ir.from_proto(onnx.load_model_from_string(data))
    except Exception as error:  # protobuf and onnx_ir raise many kinds
        raise BadInputError(
            "The graph is no ONNX model that can be read.", "Export the bundle again."
        ) from error
    names = [] if own_layer else _names(model)
    lowered = [] if own_layer else lower_lrn(model)
    done = write_out_lrn(model, why_not_native)
    if any(item.form for item in lowered) or any(item.reason for item in done):
        data = ir.to_proto(model).SerializeToString()
    others = tuple(_record(item) for item in done)
    if own_layer:
        return data, others
    records = (
        EngineLrn(name=name, form="written out", reason=SLOW_LAYER) if item.form else None
        for name, item in zip(names, lowered, strict=True)
    )
    return data, merge(tuple(records), others)


def merge(
    first: tuple[EngineLrn | None, ...], others: tuple[EngineLrn, ...]
) -> tuple[EngineLrn, ...]:
    """One record for each LRN, in the graph's order: ``others`` are those that are None."""
    rest = iter(others)
    return tuple(item or next(rest) for item in first)


def _names(model: ir.Model) -> list[str]:
    nodes = (node for node in model.graph if node.op_type == "LRN" and node.domain == "")
    return [str(node.name or node.outputs[0].name) for node in nodes]


def _record(item: Legalized) -> EngineLrn:
    producer = item.output.producer()
    name = str(item.output.name if producer is None else producer.name)
    return EngineLrn(name=name, form="written out" if item.reason else "native", reason=item.reason)
