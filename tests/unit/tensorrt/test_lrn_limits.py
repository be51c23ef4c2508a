"""Our limits of TensorRT's LRN layer are those that its parser enforces."""

from __future__ import annotations

import numpy as np
import onnxruntime as ort
import pytest
from onnx import TensorProto

from lrn_deploy.errors import BadInputError
from lrn_deploy.lrn import LrnSpec, reference
from lrn_deploy.tensorrt.build import BuildRequest, build_engine
from lrn_deploy.tensorrt.flavor import Flavor
from lrn_deploy.tensorrt.graph import fit_graph
from lrn_deploy.tensorrt.lrn_limits import why_not_native
from tests.support.engine_graphs import lrn_model, network


def below(value: float) -> float:
    return float(np.nextafter(np.float32(value), np.float32(-np.inf)))


def above(value: float) -> float:
    return float(np.nextafter(np.float32(value), np.float32(np.inf)))


def edge(value: float) -> float:
    return float(np.float32(value))


EDGES = [
    *((LrnSpec(size), size % 2 == 1 and size <= 15) for size in (1, 2, 3, 4, 13, 14, 15, 16, 17)),
    *((LrnSpec(5, k=k), ok) for k, ok in ((edge(1e-5), True), (above(1e-5), True))),
    *((LrnSpec(5, k=k), False) for k in (below(1e-5), 0.0, -1.0)),
    *((LrnSpec(5, k=k), ok) for k, ok in ((edge(1e10), True), (below(1e10), True))),
    (LrnSpec(5, k=above(1e10)), False),
    *((LrnSpec(5, beta=b), ok) for b, ok in ((edge(0.01), True), (above(0.01), True))),
    *((LrnSpec(5, beta=b), False) for b in (below(0.01), 0.0, -0.75)),
    *((LrnSpec(5, beta=b), ok) for b, ok in ((edge(1e5), True), (below(1e5), True))),
    (LrnSpec(5, beta=above(1e5)), False),
    *((LrnSpec(5, alpha=a), True) for a in (edge(1e20), below(1e20), 0.0, edge(-1e20))),
    *((LrnSpec(5, alpha=a), ok) for a, ok in ((above(-1e20), True), (above(1e20), False))),
    (LrnSpec(5, alpha=below(-1e20)), False),
]


def parses(flavor: Flavor, graph: bytes) -> bool:
    network = flavor.create_network(flavor.start_builder())
    return bool(flavor.create_parser(network).parse(graph))


@pytest.mark.tensorrt
@pytest.mark.parametrize(("spec", "native"), EDGES, ids=str)
def test_limits_are_the_parsers(rtx: Flavor, spec: LrnSpec, native: bool) -> None:
    assert (why_not_native(spec, 4) == "") == native
    assert parses(rtx, lrn_model(spec)) == native


@pytest.mark.tensorrt
@pytest.mark.parametrize("rank", [3, 4, 5, 6])
def test_only_rank_4_is_native_although_the_parser_takes_more(rtx: Flavor, rank: int) -> None:
    shape = (2, 8, 3, 3, 2, 2)[:rank]
    assert (why_not_native(LrnSpec(5), rank) == "") == (rank == 4)
    assert parses(rtx, lrn_model(LrnSpec(5), shape)) == (rank >= 4)


@pytest.mark.tensorrt
@pytest.mark.parametrize(
    "spec",
    [LrnSpec(17), LrnSpec(4), LrnSpec(5, beta=0.005), LrnSpec(5, k=1e-6), LrnSpec(5, alpha=1e21)],
    ids=str,
)
def test_what_is_not_native_builds_written_out(rtx: Flavor, spec: LrnSpec) -> None:
    request = BuildRequest(targets=("sm89",), batch=(1, 2, 4))
    built = build_engine(rtx, network(spec=spec), request)
    (report,) = built.lrn
    assert (report.name, report.form) == ("norm", "written out")
    assert report.reason == why_not_native(spec, 4)
    assert "LRN" not in {layer.type for layer in built.layers}


@pytest.mark.parametrize("shape", [(2, 20, 3), (2, 20, 3, 3), (2, 20, 2, 3, 2)])
@pytest.mark.parametrize("size", [2, 4, 16, 17])
def test_written_out_equals_the_definition_with_onnxs_window(
    size: int, shape: tuple[int, ...]
) -> None:
    spec = LrnSpec(size, alpha=1.0, beta=0.75, k=1.0)
    data, (report,) = fit_graph(lrn_model(spec, ("batch", *shape[1:])), "tensorrt", ("current",))
    assert report.form == "written out"
    x = np.random.default_rng(size).normal(size=shape).astype(np.float32)
    (y,) = ort.InferenceSession(data, providers=["CPUExecutionProvider"]).run(None, {"x": x})
    np.testing.assert_allclose(y, reference(x, spec, "onnx"), rtol=1e-5)


def test_fp16_is_written_out_in_fp32_so_that_large_squares_do_not_overflow() -> None:
    spec = LrnSpec(17, alpha=1.0, beta=0.75, k=1.0)
    data, _ = fit_graph(lrn_model(spec, dtype=TensorProto.FLOAT16), "tensorrt", ("current",))
    x = np.full((2, 20, 3, 3), 1000, np.float16)  # the square is 1e6, fp16 ends at 65504
    (y,) = ort.InferenceSession(data, providers=["CPUExecutionProvider"]).run(None, {"x": x})
    assert y.dtype == np.float16
    np.testing.assert_allclose(y, reference(x, spec), rtol=1e-3)


def test_a_graph_that_fits_keeps_its_bytes() -> None:
    graph = network()
    data, (report,) = fit_graph(graph, "tensorrt", ("current",))
    assert data == graph
    assert (report.name, report.form, report.reason) == ("norm", "native", "")


def test_the_rank_is_inferred_where_the_graph_does_not_tell() -> None:
    _, (report,) = fit_graph(
        network(), "tensorrt", ("current",)
    )  # nothing but inputs and outputs has a shape there
    assert report.form == "native"


def test_no_onnx_model_is_refused() -> None:
    with pytest.raises(BadInputError, match="no ONNX model"):
        fit_graph(b"garbage", "tensorrt", ("current",))
