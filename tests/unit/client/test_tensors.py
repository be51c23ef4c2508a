"""Tensors as bytes and as JSON, against ml_dtypes, struct and tritonclient."""

from __future__ import annotations

import struct

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tritonclient.utils import deserialize_bytes_tensor, serialize_byte_tensor

from lrn_deploy.client.errors import ProtocolError
from lrn_deploy.client.tensors import (
    Tensor,
    datatype_of,
    from_bytes,
    from_json,
    pack,
    unpack,
)
from lrn_deploy.errors import BadInputError


@pytest.mark.parametrize(
    ("dtype", "name"),
    [
        ("?", "BOOL"), ("u1", "UINT8"), ("<u2", "UINT16"), ("<u4", "UINT32"), ("<u8", "UINT64"),
        ("i1", "INT8"), ("<i2", "INT16"), ("<i4", "INT32"), ("<i8", "INT64"),
        ("<f2", "FP16"), ("<f4", "FP32"), ("<f8", "FP64"), (ml_dtypes.bfloat16, "BF16"),
    ],
)  # fmt: skip
def test_each_type_goes_out_and_comes_back(dtype: str, name: str) -> None:
    array = np.array([[0, 1], [1, 0], [1, 1]]).astype(dtype)
    tensor = Tensor(array)
    assert tensor.datatype == name
    assert bytes(tensor.to_bytes()) == array.tobytes()
    back = from_bytes(tensor.to_bytes(), name, array.shape, "x")
    np.testing.assert_array_equal(back.astype(np.float64), array.astype(np.float64))


def test_order_of_bytes_and_of_axes_is_the_protocols() -> None:
    array = np.arange(6, dtype=">i4").reshape(2, 3).T  # big-endian, and not in C order
    assert bytes(Tensor(array).to_bytes()) == struct.pack("<6i", 0, 3, 1, 4, 2, 5)


def test_each_bfloat16_goes_out_as_it_is() -> None:
    """Those that are no numbers too, of which there are many."""
    every = np.arange(2**16, dtype="<u2")
    sent = Tensor(every.view(ml_dtypes.bfloat16)).to_bytes()
    np.testing.assert_array_equal(np.frombuffer(sent, "<u2"), every)


def test_what_lies_well_is_not_copied() -> None:
    array = np.zeros((4, 5), np.float32)
    view = Tensor(array).to_bytes()
    array[0, 0] = 1.0
    assert bytes(view[:4]) == struct.pack("<f", 1.0)


@settings(max_examples=50)
@given(st.lists(st.floats(width=32), max_size=20))
def test_float32_is_rounded_to_bf16_as_ml_dtypes_rounds_it(values: list[float]) -> None:
    array = np.array(values, np.float32)
    sent = np.frombuffer(Tensor(array, "BF16").to_bytes(), "<u2")
    wanted = array.astype(ml_dtypes.bfloat16)
    finite = ~np.isnan(array)
    np.testing.assert_array_equal(sent[finite], wanted.view("<u2")[finite])
    back = from_bytes(sent.tobytes(), "BF16", array.shape, "x")
    assert back.dtype == np.float32
    np.testing.assert_array_equal(back, wanted.astype(np.float32))


def test_what_lies_between_two_numbers_of_bf16_goes_to_the_even_one() -> None:
    halfway = np.array([0x3F80_8000, 0x3F81_8000, 0x3F81_7FFF, 0x3F80_8001], "<u4")
    sent = np.frombuffer(Tensor(halfway.view("<f4"), "BF16").to_bytes(), "<u2")
    assert sent.tolist() == [0x3F80, 0x3F82, 0x3F81, 0x3F81]


def test_what_is_no_number_stays_none_whatever_bits_tell_so() -> None:
    """Cut to their upper half, the first two would be infinite."""
    bits = np.array([0x7F80_0001, 0xFF80_0001, 0x7FFF_FFFF], "<u4")
    sent = np.frombuffer(Tensor(bits.view("<f4"), "BF16").to_bytes(), "<u2")
    assert np.isnan(sent.view(ml_dtypes.bfloat16).astype(np.float32)).all()


