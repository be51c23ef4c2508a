"""Caffe's rules for shapes at their limits, worked out by hand (layers' own sources in Caffe)."""

from __future__ import annotations

import pytest

from lrn_deploy.caffe.axes import MAX_VALUES, MisfitError, Shape, own_axis, padded
from lrn_deploy.caffe.parameters import (
    Affine,
    ArgMax,
    BatchNorm,
    Concat,
    Convolution,
    Crop,
    Eltwise,
    Flatten,
    Identity,
    InnerProduct,
    Lrn,
    Parameters,
    Pointwise,
    Pooling,
    PReLU,
    Reduction,
    Reshape,
    Slice,
    Softmax,
    Tile,
)
from lrn_deploy.caffe.shapes import affine_shape, blob_shapes, crop_offsets, output_shapes
from lrn_deploy.caffe.window_shapes import convolved, pooled

IMAGE = (6, 5, 4)


def out(layer: Parameters, *inputs: Shape, tops: int = 1, batch: int = 1) -> list[Shape]:
    return output_shapes(layer, inputs, tops, batch)


def refused(said: str, layer: Parameters, *inputs: Shape, tops: int = 1, batch: int = 1) -> None:
    with pytest.raises(MisfitError, match=said):
        out(layer, *inputs, tops=tops, batch=batch)


@pytest.mark.parametrize(("axis", "place"), [(1, 0), (2, 1), (3, 2), (-1, 2), (-2, 1), (-3, 0)])
def test_axes_count_from_the_batch_or_from_the_end(axis: int, place: int) -> None:
    assert own_axis(axis, IMAGE) == place


@pytest.mark.parametrize(("axis", "said"), [(4, "4 axes"), (-5, "4 axes"), (0, "the batch"),
                                            (-4, "the batch")])  # fmt: skip
def test_an_axis_that_is_not_the_images(axis: int, said: str) -> None:
    with pytest.raises(MisfitError, match=said):
        own_axis(axis, IMAGE)


def test_one_size_is_for_all_axes_and_else_there_is_one_for_each() -> None:
    assert padded((3,), 2) == (3, 3)
    assert padded((3, 4), 2) == (3, 4)
    for sizes in ((), (1, 2, 3)):
        with pytest.raises(MisfitError, match=f"{len(sizes)} sizes are given for 2"):
            padded(sizes, 2)


LRN = Lrn("ACROSS_CHANNELS", 5, 1.0, 0.75, 1.0, {})


def test_how_many_bottoms_a_layer_takes() -> None:
    vector = (3,)
    refused("has 1 bottoms and takes 2 or more", Eltwise("SUM", ()), vector)
    assert out(Eltwise("SUM", ()), *[vector] * 5) == [vector]
    refused("has 0 bottoms and takes 1 or more", Concat(1))
    assert out(Concat(1), vector) == [vector]
    assert out(Concat(1), *[vector] * 4) == [(12,)]
    for inputs in ([vector], [vector] * 3):
        refused("takes 2\\.", Crop(1, ()), *inputs)
    refused("has 3 bottoms and takes 1 or 2", Affine(1, 1, True, False), *[vector] * 3)
    refused("has 2 bottoms and takes 1\\.", Softmax(1), vector, vector)
    refused("has 0 bottoms and takes 1\\.", Softmax(1))


def test_how_many_tops_a_layer_makes() -> None:
    refused("has 2 tops and makes 1", Softmax(1), IMAGE, tops=2)
    refused("has 0 tops and makes 1", Softmax(1), IMAGE, tops=0)
    assert out(Identity(), IMAGE, tops=3) == [IMAGE] * 3
    assert out(Pointwise("ReLU", {}), IMAGE) == [IMAGE]


def test_what_an_input_must_have() -> None:
    for layer in (BatchNorm(1e-5), PReLU(False)):
        refused("no channels", layer, ())
        assert out(layer, (3,)) == [(3,)]
    assert out(LRN, IMAGE) == [IMAGE]
    for shape in ((6, 5), (6, 5, 4, 3)):
        refused("takes N x C x H x W", LRN, shape)


