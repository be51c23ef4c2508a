"""A lowered LRN equals the float64 definition, at least as closely as the runtime's own kernel."""

from __future__ import annotations

import functools
import itertools

import numpy as np
import onnx_ir as ir
import onnxruntime as ort
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import checker

from lrn_deploy.lrn import LrnSpec, reference
from lrn_deploy.passes.lrn.lower_lrn import Form, Lowered, lower_lrn

Floats = NDArray[np.float32]

ALEXNET = LrnSpec(5, 1e-4, 0.75, 2.0)
TWO_LAST_PLACES = 2 * float(np.finfo(np.float32).eps)
FORMS: tuple[Form, ...] = ("slices", "band")


def lrn_graph(
    spec: LrnSpec,
    shape: tuple[int | str, ...] | None,
    dtype: ir.DataType = ir.DataType.FLOAT,
    opset: int = 18,
) -> ir.Model:
    """Relu, LRN, Relu, so that the LRN's values are neither the graph's input nor its output."""
    x = ir.val("x", dtype=dtype, shape=None if shape is None else ir.Shape(shape))
    attributes = {"size": spec.size, "alpha": spec.alpha, "beta": spec.beta, "bias": spec.k}
    before = ir.node("Identity", [x], outputs=[ir.Value(name="entered")])
    norm = ir.node("LRN", before.outputs, attributes, outputs=[ir.Value(name="left")])
    after = ir.node("Identity", norm.outputs, outputs=[ir.val("y", dtype=dtype, shape=x.shape)])
    nodes = [before, norm, after]
    graph = ir.Graph([x], after.outputs, nodes=nodes, opset_imports={"": opset}, name="g")
    return ir.Model(graph, ir_version=10)