@settings(max_examples=50)
@given(st.lists(st.text(max_size=5) | st.binary(max_size=5), min_size=1, max_size=6))
def test_bytes_are_as_tritonclient_has_them(values: list[str | bytes]) -> None:
    array = np.empty(len(values), object)
    array[:] = values
    sent = bytes(Tensor(array).to_bytes())
    assert sent == serialize_byte_tensor(array).item()
    back = from_bytes(sent, "BYTES", (len(values),), "x")
    assert list(back) == list(deserialize_bytes_tensor(sent))


def test_strings_of_fixed_length_are_bytes_too() -> None:
    assert bytes(Tensor(np.array(["é", "b"])).to_bytes()) == pack(["é".encode(), b"b"])
    assert Tensor(np.array([b"ab"])).to_json() == ["ab"]
    with pytest.raises(BadInputError, match="no UTF-8 cannot be sent as JSON"):
        Tensor(np.array([b"\xff"])).to_json()


def test_json_is_flat() -> None:
    tensor = Tensor(np.array([[1.5, 2], [3, 4]], np.float32))
    assert tensor.shape == (2, 2)
    assert tensor.to_json() == [1.5, 2, 3, 4]


@pytest.mark.parametrize(
    ("array", "datatype", "said"),
    [
        (np.zeros(1, np.complex64), "", "no type for an array of complex64"),
        (np.zeros(1, np.float64), "FP32", "float64 cannot be sent as FP32"),
        (np.zeros(1, np.float64), "BF16", "float64 cannot be sent as BF16"),
        (np.zeros(1, np.float32), "FP16", "float32 cannot be sent as FP16"),
        (np.array([1, "a"], object), "", "got int"),
    ],
)
def test_what_cannot_be_sent_is_refused(array: np.ndarray, datatype: str, said: str) -> None:
    with pytest.raises(BadInputError, match=said):
        Tensor(array, datatype).to_bytes()


@pytest.mark.parametrize("datatype", ["FP16", "BF16"])
def test_json_has_no_halves(datatype: str) -> None:
    array = np.zeros(2, np.float16 if datatype == "FP16" else np.float32)
    with pytest.raises(BadInputError, match=f"{datatype} cannot be sent as JSON"):
        Tensor(array, datatype).to_json()


@pytest.mark.parametrize(
    ("content", "datatype", "shape", "said"),
    [
        (b"\0" * 7, "FP32", (2,), "7 bytes; FP32 of shape .2. takes 8"),
        (b"\0" * 8, "FP8", (2,), "'FP8', which is not known"),
        (b"\5\0\0\0ab", "BYTES", (1,), "cut short"),
        (b"\1\0\0", "BYTES", (1,), "cut short"),
        (b"\1\0\0\0a", "BYTES", (2,), "has 1 elements, its shape .2. says 2"),
    ],
)
def test_an_answer_that_lies_about_its_size_is_refused(
    content: bytes, datatype: str, shape: tuple[int, ...], said: str
) -> None:
    with pytest.raises(ProtocolError, match=said):
        from_bytes(content, datatype, shape, "x")


def test_json_may_be_nested_or_flat() -> None:
    for values in ([1.5, 2.5, 3.5, 4.5], [[1.5, 2.5], [3.5, 4.5]]):
        back = from_json(values, "FP32", [2, 2], "x")
        assert back.dtype == np.float32
        assert back.tolist() == [[1.5, 2.5], [3.5, 4.5]]
    half = from_json([1.5], "BF16", [1], "x")
    assert (half.dtype, half.tolist()) == (np.float32, [1.5])
    assert from_json(["a", "é"], "BYTES", [2], "x").tolist() == [b"a", "é".encode()]
    with pytest.raises(ProtocolError, match="is no FP32 of shape"):
        from_json([1, 2, 3], "FP32", [2], "x")
    with pytest.raises(ProtocolError, match="is no UINT8"):
        from_json([300], "UINT8", [1], "x")


def test_no_elements_are_a_tensor_too() -> None:
    empty = np.zeros((0, 3), np.float32)
    assert bytes(Tensor(empty).to_bytes()) == b""
    assert from_bytes(b"", "FP32", (0, 3), "x").shape == (0, 3)
    assert unpack(b"", "x") == []
    assert datatype_of(empty) == "FP32"
