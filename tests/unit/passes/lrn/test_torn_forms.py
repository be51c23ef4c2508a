"""LRN in every form that is known to be written is raised, with its parameters and its numbers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import checker

from lrn_deploy.lrn import LrnSpec, reference
from lrn_deploy.passes.lrn import raise_lrn as pass_
from lrn_deploy.passes.lrn.pooled_channels import NotLrnError
from lrn_deploy.passes.lrn.raise_lrn import Raised, raise_lrn
from tests.support.torn_lrn import torn
from tests.support.torn_parts import Torn

LAST = {"shape": (3, 2, 6), "last": True}
QUARTERS = {"beta": 0.75}
WINDOWS = [
    "pool",
    "pool pads",
    "slices",
    "slices one by one",
    "sum of slices",
    "conv",
    "conv with alpha",
    "conv3d",
    "conv1d",
    "einsum",
    "matmul",
    "cumsum",
    "unfold",
    "split",
]
FORMS = [
    *(Torn(window) for window in WINDOWS),
    *(Torn(window, **LAST) for window in [*WINDOWS, "pool of last"]),
    *(Torn(window, shape=(6, 7)) for window in WINDOWS),
    *(Torn(window, shape=(6, 2, 3, 2)) for window in WINDOWS if window != "conv3d"),
    *(Torn(window, shape=(7, 6), last=True) for window in ("pool", "slices", "matmul", "cumsum")),
    *(Torn(window, shape=(2, 2, 3, 6), last=True) for window in ("slices", "conv1d")),
    *(Torn("slices", power) for power in ("pow mul", "mul pow", "exp log", "reciprocal", "one by")),
    *(Torn("pool", power) for power in ("pow mul", "exp log", "reciprocal")),
    *(Torn("slices", power, beta=0.5) for power in ("sqrt", "rsqrt")),
    *(Torn("slices", power) for power in ("roots", "reciprocal roots")),
    *(Torn("pool", power) for power in ("roots", "reciprocal roots")),
    Torn("slices", "straight", beta=1.0),
    Torn("slices", "exp log", square="pow", **LAST),
    Torn("pool", square="pow"),
    Torn("conv", square="Abs"),
    *(
        Torn(window, opset=opset)
        for opset in (9, 11, 12, 13, 20)
        for window in ("pool", "slices", "conv1d")
    ),
    Torn("two pads", opset=9),
    Torn("two pads", opset=9, **LAST),
    Torn("cumsum", opset=11),
    Torn("slices", batch=1),
    Torn("conv", batch=3, shape=(6, 1, 1)),
    Torn("slices", left=0, right=0),
    Torn("conv1d", left=7, right=7, shape=(20, 2, 2)),
    Torn("pool", left=3, right=3, shape=(5, 3, 3)),
]


def of(how: Torn) -> str:
    faults = f"{how.left}+{how.right} " if (how.left, how.right) != (2, 2) else ""
    where = f"{how.shape}{' last' if how.last else ''}"
    return (
        f"{how.window}, {how.power}, {faults}{where}, opset {how.opset}, {how.square}, {how.batch}"
    )


def run(proto: onnx.ModelProto, x: NDArray[np.float32]) -> NDArray[np.float32]:
    session = ort.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(["y"], {"x": x, "other": x})[0])


def raised(how: Torn) -> tuple[list[Raised], onnx.ModelProto, onnx.ModelProto]:
    """What became of it, and the graph before and after."""
    before = torn(how)
    model = ir.from_proto(before)
    done = raise_lrn(model)
    return done, before, ir.to_proto(model)


def operators(proto: onnx.ModelProto) -> list[str]:
    return [node.op_type for node in proto.graph.node]


def planted(how: Torn, scale: float = 300.0) -> NDArray[np.float32]:
    """Values that make the LRN act."""
    batch = how.batch if isinstance(how.batch, int) else 2
    values = np.random.default_rng(0).normal(0, scale, (batch, *how.shape))
    return values.astype(np.float32)


def truth(how: Torn, x: NDArray[np.float32]) -> NDArray[np.float64]:
    spec = LrnSpec(how.size, how.alpha, how.beta, how.k)
    return np.moveaxis(reference(np.moveaxis(x, how.axis, 1), spec), 1, how.axis)


def test_there_are_as_many_forms_as_were_known() -> None:
    assert len({of(how) for how in FORMS}) == len(FORMS) >= 80


@pytest.mark.parametrize("how", FORMS, ids=of)
def test_every_form_is_raised(how: Torn) -> None:
    (item,), before, after = raised(how)
    assert (item.spec, item.reason) == (LrnSpec(how.size, how.alpha, how.beta, how.k), "")
    around = (["Transpose"] if how.last else []) + (["Reshape"] if len(how.shape) != 3 else [])
    assert operators(after) == [*around, "LRN", *reversed(around)]
    checker.check_model(after, full_check=True)
    x = planted(how)
    np.testing.assert_allclose(run(before, x), truth(how, x), rtol=1e-5)
    np.testing.assert_allclose(run(after, x), truth(how, x), rtol=1e-5)


def test_who_proved_it_is_said() -> None:
    (by_structure,), *_ = raised(Torn("conv"))
    assert by_structure.proven_from == "Mul/Conv/Add/Pow/Div by structure"
    (by_probes,), *_ = raised(Torn("cumsum", "exp log"))
    assert by_probes.proven_from == "Mul/CumSum/Slice/Sub/Add/Log/Exp by probes"


def test_the_record_is_of_the_node_itself_where_the_channels_were_last() -> None:
    (item,), _, after = raised(Torn("slices", **LAST))
    (lrn,) = [node for node in after.graph.node if node.op_type == "LRN"]
    assert (item.input, item.output) == (lrn.input[0], lrn.output[0])
    assert item.x.shape is not None
    assert list(item.x.shape)[1:] == [6, 3, 2]


@settings(max_examples=12, deadline=None)
@given(
    half=st.integers(0, 5),
    alpha=st.floats(1e-6, 1e-3),
    beta=st.floats(0.2, 1.5),
    k=st.floats(1, 4),
    window=st.sampled_from(["slices", "conv1d", "matmul", "cumsum", "unfold", "pool"]),
    power=st.sampled_from(["pow div", "pow mul", "exp log"]),
    pixels=st.lists(st.integers(1, 4), min_size=1, max_size=3),
    last=st.booleans(),
)
def test_any_parameters_are_found(
    half: int,
    alpha: float,
    beta: float,
    k: float,
    window: str,
    power: str,
    pixels: list[int],
    last: bool,
) -> None:
    if window == "cumsum":  # a running sum of single channels rounds by all the others
        half = max(half, 1)
    channels = 2 * half + 3
    shape = (*pixels, channels) if last else (channels, *pixels)
    alpha = min(alpha, 0.999e-3 * k / beta)  # at the limit itself its rounding decides
    how = Torn(window, power, shape, half, half, alpha, beta, k, last)
    (item,), before, after = raised(how)
    assert item.reason == ""
    assert item.spec is not None
    got = (item.spec.size, item.spec.alpha, item.spec.beta, item.spec.k)
    np.testing.assert_allclose(got, (how.size, alpha, beta, k), rtol=3e-6)
    x = planted(how)
    np.testing.assert_allclose(run(after, x), run(before, x), rtol=5e-5)


@settings(max_examples=10, deadline=None)
@given(
    sides=st.tuples(st.integers(0, 4), st.integers(0, 4)).filter(lambda pair: pair[0] != pair[1]),
    alpha=st.sampled_from([1e-4, 3e-4, 5e-5, 1e-6]),
    beta=st.sampled_from([0.5, 0.75, 0.9]),
    k=st.sampled_from([1.0, 2.0, 1.5]),
    window=st.sampled_from(["slices", "conv", "cumsum", "pool"]),
    power=st.sampled_from(["pow div", "pow mul"]),
)
@example((2, 3), 1e-4, 0.5, 1.0, "slices", "pow div").via("six times a sixth is not one in fp32")
def test_uneven_windows_stay_and_are_told_with_their_parameters(
    sides: tuple[int, int], alpha: float, beta: float, k: float, window: str, power: str
) -> None:
    left, right = sides
    how = Torn(window, power, (11, 2, 2), left, right, alpha, beta, k)
    (item,), before, after = raised(how)
    assert operators(after) == operators(before)
    if abs(left - right) == 1:  # PyTorch's even window, or ONNX's
        assert item.spec == LrnSpec(how.size, alpha, beta, k)
        assert item.convention == ("torch" if left > right else "onnx")
        assert item.spec.offsets(item.convention) == (-left, right)
        assert "is even" in item.reason
    else:
        assert item.spec is None
        told = f"{left} channels on one side and {right} on the other"
        assert told in item.reason
        assert f"alpha {alpha:g}, beta {beta:g}, k {k:g}" in item.reason


def test_parameters_that_no_node_computes_well_are_told() -> None:
    """TensorFlow's defaults: alpha 1 for every channel, so 11 for a window of 11."""
    how = Torn("slices", "pow mul", (15, 2, 2), 5, 5, 11.0, 0.5, 1.0)
    (item,), before, after = raised(how)
    assert item.spec == LrnSpec(11, 11.0, 0.5, 1.0)
    assert item.proof == "probes"
    assert "lose digits" in item.reason
    assert operators(after) == operators(before)
    (item,), *_ = raised(replace(how, shape=(2, 2, 15), last=True))
    assert item.spec is None
    assert "size 11, alpha 11, beta 0.5, k 1" in item.reason


