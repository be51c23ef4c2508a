"""A preprocessing's numbers at their limits, and tensors' shapes, worked out by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from lrn_deploy.bundle import IntegerValues, Preprocessing, Said, TensorSpec
from lrn_deploy.bundle.said import complete, said_of
from lrn_deploy.errors import BadInputError
from lrn_deploy.said import NAMES


def preprocessing(shape: tuple[int, ...] = (3, 64, 64), **content: Any) -> Preprocessing:
    found = complete(Said.of(content, "here"), shape)
    assert found is not None
    return found


def refused(said: str, shape: tuple[int, ...] = (3, 64, 64), **content: Any) -> None:
    with pytest.raises(BadInputError, match=said):
        complete(Said.of(content, "here"), shape)


@pytest.mark.parametrize(
    ("shape", "resize"),
    [
        ((3, 224, 224), 256),
        ((3, 227, 227), 259),  # 227 * 256 / 224 = 259.43
        ((3, 64, 64), 73),  # 73.14
        ((3, 63, 63), None),  # smaller images have no margin to lose
        ((3, 224, 225), None),
        ((1, 64, 64), 73),
    ],
)
def test_the_usual_margin_is_that_of_256_for_224(
    shape: tuple[int, ...], resize: int | None
) -> None:
    assert preprocessing(shape).resize == resize


def test_what_is_usual_for_colours_and_for_gray() -> None:
    usual, gray, bgr = preprocessing(), preprocessing((1, 64, 64)), preprocessing(colors="bgr")
    assert (usual.mode, usual.interpolation, usual.scale) == ("RGB", "bilinear", 1 / 255)
    assert (usual.mean, usual.std) == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    assert (gray.mode, gray.mean, gray.std, gray.channels) == ("L", (0.5,), (0.5,), 1)
    assert (bgr.mode, bgr.mean, bgr.std) == (
        "BGR", (0.406, 0.456, 0.485), (0.225, 0.224, 0.229),
    )  # fmt: skip
    assert usual.assumed == ("colors", "resize", "interpolation", "scale", "mean", "std")
    assert gray.assumed == ("resize", "interpolation", "scale", "mean", "std")
    assert bgr.assumed == ("resize", "interpolation", "scale", "mean", "std")


@pytest.mark.parametrize("shape", [(3, 64), (2, 64, 64), (4, 64, 64), (3, 64, 64, 64), (10,)])
def test_what_takes_no_images_has_no_preprocessing(shape: tuple[int, ...]) -> None:
    assert complete(Said(), shape) is None
    refused("which are no images", shape, resize=64)


def test_one_number_is_for_all_channels_and_else_there_is_one_for_each() -> None:
    assert preprocessing(mean=0.5, std="0.25,0.5,1", scale="1/255").std == (0.25, 0.5, 1.0)
    assert preprocessing(mean=0.5, std=0.25, scale="1/255").mean == (0.5, 0.5, 0.5)
    assert preprocessing((1, 64, 64), mean=0.5, std=0.25, scale="1/255").mean == (0.5,)
    refused("The mean has 2 numbers for a network of 3 channels", mean="0,0", std=1, scale=1)
    refused("The std has 3 numbers for a network of 1 channel\\.", (1, 64, 64), mean=0,
            std="1,1,1", scale=1)  # fmt: skip


def test_colours_fit_the_channels() -> None:
    refused("takes 3 channels, which cannot be 'gray'", colors="gray")
    refused("takes 1 channel, which cannot be 'rgb'", (1, 64, 64), colors="rgb")
    assert preprocessing((1, 64, 64), colors="l").assumed == preprocessing((1, 64, 64)).assumed


def test_the_crop_is_the_networks_and_the_image_covers_it() -> None:
    assert preprocessing((3, 64, 80), crop="64x80").crop == (64, 80)
    refused("A crop of 80 x 64 does not fit the network, which takes 64 x 80", (3, 64, 80),
            crop="80,64")  # fmt: skip
    assert preprocessing((3, 64, 80), resize=80).resize == 80
    refused("resize 79 is smaller", (3, 64, 80), resize=79)
    assert preprocessing((3, 64, 80), resize="64,81").resize == (64, 81)
    assert preprocessing((3, 64, 80), resize="64,80").resize is None  # straight to the crop
    refused("is smaller than the crop", (3, 64, 80), resize="63,90")
    refused("is smaller than the crop", (3, 64, 80), resize="90,79")


def test_a_scale_without_mean_and_std_is_the_usual_one() -> None:
    assert preprocessing(scale="1/255").scale == 1 / 255
    assert preprocessing(scale=0.00392156862745098).scale == pytest.approx(1 / 255)
    refused("A scale of 1 is given without mean and std", scale=1)
    refused("A std is given without a mean", std=1)
    refused("A mean is given without a std", mean=0, scale=1)
    assert preprocessing(mean=0, std=1, scale=2).scale == 2


@pytest.mark.parametrize(
    ("mean", "std", "said"),
    [
        (0, 1, ""),
        (1, 1, ""),
        (1.01, 1, "A mean of 1.01 does not fit pixels from 0 to 1"),
        (-0.01, 1, "A mean of -0.01 does not fit"),
        (0.5, -1, ""),
        (0.5, 1.01, "A std of 1.01 does not fit"),
        (0.5, -1.01, "A std of -1.01 does not fit"),
    ],
)
def test_without_a_scale_mean_and_std_are_for_pixels_up_to_one(
    mean: float, std: float, said: str
) -> None:
    if said:
        refused(said, mean=mean, std=std)
    else:
        assert preprocessing(mean=mean, std=std).scale == 1 / 255


def test_what_is_said_of_another_preprocessing_is_held_to_its_scale() -> None:
    caffe = Said(scale=1.0, mean=(104.0, 117.0, 123.0), std=(1.0,), colors="bgr")
    assert Said(mean=(255.0,)).over(caffe).mean == (255.0,)
    with pytest.raises(BadInputError, match="A mean of 256 does not fit pixels from 0 to 255"):
        Said(mean=(256.0,)).over(caffe)
    below = Said(scale=-1.0)
    assert Said(mean=(-255.0,)).over(below).mean == (-255.0,)
    with pytest.raises(BadInputError, match="A mean of 1 does not fit"):
        Said(mean=(1.0,)).over(below)
    with pytest.raises(
        BadInputError, match=r"The mean \[104.0, 117.0, 123.0\] is in the order bgr"
    ):
        Said(colors="rgb").over(caffe)
    same = Said(scale=1.0, mean=(5.0, 5.0, 5.0), std=(1.0,), colors="bgr")
    assert Said(colors="rgb").over(same).colors == "rgb"
    assert Said(colors="bgr").over(caffe) == caffe
    assert Said(colors="rgb", mean=(1.0, 2.0, 3.0)).over(caffe).mean == (1.0, 2.0, 3.0)


def test_when_everything_is_said() -> None:
    whole = {"resize": 64, "interpolation": "box", "scale": 1, "mean": 0, "std": 1}
    assert not Said.of(whole, "here").settles((3, 64, 64))
    assert Said.of(whole, "here").settles((1, 64, 64))
    assert Said.of(whole | {"colors": "rgb"}, "here").settles((3, 64, 64))
    for name in whole:
        less = {key: value for key, value in whole.items() if key != name}
        assert not Said.of(less, "here").settles((1, 64, 64)), name


def test_a_base_that_nothing_is_said_about_is_kept_with_what_it_assumes() -> None:
    base = preprocessing().model_copy(update={"in_graph": True})
    assert complete(Said(), (3, 64, 64), base) is base
    changed = complete(Said(resize=70), (3, 64, 64), base)
    assert changed is not None
    assert (changed.resize, changed.in_graph) == (70, True)
    assert changed.assumed == ("colors", "interpolation", "scale", "mean", "std")
    assert not preprocessing().in_graph
    everything = said_of(base, everything=True)
    assert (everything.crop, everything.resize) == ((64, 64), 73)
    assert said_of(base) == Said(crop=(64, 64))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"mean": (0.5, 0.5)}, "takes 3 means"),
        ({"std": (0.5, 0.5)}, "takes 3 means"),
        ({"mode": "L"}, "takes 1 means"),
        ({"crop": (0, 227)}, "the crop is empty"),
        ({"std": (0.5, 0.0, 0.5)}, "a std must not be 0"),
        ({"scale": 0.0}, "the scale must not be 0"),
        ({"mean": (0.5, float("nan"), 0.5)}, "must be finite"),
        ({"scale": float("inf")}, "must be finite"),
        ({"resize": 226}, "is smaller than the crop"),
    ],
)
def test_preprocessing_that_cannot_be(content: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Preprocessing(**content)


def test_preprocessing_in_words() -> None:
    told = Preprocessing(mode="BGR", crop=(1, 1), resize=(2, 3), scale=0.5, mean=(1, 2, 3)).words
    assert told == {
        "colors": "BGR", "resize": "to 2 x 3", "interpolation": "bilinear",
        "crop": "the centre 1 x 1", "scale": "0.5", "mean": "[1, 2, 3]",
        "std": "[0.229, 0.224, 0.225]",
    }  # fmt: skip
    assert Preprocessing(resize=None).words["resize"] == "stretched straight to the crop"
    assert Preprocessing().words["scale"] == "1/255"
    assert Preprocessing().described == (
        "RGB; resize shorter side to 256, bilinear; crop the centre 227 x 227; "
        "(pixel x 1/255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]"
    )
    assert set(told) == set(NAMES)


@pytest.mark.parametrize(
    ("name", "value", "read"),
    [
        ("mean", "1,2.5,-3", (1.0, 2.5, -3.0)),
        ("mean", [1, 2], (1.0, 2.0)),
        ("mean", np.array([1, 2]), (1.0, 2.0)),
        ("mean", "1/4", (0.25,)),
        ("std", "-1", (-1.0,)),
        ("scale", "1/255", 1 / 255),
        ("scale", [2], 2.0),
        ("resize", "1", 1),
        ("resize", "224X320", (224, 320)),
        ("resize", 8.0, 8),
        ("crop", 5, (5, 5)),
        ("interpolation", " Nearest-Exact ", "nearest"),
        ("colors", "GREY", "gray"),
    ],
)
def test_values_as_people_write_them(name: str, value: Any, read: Any) -> None:
    assert getattr(Said.of({name: value}, "here"), name) == read


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("mean", "1,x", "no number or list"),
        ("mean", True, "no number or list"),
        ("mean", [None], "no number or list"),
        ("mean", [], "no number or list"),
        ("mean", "1/0", "no number or list"),
        ("mean", "inf", "no number or list"),
        ("std", [1, 0], "The std of here is 0"),
        ("scale", 0, "The scale of here is 0"),
        ("scale", [1, 2], "has 2 numbers"),
        ("resize", 0, "no size in pixels"),
        ("resize", 1.5, "no size in pixels"),
        ("resize", "1,2,3", "no size in pixels"),
        ("crop", "x", "no size in pixels"),
        ("interpolation", "cubic", "The interpolation of here is 'cubic'"),
        ("shape", 1, "has no entry 'shape'"),
    ],
)
def test_values_that_are_none(name: str, value: Any, said: str) -> None:
    with pytest.raises(BadInputError, match=said):
        Said.of({name: value}, "here")
    if name in NAMES:
        assert Said.of({name: None}, "here") == Said()


def spec(*shape: int | str) -> TensorSpec:
    return TensorSpec(name="t", dtype="float32", shape=shape)


@pytest.mark.parametrize(
    ("shape", "classes"),
    [
        (("batch", 10), 10),
        (("batch", 10, 1, 1), 10),
        (("batch", 1, 10), 10),
        (("batch", 2, 10), None),
        (("batch", 1), None),
        (("batch",), None),
        (("batch", "many"), None),
        ((1, 1000), 1000),
    ],
)
def test_which_outputs_are_vectors_of_classes(
    shape: tuple[int | str, ...], classes: int | None
) -> None:
    assert spec(*shape).classes == classes


def test_batches_and_words_of_tensors() -> None:
    free, fixed = spec("batch", 3, "width"), spec(4, 3)
    assert (free.fixed_batch, fixed.fixed_batch) == (None, 4)
    assert (free.at_batch(7), fixed.at_batch(7)) == ((7, 3, 7), (4, 3))
    assert free.described == "t: float32 [batch, 3, width]"
    values = IntegerValues(low=0, high=99, source="table")
    counted = free.model_copy(update={"values": values, "dtype": "int64"})
    assert counted.described == "t: int64 [batch, 3, width], 0 to 99, the rows of its table"
