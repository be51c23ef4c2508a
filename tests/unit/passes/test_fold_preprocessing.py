"""What scales an image goes into the first convolution, and the network stays the same."""

from __future__ import annotations

from typing import Literal

import numpy as np
import onnx
import onnx_ir as ir
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from lrn_deploy.bundle import Preprocessing
from lrn_deploy.export import to_onnx
from lrn_deploy.network import load_network
from lrn_deploy.passes.fold_preprocessing import fold_preprocessing
from tests.support.precision_graphs import Array, Chain, checked, distance, run, run_all

SIDE = 6


def pixels(channels: int = 3, side: int = SIDE) -> Array:
    return np.random.default_rng(0).integers(0, 256, (2, side, side, channels), np.uint8)


def operators(model: ir.Model) -> list[str]:
    return [node.op_type for node in model.graph]


def constant(model: ir.Model, name: str) -> Array:
    value = model.graph.initializers[name].const_value
    assert value is not None
    return value.numpy()


class Images(Chain):
    """A chain that begins with uint8 images (batch, side, side, channels)."""

    def __init__(self, channels: int = 3, seed: int = 0) -> None:
        super().__init__(channels, SIDE, seed)
        self.input.dtype = ir.DataType.UINT8
        self.input.shape = ir.Shape(["batch", SIDE, SIDE, channels])
        self.shape = [SIDE, SIDE, channels]
        self.add("Cast", to=ir.DataType.FLOAT)
        self.add("Transpose", shape=[channels, SIDE, SIDE], perm=[0, 3, 1, 2])

    def by(self, op_type: str, numbers: list[float]) -> Images:
        values = np.array(numbers, np.float32).reshape(-1, 1, 1)
        self.add(op_type, (self.weight(values),))
        return self

    def in_order(self, order: list[int]) -> Images:
        self.add("Gather", (self.weight(np.array(order, np.int64)),), axis=1)
        return self

    def convolved(
        self, weight: Array, bias: Array | None = None, pad: int = 0, group: int = 1
    ) -> Images:
        weights = [self.weight(item) for item in (weight, bias) if item is not None]
        side = self.shape[1] + 2 * pad - weight.shape[2] + 1
        shape = [len(weight), side, side]
        self.add("Conv", tuple(weights), shape, pads=[pad] * 4, group=group)
        return self


def test_worked_out_by_hand() -> None:
    weight = np.array([[[[1.0]], [[10.0]]]], np.float32)
    chain = Images(2).in_order([1, 0]).by("Mul", [2, 3]).by("Add", [4, 5])
    model, _ = chain.convolved(weight, np.array([7.0], np.float32)).build()
    (done,) = fold_preprocessing(model)
    assert (done.input, done.node, done.shift, done.reason) == ("input", "conv_5", "bias", "")
    assert done.nodes == ("gather_2", "mul_3", "add_4")
    assert operators(model) == ["Cast", "Transpose", "Conv"]
    # The first weight is for the second channel: 1 * 2 there, 10 * 3 for the first;
    # the bias gains 1 * 4 + 10 * 5.
    np.testing.assert_array_equal(constant(model, "weight_3_folded"), [[[[30]], [[2]]]])
    np.testing.assert_array_equal(constant(model, "weight_4_folded"), [61])
    assert set(model.graph.initializers) == {"weight_3_folded", "weight_4_folded"}
    assert model.graph.outputs[0].name == "conv_5"


