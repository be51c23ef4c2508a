"""Where an LRN layer stands in a graph: all nodes between the two values that bound it.

A layer may be one ``LRN`` node, one between Reshapes, or written out in a dozen other operators
(:mod:`.lrn.legalize_lrn`), and passes may rewrite it again. What stays are the names
of its input and its output, which the bundle's manifest records.
"""

from __future__ import annotations

from collections.abc import Iterable

import onnx_ir as ir

from lrn_deploy.errors import BadInputError

Bounds = tuple[str, str]
"""Names of the value that enters an LRN layer and of the value that leaves it."""


def find_lrn_nodes(graph: ir.Graph, layers: Iterable[Bounds]) -> set[ir.Node]:
    """All nodes of all the LRN layers of a graph.

    Args:
        graph: The graph; its subgraphs are not searched.
        layers: The bounds of each layer.

    Raises:
        BadInputError: If the graph does not have such a layer.
    """
    values = {value.name: value for node in graph for value in node.outputs}
    found: set[ir.Node] = set()
    for entered, left in layers:
        if left not in values:
            raise BadInputError(
                f"The graph has no value '{left}', which should leave one of its LRN layers.",
                "It is not the graph that the bundle describes; export the bundle again.",
            )
        found |= _between(values[left], entered)
    return found


def _between(last: ir.Value, first: str) -> set[ir.Node]:
    """The nodes on all ways from the value called ``first`` to ``last``."""
    nodes: set[ir.Node] = set()
    reached = False
    waiting = [last]
    while waiting:
        value = waiting.pop()
        node = value.producer()
        if value.name == first:
            reached = True
        elif node is not None and node not in nodes:
            nodes.add(node)
            waiting.extend(value for value in node.inputs if value is not None)
    if not reached:
        raise BadInputError(
            f"The graph's value '{last.name}' does not come from '{first}', "
            "as it should for one of its LRN layers.",
            "It is not the graph that the bundle describes; export the bundle again.",
        )
    return nodes
