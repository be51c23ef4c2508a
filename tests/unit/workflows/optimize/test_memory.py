"""What one variant saw of the calibration inputs the next one does not compute again."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx_ir as ir

from lrn_deploy.passes.quantization.observe import observe_ranges, serialize
from lrn_deploy.passes.quantization.qdq import Activations
from lrn_deploy.passes.quantization.quantize import quantize
from lrn_deploy.workflows.optimize.memory import Memory
from tests.support.precision_graphs import Array, Chain, inputs, run_all, small_network


class Counting:
    """Calibration on ``x`` that counts the outputs of each graph it runs."""

    def __init__(self, x: Array) -> None:
        self.x = x
        self.ran: list[int] = []

    def __call__(self, model: ir.Model) -> Iterator[dict[str, Array]]:
        self.ran.append(len(model.graph.outputs))
        for rows in np.split(self.x, 2):
            yield run_all(serialize(model), rows)


def chain() -> Chain:
    return Chain(3, 4).conv(4).add("Relu").conv(5)


def quantized(counting: Counting, memory: Memory | None, activations: Activations) -> bytes:
    model, lrn = small_network().build()
    evaluate = counting if memory is None else memory.around(counting, "these")
    quantize(model, evaluate, activations=activations, lrn_layers=lrn, outputs=False)
    return serialize(model)


def test_the_same_layers_are_seen_once_and_quantized_to_the_same_bytes() -> None:
    counting = Counting(inputs(small_network().build()[0]))
    memory = Memory()
    first = quantized(counting, memory, "uint8")
    ran = list(counting.ran)
    assert len(ran) == 2  # the ranges, and the shifts
    assert quantized(counting, memory, "uint8") == first == quantized(counting, None, "uint8")
    assert counting.ran[2:] == ran  # all by the one without a memory

    # Ranges are the same for another kind of activations; how far it shifts a layer is not.
    symmetric = quantized(counting, memory, "int8")
    assert counting.ran[4:] == [ran[1]]
    assert symmetric == quantized(counting, None, "int8") != first


def test_only_what_is_new_is_computed() -> None:
    counting = Counting(inputs(chain().build()[0]))
    memory = Memory()
    evaluate = memory.around(counting, "these")
    model, _ = chain().build()
    names = [str(node.outputs[0].name) for node in model.graph]
    few = observe_ranges(model, names[:1], evaluate)
    every = observe_ranges(model, names[:3], evaluate)
    assert counting.ran == [2, 4]
    assert every == observe_ranges(model, names[:3], counting)
    assert every[names[0]] == few[names[0]]


def test_other_inputs_are_other_numbers() -> None:
    model, _ = chain().build()
    (name,) = (str(value.name) for value in model.graph.inputs)
    x = inputs(model)
    memory = Memory()
    ranges = [
        observe_ranges(model, [name], memory.around(Counting(rows), digest))[name]
        for rows, digest in ((x, "these"), (2 * x, "those"), (x, "these"))
    ]
    assert ranges == [
        (float(x.min()), float(x.max())),
        (float(2 * x.min()), float(2 * x.max())),
        (float(x.min()), float(x.max())),
    ]