def session(model: ir.Model) -> ort.InferenceSession:
    proto = ir.to_proto(model)
    checker.check_model(proto, full_check=True)
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    return ort.InferenceSession(
        proto.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def run(model: ir.Model, x: Floats) -> NDArray[np.float64]:
    (y,) = session(model).run(None, {"x": x})
    return np.asarray(y, np.float64)


def lowered(spec: LrnSpec, channels: int, form: Form = "slices") -> tuple[ir.Model, Lowered]:
    model = lrn_graph(spec, ("batch", channels, "height", "width"))
    (result,) = lower_lrn(model, form)
    return model, result


def operators(model: ir.Model) -> list[str]:
    return [node.op_type for node in model.graph]


@st.composite
def cases(draw: st.DrawFn) -> tuple[LrnSpec, Floats]:
    spec = LrnSpec(
        size=2 * draw(st.integers(0, 10)) + 1,
        alpha=10 ** draw(st.floats(-6, 1)),
        beta=draw(st.one_of(st.integers(1, 9).map(lambda n: n / 4), st.floats(0.1, 2.5))),
        k=10 ** draw(st.floats(-1, 1)),
    )
    shape = (draw(st.integers(1, 3)), draw(st.integers(1, 24)), 2, draw(st.integers(1, 3)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    x = 10.0 ** draw(st.integers(-3, 4)) * rng.standard_normal(shape)
    if draw(st.booleans()):  # loud and quiet channels side by side
        x *= 10.0 ** rng.uniform(-4, 0, (1, shape[1], 1, 1))
    return spec, x.astype(np.float32)


@settings(max_examples=60)
@given(cases(), st.sampled_from(FORMS))
@example(
    (LrnSpec(1, 1.0, 2.0433124206489235, 1.0), np.float32([[[[3455.842], [8216.182]]]])), "slices"
)
def test_equals_the_definition_within_2e_6(case: tuple[LrnSpec, Floats], form: Form) -> None:
    spec, x = case
    model, result = lowered(spec, x.shape[1], form)
    assert (result.form, result.reason) == (form, "")
    y = reference(x, spec)
    # A power that is computed by exp(beta * log) is off by half a last place of that exponent.
    exponent = np.log(np.abs(x[y != 0] / y[y != 0]).max(initial=1.0))
    rtol = max(2e-6, (exponent + 4) * 2**-24)
    np.testing.assert_allclose(run(model, x), y, rtol=rtol, atol=1e-30)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("spec", [ALEXNET, LrnSpec(5, 1e-4, 0.75, 1.0), LrnSpec(5, 1e-4, 0.6, 2.0)])
@pytest.mark.parametrize(("amplitude", "gain"), [(1e2, 1), (1e3, 4), (1e4, 10)])
def test_is_more_accurate_than_the_kernel_where_lrn_acts(
    form: Form, spec: LrnSpec, amplitude: float, gain: float
) -> None:
    ours, kernel = _worst_errors(form, spec, amplitude)
    assert gain * ours <= kernel


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("amplitude", [1e-3, 1e-2, 1e-1, 1.0, 10.0])
def test_is_as_accurate_as_the_kernel_elsewhere(form: Form, amplitude: float) -> None:
    for k in (1.0, 2.0):
        ours, kernel = _worst_errors(form, LrnSpec(5, 1e-4, 0.75, k), amplitude)
        assert ours <= max(kernel, TWO_LAST_PLACES)


def _worst_errors(form: Form, spec: LrnSpec, amplitude: float) -> tuple[float, float]:
    """Largest relative error of the lowered LRN, and of the runtime's own kernel."""
    x, truth, kernel = _of_kernel(spec, amplitude)
    return _worst(run(lowered(spec, 96, form)[0], x), truth), kernel


@functools.cache
def _of_kernel(spec: LrnSpec, amplitude: float) -> tuple[Floats, NDArray[np.float64], float]:
    rng = np.random.default_rng(3)
    channels = 10.0 ** rng.uniform(-2, 0, (1, 96, 1, 1))
    x = amplitude * rng.standard_normal((2, 96, 27, 27))
    x[1:] = np.maximum(x[1:], 0) * channels
    x = x.astype(np.float32)
    truth = reference(x, spec)
    return x, truth, _worst(run(lrn_graph(spec, ("n", 96, "h", "w")), x), truth)


def _worst(y: NDArray[np.float64], truth: NDArray[np.float64]) -> float:
    nonzero = truth != 0
    return float(np.abs(y[nonzero] / truth[nonzero] - 1).max())


@pytest.mark.parametrize("size", [1, 3, 5, 7, 9])
def test_what_is_not_finite_stays_inside_its_window(size: int) -> None:
    spec = LrnSpec(size, 1e-4, 0.75, 2.0)
    places = list(itertools.product((np.inf, -np.inf, np.nan), (0, 1, 10, 19)))
    x = np.ones((len(places), 20, 2, 2), np.float32)
    clean = reference(x, spec)
    for image, (bad, channel) in zip(x, places, strict=True):
        image[channel, 0, 0] = bad
    with np.errstate(all="ignore"):
        truth = reference(x, spec)
    y = run(lowered(spec, 20)[0], x)
    np.testing.assert_allclose(y, truth, rtol=1e-6)  # NaN and infinities at the same places
    touched = ~np.isclose(y, clean, rtol=1e-6)
    assert {tuple(at) for at in np.argwhere(touched)} == {
        (row, at, 0, 0)
        for row, (_, channel) in enumerate(places)
        for at in spec.window(channel, 20)
    }


def test_the_band_does_not_contain_them() -> None:
    x = np.ones((1, 96, 2, 2), np.float32)
    x[0, 10, 0, 0] = np.inf
    y = run(lowered(ALEXNET, 96, "band")[0], x)
    assert np.isnan(y[0, :, 0, 0]).sum() > len(ALEXNET.window(10, 96))


def test_alexnets_nodes_and_names() -> None:
    model, result = lowered(ALEXNET, 96)
    assert (result.input, result.output) == ("entered", "left")
    assert result.spec.size == 5
    assert " ".join(operators(model)[1:-1]) == (
        "Mul Pad Slice Slice Slice Add Slice Slice Add Add Mul Add Sqrt Mul Sqrt Div"
    )
    assert {"entered", "left"} <= {value.name for node in model.graph for value in node.outputs}
    band, _ = lowered(ALEXNET, 96, "band")
    assert operators(band)[1:-1] == ["Mul", "Conv", "Sqrt", "Mul", "Sqrt", "Div"]


@pytest.mark.parametrize(
    ("beta", "made_of"),
    [
        (0.25, ["Sqrt", "Sqrt", "Div"]),
        (0.5, ["Sqrt", "Div"]),
        (0.75, ["Sqrt", "Mul", "Sqrt", "Div"]),
        (1.0, ["Div"]),
        (1.25, ["Sqrt", "Sqrt", "Mul", "Div"]),
        (2.0, ["Mul", "Div"]),
        (2.25, ["Pow", "Div"]),
        (0.6, ["Pow", "Div"]),
    ],
)
def test_powers(beta: float, made_of: list[str]) -> None:
    model, _ = lowered(LrnSpec(1, 1.0, beta, 1.0), 4)
    assert operators(model)[4:-1] == made_of


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (lrn_graph(LrnSpec(4), ("n", 8, 3, 3)), "size 4 is even"),
        (lrn_graph(LrnSpec(5, beta=-0.75), ("n", 8, 3, 3)), "beta is -0.75"),
        (lrn_graph(LrnSpec(5), ("n", 8, 3)), "rank 3"),
        (lrn_graph(LrnSpec(5), ("n", "c", 3, 3)), "channels is not fixed"),
        (lrn_graph(LrnSpec(5), ("n", 8, 3, 3), ir.DataType.FLOAT16), "FLOAT16"),
        (lrn_graph(LrnSpec(5), ("n", 8, 3, 3), opset=12), "opset 12"),
        (lrn_graph(LrnSpec(5), None), "unknown"),
    ],
)
def test_what_is_not_covered_is_left_alone_and_said(model: ir.Model, reason: str) -> None:
    (result,) = lower_lrn(model)
    assert result.form is None
    assert reason in result.reason
    assert operators(model) == ["Identity", "LRN", "Identity"]


def test_several_layers_each_get_constants_of_their_own() -> None:
    x = ir.val("x", dtype=ir.DataType.FLOAT, shape=ir.Shape(["n", 8, 3, 3]))
    one = ir.node("LRN", [x], {"size": 5, "alpha": 0.1}, outputs=[ir.Value(name="one")])
    y = ir.val("y", dtype=ir.DataType.FLOAT, shape=x.shape)
    two = ir.node("LRN", one.outputs, {"size": 3, "beta": 0.5}, outputs=[y])
    graph = ir.Graph([x], [y], nodes=[one, two], opset_imports={"": 18}, name="g")
    model = ir.Model(graph, ir_version=10)
    assert [item.form for item in lower_lrn(model)] == ["slices", "slices"]
    values = np.random.default_rng(5).standard_normal((2, 8, 3, 3)).astype(np.float32)
    truth = reference(reference(values, LrnSpec(5, 0.1)), LrnSpec(3, beta=0.5))
    np.testing.assert_allclose(run(model, values), truth, rtol=1e-6)


def test_a_beta_of_zero_is_left_alone_and_said() -> None:
    model = lrn_graph(LrnSpec(5, 1e-4, 0.0, 2.0), (1, 8, 2, 2))
    (done,) = lower_lrn(model)
    assert (done.form, done.reason) == (None, "its beta is 0, and only positive ones are lowered")
    assert operators(model) == ["Identity", "LRN", "Identity"]


@pytest.mark.parametrize("form", FORMS)
def test_opset_13_is_new_enough(form: Form) -> None:
    x = np.random.default_rng(0).standard_normal((2, 8, 2, 3)).astype(np.float32)
    model = lrn_graph(ALEXNET, ("batch", 8, "height", "width"), opset=13)
    (done,) = lower_lrn(model, form)
    assert done.reason == ""
    np.testing.assert_allclose(run(model, x), reference(x, ALEXNET), rtol=2e-6)
    (old,) = lower_lrn(lrn_graph(ALEXNET, (1, 8, 2, 2), opset=12), form)
    assert "opset 12, and 13 or newer" in old.reason


@pytest.mark.parametrize("form", FORMS)
def test_every_new_node_says_which_layer_it_is_of(form: Form) -> None:
    model = lrn_graph(ALEXNET, (1, 8, 2, 2))
    model.graph[1].metadata_props["module"] = "features.norm1"
    lower_lrn(model, form)
    first, *new, last = model.graph
    assert {node.metadata_props.get("module") for node in new} == {"features.norm1"}
    assert not first.metadata_props
    assert not last.metadata_props
