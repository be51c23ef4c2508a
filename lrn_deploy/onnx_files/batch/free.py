"""A batch of a fixed size made any, where the graph proves that its rows stay apart.

Files of the zoo are written for a batch of one: so say their inputs, and so do their Reshapes, to
(1, 9216) for instance. Where each node works on each row alone (:mod:`.rows`), the target becomes
(0, -1), which is the same for every batch, and the input's first axis ``batch``. Where a node might
mix rows nothing is changed, and the reason told.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from lrn_deploy.errors import BadInputError
from lrn_deploy.onnx_files.batch.rows import RULES, MixesRowsError, Rows, dims
from lrn_deploy.onnx_files.skeleton import infer

BATCH = "batch"


def free_batch(model: ir.Model) -> str:
    """Make the first axis of every input dynamic, in place, if that is proven to be right.

    A first axis that is dynamic already stays so, under the name ``batch``.

    Args:
        model: Its inputs have known sizes behind the first axis.

    Returns:
        Why the batch stays as it is; empty if it is free.

    Raises:
        BadInputError: If the inputs have batches of several sizes, or one of more than one row
            that cannot be freed.
    """
    firsts = {value.shape[0] if value.shape else None for value in model.graph.inputs}
    sizes = {axis for axis in firsts if isinstance(axis, int)}
    if len(sizes) > 1 or (sizes and min(sizes) < 1):
        raise BadInputError(
            f"The inputs have batches of {sorted(sizes)} rows, which have nothing in common.",
            "Export the network with one batch for all of its inputs.",
        )
    batch = sizes.pop() if sizes else 1
    open_already = not any(isinstance(axis, int) for axis in firsts)
    _set_first(model.graph, batch)
    infer(model)
    try:
        carried, targets = _proven(model.graph, batch)
    except MixesRowsError as error:
        if open_already:  # the file says that it takes any batch, and validate tries it
            _set_first(model.graph, BATCH)
            infer(model)
            return ""
        if batch > 1:
            raise BadInputError(
                f"The graph is written for a batch of {batch}, which cannot be freed: {error}.",
                "Export the network for a batch of 1, or for any batch.",
            ) from error
        return str(error)
    for node, shape in targets.items():
        _retarget(model.graph, node, shape)
    _set_first(model.graph, BATCH)
    infer(model)
    for value in carried:  # of some operators it cannot be inferred that the axis is the same
        value.shape = ir.Shape([BATCH, *list(value.shape or ())[1:]])
    return ""


def _proven(graph: ir.Graph, batch: int) -> tuple[set[ir.Value], dict[ir.Node, tuple[int, ...]]]:
    """The values whose first axis is the batch, and what each Reshape that holds it makes.

    Raises:
        MixesRowsError: If a node may mix rows, or an output's first axis is not the batch.
    """
    carried = set(graph.inputs)
    rows = Rows(carried, batch)
    targets = {}
    for node in graph:
        if not any(value in carried for value in node.inputs):
            if node.op_type == "If":
                raise MixesRowsError(f"'{node.name}' is an If")
            continue
        rule = RULES.get(node.op_type)
        what = f"{node.op_type} '{node.name or node.outputs[0].name}'"
        if rule is None or node.domain:
            raise MixesRowsError(f"{what} is not known to treat each row alone")
        try:
            rule(node, rows)
            made = [value for value in node.outputs if value.name]
            if any(dims(value)[:1] != (batch,) for value in made):
                raise MixesRowsError("its result has no row for each of its input")
        except MixesRowsError as error:
            raise MixesRowsError(f"{what}: {error}") from error
        carried.update(made)
        if node.op_type == "Reshape":
            targets[node] = dims(node.outputs[0])
    loose = [value.name for value in graph.outputs if value not in carried]
    if loose:
        raise MixesRowsError(f"the output '{loose[0]}' does not depend on the input")
    return carried, targets


def _retarget(graph: ir.Graph, node: ir.Node, shape: tuple[int, ...]) -> None:
    """Let a Reshape copy the batch, and count what is behind it."""
    target = [0, *shape[1:-1], -1] if len(shape) > 1 else [0]
    name = f"{node.outputs[0].name}_shape_of_any_batch"
    values = ir.tensor(np.array(target, np.int64), name=name)
    new = ir.Value(name=name, const_value=values, shape=ir.Shape([len(target)]))
    new.type = ir.TensorType(ir.DataType.INT64)
    graph.register_initializer(new)
    node.replace_input_with(1, new)
    node.attributes.pop("allowzero", None)


def _set_first(graph: ir.Graph, axis: int | str) -> None:
    """Put ``axis`` first into the shapes of the inputs, and forget all shapes that follow."""
    for value in graph.inputs:
        assert value.shape is not None
        value.shape = ir.Shape([axis, *list(value.shape)[1:]])
    for node in graph:
        for output in node.outputs:
            output.shape = None