def test_two_layers_in_one_graph_are_two() -> None:
    first = torn(Torn("slices", "exp log"))
    second = torn(Torn("conv1d", "pow mul", alpha=2e-4, beta=0.5, k=1.0))
    model = ir.from_proto(_chained(first, second))
    done = raise_lrn(model)
    assert [item.spec for item in done] == [LrnSpec(5, 1e-4, 0.75, 2), LrnSpec(5, 2e-4, 0.5, 1)]
    assert [node.op_type for node in model.graph] == ["LRN", "LRN"]


def _chained(first: onnx.ModelProto, second: onnx.ModelProto) -> onnx.ModelProto:
    """``second`` of what ``first`` makes."""
    joined = onnx.ModelProto()
    joined.CopyFrom(first)
    names = {"x": "between", "y": "y", "other": "other"}
    for node in joined.graph.node:
        node.output[:] = ["between" if name == "y" else name for name in node.output]
    for node in second.graph.node:
        added = joined.graph.node.add()
        added.CopyFrom(node)
        added.input[:] = [names.get(name, f"second_{name}") for name in node.input]
        added.output[:] = [names.get(name, f"second_{name}") for name in node.output]
    for tensor in second.graph.initializer:
        added_tensor = joined.graph.initializer.add()
        added_tensor.CopyFrom(tensor)
        added_tensor.name = f"second_{tensor.name}"
    return joined


