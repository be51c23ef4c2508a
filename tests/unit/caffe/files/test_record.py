"""Values of Caffe's messages at the ends of their ranges, in every way to write them."""

from __future__ import annotations

from typing import Any

import pytest

from lrn_deploy.caffe.files.record import Record, default, enum_name, from_text
from lrn_deploy.caffe.files.text import parse
from lrn_deploy.errors import BadInputError


def record(text: str, message: str = "NetParameter") -> Record:
    return from_text(parse(text, "/a/net.prototxt"), message)


def refused(text: str, said: str, message: str = "LayerParameter") -> None:
    with pytest.raises(BadInputError, match=said):
        record(text, message)


@pytest.mark.parametrize(
    ("message", "field", "text", "value"),
    [
        ("BlobShape", "dim", "9223372036854775807", 2**63 - 1),
        ("BlobShape", "dim", "-9223372036854775808", -(2**63)),
        ("BlobShape", "dim", "-0x10", -16),
        ("BlobShape", "dim", "0X1f", 31),
        ("BlobShape", "dim", "010", 8),
        ("BlobShape", "dim", "-010", -8),
        ("BlobShape", "dim", "0", 0),
        ("BlobShape", "dim", "+5", 5),
        ("LRNParameter", "local_size", "4294967295", 2**32 - 1),
        ("LRNParameter", "local_size", "0", 0),
        ("LRNParameter", "alpha", "1.5f", 1.5),
        ("LRNParameter", "alpha", "2F", 2.0),
        ("LRNParameter", "alpha", "-1e-3", -0.001),
        ("LRNParameter", "norm_region", "1", "WITHIN_CHANNEL"),
        ("LRNParameter", "norm_region", "ACROSS_CHANNELS", "ACROSS_CHANNELS"),
        ("InnerProductParameter", "bias_term", "true", True),
        ("InnerProductParameter", "bias_term", "t", True),
        ("InnerProductParameter", "bias_term", "True", True),
        ("InnerProductParameter", "bias_term", "1", True),
        ("InnerProductParameter", "bias_term", "false", False),
        ("InnerProductParameter", "bias_term", "f", False),
        ("InnerProductParameter", "bias_term", "False", False),
        ("InnerProductParameter", "bias_term", "0", False),
    ],
)
def test_a_value_is_read(message: str, field: str, text: str, value: Any) -> None:
    found = record(f"{field}: {text}", message).get(field)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("message", "field", "text", "said"),
    [
        ("BlobShape", "dim", "9223372036854775808", "an integer"),
        ("BlobShape", "dim", "-9223372036854775809", "an integer"),
        ("BlobShape", "dim", "1" * 21, "an integer"),
        ("BlobShape", "dim", "09", "an integer"),
        ("BlobShape", "dim", "1.0", "an integer"),
        ("BlobShape", "dim", "'1'", "an integer"),
        ("LRNParameter", "local_size", "4294967296", "an integer of 0 or more"),
        ("LRNParameter", "local_size", "-1", "an integer of 0 or more"),
        ("LRNParameter", "alpha", "inf", "a finite number"),
        ("LRNParameter", "alpha", "-inf", "a finite number"),
        ("LRNParameter", "alpha", "true", "a finite number"),
        ("LRNParameter", "norm_region", "2", "ACROSS_CHANNELS or WITHIN_CHANNEL"),
        ("LRNParameter", "norm_region", "'WITHIN_CHANNEL'", "ACROSS_CHANNELS or WITHIN"),
        ("InnerProductParameter", "bias_term", "2", "true or false"),
        ("InnerProductParameter", "bias_term", "'true'", "true or false"),
        ("LayerParameter", "name", "5", "a string in quotes"),
    ],
)
def test_a_value_of_another_kind_is_refused(message: str, field: str, text: str, said: str) -> None:
    refused(f"{field}: {text}", said, message)


def test_the_first_six_names_of_a_long_enum_are_told() -> None:
    refused(
        "type: CONVOLUTIONAL",
        "is not NONE or ACCURACY or BNLL or CONCAT or CONVOLUTION or DATA\\. Correct",
        "V1LayerParameter",
    )


