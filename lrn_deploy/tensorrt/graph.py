"""A graph as a TensorRT had best be given it, and what became of its LRN layers.

What differs from the ONNX file is known of one TensorRT only, so it is done when an engine is
built, and the file stays one that every runtime can run.
"""

from __future__ import annotations

from collections.abc import Sequence

import onnx
import onnx_ir as ir

from lrn_deploy.bundle import EngineLrn
from lrn_deploy.errors import BadInputError
from lrn_deploy.passes.lrn.legalize_lrn import write_out_lrn
from lrn_deploy.passes.lrn.lower_lrn import lower_lrn
from lrn_deploy.passes.widen_products import widen_products
from lrn_deploy.tensorrt.flavor import FlavorName
from lrn_deploy.tensorrt.lrn_limits import record, why_not_native
from lrn_deploy.tensorrt.targets import TURING

# With 1.6.1 on an H200 an fp16 AlexNet takes 594 us at a batch of one with it, 305 us with sums of
# slices, which are joined into one kernel (benchmarks/results/gpu/h200-2).
SLOW_LAYER = "TensorRT for RTX computes its own LRN layer as a pooling, which takes longer"

Records = tuple[EngineLrn, ...]


def fit_graph(
    graph: bytes,
    flavor: FlavorName,
    targets: Sequence[str],
    *,
    plugins: bool = False,
    lrn_layer: bool = True,
) -> tuple[bytes, Records]:
    """A graph that TensorRT takes, and computes as fast and as exactly as it can.

    LRN becomes our plugin if that is wanted; else TensorRT's own layer, where that can hold it and
    is not slow; else ordinary operators. TensorRT for RTX adds up fp16 matrix products in fp32,
    but for Turing, which has no such product.

    Args:
        graph: A serialised ONNX model.
        flavor: The TensorRT.
        targets: What is built for.
        plugins: Compute LRN with our plugins; full TensorRT only.
        lrn_layer: Leave LRN to TensorRT's own layer where that can hold it, else write it out.

    Returns:
        The graph, the same bytes if nothing had to be changed, and what became of each LRN node.

    Raises:
        BadInputError: If ``graph`` is no ONNX model.
        MissingError: If plugins are wanted and what they need is not there.
    """
    if plugins:
        from lrn_deploy.tensorrt.plugins import use_plugins

        graph, fused = use_plugins(graph)
        graph, others = _fit(graph, lrn_layer=lrn_layer, wide=False)
        return graph, merge(fused, others)
    return _fit(graph, lrn_layer=lrn_layer, wide=flavor == "rtx" and TURING not in targets)


def merge(first: tuple[EngineLrn | None, ...], others: Records) -> Records:
    """One record for each LRN, in the graph's order: ``others`` are those that are None."""
    rest = iter(others)
    return tuple(known or next(rest) for known in first)


def _fit(graph: bytes, *, lrn_layer: bool, wide: bool) -> tuple[bytes, Records]:
    try:
        model = ir.from_proto(onnx.load_model_from_string(graph))
    except Exception as error:  # protobuf and onnx_ir raise many kinds
        raise BadInputError(
            "The graph is no ONNX model that can be read.", "Export the bundle again."
        ) from error
    first = _lower(model) if not lrn_layer else None
    written = write_out_lrn(model, why_not_native)
    others = tuple(record(layer) for layer in written)
    lrn = others if first is None else merge(first, others)
    widened = widen_products(model) if wide else []
    if widened or any(layer.form != "native" for layer in lrn):
        graph = ir.to_proto(model).SerializeToString()
    return graph, lrn


def _lower(model: ir.Model) -> tuple[EngineLrn | None, ...]:
    """Write every LRN that can be as sums of slices; a record for each, None for one that stays."""
    nodes = [node for node in model.graph if node.op_type == "LRN" and node.domain == ""]
    names = [str(node.name or node.outputs[0].name) for node in nodes]
    return tuple(
        EngineLrn(name=name, form="written out", reason=SLOW_LAYER) if lowered.form else None
        for name, lowered in zip(names, lower_lrn(model), strict=True)
    )