def test_a_result_has_at_most_as_many_axes_and_values_as_caffe_counts() -> None:
    softmax = Softmax(1)
    assert out(softmax, (1,) * 31) == [(1,) * 31]  # 32 with the batch
    refused("would have the shape", softmax, (1,) * 32)
    assert out(softmax, (MAX_VALUES,)) == [(MAX_VALUES,)]
    refused("would have the shape", Tile(1, 2), (2**30,))
    refused("would have the shape", Tile(1, 0), (3,))


def test_the_axes_of_a_product_from_axis_on_become_its_outputs() -> None:
    assert out(InnerProduct(10, 1, False, True), IMAGE) == [(10,)]
    assert out(InnerProduct(10, 2, False, True), IMAGE) == [(6, 10)]
    refused("the batch", Softmax(0), IMAGE)


def test_bottoms_that_are_added_are_alike() -> None:
    refused("differ: N x 3, N x 4", Eltwise("SUM", ()), (3,), (4,))


def test_bottoms_one_behind_the_other_are_alike_beside_the_axis() -> None:
    assert out(Concat(2), (6, 5, 4), (6, 2, 4), (6, 1, 4)) == [(6, 8, 4)]
    assert out(Concat(-1), (6, 5), (6, 2)) == [(6, 7)]
    for other in ((7, 5, 4), (6, 5, 3), (6, 5), (6,), (6, 5, 4, 1)):
        refused("differ beside axis 2", Concat(2), IMAGE, other)


def test_equal_parts_and_parts_between_points() -> None:
    assert out(Slice(1, ()), IMAGE, tops=3) == [(2, 5, 4)] * 3
    assert out(Slice(1, ()), IMAGE, tops=1) == [IMAGE]
    assert out(Slice(2, (1, 3)), IMAGE, tops=3) == [(6, 1, 4), (6, 2, 4), (6, 2, 4)]
    assert out(Slice(2, (4,)), IMAGE, tops=2) == [(6, 4, 4), (6, 1, 4)]
    for tops in (4, 0):
        refused("equal parts", Slice(1, ()), IMAGE, tops=tops)
    for points, tops in (((5,), 2), ((0,), 2), ((3, 3), 3), ((3, 2), 3), ((2,), 3), ((2, 3), 2)):
        refused("cannot be cut at", Slice(2, points), IMAGE, tops=tops)


def test_axes_that_become_one() -> None:
    assert out(Flatten(1, -1), IMAGE) == [(120,)]
    assert out(Flatten(1, 2), IMAGE) == [(30, 4)]
    assert out(Flatten(2, 3), IMAGE) == [(6, 20)]
    assert out(Flatten(2, 2), IMAGE) == [IMAGE]
    refused("end_axis 2 lies before axis 3", Flatten(3, 2), IMAGE)


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (Reshape((0, -1), 0, -1), (120,)),
        (Reshape((0, 0, 20), 0, -1), (6, 20)),
        (Reshape((2, 3), 1, 1), (2, 3, 5, 4)),
        (Reshape((30,), 1, 2), (30, 4)),
        (Reshape((-1,), -2, -1), (6, 5, 4)),  # from the end, one axis further than any other
        (Reshape((1,), -1, 0), (6, 5, 4, 1)),
        (Reshape((1,), 4, 0), (6, 5, 4, 1)),
        (Reshape((2, 1, 6, 20), 0, -1), (1, 6, 20)),  # the 2 is the batch
        (Reshape((-1, 6, 20), 0, -1), (6, 20)),
    ],
)
def test_reshape(layer: Reshape, shape: Shape) -> None:
    assert out(layer, IMAGE, batch=2) == [shape]


@pytest.mark.parametrize(
    ("layer", "said"),
    [
        (Reshape((1,), 5, 0), "are not in the 4 axes"),
        (Reshape((1,), -6, 0), "are not in the 4 axes"),
        (Reshape((1,), 2, 3), "axes 2 to 5 are not"),
        (Reshape((1,), 0, -2), "are not in the 4 axes"),
        (Reshape((2, 6, 20, 1, 0), 0, -1), "dim 4 is 0, and the input has no axis 4"),
        (Reshape((2, 7, -1), 0, -1), "cannot become"),
        (Reshape((2, 6, 19), 0, -1), "cannot become"),
        (Reshape((), 0, -1), "cannot become"),
        (Reshape((1, 240), 0, -1), "for a batch of 2"),
    ],
)
def test_reshape_to_what_cannot_be(layer: Reshape, said: str) -> None:
    refused(said, layer, IMAGE, batch=2)