def test_padding_stays_zero() -> None:
    chain = Images(1).by("Mul", [2]).by("Add", [6])
    model, _ = chain.convolved(np.ones((1, 1, 3, 3), np.float32), pad=1).build()
    (done,) = fold_preprocessing(model)
    assert done.shift == "added"
    assert operators(model) == ["Cast", "Transpose", "Add", "Conv"]
    added = model.graph[2].outputs[0]
    assert (added.name, added.dtype) == ("add_3_unscaled", ir.DataType.FLOAT)
    assert added.shape == ir.Shape(["batch", 1, SIDE, SIDE])
    # A corner of a black image: four pixels of 0 * 2 + 6 and five that are padding.
    black = np.zeros((1, SIDE, SIDE, 1), np.uint8)
    assert run(model, black)[0, 0, 0, 0] == 24


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_the_network_computes_the_same(data: st.DataObject) -> None:
    channels = data.draw(st.sampled_from([1, 3, 4]))
    numbers = st.lists(
        st.floats(0.01, 200).flatmap(lambda n: st.sampled_from([n, -n])),
        min_size=channels,
        max_size=channels,
    )
    chain = Images(channels, data.draw(st.integers(0, 99)))
    for _ in range(data.draw(st.integers(0, 3))):
        if data.draw(st.booleans()):
            chain.in_order(data.draw(st.permutations(range(channels))))
        chain.by(data.draw(st.sampled_from(["Mul", "Div", "Add", "Sub"])), data.draw(numbers))
    group = data.draw(st.sampled_from([1, channels]))
    weight = chain._normal((2 * channels, channels // group, 3, 3), 1.0)
    bias = chain._normal((2 * channels,), 1.0) if data.draw(st.booleans()) else None
    padded = data.draw(st.booleans())
    model, _ = chain.convolved(weight, bias, int(padded), group).build()
    data_before, x = checked(model), pixels(channels)
    (truth,) = run_all(data_before, x).values()
    # Rounding is as large as what the sums are made of, however much of it cancels.
    absolute = ir.from_proto(onnx.load_model_from_string(data_before))
    done = fold_preprocessing(model)
    y = run(model, x)
    for item in done:
        if group == 1 and not padded:
            assert item.reason == ""
    assert np.abs(y - truth).max() <= 1e-5 * magnitude(absolute, x)


def magnitude(model: ir.Model, x: Array) -> float:
    """The largest sum of absolute values that the convolution at a graph's end can add up."""
    *before, convolution = list(model.graph)
    weight = convolution.inputs[1]
    assert weight is not None
    assert weight.const_value is not None
    model.graph.outputs.clear()
    model.graph.outputs.extend(node.outputs[0] for node in before)
    largest = max(float(np.abs(value).max()) for value in run_all(checked(model), x).values())
    return largest * float(np.abs(weight.const_value.numpy()).sum(axis=(1, 2, 3)).max())


@pytest.mark.parametrize("mode", ["RGB", "BGR"])
def test_an_exported_network(mode: Literal["RGB", "BGR"]) -> None:
    """The exporter writes the reversal of channels as Transpose, GatherND, Transpose."""
    network = load_network("tests.unit.passes.test_fold_preprocessing:tiny")
    preprocessing = Preprocessing(
        resize=None,
        crop=(9, 9),
        mean=(0.4, 0.5, 0.6),
        std=(0.2, 0.3, 0.4),
        mode=mode,
        in_graph=True,
    )
    data = to_onnx(network, preprocessing).data
    model = ir.from_proto(onnx.load_model_from_string(data))
    (done,) = fold_preprocessing(model)
    assert done.reason == ""
    assert operators(model)[:3] == ["Cast", "Transpose", "Conv"]
    x = pixels(side=9)
    (truth,) = run_all(data, x).values()
    assert distance(run(model, x), truth) < 1e-5


def test_bgr_in_pixels_is_folded_into_the_weights_in_rgbs_order() -> None:
    network = load_network("tests.unit.passes.test_fold_preprocessing:by_channel")
    preprocessing = Preprocessing(
        mode="BGR",
        resize=None,
        crop=(1, 1),
        scale=1,
        mean=(104, 117, 123),
        std=(1, 2, 4),
        in_graph=True,
    )
    data = to_onnx(network, preprocessing).data
    model = ir.from_proto(onnx.load_model_from_string(data))
    (done,) = fold_preprocessing(model)
    assert done.reason == ""
    x = np.array([[[[200, 100, 50]]]], np.uint8)  # red 200, green 100, blue 50
    # 1 * (50 - 104) / 1 + 10 * (100 - 117) / 2 + 100 * (200 - 123) / 4 = -54 - 85 + 1925
    for graph in (data, checked(model)):
        (y,) = run_all(graph, x).values()
        assert y.reshape(()) == pytest.approx(1786)


class ByChannel(nn.Sequential):
    input_shape = (3, 1, 1)


def by_channel() -> nn.Module:
    convolution = nn.Conv2d(3, 1, 1, bias=False)
    convolution.weight.data = torch.tensor([1.0, 10.0, 100.0]).view(1, 3, 1, 1)
    return ByChannel(convolution)


class Tiny(nn.Sequential):
    input_shape = (3, 9, 9)


def tiny() -> nn.Module:
    torch.manual_seed(0)
    return Tiny(nn.Conv2d(3, 4, 3, stride=2), nn.ReLU())


def test_what_is_left_alone_is_said() -> None:
    pooled = Images().by("Mul", [1, 2, 3]).pool()
    padded = Images().by("Add", [1, 2, 3]).convolved(np.ones((1, 3, 3, 3), np.float32), pad=1)
    grouped = Images().by("Mul", [1, 2, 3]).in_order([2, 1, 0])
    grouped.convolved(np.ones((3, 1, 3, 3), np.float32), group=3)
    by_pixel = Images()
    by_pixel.add("Mul", (by_pixel.weight(np.ones((SIDE, SIDE), np.float32)),))
    by_pixel.convolved(np.ones((1, 3, 3, 3), np.float32))
    repeated = Images(1)
    repeated.shape = [3, SIDE, SIDE]  # one channel is made three
    repeated.by("Mul", [1, 2, 3]).convolved(np.ones((1, 3, 1, 1), np.float32))
    for chain, reason in (
        (pooled, "MaxPool takes the scaled image"),
        (grouped, "grouped, so the order of its channels stays"),
        (by_pixel, "not scaled channel by channel"),
        (repeated, "not scaled channel by channel"),
        (padded, "padded, so the addition stays"),
    ):
        model, _ = chain.build()
        before = checked(model)
        (done,) = fold_preprocessing(model)
        assert reason in done.reason
        assert done.nodes == ()
        assert checked(model) == before


def test_nothing_to_fold() -> None:
    model, _ = Images().convolved(np.ones((1, 3, 3, 3), np.float32)).build()
    assert fold_preprocessing(model) == []


def test_what_another_node_takes_stays() -> None:
    chain = Images().by("Mul", [1, 2, 3])
    scaled = chain.end
    weight = chain.weight(np.ones((3, 3, 1, 1), np.float32))
    model, _ = chain.add("Conv", (weight,)).add("Add", (scaled,)).build()
    x = pixels()
    truth = run(model, x)
    convolved, added = fold_preprocessing(model)
    assert (convolved.nodes, convolved.shift) == (("mul_2",), "none")
    (convolution,) = [node for node in model.graph if node.op_type == "Conv"]
    assert len(convolution.inputs) == 2  # no bias of zeros
    assert "Add takes the scaled image" in added.reason
    assert "Mul" in operators(model)
    np.testing.assert_allclose(run(model, x), truth, rtol=1e-5)


def test_a_channel_scaled_by_zero_keeps_its_shift_beside_padding() -> None:
    chain = Images(2).by("Mul", [0, 2]).by("Add", [6, 1])
    model, _ = chain.convolved(np.ones((1, 2, 3, 3), np.float32), pad=1).build()
    (done,) = fold_preprocessing(model)
    assert done.reason == "a channel is scaled by 0 before it is padded"
    # A corner of a black image: four pixels of 6 + 1, whatever the first channel was.
    assert run(model, np.zeros((1, SIDE, SIDE, 2), np.uint8))[0, 0, 0, 0] == 28


def test_weights_that_would_leave_fp32_stay() -> None:
    chain = Images(1).by("Mul", [1e30])
    model, _ = chain.convolved(np.full((1, 1, 1, 1), 1e10, np.float32)).build()
    (done,) = fold_preprocessing(model)
    assert done.reason == "its weights times the scale are not finite in fp32"
    assert run(model, np.zeros((1, SIDE, SIDE, 1), np.uint8))[0, 0, 0, 0] == 0


def test_a_division_by_zero_is_not_folded() -> None:
    chain = Images(2).by("Div", [0, 4])
    model, _ = chain.convolved(np.ones((1, 2, 1, 1), np.float32)).build()
    (done,) = fold_preprocessing(model)
    assert done.reason == "it is not scaled channel by channel"
    white = np.full((1, SIDE, SIDE, 2), 255, np.uint8)
    assert np.isposinf(run(model, white)).all()


def test_images_that_change_places_keep_doing_so() -> None:
    """With one image alone that would look like channels that stay where they are."""
    chain = Images(1).by("Mul", [3])
    ends = [chain.weight(np.array([at], np.int64)) for at in (-1, -(2**31), 0, -1)]
    chain.add("Slice", tuple(ends))  # the last image first
    model, _ = chain.convolved(np.ones((1, 1, 1, 1), np.float32)).build()
    x = np.ones((2, SIDE, SIDE, 1), np.uint8) * np.array([1, 2], np.uint8).reshape(2, 1, 1, 1)
    assert run(model, x)[:, 0, 0, 0].tolist() == [6, 3]
    fold_preprocessing(model)
    assert run(model, x)[:, 0, 0, 0].tolist() == [6, 3]


@pytest.mark.parametrize(
    ("auto_pad", "side", "shift", "corner"),
    [("SAME_UPPER", SIDE, "added", 24), ("VALID", SIDE - 2, "bias", 54)],
)
def test_padding_that_the_convolution_computes_stays_zero(
    auto_pad: str, side: int, shift: str, corner: int
) -> None:
    """A corner of a black image holds 4 pixels of 6, or 9 where nothing is padded."""
    chain = Images(1).by("Mul", [2]).by("Add", [6])
    kernel = chain.weight(np.ones((1, 1, 3, 3), np.float32))
    model, _ = chain.add("Conv", (kernel,), [1, side, side], auto_pad=auto_pad).build()
    (done,) = fold_preprocessing(model)
    assert done.shift == shift
    assert run(model, np.zeros((1, SIDE, SIDE, 1), np.uint8))[0, 0, 0, 0] == corner


def test_each_channel_of_a_rotation_keeps_its_own_shift_beside_padding() -> None:
    chain = Images(3).in_order([1, 2, 0]).by("Mul", [1, 2, 4]).by("Add", [3, 20, 400])
    weight = np.zeros((1, 3, 3, 3), np.float32)
    weight[0, :, 1, 1] = [1, 1e-1, 1e-2]
    model, _ = chain.convolved(weight, pad=1).build()
    x = np.zeros((1, SIDE, SIDE, 3), np.uint8)
    x[..., :] = [10, 20, 30]
    # In order: 20 * 1 + 3, 30 * 2 + 20, 10 * 4 + 400.
    expected = 23 + 8 + 4.4
    assert run(model, x)[0, 0, 0, 0] == pytest.approx(expected)
    (done,) = fold_preprocessing(model)
    assert done.shift == "added"
    assert run(model, x)[0, 0, 0, 0] == pytest.approx(expected)


def test_an_image_of_any_size_keeps_its_scaling() -> None:
    model, _ = Images(1).by("Mul", [2]).convolved(np.ones((1, 1, 1, 1), np.float32)).build()
    model.graph.inputs[0].shape = ir.Shape(["batch", "height", "width", 1])
    for node in model.graph:
        for output in node.outputs:
            output.shape = None
    (done,) = fold_preprocessing(model)
    assert (done.nodes, done.reason) == ((), "the size of the image is not fixed")
    assert "Mul" in operators(model)


def test_an_order_of_channels_that_is_not_constant_is_left_alone() -> None:
    chain = Images().by("Mul", [1, 2, 3]).in_order([2, 1, 0])
    model, _ = chain.convolved(np.ones((1, 3, 1, 1), np.float32)).build()
    order = model.graph.initializers.pop("weight_1")
    order.const_value = None
    model.graph.inputs.append(order)
    (done,) = fold_preprocessing(model)
    assert done.reason == "it is not scaled channel by channel"


@pytest.mark.parametrize("at", [1, 2])
def test_weights_that_are_not_constant_are_left_alone(at: int) -> None:
    chain = Images(1).by("Mul", [2])
    bias = np.ones(1, np.float32)
    model, _ = chain.convolved(np.ones((1, 1, 1, 1), np.float32), bias).build()
    given = model.graph.initializers.pop(f"weight_{at}")
    given.const_value = None
    model.graph.inputs.append(given)
    (done,) = fold_preprocessing(model)
    assert done.reason == "the weights of its Conv are not constant"


def test_only_weights_in_fp32_are_folded() -> None:
    model, _ = Images(1).by("Mul", [2]).convolved(np.ones((1, 1, 1, 1), np.float16)).build()
    (done,) = fold_preprocessing(model)
    assert done.reason == "the weights of its Conv are FLOAT16, and only FLOAT is folded"


@pytest.mark.parametrize("operator", ["Transpose", "Mul"])
def test_operators_of_other_domains_only_have_the_names(operator: str) -> None:
    chain = Images(1)
    others = () if operator == "Transpose" else (chain.weight(np.float32([2])),)
    chain.add(operator, others, domain="lrn_deploy").by("Mul", [2])
    model, _ = chain.convolved(np.ones((1, 1, 1, 1), np.float32)).build()
    assert fold_preprocessing(model) == []
    assert len(model.graph) == 5


@pytest.mark.parametrize(
    ("operator", "folded"), [("Mul", True), ("Add", True), ("Sub", False), ("Div", False)]
)
def test_a_constant_may_come_first_where_that_makes_no_difference(
    operator: str, folded: bool
) -> None:
    chain = Images(1).by(operator, [3])
    model, _ = chain.convolved(np.ones((1, 1, 1, 1), np.float32)).build()
    node = model.graph[2]
    x, number = node.inputs
    node.replace_input_with(0, number)
    node.replace_input_with(1, x)
    image = np.full((1, SIDE, SIDE, 1), 4, np.uint8)
    truth = {"Mul": 12, "Add": 7, "Sub": -1, "Div": 0.75}[operator]
    assert run(model, image)[0, 0, 0, 0] == truth
    assert [item.nodes for item in fold_preprocessing(model)] == [(node.name,)] * folded
    assert run(model, image)[0, 0, 0, 0] == truth
