"""Inputs as people write them on the command line."""

from __future__ import annotations

import pytest

from lrn_deploy.bundle import TensorSpec
from lrn_deploy.export.options import read_inputs


@pytest.mark.parametrize(
    ("word", "name", "dtype", "axes"),
    [
        ("3,227,227", "", "float32", (3, 227, 227)),
        (" 8 ", "", "float32", (8,)),
        ("tokens=8:int64", "tokens", "int64", (8,)),
        ("x=", "x", "float32", ()),
        (":int64", "", "int64", ()),
        ("label=:int32", "label", "int32", ()),
    ],
)
def test_an_input_is_a_name_a_shape_and_a_type(
    word: str, name: str, dtype: str, axes: tuple[int, ...]
) -> None:
    assert read_inputs([word]) == (TensorSpec(name=name, dtype=dtype, shape=("batch", *axes)),)
    assert len(read_inputs([word, "y=4"])) == 2
    assert read_inputs([]) == ()


@pytest.mark.parametrize(
    "word", ["", " ", "=3", "0", "3,0", "3,,4", "3,", "a,b=3", "3:", "-3", "x"]
)
def test_what_is_no_input_is_refused(word: str) -> None:
    with pytest.raises(ValueError, match=f"'{word}' is no shape; write 3,227,227"):
        read_inputs(["3", word])
