"""The operator graph that the exporter writes for an LRN equals its float64 definition."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir
import onnxruntime as ort
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import TensorProto, checker, helper

from lrn_deploy.errors import BadInputError
from lrn_deploy.lrn import LrnSpec, reference
from lrn_deploy.parity.graph import single_lrn
from lrn_deploy.passes.lrn.legalize_lrn import (
    DOMAIN,
    OP_TYPE,
    Legalized,
    choose_form,
    legalize_lrn,
    reason_to_write_out,
    write_out_lrn,
)


def lrn_graph(spec: LrnSpec, shape: tuple[int | str, ...]) -> ir.Model:
    """A graph with one symbolic LRN node, as the exporter traces it."""
    x = ir.val("x", dtype=ir.DataType.FLOAT, shape=ir.Shape(shape))
    node = ir.node(
        OP_TYPE,
        [x],
        {"size": spec.size, "alpha": spec.alpha, "beta": spec.beta, "k": spec.k},
        domain=DOMAIN,
        name="norm",
        outputs=[ir.val("y", dtype=ir.DataType.FLOAT, shape=ir.Shape(shape))],
    )
    graph = ir.Graph([x], node.outputs, nodes=[node], opset_imports={"": 18, DOMAIN: 1}, name="g")
    return ir.Model(graph, ir_version=10)


def legalized(
    spec: LrnSpec, shape: tuple[int | str, ...]
) -> tuple[Legalized, ort.InferenceSession]:
    model = lrn_graph(spec, shape)
    (result,) = legalize_lrn(model)
    proto = ir.to_proto(model)
    checker.check_model(proto, full_check=True)
    assert {item.domain for item in proto.opset_import} == {""}
    session = ort.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    return result, session


def run(session: ort.InferenceSession, x: NDArray[np.float32]) -> NDArray[np.float64]:
    (y,) = session.run(None, {"x": x})
    return np.asarray(y, np.float64)


@st.composite
def cases(draw: st.DrawFn) -> tuple[LrnSpec, NDArray[np.float32]]:
    spec = LrnSpec(
        size=draw(st.integers(1, 16)),
        alpha=10 ** draw(st.floats(-6, 1)),
        beta=draw(st.floats(0.1, 2)),
        k=10 ** draw(st.floats(-1, 1)),
    )
    rank = draw(st.integers(3, 6))
    shape = (
        draw(st.integers(1, 3)),
        draw(st.integers(1, 20)),
        *(draw(st.integers(1, 4)) for _ in range(rank - 2)),
    )
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    x = rng.uniform(-100, 100, shape)
    if draw(st.booleans()):  # loud and quiet channels side by side
        x *= 10.0 ** rng.uniform(-4, 0, (1, shape[1], *(1,) * (rank - 2)))
    return spec, x.astype(np.float32)


@settings(max_examples=100, deadline=None)
@given(cases())
def test_equals_the_definition_within_1e_5(case: tuple[LrnSpec, NDArray[np.float32]]) -> None:
    spec, x = case
    _, session = legalized(spec, ("batch", *x.shape[1:]))
    np.testing.assert_allclose(run(session, x), reference(x, spec), rtol=1e-5, atol=1e-30)


@pytest.mark.parametrize(
    ("spec", "rank", "form"),
    [
        (LrnSpec(5, 1e-4, 0.75, 2.0), 4, "kept"),
        (LrnSpec(5, 1e-4, 0.75, 1.0), 4, "kept"),
        (LrnSpec(9, 1e-3, 0.75, 1.0), 4, "kept"),
        (LrnSpec(5, 1e-4, 0.75, 2.0), 3, "reshaped"),
        (LrnSpec(5, 1e-4, 0.75, 2.0), 5, "reshaped"),
        (LrnSpec(4, 1e-4, 0.75, 2.0), 4, "written out"),
        (LrnSpec(5, 0.0, 0.75, 2.0), 4, "written out"),
        (LrnSpec(5, -1e-4, 0.75, 2.0), 4, "written out"),
        (LrnSpec(5, 1e-4, 0.0, 2.0), 4, "written out"),
        (LrnSpec(5, 1e-4, 0.75, 0.0), 4, "written out"),
        (LrnSpec(5, 1.0, 0.75, 1.0), 4, "written out"),
    ],
)
def test_form_fits_what_the_runtimes_take(spec: LrnSpec, rank: int, form: str) -> None:
    chosen, reason = choose_form(spec, rank)
    assert chosen == form
    assert bool(reason) == (form != "kept")


@pytest.mark.parametrize("size", [2, 4, 6])
def test_even_window_is_pytorchs_and_not_onnxs(size: int) -> None:
    spec = LrnSpec(size, alpha=1.0, beta=1.0, k=1.0)
    x = np.random.default_rng(0).normal(size=(2, 9, 3, 3)).astype(np.float32)
    _, session = legalized(spec, ("batch", 9, 3, 3))
    np.testing.assert_allclose(run(session, x), reference(x, spec, "torch"), rtol=1e-5)
    assert np.abs(run(session, x) - reference(x, spec, "onnx")).max() > 0.01


@pytest.mark.parametrize("alpha", [0.0, -0.01])
@pytest.mark.parametrize("beta", [-0.5, 0.0, 0.75])
def test_parameters_that_onnx_runtime_refuses(alpha: float, beta: float) -> None:
    spec = LrnSpec(5, alpha, beta, k=2.0)
    x = np.random.default_rng(1).normal(size=(2, 7, 3, 3)).astype(np.float32)
    _, session = legalized(spec, ("batch", 7, 3, 3))
    np.testing.assert_allclose(run(session, x), reference(x, spec), rtol=1e-5)


def test_spatial_axes_may_be_dynamic() -> None:
    for spec in (LrnSpec(4), LrnSpec(5)):
        _, session = legalized(spec, ("batch", 6, "length"))
        for length in (1, 5):
            x = np.random.default_rng(2).normal(size=(3, 6, length)).astype(np.float32)
            np.testing.assert_allclose(run(session, x), reference(x, spec), rtol=1e-5)


def test_infinity_stays_inside_its_window_when_written_out() -> None:
    spec = LrnSpec(5, alpha=1.0)
    x = np.ones((1, 20, 2, 2), np.float32)
    x[0, 10] = np.inf
    result, session = legalized(spec, ("batch", 20, 2, 2))
    assert result.form == "written out"
    touched = ~np.isclose(run(session, x), reference(np.ones_like(x), spec), rtol=1e-5)
    assert set(np.nonzero(touched.any(axis=(0, 2, 3)))[0]) == set(spec.window(10, 20))


def test_names_of_input_and_output_are_kept() -> None:
    for spec, shape in (
        (LrnSpec(5), ("b", 8, 3, 3)),
        (LrnSpec(5), ("b", 8, 3)),
        (LrnSpec(4), ("b", 8, 3)),
    ):
        result, session = legalized(spec, shape)
        assert (result.input.name, result.output.name) == ("x", "y")
        assert session.get_outputs()[0].name == "y"


@pytest.mark.parametrize("shape", [("b", 8), ("b", "c", 3, 3)])
def test_unknown_channels_and_low_ranks_are_refused(shape: tuple[Any, ...]) -> None:
    with pytest.raises(BadInputError, match="rank must be at least 3"):
        legalize_lrn(lrn_graph(LrnSpec(5), shape))


@pytest.mark.parametrize(("gain", "form"), [(1e-3, "kept"), (3e-3, "written out")])
def test_a_bare_node_is_kept_as_long_as_kernels_are_right_to_1e_5(gain: float, form: str) -> None:
    spec = LrnSpec(5, gain / 0.75, 0.75, 1.0)
    x = 100 * np.random.default_rng(0).normal(size=(8, 96, 6, 6)).astype(np.float32)
    truth = reference(x, spec)
    bare = ort.InferenceSession(single_lrn(spec).SerializeToString())
    (y,) = bare.run(None, {"x": x})
    assert (np.abs(y / truth - 1).max() < 1e-5) == (form == "kept")
    result, session = legalized(spec, ("batch", 96, 6, 6))
    assert result.form == form
    assert np.abs(run(session, x) / truth - 1).max() < 1e-5


def standard(
    shape: tuple[int | str, ...] | None, *, kind: int = TensorProto.FLOAT, **attributes: Any
) -> ir.Model:
    """A graph of one standard LRN node, named "norm", behind a node that changes nothing."""
    nodes = [
        helper.make_node("Identity", ["x"], ["entered"]),
        helper.make_node("LRN", ["entered"], ["left"], "norm", **attributes),
        helper.make_node("Identity", ["left"], ["y"]),
    ]
    made = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", kind, shape)],
        [helper.make_tensor_value_info("y", kind, shape)],
    )
    return ir.from_proto(
        helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    )


def opened(model: ir.Model) -> ort.InferenceSession:
    data = ir.to_proto(model).SerializeToString()
    checker.check_model(data, full_check=True)
    return ort.InferenceSession(data, providers=["CPUExecutionProvider"])


def test_a_standard_node_is_written_out_where_a_runtime_cannot_take_it() -> None:
    asked: list[tuple[LrnSpec, int]] = []

    def why(spec: LrnSpec, rank: int) -> str:
        asked.append((spec, rank))
        return "it is even" if spec.size % 2 == 0 else ""

    for size, form in ((4, "written out"), (5, "kept")):
        model = standard(("n", 8, 3, 3), size=size)
        model.graph[1].metadata_props["module"] = "norm1"
        (done,) = write_out_lrn(model, why)
        # What a node does not say are ONNX's defaults.
        assert (done.spec.size, done.spec.beta, done.spec.k) == (size, 0.75, 1.0)
        assert done.spec.alpha == pytest.approx(1e-4)
        assert asked[-1] == (done.spec, 4)
        assert done.form == form
        assert (done.input.name, done.output.name) == ("entered", "left")
        assert [node.op_type for node in model.graph].count("LRN") == (form == "kept")
        assert {node.metadata_props.get("module") for node in list(model.graph)[1:-1]} == {"norm1"}
    assert (done.reason, done.convention) == ("", "torch")


@pytest.mark.parametrize(
    ("kind", "dtype", "rtol"),
    [
        (TensorProto.FLOAT, np.float32, 1e-6),
        (TensorProto.FLOAT16, np.float16, 2e-3),
        (TensorProto.DOUBLE, np.float64, 1e-6),
    ],
)
def test_it_is_written_out_with_onnxs_window_in_fp32(kind: int, dtype: Any, rtol: float) -> None:
    attributes = {"size": 4, "alpha": 0.5, "beta": 0.5, "bias": 2.0}
    model = standard(("n", 7, 3, 2), kind=kind, **attributes)
    (done,) = write_out_lrn(model, lambda _spec, _rank: "why")
    assert (done.reason, done.convention) == ("why", "onnx")
    assert done.spec == LrnSpec(4, 0.5, 0.5, 2.0)
    x = np.random.default_rng(0).normal(0, 3, (2, 7, 3, 2)).astype(dtype)
    (y,) = opened(model).run(None, {"x": x})
    assert np.asarray(y).dtype == dtype
    np.testing.assert_allclose(y, reference(x, LrnSpec(4, 0.5, 0.5, 2.0), "onnx"), rtol=rtol)
    if dtype is np.float16:  # 300 * 300 is beyond fp16
        (y,) = opened(model).run(None, {"x": np.full((1, 7, 3, 2), 300, np.float16)})
        assert (np.asarray(y) > 0).all()


def test_a_shape_that_cannot_be_told_is_refused() -> None:
    with pytest.raises(BadInputError, match="rank must be at least 3"):
        write_out_lrn(standard(None, size=3), lambda _spec, _rank: "")


def cross_map(spec: LrnSpec, channels: int) -> tuple[Legalized, ir.Model]:
    model = lrn_graph(spec, ("batch", channels, 3, 2))
    (node,) = model.graph
    node.attributes["convention"] = ir.AttrString("convention", "cross-map")
    (done,) = legalize_lrn(model)
    return done, model


@pytest.mark.parametrize(
    ("size", "channels", "differs"), [(5, 12, 3), (1, 2, 1), (4, 9, 3), (9, 5, None), (5, 3, None)]
)
def test_cross_map_is_written_out_from_where_it_is_no_lrn(
    size: int, channels: int, differs: int | None
) -> None:
    spec = LrnSpec(size, 1e-4, 0.75, 2.0)
    done, model = cross_map(spec, channels)
    x = np.random.default_rng(0).normal(0, 300, (2, channels, 3, 2)).astype(np.float32)
    truth = reference(x, spec, "cross-map")
    np.testing.assert_allclose(run(opened(model), x), truth, rtol=2e-6)
    if differs is None:
        assert (done.convention, done.form, done.reason) == ("torch", "kept", "")
    else:
        assert (done.convention, done.form) == ("cross-map", "written out")
        assert f"from channel {differs} on it is no LRN" in done.reason


def test_the_layers_of_a_graph_are_told_in_its_order() -> None:
    model = lrn_graph(LrnSpec(5), ("b", 8, 3, 3))
    first = model.graph[0]
    y = ir.val("z", dtype=ir.DataType.FLOAT, shape=ir.Shape(["b", 8, 3, 3]))
    attributes = dict(first.attributes) | {"size": ir.AttrInt64("size", 4)}
    second = ir.node(OP_TYPE, first.outputs, attributes, domain=DOMAIN, name="two", outputs=[y])
    model.graph.append(second)
    model.graph.outputs[:] = [y]
    assert [(done.spec.size, done.form) for done in legalize_lrn(model)] == [
        (5, "kept"),
        (4, "written out"),
    ]


@pytest.mark.parametrize(
    ("gain", "form"), [(1e-3, "kept"), (1.01e-3, "written out"), (2e-3, "written out")]
)
def test_the_gain_of_a_bare_node_is_alpha_times_beta_over_k(gain: float, form: str) -> None:
    assert choose_form(LrnSpec(5, gain * 4.0, 0.5, 2.0), 4)[0] == form


def test_an_even_size_is_told_with_what_is_wrong_with_it_in_its_convention() -> None:
    assert reason_to_write_out(LrnSpec(4), "onnx") == (
        "size 4 is even, which ONNX Runtime does not take"
    )
    assert "further to the right than PyTorch's" in reason_to_write_out(LrnSpec(4))
    assert reason_to_write_out(LrnSpec(5), "onnx") == reason_to_write_out(LrnSpec(5)) == ""