def test_a_reshape_that_only_gives_what_was_there_keeps_the_last_axis_in_reach() -> None:
    assert out(Reshape((0, 0, 0, 0), 0, -1), IMAGE) == [IMAGE]


def test_a_crop_ends_within_its_bottom() -> None:
    like = (9, 3, 2)
    assert out(Crop(2, ()), IMAGE, like) == [(6, 3, 2)]
    assert out(Crop(2, (2,)), IMAGE, like) == [(6, 3, 2)]  # 2 + 3 = 5 and 2 + 2 = 4
    assert out(Crop(3, (2,)), IMAGE, like) == [(6, 5, 2)]
    assert out(Crop(2, (2, 1)), IMAGE, like) == [(6, 3, 2)]
    refused("3 from 3 on is more than 5", Crop(2, (3, 0)), IMAGE, like)
    refused("2 from 3 on is more than 4", Crop(2, (0, 3)), IMAGE, like)
    refused("9 from 0 on is more than 6", Crop(1, ()), IMAGE, like)
    refused("3 offsets are given for 2", Crop(2, (0, 0, 0)), IMAGE, like)
    refused("differ in rank", Crop(2, ()), IMAGE, (9, 3))
    assert crop_offsets(Crop(2, ()), 2) == (0, 0)
    assert crop_offsets(Crop(2, (7,)), 2) == (7, 7)


def test_a_factor_that_is_a_bottom_has_the_leading_axes_of_an_image() -> None:
    both = Affine(0, 1, True, False)
    assert out(both, IMAGE, (6,)) == [IMAGE]
    assert out(both, IMAGE, ()) == [IMAGE]
    assert out(Affine(-4, 1, True, False), IMAGE, IMAGE) == [IMAGE]
    refused("needs axis 0", both, IMAGE, (5,))
    refused("needs axis 0", both, IMAGE, (6, 4))
    refused("needs axis 0", Affine(1, 1, True, False), IMAGE, (6,))
    refused("needs axis 0", Affine(-3, 1, True, False), IMAGE, (6,))


def test_a_learned_factor_has_count_axes() -> None:
    for axis, count, shape in ((1, 1, (6,)), (1, 2, (6, 5)), (2, 2, (5, 4)), (2, -1, (5, 4)),
                               (-1, 1, (4,)), (1, -1, IMAGE), (1, 0, ()), (9, 0, ())):  # fmt: skip
        assert affine_shape(Affine(axis, count, True, False), IMAGE) == shape
    for axis, count in ((2, 3), (1, -2), (3, 2)):
        refused("more than there are", Affine(axis, count, True, False), IMAGE)


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (ArgMax(None, 1, False), (1, 1, 1)),
        (ArgMax(None, 3, True), (2, 3, 1)),
        (ArgMax(None, 120, False), (1, 120, 1)),
        (ArgMax(1, 6, False), (6, 5, 4)),
        (ArgMax(2, 1, True), (6, 1, 4)),
    ],
)
def test_arg_max(layer: ArgMax, shape: Shape) -> None:
    assert out(layer, IMAGE) == [shape]


def test_arg_max_of_more_than_there_is() -> None:
    refused("top_k 121 is more than there is", ArgMax(None, 121, False), IMAGE)
    refused("top_k 6 is more than the 5", ArgMax(2, 6, False), IMAGE)
    assert out(ArgMax(None, 2, False), (3,)) == [(1, 2)]


def test_reduction_and_tile() -> None:
    assert out(Reduction("SUM", 1, 1.0), IMAGE) == [()]
    assert out(Reduction("SUM", 3, 1.0), IMAGE) == [(6, 5)]
    assert out(Tile(2, 3), IMAGE) == [(6, 15, 4)]


def conv(
    outputs: int = 8,
    kernel: tuple[int, ...] = (3,),
    stride: tuple[int, ...] = (1,),
    pad: tuple[int, ...] = (0,),
    dilation: tuple[int, ...] = (1,),
    group: int = 1,
    *,
    transposed: bool = False,
) -> Convolution:
    return Convolution(outputs, kernel, stride, pad, dilation, group, True, transposed)


