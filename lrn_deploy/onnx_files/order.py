"""The nodes of a graph in an order in which they can run, without those that lead to no output."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator

import onnx

from lrn_deploy.errors import BadInputError


def put_in_order(graph: onnx.GraphProto, weights: Collection[str]) -> int:
    """Sort the nodes of a graph, and drop those that no output needs, in place.

    Args:
        graph: Changed in place; its subgraphs stay as they are.
        weights: Names of the initialisers that were taken out of it.

    Returns:
        How many nodes were dropped.

    Raises:
        BadInputError: If a value is made twice or not at all, or the graph goes in a circle.
    """
    makers = _makers(graph, weights)
    given = {"", *weights, *_given(graph)}
    order: list[int] = []
    state: dict[int, bool] = {}  # False: being visited, True: done
    # Depth first without recursion: a network can be deeper than Python's stack.
    waiting: list[tuple[int, bool]] = []
    for value in graph.output:
        if value.name not in given:
            waiting.append((_maker(makers, value.name, "the graph's outputs name"), False))
    waiting.reverse()
    while waiting:
        at, ready = waiting.pop()
        if ready:
            state[at] = True
            order.append(at)
            continue
        if at in state:
            if not state[at]:
                raise _circle(graph.node[at])
            continue
        state[at] = False
        waiting.append((at, True))
        node = graph.node[at]
        for name in reads(node):
            if name in given:
                continue
            maker = _maker(makers, name, f"{described(node)} reads")
            if maker not in state:
                waiting.append((maker, False))
            elif not state[maker]:
                raise _circle(node)
    dropped = len(graph.node) - len(order)
    if dropped or order != sorted(order):
        kept = sorted(order) if _runs(graph, sorted(order), given) else order
        nodes = [onnx.NodeProto.FromString(graph.node[at].SerializeToString()) for at in kept]
        del graph.node[:]
        graph.node.extend(nodes)
    return dropped


def name_apart(graph: onnx.GraphProto) -> None:
    """Give each node that has another's name one of its own, in place; ONNX Runtime wants that."""
    seen = Counter(node.name for node in graph.node)
    for node in graph.node:
        if node.name and seen[node.name] > 1:
            node.name = f"{node.name}_{next(iter(node.output), '')}"


def reads(node: onnx.NodeProto) -> Iterator[str]:
    """Names of the values that a node reads, by its inputs or in graphs inside it."""
    yield from node.input
    for attribute in node.attribute:
        for graph in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
            inside = {
                *_given(graph),
                *(name for inner in graph.node for name in inner.output),
            }
            for inner in graph.node:
                yield from (name for name in reads(inner) if name not in inside)
            yield from (output.name for output in graph.output if output.name not in inside)


def described(node: onnx.NodeProto) -> str:
    """A node for a message: its operator and its name, or that of what it makes."""
    return f"{node.op_type} '{node.name or next(iter(node.output), '')}'"


def _given(graph: onnx.GraphProto) -> Iterator[str]:
    """Names of a graph's inputs and initialisers."""
    yield from (entry.name for entry in graph.input)
    yield from (tensor.name for tensor in graph.initializer)


def _makers(graph: onnx.GraphProto, weights: Collection[str]) -> dict[str, int]:
    """The number of the node that makes a value, by the value's name."""
    inputs = [entry.name for entry in graph.input]
    taken = {*weights, *_given(graph)}
    if len(set(inputs)) < len(inputs):
        raise BadInputError(
            "Two inputs of the graph have the same name.", "Export the network again."
        )
    makers: dict[str, int] = {}
    for at, node in enumerate(graph.node):
        for name in node.output:
            if name and (name in makers or name in taken):
                raise BadInputError(
                    f"The value '{name}' is made twice, by {described(node)} too.",
                    "Export the network again.",
                )
            makers[name] = at
    return makers


def _maker(makers: dict[str, int], name: str, who: str) -> int:
    if name not in makers:
        raise BadInputError(
            f"The file is incomplete: {who} '{name}', which nothing makes.",
            "Fetch or export it again.",
        )
    return makers[name]


def _circle(node: onnx.NodeProto) -> BadInputError:
    return BadInputError(
        f"The graph goes in a circle: {described(node)} needs its own result.",
        "Export the network again.",
    )


def _runs(graph: onnx.GraphProto, order: list[int], given: Collection[str]) -> bool:
    """Whether the nodes can run in the file's own order, which is then kept."""
    there = set(given)
    for at in order:
        node = graph.node[at]
        if not there.issuperset(reads(node)):
            return False
        there.update(node.output)
    return True
