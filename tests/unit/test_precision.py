"""What the precisions' names mean, and that nothing can be made in a precision without a name."""

from __future__ import annotations

import pytest

from lrn_deploy.precision import (
    PRECISIONS,
    TARGETS,
    half,
    in_words,
    is_plain,
    least_error,
    variant_precisions,
)


@pytest.mark.parametrize("name", PRECISIONS)
def test_a_name_says_what_is_computed_in_what(name: str) -> None:
    parts = set(name.split("-"))
    precision = PRECISIONS[name]
    assert precision.int8 == ("int8" in parts)
    assert precision.half == next(iter(parts & {"fp16", "bf16"}), None)
    assert precision.bits == {"w8": 8, "w4": 4}.get((parts & {"w8", "w4"} or {""}).pop())


def test_every_target_has_fp32_and_precisions_that_there_are() -> None:
    assert TARGETS.keys() == {"tensorrt", "cuda", "cpu", "openvino"}
    for names in TARGETS.values():
        assert names[0] == "fp32"
        assert set(names) <= PRECISIONS.keys()
    assert variant_precisions() == tuple(name for name in PRECISIONS if name != "tf32")


def test_a_precision_that_nobody_knows_is_taken_for_a_coarse_one() -> None:
    assert (least_error("fp32"), least_error("tf32"), least_error("fp16")) == (0.0, 2e-5, 2e-5)
    assert least_error("int8") == least_error("int2") == 1e-4
    assert (half("bf16"), half("int8-bf16"), half("int8"), half("int2")) == (
        "bf16",
        "bf16",
        None,
        None,
    )


def test_fp32_and_tf32_are_the_canonical_graph_as_it_is() -> None:
    assert {name for name in (*PRECISIONS, "int2") if is_plain(name)} == {"fp32", "tf32"}


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("fp32", "32-bit floating point"),
        ("tf32", "32-bit floating point, products of matrices rounded"),
        ("fp16", "16-bit floating point"),
        ("int8", "8-bit integers, calibrated; the rest in 32-bit floating point"),
        ("int8-bf16", "8-bit integers, calibrated; the rest in bfloat16"),
        ("w4", "4-bit weights in blocks; the rest in 32-bit floating point"),
        (
            "int8-w8",
            "8-bit integers, calibrated and 8-bit weights in blocks; the rest in 32-bit floating "
            "point",
        ),
        ("int2", "int2"),
    ],
)
def test_a_precision_in_words(name: str, said: str) -> None:
    assert in_words(name) == said