def test_the_planes_of_convolutions() -> None:
    assert convolved(conv(), IMAGE) == (8, 3, 2)
    assert convolved(conv(pad=(1,), stride=(2,)), IMAGE) == (8, 3, 2)  # (5+2-3)//2+1, (4+2-3)//2+1
    assert convolved(conv(kernel=(3, 1), dilation=(2, 1)), IMAGE) == (8, 1, 4)  # extent 5
    assert convolved(conv(kernel=(5, 4)), IMAGE) == (8, 1, 1)
    up = conv(kernel=(4,), stride=(2,), pad=(1,), transposed=True)
    assert convolved(up, IMAGE) == (8, 10, 8)  # 2 * (5 - 1) + 4 - 2
    assert convolved(conv(group=2), IMAGE) == (8, 3, 2)
    for layer in (conv(group=4), conv(outputs=7, group=2)):
        with pytest.raises(MisfitError, match="groups"):
            convolved(layer, IMAGE)
    for layer in (conv(kernel=(6, 1)), conv(kernel=(1, 5))):
        with pytest.raises(MisfitError, match="does not fit"):
            convolved(layer, IMAGE)
    for shape in ((6,), ()):
        with pytest.raises(MisfitError, match="without spatial axes"):
            convolved(conv(), shape)


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "pad", "floor", "windows"),
    [
        (5, 3, 2, 0, False, 2),
        (6, 3, 2, 0, False, 3),  # rounded up
        (6, 3, 2, 0, True, 2),
        (6, 3, 2, 1, False, 4),  # ceil(5 / 2) + 1 = 4: the last begins at 6, within 6 + 1
        (5, 2, 2, 1, False, 3),  # ceil(5 / 2) + 1 = 4 would begin at 6, where the image has ended
        (4, 4, 9, 0, False, 1),
    ],
)
def test_the_windows_of_poolings(
    size: int, kernel: int, stride: int, pad: int, floor: bool, windows: int
) -> None:
    layer = Pooling("MAX", (kernel,) * 2, (stride,) * 2, (pad,) * 2, floor)
    assert pooled(layer, (3, size, size)) == (3, windows, windows)


def test_a_pooling_over_all_and_poolings_that_cannot_be() -> None:
    assert pooled(Pooling("AVE", (), (), (), False), IMAGE) == (6, 1, 1)
    for shape in ((6, 5), (6, 5, 4, 3)):
        with pytest.raises(MisfitError, match="N x C x H x W"):
            pooled(Pooling("AVE", (), (), (), False), shape)
    with pytest.raises(MisfitError, match="outside the image"):
        pooled(Pooling("MAX", (1, 1), (5, 1), (0, 0), False), (1, 7, 7))  # 0, 5, and 10


def test_the_weights_that_layers_take() -> None:
    assert blob_shapes(conv(kernel=(3, 2), group=2), [IMAGE]) == [(8, 3, 3, 2), (8,)]
    up = conv(kernel=(3,), group=2, transposed=True)
    assert blob_shapes(up, [IMAGE]) == [(6, 4, 3, 3), (8,)]
    assert blob_shapes(InnerProduct(10, 2, False, True), [IMAGE]) == [(10, 20), (10,)]
    assert blob_shapes(InnerProduct(10, 1, True, False), [IMAGE]) == [(120, 10)]
    assert blob_shapes(BatchNorm(1e-5), [IMAGE]) == [(6,), (6,), (1,)]
    assert blob_shapes(Affine(1, 2, True, True), [IMAGE]) == [(6, 5), (6, 5)]
    assert blob_shapes(Affine(1, 1, False, True), [IMAGE]) == [(6,)]
    assert blob_shapes(Affine(0, 1, True, False), [IMAGE, (6,)]) == []
    assert blob_shapes(PReLU(True), [IMAGE]) == [()]
    assert blob_shapes(PReLU(False), [IMAGE]) == [(6,)]
    assert blob_shapes(Softmax(1), [IMAGE]) == []


def test_a_text_is_written_for_one_image_unless_it_says_otherwise() -> None:
    assert output_shapes(Reshape((1, 120), 0, -1), [IMAGE], 1) == [(120,)]
    with pytest.raises(MisfitError):
        output_shapes(Reshape((2, 120), 0, -1), [IMAGE], 1)
