"""Old opsets: each graph gives the same numbers before and after, by runtimes that know both."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper, version_converter

from lrn_deploy.errors import BadInputError
from lrn_deploy.onnx_files import read
from tests.support.onnx_graphs import (
    Array,
    by_onnxruntime,
    by_openvino,
    model,
    node,
    save,
    zoo,
)

RNG = np.random.default_rng(3)
X = RNG.normal(0, 1, (1, 3, 10, 10)).astype(np.float32)
SMALL = RNG.normal(0, 1, (1, 4, 5, 6)).astype(np.float32)
CHANNELS = RNG.normal(0, 1, 4).astype(np.float32)
LINE = RNG.normal(0, 1, 6).astype(np.float32)


def after(path: Path, feeds: dict[str, Array]) -> list[Array]:
    made = ir.to_proto(read(path).model)
    onnx.checker.check_model(made, full_check=True)
    return by_onnxruntime(made.SerializeToString(), feeds)


@pytest.mark.parametrize("opset", [3, 6, 7, 8, 9])
def test_a_graph_of_the_zoo_computes_the_same_before_and_after(tmp_path: Path, opset: int) -> None:
    made = zoo(opset)
    path = save(tmp_path, made)
    before = by_openvino if opset < 7 else by_onnxruntime
    (expected,) = before(made.SerializeToString(), {"data": X})
    (got,) = after(path, {"data": X})
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)
    assert expected.std() > 0.05
    rows = np.concatenate([X, -X, 2 * X])
    (several,) = after(path, {"data": rows})
    np.testing.assert_allclose(several[:1], got, rtol=1e-6)
    assert several.shape == (3, 5)


def one(
    kind: str, opset: int, *, other: Array | None = None, **attributes: object
) -> onnx.ModelProto:
    """A file of one old node, of x and perhaps of a weight."""
    weights = {} if other is None else {"w": other}
    return model(
        [node(kind, "x w" if weights else "x", "y", **attributes)],
        {"x": [1, 4, 5, 6]},
        {"y": None},
        weights,
        opset=opset,
        ir_version=3,
        listed=True,
    )


def by_hand(x: Array) -> dict[str, tuple[onnx.ModelProto, Array]]:
    """Old nodes, and what they make of x by their definitions."""
    wide = CHANNELS[:, None, None]
    return {
        "Add with an axis": (one("Add", 6, other=CHANNELS, broadcast=1, axis=1), x + wide),
        "Add with an axis from the end": (
            one("Add", 6, other=CHANNELS, broadcast=1, axis=-3),
            x + wide,
        ),
        "Div by one number": (
            one("Div", 6, other=CHANNELS[:1], broadcast=1, axis=3),
            x / CHANNELS[0],
        ),
        "Add from the batch on": (
            one("Add", 6, other=CHANNELS[None], broadcast=1, axis=0),
            x + wide,
        ),
        "Mul at the end": (one("Mul", 6, other=x[0, 0, 0], broadcast=1), x * x[0, 0, 0]),
        "Sub in the middle": (
            one("Sub", 3, other=x[0, :, :, 0], broadcast=1, axis=1),
            x - x[0, :, :, 0][None, :, :, None],
        ),
        "PRelu": (one("PRelu", 6, other=CHANNELS), np.where(x < 0, x * wide, x)),
        "PRelu with a slope of three axes": (
            one("PRelu", 6, other=CHANNELS.reshape(4, 1, 1)),
            np.where(x < 0, x * wide, x),
        ),
        "PRelu of opset 7": (one("PRelu", 7, other=LINE), np.where(x < 0, x * LINE, x)),
        "one PRelu": (one("PRelu", 6, other=CHANNELS[:1]), np.where(x < 0, x * CHANNELS[0], x)),
        "ImageScaler": (
            one("ImageScaler", 7, scale=0.5, bias=list(map(float, CHANNELS))),
            x * np.float32(0.5) + wide,
        ),
        "an old ImageScaler": (
            one("ImageScaler", 3, scale=0.5, bias=list(map(float, CHANNELS))),
            x * np.float32(0.5) + wide,
        ),
        "Reshape": (one("Reshape", 3, shape=[0, -1]), x.reshape(1, -1)),
        "Pad": (
            one("Pad", 1, paddings=[0, 0, 1, 0, 0, 0, 0, 2], value=3.0),
            np.pad(x, ((0, 0), (0, 0), (1, 0), (0, 2)), constant_values=3),
        ),
        "Upsample": (
            one("Upsample", 1, height_scale=2.0, width_scale=3.0),
            x.repeat(2, 2).repeat(3, 3),
        ),
        "Cast": (one("Cast", 1, to="FLOAT"), x),
        "Cast in small letters": (one("Cast", 1, to="float"), x),
        "LpPool": (
            one("LpPool", 1, kernel_shape=[5, 6], p=1.0),
            np.abs(x).sum((2, 3), keepdims=True),
        ),
        "LpPool with nothing said": (
            one("LpPool", 1, kernel_shape=[5, 6]),
            np.sqrt(np.square(x).sum((2, 3), keepdims=True)),
        ),
        "GlobalLpPool": (
            one("GlobalLpPool", 1, p=2.0),
            np.sqrt(np.square(x).sum((2, 3), keepdims=True)),
        ),
        "Dropout of opset 12 with a ratio": (one("Dropout", 12, ratio=0.5), x),
        "Dropout in its first form": (one("Dropout", 1, is_test=1, consumed_inputs=[0]), x),
        "Softmax over all behind": (
            one("Softmax", 9),
            (np.exp(x) / np.exp(x).sum((1, 2, 3), keepdims=True)),
        ),
    }


@pytest.mark.parametrize("name", by_hand(SMALL))
def test_an_old_node_computes_what_it_is_defined_to(tmp_path: Path, name: str) -> None:
    made, expected = by_hand(SMALL)[name]
    (got,) = after(save(tmp_path, made), {"x": SMALL})
    np.testing.assert_allclose(got, expected, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(
    ("kind", "compare"), [("Greater", np.greater), ("Less", np.less), ("Equal", np.equal)]
)
def test_an_old_comparison_along_channels(
    tmp_path: Path, kind: str, compare: Callable[[Array, Array], Array]
) -> None:
    numbers = np.round(SMALL)
    line = np.array([0.0, 1.0, -1.0, 0.5], np.float32)
    if kind == "Equal":  # of whole numbers only, then
        whole = [node("Cast", "x", "a", to="INT32"), node("Cast", "w", "b", to="INT32")]
        line = np.round(line)
    else:
        whole = [node("Identity", "x", "a"), node("Identity", "w", "b")]
    nodes = [
        *whole,
        node(kind, "a b", "m", broadcast=1, axis=1),
        node("Cast", "m", "y", to="FLOAT"),
    ]
    made = model(nodes, {"x": [1, 4, 5, 6]}, {"y": None}, {"w": line}, opset=1, ir_version=4)
    (got,) = after(save(tmp_path, made), {"x": numbers})
    np.testing.assert_array_equal(got, compare(numbers, line[:, None, None]))


@pytest.mark.parametrize("opset", [3, 7])
def test_two_image_scalers_beside_other_nodes_do_not_share_names(
    tmp_path: Path, opset: int
) -> None:
    bias = [1.0, 2.0, 3.0, 4.0]
    made = model(
        [
            node("ImageScaler", "x", "y_scale", scale=0.5, bias=bias),
            node("Relu", "y_scale", "m"),
            node("ImageScaler", "m", "y", bias=bias),
        ],
        {"x": [1, 4, 5, 6]},
        {"y": None},
        opset=opset,
    )
    (got,) = after(save(tmp_path, made), {"x": SMALL})
    wide = np.array(bias, np.float32)[:, None, None]
    np.testing.assert_allclose(got, np.maximum(SMALL / 2 + wide, 0) + wide, rtol=1e-6)


def test_a_first_concat_joins_channels(tmp_path: Path) -> None:
    made = one("Concat", 3)
    made.graph.node[0].input.append("x")
    (got,) = after(save(tmp_path, made), {"x": SMALL})
    np.testing.assert_array_equal(got, np.concatenate([SMALL, SMALL], 1))


@pytest.mark.parametrize(("stamp", "body"), [(6, 3), (3, 6), (9, 3), (3, 9), (1, 9), (20, 3)])
def test_a_stamp_that_lies_is_found_out(tmp_path: Path, stamp: int, body: int) -> None:
    made = zoo(body)
    made.opset_import[0].version = stamp
    network = read(save(tmp_path, made))
    expected = after(save(tmp_path, zoo(body), "honest.onnx"), {"data": X})
    got = by_onnxruntime(ir.to_proto(network.model).SerializeToString(), {"data": X})
    np.testing.assert_array_equal(got[0], expected[0])
    assert any(f"The file says opset {stamp}, and its nodes are" in line for line in network.told)


def batch_norm(opset: int, outputs: str = "y", **attributes: object) -> onnx.ModelProto:
    weights = {name: np.ones(4, np.float32) for name in ("a", "b", "c", "d")}
    made = node("BatchNormalization", "x a b c d", outputs, **attributes)
    return model(
        [made], {"x": [1, 4, 5, 6]}, {"y": None}, weights, opset=opset, ir_version=3, listed=True
    )


def used_mean() -> onnx.ModelProto:
    made = batch_norm(7, "y m v")
    made.graph.output.append(helper.make_tensor_value_info("m", TensorProto.FLOAT, None))
    return made


def used_mask(opset: int) -> onnx.ModelProto:
    made = one("Dropout", opset, ratio=0.5)
    made.graph.node[0].output.append("mask")
    made.graph.output.append(helper.make_tensor_value_info("mask", TensorProto.BOOL, None))
    return made


def training(opset: int) -> onnx.ModelProto:
    made = one("Dropout", opset)
    made.graph.node[0].input.extend(["", "mode"])
    made.graph.initializer.append(numpy_helper.from_array(np.array(True), "mode"))
    return made


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (lambda: batch_norm(6, is_test=0), "in training"),
        (lambda: batch_norm(6), "in training"),
        (lambda: batch_norm(7, spatial=0), "spatial: 0"),
        (lambda: batch_norm(6, is_test=1, spatial=0), "spatial: 0"),
        (lambda: batch_norm(15, training_mode=1), "in training"),
        (used_mean, "in training"),
        (lambda: used_mask(9), "mask of Dropout 'y_node' is used"),
        (lambda: used_mask(12), "mask of Dropout 'y_node' is used"),
        (lambda: training(12), "may be in training"),
        (lambda: one("ImageScaler", 7), "has no bias"),
        (lambda: one("PRelu", 6, other=np.ones(3, np.float32)), "not fit"),
        (lambda: one("Add", 6, other=CHANNELS, broadcast=1, axis=3), "do not fit"),
        (lambda: one("Add", 6, other=CHANNELS, broadcast=1, axis=-(2**62)), "do not fit"),
        (lambda: one("Add", 6, other=CHANNELS, broadcast=1, axis=-5), "do not fit"),
        (lambda: one("Add", 6, other=CHANNELS, broadcast=1, axis=4), "do not fit"),
        (lambda: one("Cast", 1, to="STRINGS"), "Cast"),
        (lambda: one("GlobalLpPool", 1, p=2.5), "a power that is not whole"),
        (lambda: one("Tile", 1, other=np.ones(1, np.float32)), "do not fit each other"),
    ],
)
def test_what_cannot_be_brought_over_is_refused(
    tmp_path: Path, made: Callable[[], onnx.ModelProto], said: str
) -> None:
    with pytest.raises(BadInputError) as caught:
        read(save(tmp_path, made()))
    assert said in caught.value.message
    assert caught.value.hint


def mode(opset: int, kind: str) -> onnx.ModelProto:
    """A Dropout whose mode is an initialiser, a Constant or computed."""
    made = training(opset)
    off = numpy_helper.from_array(np.array(False), "mode")
    del made.graph.initializer[:]
    if kind == "weight":
        made.graph.initializer.append(off)
    elif kind == "constant":
        made.graph.node.insert(0, helper.make_node("Constant", [], ["mode"], value=off))
    else:
        made.graph.initializer.append(numpy_helper.from_array(np.array(True), "on"))
        made.graph.node.insert(0, node("Not", "on", "mode"))
    return made


@pytest.mark.parametrize("opset", [12, 22])
def test_a_dropout_whose_mode_is_off_passes_its_input_on(tmp_path: Path, opset: int) -> None:
    for kind in ("weight", "constant"):
        network = read(save(tmp_path, mode(opset, kind)))
        assert [one.op_type for one in network.model.graph] == ["Identity"]  # to the output
    with pytest.raises(BadInputError, match="may be in training: its mode is 'mode'"):
        read(save(tmp_path, mode(opset, "computed")))


def test_a_dropout_may_have_its_ratio_as_an_input(tmp_path: Path) -> None:
    made = one("Dropout", 12, other=np.array(0.5, np.float32))
    (got,) = after(save(tmp_path, made), {"x": SMALL})
    np.testing.assert_array_equal(got, SMALL)


def test_dropouts_one_behind_the_other_and_before_a_branch(tmp_path: Path) -> None:
    inner = helper.make_graph(
        [node("Neg", "b", "n")], "inner", [], [helper.make_tensor_value_info("n", 1, [1, 4, 5, 6])]
    )
    made = one("Dropout", 12)
    made.graph.node[0].output[0] = "a"
    choice = node("If", "c", "d", then_branch=inner, else_branch=inner)
    last = node("Add", "a d", "y")
    made.graph.node.extend([node("Dropout", "a", "b"), choice, last])
    made.graph.initializer.append(numpy_helper.from_array(np.array(True), "c"))
    (got,) = after(save(tmp_path, made), {"x": SMALL})
    np.testing.assert_array_equal(got, SMALL - SMALL)


def test_statistics_of_training_that_nothing_reads_are_dropped(tmp_path: Path) -> None:
    made = batch_norm(7, "y m v")
    (got,) = after(save(tmp_path, made), {"x": SMALL})
    np.testing.assert_allclose(got, (SMALL - 1) / np.sqrt(1 + 1e-5) + 1, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("opset", "kept"), [(18, 18), (20, 20), (21, 20), (24, 20), (13, 18), (17, 18)]
)
def test_new_files_get_an_opset_that_older_runtimes_know(
    tmp_path: Path, opset: int, kept: int
) -> None:
    made = one("Relu", opset)
    graph = read(save(tmp_path, made)).model
    assert graph.graph.opset_imports == {"": kept}
    assert graph.ir_version == 10


@pytest.mark.parametrize(
    ("made", "opset"),
    [
        (node("GroupNormalization", "x w w", "y", num_groups=2), 21),  # one number a channel now
        (node("RMSNormalization", "x w", "y", axis=1), 23),  # where it is new
    ],
)
def test_what_means_something_else_in_older_opsets_keeps_its_own(
    tmp_path: Path, made: onnx.NodeProto, opset: int
) -> None:
    shape = (4,) if made.op_type == "GroupNormalization" else (4, 5, 6)
    weights = {"w": np.ones(shape, np.float32)}
    file = model([made], {"x": [1, 4, 5, 6]}, {"y": None}, weights, opset=opset)
    assert read(save(tmp_path, file)).model.graph.opset_imports == {"": opset}


def test_what_onnx_cannot_convert_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_model: onnx.ModelProto, target: int) -> onnx.ModelProto:
        assert target == 18
        raise RuntimeError("No Adapter for Foo\nat line 3")

    monkeypatch.setattr(version_converter, "convert_version", refuse)
    said = "cannot be converted from opset 9 to 18: No Adapter for Foo\\."
    with pytest.raises(BadInputError, match=f"^The graph {said}") as caught:
        read(save(tmp_path, one("Relu", 9)))
    assert caught.value.hint == "Export the network again in a newer opset."
