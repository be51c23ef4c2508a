"""NNCF's int8 graph: what it quantizes, what it must leave alone, and that it keeps quiet."""

from __future__ import annotations

import importlib.util
import logging
import os

import numpy as np
import onnx_ir as ir
import pytest

from lrn_deploy.errors import BadInputError, MissingError
from lrn_deploy.extras import install
from lrn_deploy.lrn import LrnSpec
from lrn_deploy.passes.lrn.lower_lrn import lower_lrn
from lrn_deploy.passes.lrn.lrn_blocks import find_lrn_nodes
from lrn_deploy.passes.quantization.quantize_nncf import quantize_nncf
from tests.support.precision_graphs import (
    Array,
    Chain,
    checked,
    distance,
    inputs,
    run,
    small_network,
)

installed = pytest.mark.skipif(
    importlib.util.find_spec("nncf") is None,
    reason="nncf is not installed",
)


def feeds(model: ir.Model, rows: int = 16) -> list[dict[str, Array]]:
    return [{"input": row[None]} for row in inputs(model, rows)]


@pytest.fixture(scope="module")
def quantized() -> tuple[ir.Model, list[tuple[str, str]]]:
    model, layers = small_network().build()
    return quantize_nncf(model, feeds(model), lrn_layers=layers), layers


@installed
def test_layers_are_int8_and_little_is_lost(
    quantized: tuple[ir.Model, list[tuple[str, str]]],
) -> None:
    model, _layers = quantized
    layers = [node for node in model.graph if node.op_type in ("Conv", "Gemm")]
    pairs = [node.inputs[1] for node in layers if node.inputs[1] is not None]
    assert len(pairs) == 3
    for value in pairs:
        maker = value.producer()
        assert maker is not None
        assert maker.op_type == "DequantizeLinear"
    original = small_network().build()[0]
    x = inputs(original, 16)
    # NNCF averages ranges, so normal noise, which has tails, is clipped; images have none.
    assert 1e-3 < distance(run(model, x), run(original, x)) < 5e-2


@installed
def test_lrn_stays_as_it_was_even_written_out(
    quantized: tuple[ir.Model, list[tuple[str, str]]],
) -> None:
    model, layers = quantized
    original, _ = small_network().build()

    def operators(graph: ir.Graph) -> list[list[str]]:
        return [sorted(node.op_type for node in find_lrn_nodes(graph, [one])) for one in layers]

    assert operators(model.graph) == operators(original.graph)
    assert operators(model.graph)[0] == ["LRN"]
    assert len(operators(model.graph)[1]) > 4
    assert [item.reason for item in lower_lrn(model.clone())] == [""]


@installed
def test_all_names_are_kept(quantized: tuple[ir.Model, list[tuple[str, str]]]) -> None:
    original, _ = small_network().build()
    names = {value.name for node in quantized[0].graph for value in node.outputs}
    assert {value.name for node in original.graph for value in node.outputs} <= names
    assert [value.name for value in quantized[0].graph.inputs] == ["input"]


@installed
def test_it_makes_the_same_bytes_again_is_quiet_and_sends_nothing(
    quantized: tuple[ir.Model, list[tuple[str, str]]], capfd: pytest.CaptureFixture[str]
) -> None:
    model, layers = small_network().build()
    again = quantize_nncf(model, feeds(model), lrn_layers=layers)
    assert checked(again) == checked(quantized[0])
    assert capfd.readouterr() == ("", "")
    assert "NNCF_CI" not in os.environ
    assert logging.getLogger("nncf").level == logging.CRITICAL
    from nncf.telemetry import telemetry
    from nncf.telemetry.wrapper import NNCFTelemetry

    assert not isinstance(telemetry, NNCFTelemetry)


@installed
def test_nothing_to_quantize_is_refused() -> None:
    model, layers = Chain().lrn(LrnSpec(5, 1e-4, 0.75, 2.0)).relu().build()
    with pytest.raises(BadInputError, match="no convolution or fully connected layer"):
        quantize_nncf(model, feeds(model), lrn_layers=layers)


@installed
def test_what_nncf_cannot_run_is_refused_with_its_words() -> None:
    model, layers = small_network().build()
    wrong = [{"input": np.zeros((1, 5, 8, 8), np.float32)}]
    with pytest.raises(BadInputError, match="NNCF cannot quantize the graph") as caught:
        quantize_nncf(model, wrong, lrn_layers=layers)
    assert "--quantizer own" in caught.value.hint


def test_without_nncf_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    model, layers = small_network().build()
    with pytest.raises(MissingError, match="NNCF is not installed") as caught:
        quantize_nncf(model, feeds(model), lrn_layers=layers)
    assert install("quantize") in caught.value.hint
