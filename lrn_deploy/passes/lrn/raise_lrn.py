"""Pass ``raise_lrn``: an LRN that an exporter took apart, or a network wrote out -> one LRN node.

Before, as ``torch.onnx.export`` writes ``torch.nn.LocalResponseNorm`` (``dynamo=True``)::

    x -> Mul(x, x) -> Reshape(N, 1, C, H, W) -> Pad(channels) -> AveragePool(size, 1, 1) -> Squeeze
      -> Mul(alpha) -> Add(k) -> Pow(beta) -> Div(x, .) -> y

After::

    x -> LRN(size, alpha, beta, bias=k) -> y

There are dozens of other ways to write it: the TorchScript exporter's, with shapes and pads that
are computed by two dozen nodes and an ``If``; slices that are added, convolutions, running sums; a
product with a power of -beta, with square roots, or with exp and log; channels on the last axis;
other ranks. An LRN is proven in one of two ways:

``structure``
    The operators are read: a pool or a sum of the squares' channels, and what is done with it
    (:mod:`.lrn.structure`). Shapes are evaluated, however they are computed, and nothing is run.
``probes``
    Where that proves nothing, the nodes that make y of x and of constants alone are cut out and run
    in ONNX Runtime on planted inputs, and the parameters, the window and the axis of the channels
    measured (:mod:`.lrn.probing`). Few nodes of few networks come so far: something is squared in
    them, channels are told apart, and no operator is one that an LRN never needs.

Requires: a well-formed graph (others are left as they are); x of known shape, in fp32.
Ensures: the names of x and y are kept. Left as the network writes it, but told with its parameters,
is what :func:`.lrn.legalize_lrn.reason_to_write_out` would not have as a bare LRN node: even sizes,
of PyTorch's window or of ONNX's, and parameters that runtimes refuse or compute badly. So is an LRN
of which a value inside is used elsewhere. What only looks like LRN is left alone and told with the
reason.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import onnx_ir as ir
from onnx_ir.passes import common as ir_passes

from lrn_deploy import extras
from lrn_deploy.errors import BadInputError
from lrn_deploy.lrn import Convention, LrnSpec
from lrn_deploy.passes.lrn.legalize_lrn import reason_to_write_out
from lrn_deploy.passes.lrn.lrn_node import put_lrn
from lrn_deploy.passes.lrn.pooled_channels import NotLrnError, NotProvenError
from lrn_deploy.passes.lrn.probing.measure import Measured, measured
from lrn_deploy.passes.lrn.probing.region import TELLING, Region, region_between, regions
from lrn_deploy.passes.lrn.probing.run_region import (
    CannotRunError,
    RegionRun,
    TooLargeError,
    can_run,
    probing_shapes,
)
from lrn_deploy.passes.lrn.shape_values import UnknownShapeError
from lrn_deploy.passes.lrn.structure import (
    Proven,
    Quotient,
    may_be_proven,
    prove,
    spec_of_window,
)
from lrn_deploy.passes.lrn.well_formed import is_well_formed

Proof = Literal["structure", "probes"]

_MIN_RANK = 3
_NO_RUNTIME = "what its operators compute is found out where ONNX Runtime is installed ({})"


@dataclass(frozen=True)
class Raised:
    """What became of what looked like an LRN.

    Attributes:
        spec: Its parameters; None if it is not proven to be an LRN.
        reason: Why it is not one LRN node now; empty if it is.
        operators: What it was written in, in graph order, each operator once.
        node: What makes its output now: the LRN node, or the division or product.
        proof: What proves it to be one, or to be none: its ``structure``, or ``probes``; None where
            nothing does.
        operand: Which input of the node is the value that enters it.
        convention: Which channels the size means in ``spec``, which only even sizes tell apart.
    """

    spec: LrnSpec | None
    reason: str
    operators: tuple[str, ...]
    node: ir.Node
    proof: Proof | None = "structure"
    operand: int = 0
    convention: Convention = "torch"

    @property
    def x(self) -> ir.Value:
        """The value that enters it."""
        value = self.node.inputs[self.operand]
        assert value is not None
        return value

    @property
    def input(self) -> str:
        """Name of the value that enters it."""
        return str(self.x.name)

    @property
    def output(self) -> str:
        """Name of the value that leaves it."""
        return str(self.node.outputs[0].name)

    @property
    def proven_from(self) -> str:
        """What it was proven from and how: ``Mul/Conv/Add/Pow/Div by structure``."""
        return f"{'/'.join(self.operators)} by {self.proof}"


def raise_lrn(model: ir.Model) -> list[Raised]:
    """Raise every LRN of a graph in place; see the module's docstring.

    Args:
        model: Changed in place if it has an LRN to raise; nodes without a use are removed then.
            Its subgraphs and functions are not searched.

    Returns:
        What became of each division or product that looks like an LRN, in graph order.
    """
    if not any(_is_worth_a_look(node) for node in model.graph) or not is_well_formed(model.graph):
        return []
    ir_passes.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model)
    ir_passes.ShapeInferencePass()(model)
    done = []
    for node in list(model.graph):
        known = _by_structure(model, node)
        item = known
        if known is None or known.spec is None:
            item = _by_probes(model, node, known)
        if item is not None:
            done.append(item)
    if any(raised.spec is not None and not raised.reason for raised in done):
        _remove_unused(model.graph)
        ir_passes.RemoveUnusedNodesPass()(model)
    return done


def _is_worth_a_look(node: ir.Node) -> bool:
    """Whether a node needs the shapes of the graph, which take time, to be told from an LRN."""
    if any(regions(node)):
        return True
    x = node.inputs[0] if may_be_proven(node) else None
    return x is not None and region_between(x, node) is None


def _by_structure(model: ir.Model, node: ir.Node) -> Raised | None:
    """What became of a node whose operators are those of an LRN or nearly so; else None."""
    quotient = Quotient.of(node)
    if quotient is None:
        return None
    try:
        proven = prove(quotient)
    except (NotProvenError, UnknownShapeError) as error:
        return Raised(None, str(error), (), node, proof=None)
    except (NotLrnError, BadInputError) as error:
        return Raised(None, str(error), (), node)
    region = None if proven is None else region_between(quotient.x, node)
    if proven is None or region is None:
        return None
    return _raise(model.graph, region, proven, 1, "structure")


def _by_probes(model: ir.Model, node: ir.Node, known: Raised | None) -> Raised | None:
    """What became of a node whose region was run, or else what was known of it."""
    for region in regions(node):
        reason = _reason_not_to_probe(region)
        if not reason and not can_run():
            said = (known.reason,) if known is not None else ()
            reason = "; ".join((*said, _NO_RUNTIME.format(extras.install("cpu"))))
            return Raised(None, reason, (), node, proof=None)
        if not reason:
            try:
                found = _measured(model, region)
                if found is not None:
                    _require_fixed_channels(region.x, found.axis)
                    window = found.left, found.right
                    proven = spec_of_window(*window, found.alpha, found.beta, found.k)
                    return _raise(model.graph, region, proven, found.axis, "probes")
            except (NotLrnError, TooLargeError) as error:
                reason = str(error)
            except CannotRunError:
                pass  # what cannot run alone was not understood, which is no reason against it
        if reason and (known is None or known.proof is None):
            return Raised(None, reason, (), node, "probes")
    return known


def _reason_not_to_probe(region: Region) -> str:
    x = region.x
    if x.shape is None or len(x.shape) < _MIN_RANK:
        return ""
    if x.dtype not in (None, ir.DataType.FLOAT):
        return f"it computes in {x.dtype}, and only FLOAT is raised"
    if region.narrowed is not None:
        return f"it computes in {region.narrowed} on the way, and only FLOAT is raised"
    if region.adds_behind_power:
        return "something is added behind the power that it divides by"
    return ""


def _require_fixed_channels(x: ir.Value, axis: int) -> None:
    assert x.shape is not None
    if not isinstance(x.shape[axis], int):
        raise NotLrnError("the number of its channels is not fixed")


def _measured(model: ir.Model, region: Region) -> Measured | None:
    shapes = probing_shapes(region.x)
    if len(shapes[0]) < _MIN_RANK:
        return None
    opset = model.graph.opset_imports.get("", 1)
    return measured(RegionRun(region, opset=opset, ir_version=model.ir_version), *shapes)


def _raise(graph: ir.Graph, region: Region, proven: Proven, axis: int, proof: Proof) -> Raised:
    """Put an LRN node in the place of a region that is proven to be one, if a node is right."""
    spec, convention = proven
    node = region.nodes[-1]
    inside = {member for member in region.nodes if not region.numbers.isdisjoint(member.outputs)}
    types = [member.op_type for member in graph if member in inside and member.op_type in TELLING]
    operators = tuple(dict.fromkeys(types))
    reason = reason_to_write_out(spec, convention)
    if not reason and (beside := region.exit_beside) is not None:
        reason = f"'{beside.name}' inside it is used elsewhere too"
    if reason and (axis != 1 or region.x not in node.inputs):
        told = f"size {spec.size}, alpha {spec.alpha:g}, beta {spec.beta:g}, k {spec.k:g}"
        where = "its channels lie last" if axis != 1 else "it divides a copy of its input"
        return Raised(None, f"{where} ({told}), and {reason}", operators, node)
    if reason:
        operand = list(node.inputs).index(region.x)
        return Raised(spec, reason, operators, node, proof, operand, convention)
    return Raised(spec, "", operators, put_lrn(graph, node, region.x, spec, axis), proof)


def _remove_unused(graph: ir.Graph) -> None:
    """Remove nodes without a use; those inside an If would else go on using nodes of the graph."""
    for node in reversed(list(graph)):
        if any(value.uses() or value.is_graph_output() for value in node.outputs):
            continue
        for attribute in node.attributes.values():
            if attribute.type == ir.AttributeType.GRAPH:
                for inner in attribute.as_graph():
                    for at in range(len(inner.inputs)):
                        inner.replace_input_with(at, None)
        graph.remove(node, safe=True)
