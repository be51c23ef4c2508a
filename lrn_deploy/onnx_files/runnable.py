"""The message of a file that a runtime computes rightly: its own, but for some of its LRN.

No runtime here takes an LRN of an even size as ONNX defines it: ONNX Runtime refuses it, and
OpenVINO computes one channel less. And ONNX Runtime takes rank 4 alone. In other operators, with
the window that ONNX says, both compute them.
"""

from __future__ import annotations

import onnx
import onnx_ir as ir

from lrn_deploy.errors import BadInputError
from lrn_deploy.lrn import LrnSpec
from lrn_deploy.onnx_files.reading import OnnxFile
from lrn_deploy.onnx_files.skeleton import Shapes, shapes, with_weights_as_inputs
from lrn_deploy.passes.lrn.legalize_lrn import write_out_lrn


def runnable(file: OnnxFile, *, weights: bool = True) -> onnx.ModelProto:
    """The message of a file for a runtime.

    Args:
        file: The file, as it was judged.
        weights: With all weights; else the large ones stand as inputs, which is enough to ask a
            runtime whether it takes the graph.

    Raises:
        BadInputError: If such an LRN is of unknown rank or channels.
    """
    whole = file.whole() if weights else with_weights_as_inputs(file.model, file.weights)
    nodes = [node for node in whole.graph.node if node.op_type == "LRN"]
    known = _known(file) if nodes else {}
    if not any(_is_odd_one(node, known) for node in nodes):
        return whole
    model = ir.from_proto(whole)
    write_out_lrn(model, _why)
    return ir.to_proto(model)


def _known(file: OnnxFile) -> Shapes:
    try:
        return shapes(file.model, file.weights)
    except BadInputError:  # of old opsets they cannot all be inferred
        return {}


def _is_odd_one(node: onnx.NodeProto, known: Shapes) -> bool:
    even = any(attribute.name == "size" and attribute.i % 2 == 0 for attribute in node.attribute)
    return even or len(known.get(node.input[0], (1,) * 4)) != 4


def _why(spec: LrnSpec, rank: int) -> str:
    return "no runtime takes it" if spec.size % 2 == 0 or rank != 4 else ""