def test_a_wrong_value_is_told_up_to_forty_characters() -> None:
    refused(f"lrn_param {{ alpha: {'x' * 100} }}", "is 'x{40}', which")


def test_what_is_not_given_has_caffes_default() -> None:
    lrn = record("alpha: 2", "LRNParameter")
    assert lrn.has("alpha")
    assert not lrn.has("beta")
    assert [lrn.get(name) for name in ("local_size", "alpha", "beta", "norm_region")] == [
        5, 2.0, 0.75, "ACROSS_CHANNELS",
    ]  # fmt: skip
    assert default("ConvolutionParameter", "num_output") is None
    assert default("ConvolutionParameter", "bias_term") is True
    assert default("ReshapeParameter", "num_axes") == -1
    assert lrn.origin("alpha") == "net.prototxt:1"
    assert lrn.origin("beta") == "Caffe's default"
    assert record("", "LayerParameter").part("lrn_param").get("k") == 1.0


def test_places_and_lists() -> None:
    shape = record("dim: 1\ndim: [2, 3]", "BlobShape")
    assert shape.all("dim") == [1, 2, 3]
    assert shape.get("dim") == 3
    assert shape.place_of("dim").line == 2
    assert record("\n\nname: 'x'").place_of("input").line == 1


@pytest.mark.parametrize("number", [1, 2**31 - 1])
def test_a_size_is_at_least_one_and_an_int(number: int) -> None:
    assert record(f"num_output: {number}", "InnerProductParameter").positive("num_output") == number


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "'num_output' is missing"),
        ("num_output: 0", "is 0, and must be 1 or more"),
        ("num_output: 2147483648", "is 2147483648"),
    ],
)
def test_a_size_that_is_none_is_refused(text: str, said: str) -> None:
    with pytest.raises(BadInputError, match=said):
        record(text, "InnerProductParameter").positive("num_output")


def test_names_of_enums() -> None:
    assert enum_name("Phase", 1) == enum_name("Phase", "TEST") == "TEST"
    for value in (2, "DEPLOY"):
        with pytest.raises(ValueError, match=str(value)):
            enum_name("Phase", value)


IN_ORDER = {
    "Phase": "TRAIN TEST",
    "NormRegion": "ACROSS_CHANNELS WITHIN_CHANNEL",
    "PoolMethod": "MAX AVE STOCHASTIC",
    "RoundMode": "CEIL FLOOR",
    "EltwiseOp": "PROD SUM MAX",
    "ReductionOp": "- SUM ASUM SUMSQ MEAN",
    "V1LayerType": "NONE ACCURACY BNLL CONCAT CONVOLUTION DATA DROPOUT EUCLIDEAN_LOSS FLATTEN "
    "HDF5_DATA HDF5_OUTPUT IM2COL IMAGE_DATA INFOGAIN_LOSS INNER_PRODUCT LRN "
    "MULTINOMIAL_LOGISTIC_LOSS POOLING RELU SIGMOID SOFTMAX SOFTMAX_LOSS SPLIT TANH WINDOW_DATA "
    "ELTWISE POWER SIGMOID_CROSS_ENTROPY_LOSS HINGE_LOSS MEMORY_DATA ARGMAX THRESHOLD DUMMY_DATA "
    "SLICE MVN ABSVAL SILENCE CONTRASTIVE_LOSS EXP DECONVOLUTION",
}
"""The names of caffe.proto's enums, in the order of their numbers."""


@pytest.mark.parametrize("kind", IN_ORDER)
def test_enums_have_the_numbers_of_caffe_proto(kind: str) -> None:
    names = IN_ORDER[kind].split()
    for number, name in enumerate(names):
        if name == "-":
            with pytest.raises(ValueError, match=str(number)):
                enum_name(kind, number)
        else:
            assert enum_name(kind, number) == name
    with pytest.raises(ValueError, match=str(len(names))):
        enum_name(kind, len(names))


def test_a_hint_is_given_only_where_a_name_is_close() -> None:
    with pytest.raises(BadInputError) as caught:
        record("zzz: 1")
    assert caught.value.hint == (
        "Forks of Caffe add fields of their own; Caffe itself would refuse this file too."
    )
