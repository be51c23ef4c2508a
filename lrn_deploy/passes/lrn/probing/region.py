"""What a graph computes of one value alone: all nodes between ``x`` and ``x / f(x)``.

An LRN, however it is written, divides x, or multiplies it, by what is computed of x and of
constants alone. This is told here from the graph, and most divisions and products are no LRN for
reasons that take no run: another value has a part in them, an operator of another trade does,
nothing is squared, or nothing could tell one channel's neighbours from the others.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import onnx_ir as ir

from lrn_deploy.passes.lrn.shape_values import constant

_WINDOWS = {"AveragePool", "Conv", "CumSum", "Einsum", "Gather", "Gemm", "MatMul", "Slice", "Split"}
"""Operators that can take some channels out of all; without one there is no window of channels."""
_SUMS = {"Add", "Div", "Mean", "Mul", "Neg", "Sub", "Sum"}
_REDUCES = {"ReduceMean", "ReduceSum", "ReduceSumSquare"}
_POWERS = {"Abs", "Exp", "Log", "Pow", "Reciprocal", "Sqrt"}
_MOVES = {"Cast", "Concat", "Expand", "Flatten", "GatherElements", "GatherND", "Identity", "If"}
_VIEWS = {"Pad", "Reshape", "Squeeze", "Transpose", "Unsqueeze"}
_SHAPES = {"Constant", "ConstantOfShape", "Shape", "Size"}
_CONDITIONS = {"And", "Equal", "Greater", "Less", "Mod", "Not", "Or", "Range", "Where"}
_KNOWN = _WINDOWS | _SUMS | _REDUCES | _POWERS | _MOVES | _VIEWS | _SHAPES | _CONDITIONS
"""What an LRN may be written in. A maximum, an activation or another operator rules it out."""
TELLING = _WINDOWS | _SUMS | _REDUCES | _POWERS - {"Abs"}
"""Operators that people know an LRN by; the others only move numbers."""
_ADDS = {"Add", "Mean", "Sub", "Sum"}
_SQUARE = 2
_KEEPS_NUMBERS = frozenset({"Cast", "Identity"})
MAX_NODES = 300
"""Without constants. An LRN of 63 channels in slices has 190."""


@dataclass(frozen=True)
class Region:
    """The nodes that make ``y`` of ``x`` and constants, and nothing else.

    Attributes:
        x: What enters it.
        y: What leaves it: the quotient.
        nodes: All of them, in an order in which they can run; the last one makes ``y``.
        numbers: What is computed of the numbers in x, ``y`` among it. What follows from the shape
            of x, as the target of a Reshape does, is not.
        constants: What is always the same and is read inside.
    """

    x: ir.Value
    y: ir.Value
    nodes: tuple[ir.Node, ...]
    numbers: frozenset[ir.Value]
    constants: tuple[ir.Value, ...]

    @property
    def exit_beside(self) -> ir.Value | None:
        """A value inside that is used outside too, or is an output of the graph; None without."""
        inside = set(with_inner(self.nodes))
        for node in self.nodes:
            for value in node.outputs:
                if value is self.y or value not in self.numbers:
                    continue
                if value.is_graph_output() or any(use.node not in inside for use in value.uses()):
                    return value
        return None

    @property
    def narrowed(self) -> ir.DataType | None:
        """The type below fp32 that numbers are cast to on the way; None without one."""
        for node in self.nodes:
            if node.op_type == "Cast" and not self.numbers.isdisjoint(node.outputs):
                to = ir.DataType(node.attributes["to"].as_int())
                if to not in (ir.DataType.FLOAT, ir.DataType.DOUBLE):
                    return to
        return None

    @property
    def may_be_lrn(self) -> bool:
        """Whether x is squared in it, channels are told apart, and no number decides anything."""
        carrying = [node for node in self.nodes[:-1] if not self.numbers.isdisjoint(node.outputs)]
        if any(node.op_type in _CONDITIONS for node in carrying):
            return False
        return any(self._squares(node) for node in carrying) and any(
            node.op_type in _WINDOWS for node in carrying
        )

    @property
    def adds_behind_power(self) -> bool:
        """Whether something is added to a power, as an epsilon is, which hides in k.

        Behind a power, a root, a logarithm or a reciprocal of a sum of squares an LRN multiplies
        and divides.
        """
        powers: set[ir.Value] = set()
        for node in self.nodes:
            read = read_by(node)
            if node.op_type in _ADDS and not powers.isdisjoint(read):
                return True
            if not powers.isdisjoint(read) or self._is_power(node):
                powers.update(node.outputs)
        return False

    def _is_power(self, node: ir.Node) -> bool:
        if not any(value in self.numbers for value in node.inputs):
            return False
        if node.op_type == "Pow":
            exponent = constant(node.inputs[1])
            return exponent is not None and bool((exponent != _SQUARE).any())
        if node.op_type == "Div":
            return node.inputs[1] in self.numbers
        return node.op_type in _POWERS - {"Abs"}

    def _squares(self, node: ir.Node) -> bool:
        if node.op_type in ("Pow", "ReduceSumSquare"):
            return True
        factors = [value for value in node.inputs if value is self.x or value in self.numbers]
        return node.op_type in ("Mul", "Einsum") and len(factors) == 2


def regions(node: ir.Node) -> Iterator[Region]:
    """The regions that end in a node and may be LRN, the smallest first.

    Args:
        node: Any node of a graph; only divisions and products have a region.
    """
    if node.domain or node.op_type not in ("Div", "Mul") or len(node.inputs) != 2:
        return
    one, other = node.inputs
    for x, by in ((one, other),) if node.op_type == "Div" else ((one, other), (other, one)):
        if x is None or by is None or by.producer() is None or by is x:
            continue
        for source in _sources(x):
            region = region_between(source, node)
            if region is not None:
                if region.may_be_lrn:
                    yield region
                break


def _sources(x: ir.Value) -> Iterator[ir.Value]:
    """A value, and what it is a copy of."""
    yield x
    node = x.producer()
    while node is not None and not node.domain and node.op_type in _KEEPS_NUMBERS:
        source = node.inputs[0]
        assert source is not None
        yield source
        node = source.producer()


def region_between(x: ir.Value, last: ir.Node) -> Region | None:
    """The nodes that compute the output of ``last`` of x and constants; None if more has a part."""
    order: dict[ir.Node, None] = {}
    constants: dict[ir.Value, None] = {}
    waiting = [(last, False)]
    seen = {last}
    while waiting:
        node, ready = waiting.pop()
        if ready:
            order[node] = None
            continue
        if node.domain or node.op_type not in _KNOWN or len(seen) > MAX_NODES:
            return None
        waiting.append((node, True))
        for value in read_by(node):
            if value is x:
                continue
            maker = value.producer()
            if maker is None:
                if value.const_value is None or value.is_graph_input():
                    return None
                constants[value] = None
            elif maker.op_type == "Constant":
                order[maker] = None
            elif maker not in seen:
                seen.add(maker)
                waiting.append((maker, False))
    numbers = {x}
    for node in order:
        if node.op_type not in ("Shape", "Size") and not numbers.isdisjoint(read_by(node)):
            numbers.update(node.outputs)
    y = last.outputs[0]
    if y not in numbers:
        return None
    return Region(x, y, tuple(order), frozenset(numbers - {x}), tuple(constants))


def read_by(node: ir.Node) -> list[ir.Value]:
    """All values of its graph that a node reads, those that its subgraphs read among them."""
    found = [value for value in node.inputs if value is not None]
    for attribute in node.attributes.values():
        if attribute.type == ir.AttributeType.GRAPH:
            inner = attribute.as_graph()
            own = set(inner.inputs) | set(inner.initializers.values())
            own.update(value for below in inner for value in below.outputs)
            read = [value for below in inner for value in read_by(below)]
            found.extend(value for value in (*read, *inner.outputs) if value not in own)
    return found


def with_inner(nodes: Iterable[ir.Node]) -> Iterator[ir.Node]:
    """Nodes and all that stand in their subgraphs."""
    for node in nodes:
        yield node
        for attribute in node.attributes.values():
            if attribute.type == ir.AttributeType.GRAPH:
                yield from with_inner(attribute.as_graph())
