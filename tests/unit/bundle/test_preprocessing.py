"""What is said of a preprocessing, what is assumed, and that manifests of before mean the same."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from lrn_deploy.bundle import Manifest, Preprocessing, Said
from lrn_deploy.bundle.said import complete, said_of
from lrn_deploy.errors import BadInputError
from lrn_deploy.models import ZOO
from lrn_deploy.said import NAMES
from lrn_deploy.workflows.validate.samples import samples_key

OLD = """{"schema_version": 1,
 "model": {"name": "own", "factory": "/nets/own.py:build", "origin": "factory",
  "input_shape": [3, 64, 64],
  "weights": {"kind": "factory", "seed": 0, "file": null, "sha256": "ab", "note": "as made",
   "mapping": "", "stripped": []}},
 "inputs": [{"name": "input", "dtype": "float32", "shape": ["batch", 3, 64, 64]}],
 "outputs": [{"name": "output", "dtype": "float32", "shape": ["batch", 2]}],
 "preprocessing": {"mode": "RGB", "resize": 73, "crop": [64, 64], "interpolation": "bilinear",
  "scale": 0.00392156862745098, "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225],
  "in_graph": false},
 "labels": null, "lrn_layers": [], "layers": [],
 "artifacts": {"model": {"file": "model.onnx", "sha256": "24", "size": 2785, "companions": [],
  "format": "onnx", "precision": "fp32", "target": "any", "built_by": {}, "source": null,
  "key": "", "options": {"opset": 18}, "engine": null}},
 "samples": {}, "samples_key": "", "default": "model", "choices": []}"""
"""A manifest as it was written before anybody could say a preprocessing."""

EVERYTHING = Said(
    colors="bgr",
    resize=256,
    crop=(227, 227),
    interpolation="bicubic",
    scale=1.0,
    mean=(103.94, 116.78, 123.68),
    std=(1.0, 1.0, 1.0),
)
INPUT = (3, 227, 227)


def said(**content: Any) -> Said:
    return Said.of(content, "the command line")


def test_a_manifest_of_before_means_the_same_and_says_that_it_was_assumed() -> None:
    preprocessing = Manifest.model_validate_json(OLD).preprocessing
    assert preprocessing is not None
    assert (preprocessing.mode, preprocessing.resize, preprocessing.crop) == ("RGB", 73, (64, 64))
    assert (preprocessing.scale, preprocessing.mean) == (1 / 255, (0.485, 0.456, 0.406))
    assert preprocessing.assumed == ("colors", "resize", "interpolation", "scale", "mean", "std")
    assert preprocessing == complete(Said(), (3, 64, 64))


def test_a_zoo_networks_manifest_of_before_assumes_nothing() -> None:
    content = json.loads(OLD)
    content["model"]["origin"] = "zoo"
    preprocessing = Manifest.model_validate(content).preprocessing
    assert preprocessing is not None
    assert preprocessing.assumed == ()


def test_samples_of_before_are_still_those_of_the_bundle() -> None:
    # What samples_key gave for this manifest before there was anything to say.
    expected = "a1df6024719aa363153e1b00278ef3a2d7eed42ed6f801c344b6b722f2d9c94a"
    assert samples_key(Manifest.model_validate_json(OLD), 4, ()) == expected


def test_who_said_it_does_not_change_the_digest_and_every_number_does() -> None:
    preprocessing = Preprocessing()
    assert preprocessing.model_copy(update={"assumed": ("mean",)}).digest == preprocessing.digest
    for change in (
        {"mode": "BGR"},
        {"resize": 300},
        {"crop": (224, 224)},
        {"interpolation": "box"},
        {"scale": 1.0},
        {"mean": (0.5, 0.5, 0.5)},
        {"std": (1.0, 1.0, 1.0)},
    ):
        assert preprocessing.model_copy(update=change).digest != preprocessing.digest, change


def test_the_usual_forms_are_read() -> None:
    caffe = said(
        mean="103.94,116.78,123.68",
        std="1",
        scale="1",
        colors="BGR",
        resize="256",
        crop="227",
        interpolation="bicubic",
    )
    assert caffe == Said(**{**EVERYTHING.content, "std": (1.0,)})
    preprocessing = complete(caffe, INPUT)
    assert preprocessing is not None
    assert (preprocessing.mode, preprocessing.std, preprocessing.assumed) == ("BGR", (1, 1, 1), ())
    assert said(scale="1/255").scale == 1 / 255
    assert said(resize="224x320").resize == said(resize=[224, 320]).resize == (224, 320)
    assert said(colors="grey").colors == "gray"
    assert said(mean=0.5).mean == (0.5,)


def test_what_was_said_can_be_said_again() -> None:
    preprocessing = complete(EVERYTHING, INPUT)
    assert preprocessing is not None
    text = json.dumps(said_of(preprocessing, everything=True).content)
    assert complete(Said.of(json.loads(text), "a file"), INPUT) == preprocessing


def test_what_nobody_said_is_named_with_its_value() -> None:
    preprocessing = complete(said(mean="0.5", std="0.5", scale="1/255", colors="rgb"), (3, 64, 64))
    assert preprocessing is not None
    assert preprocessing.assumed == ("resize", "interpolation")
    assert preprocessing.assumption == (
        "assumed: resize shorter side to 73; interpolation bilinear; "
        "if it was trained otherwise, predictions are wrong"
    )
    assert preprocessing.described == (
        "RGB; resize shorter side to 73, bilinear; crop the centre 64 x 64; "
        "(pixel x 1/255 - [0.5, 0.5, 0.5]) / [0.5, 0.5, 0.5]"
    )


def test_resizing_to_the_input_itself_is_stretching_and_is_not_assumed() -> None:
    preprocessing = complete(said(resize="64,64"), (3, 64, 64))
    assert preprocessing is not None
    assert preprocessing.resize is None
    assert "resize" not in preprocessing.assumed


def test_a_gray_network_has_no_order_of_channels_to_assume() -> None:
    preprocessing = complete(Said(), (1, 28, 28))
    assert preprocessing is not None
    assert preprocessing.mode == "L"
    assert preprocessing.assumed == ("resize", "interpolation", "scale", "mean", "std")


@pytest.mark.parametrize("name", ZOO)
def test_networks_of_the_zoo_assume_nothing_and_keep_theirs(name: str) -> None:
    entry = ZOO[name]
    assert entry.preprocessing.assumed == ()
    assert complete(Said(), entry.input_shape, entry.preprocessing) == entry.preprocessing
    everything = said_of(entry.preprocessing, everything=True)
    assert complete(everything, entry.input_shape) == entry.preprocessing


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"std": "1,0,1", "mean": "0"}, "The std of the command line is 0"),
        ({"scale": "0"}, "The scale of the command line is 0"),
        ({"scale": "1,2"}, "has 2 numbers"),
        ({"mean": "a,b"}, "no number or list of numbers"),
        ({"mean": "nan"}, "no number or list of numbers"),
        ({"mean": [True]}, "no number or list of numbers"),
        ({"scale": "1/0"}, "no number or list of numbers"),
        ({"colors": "cmyk"}, "The colors of the command line is 'cmyk'"),
        ({"interpolation": "hamming"}, "The interpolation of the command line is 'hamming'"),
        ({"resize": "big"}, "no size in pixels"),
        ({"resize": "0"}, "no size in pixels"),
        ({"crop": "1,2,3"}, "no size in pixels"),
        ({"resize": 1.5}, "no size in pixels"),
        ({"means": "1"}, "has no entry 'means'"),
    ],
)
def test_values_that_mean_nothing_are_refused(content: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInputError, match=message) as caught:
        said(**content)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"mean": "0.5,0.5", "std": "1"}, "2 numbers for a network of 3 channels"),
        ({"crop": "224"}, "crop of 224 x 224 does not fit the network, which takes 227 x 227"),
        ({"resize": "200"}, "resize 200 is smaller than the crop"),
        ({"resize": "300,200"}, r"resize \(300, 200\) is smaller than the crop"),
        ({"colors": "gray"}, "takes 3 channels, which cannot be 'gray'"),
        ({"mean": "0.5"}, "A mean is given without a std"),
        ({"std": "0.5"}, "A std is given without a mean"),
        ({"scale": "1"}, "A scale of 1 is given without mean and std"),
        ({"mean": "123,117,104", "std": "1"}, "A mean of 123 does not fit pixels from 0 to 1"),
        ({"mean": "0", "std": "255"}, "A std of 255 does not fit pixels from 0 to 1"),
    ],
)
def test_what_is_not_possible_or_half_said_is_refused(
    content: dict[str, Any], message: str
) -> None:
    with pytest.raises(BadInputError, match=message) as caught:
        complete(said(**content), INPUT)
    assert caught.value.hint


def test_a_mean_in_pixels_needs_its_scale_also_where_another_was_said_before() -> None:
    before = said(mean="0.5", std="0.5", scale="1/255")
    with pytest.raises(BadInputError, match="A mean of 104 does not fit"):
        said(mean="104", std="1").over(before)
    assert said(mean="104", std="1", scale="1").over(before).mean == (104.0,)


def test_what_is_assumed_of_a_colour_stays_with_it_in_another_order() -> None:
    preprocessing = complete(said(colors="bgr"), INPUT)
    assert preprocessing is not None
    assert preprocessing.mean == (0.406, 0.456, 0.485)
    assert preprocessing.std == (0.225, 0.224, 0.229)


def test_another_order_of_channels_needs_its_mean_and_std_in_that_order() -> None:
    with pytest.raises(BadInputError, match=r"is in the order bgr, and colors are now rgb") as no:
        said(colors="rgb").over(EVERYTHING)
    assert "--mean" in no.value.hint
    turned = said(colors="rgb", mean="123.68,116.78,103.94").over(EVERYTHING)  # std is 1 for all
    assert (turned.colors, turned.mean) == ("rgb", (123.68, 116.78, 103.94))


def test_a_network_that_takes_no_images_has_no_preprocessing() -> None:
    assert complete(Said(), (10,)) is None
    with pytest.raises(BadInputError, match="which are no images"):
        complete(said(colors="rgb"), (10,))


def test_only_something_that_is_left_open_is_not_settled() -> None:
    assert EVERYTHING.settles(INPUT)
    for name in NAMES:
        open_ = Said(**{key: value for key, value in EVERYTHING.content.items() if key != name})
        assert open_.settles(INPUT) == (name == "crop")


@pytest.mark.parametrize("change", [{"scale": 0}, {"mean": (float("inf"),) * 3}])
def test_preprocessing_with_impossible_numbers_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="must"):
        Preprocessing(**change)