def test_without_onnx_runtime_structure_still_proves_and_the_rest_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pass_, "can_run", lambda: False)
    (item,), _, after = raised(Torn("conv"))
    assert item.reason == ""
    assert operators(after) == ["LRN"]
    (item,), before, after = raised(Torn("cumsum"))
    assert item.spec is None
    assert "where ONNX Runtime is installed" in item.reason
    assert "cpu" in item.reason
    assert operators(after) == operators(before)
    (item,), *_ = raised(Torn("pool", shape=(6, 7)))
    assert "only rank 4 is proven; what its operators compute is found out" in item.reason


@pytest.mark.parametrize(
    ("how", "where"),
    [
        (Torn("slices", left=2, right=1, numerator="Identity"), "it divides a copy of its input"),
        (Torn("slices", left=2, right=1, **LAST), "its channels lie last"),
    ],
)
def test_an_even_window_that_no_record_can_say_is_told(how: Torn, where: str) -> None:
    (item,), before, after = raised(how)
    assert item.spec is None
    told = f"{where} (size 4, alpha 0.0001, beta 0.75, k 2), and size 4 is even"
    assert item.reason.startswith(told)
    assert operators(after) == operators(before)


def test_a_number_of_channels_that_is_not_fixed_is_told() -> None:
    proto = torn(Torn("conv"))
    for value in (*proto.graph.input, *proto.graph.output):
        value.type.tensor_type.shape.dim[1].dim_param = "channels"
    x = ir.from_proto(proto).graph.inputs[0]
    with pytest.raises(NotLrnError, match="the number of its channels is not fixed"):
        pass_._require_fixed_channels(x, 1)
    pass_._require_fixed_channels(x, 2)
    assert all(item.spec is None for item in raise_lrn(ir.from_proto(proto)))


@pytest.mark.parametrize("window", ["slices", "pool"])
def test_an_lrn_in_double_is_told_and_stays(window: str) -> None:
    proto = torn(Torn(window, "pow mul"))
    for value in (*proto.graph.input, *proto.graph.output):
        value.type.tensor_type.elem_type = onnx.TensorProto.DOUBLE
    for tensor in proto.graph.initializer:
        if tensor.data_type == onnx.TensorProto.FLOAT:
            array = onnx.numpy_helper.to_array(tensor).astype(np.float64)
            tensor.CopyFrom(onnx.numpy_helper.from_array(array, tensor.name))
    model = ir.from_proto(proto)
    (item,) = raise_lrn(model)
    assert (item.spec, item.proof) == (None, "probes")
    assert item.reason == "it computes in DOUBLE, and only FLOAT is raised"
    assert operators(ir.to_proto(model)) == operators(proto)


def test_two_axes_are_no_lrn() -> None:
    """Which takes pixels, were it only one."""
    model = ir.from_proto(torn(Torn("matmul", "exp log", shape=(6,), last=True)))
    before = [node.op_type for node in model.graph]
    assert raise_lrn(model) == []
    assert [node.op_type for node in model.graph] == before
