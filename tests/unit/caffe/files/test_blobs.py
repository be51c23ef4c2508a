"""Weights are read where they lie, in every way that Caffe and its forks write them."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lrn_deploy.caffe.files import wire
from lrn_deploy.caffe.files.blobs import Blob, map_file, read_blob
from lrn_deploy.caffe.files.place import Place
from lrn_deploy.caffe.files.wire import Wire
from lrn_deploy.caffe.weights import read_weights
from lrn_deploy.errors import BadInputError
from tests.support.caffe_files import (
    blob,
    caffemodel,
    dims,
    layer,
    message,
    number,
    real,
    sparse,
    varint,
)

VALUES = np.arange(6, dtype=np.float32).reshape(2, 3)


def read(data: bytes) -> Blob:
    return read_blob(Wire(memoryview(data), Place("w")), 0, len(data), "blob 0 of 'x'")


@pytest.mark.parametrize(
    "data",
    [
        blob(VALUES),
        message(7, b"".join(number(1, size) for size in (2, 3))) + message(5, VALUES.tobytes()),
        message(7, dims((2, 3))) + b"".join(real(5, value) for value in VALUES.flat),
        message(7, dims((2, 3)))
        + message(5, VALUES.tobytes()[:8])
        + message(5, VALUES.tobytes()[8:]),
        message(7, dims((2, 3))) + message(8, VALUES.astype("<f8").tobytes()),
        message(7, dims((2, 3)))
        + b"".join(varint(8 << 3 | 1) + value.astype("<f8").tobytes() for value in VALUES.flat),
        message(7, dims((2, 3))) + message(11, VALUES.tobytes()),
        message(7, dims((2, 3))) + number(10, 0) + message(11, VALUES.astype("<f8").tobytes()),
        message(7, dims((2, 3))) + number(10, 2) + message(11, VALUES.astype("<f2").tobytes()),
        blob(VALUES) + message(6, b"\0" * 24) + message(99, b"a field of a fork"),
        blob(VALUES) + message(1, "x") + number(7, 5) + number(5, 9) + number(8, 9)
        + message(10, "x") + number(11, 5),
        message(7, number(2, 9) + message(3, b"\1") + message(1, varint(2)) + number(1, 3))
        + message(5, VALUES.tobytes()),
    ],
    ids=["packed", "unpacked dims", "unpacked", "in two parts", "double", "unpacked double", "raw",
         "raw double", "half", "with diff", "other wire types", "other fields of a shape"],
)  # fmt: skip
def test_a_blob_is_read_however_it_is_written(data: bytes) -> None:
    found = read(data)
    assert found.shape == (2, 3)
    np.testing.assert_array_equal(found.data, VALUES.reshape(-1))
    assert not found.data.flags.writeable


def test_old_dims_win_over_a_shape_and_take_leading_ones() -> None:
    found = read(blob(VALUES, legacy=True) + message(7, dims((3, 2))))
    assert found.shape == (1, 1, 2, 3)
    assert found.fits((2, 3))
    assert found.fits((1, 2, 3))
    assert found.fits((1, 1, 2, 3))
    assert not found.fits((1, 1, 1, 2, 3))
    assert not found.fits((3, 2))
    assert not read(blob(VALUES)).fits((1, 1, 2, 3))  # a new shape is taken as it is


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (message(7, dims((2, 4))) + message(5, VALUES.tobytes()), "6 values for a shape of 2 x 4"),
        (message(7, dims((2, -3))) + message(5, VALUES.tobytes()), "6 values"),
        (message(7, dims((2, 3))), "0 values"),
        (message(7, dims((2, 3))) + message(5, VALUES.tobytes()[:23]), "23 bytes"),
        (message(7, dims((2, 3))) + number(10, 9) + message(11, b"12"), "unknown type 9"),
        (message(7, dims((2**40, 2**40))) + message(5, VALUES.tobytes()), "6 values"),
    ],
)
def test_values_that_do_not_fit_their_shape_are_refused(data: bytes, said: str) -> None:
    with pytest.raises(BadInputError) as caught:
        read(data)
    assert said in caught.value.message


@pytest.mark.parametrize(
    ("start", "said"),
    [
        (b"\x89HDF\r\n", "HDF5"),
        (b"version https://git-lfs.github.com/spec/v1", "git lfs pull"),
        (b"<!DOCTYPE html>", "a page of the web"),
        (b'name: "AlexNet"\n', "Give the prototxt first"),
        (b"layer {", "Give the prototxt first"),
        (b"input: ", "Give the prototxt first"),
        (b"# AlexNet", "this is a text"),
        (b"PK\x03\x04", "a zip archive"),
        (b"\x1f\x8b", "a gzip file"),
        (b"\x93NUMPY", "with --mean-file"),
        (b"", "the file is empty"),
    ],
)
def test_what_is_plainly_something_else_is_called_so(
    tmp_path: Path, start: bytes, said: str
) -> None:
    path = tmp_path / "net.caffemodel"
    path.write_bytes(start)
    with pytest.raises(BadInputError) as caught:
        map_file(path)
    assert said in str(caught.value)


def test_a_file_is_as_long_as_a_message_can_be(tmp_path: Path) -> None:
    path = tmp_path / "sparse.caffemodel"
    path.touch()
    os.truncate(path, 2**31 - 1)
    assert len(map_file(path).data) == 2**31 - 1
    os.truncate(path, 2**31)
    with pytest.raises(BadInputError, match="2,147,483,648 bytes, and Caffe's format ends"):
        map_file(path)


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    for path, reason in ((tmp_path / "none", "No such file"), (tmp_path, "Is a directory"),
                         (tmp_path / "a\0b", "embedded null byte")):  # fmt: skip
        with pytest.raises(BadInputError, match=f"': {reason}"):
            map_file(path)


def test_a_file_cut_anywhere_is_refused_or_has_fewer_layers(tmp_path: Path) -> None:
    data = caffemodel({"a": [VALUES], "b": [VALUES]})
    whole = read_part(tmp_path, data)
    assert set(whole) == {"a", "b"}
    for end in range(1, len(data)):
        try:
            found = read_part(tmp_path, data[:end])
        except BadInputError:
            continue
        assert set(found) < {"a", "b"}, end


def read_part(folder: Path, data: bytes) -> dict[str, list[tuple[int, int]]]:
    path = folder / "net.caffemodel"
    path.write_bytes(data)
    return read_weights(path).spans


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("mutated")


@given(data=st.data())
@settings(max_examples=150)
def test_changed_bytes_give_weights_or_one_sentence(data: st.DataObject, folder: Path) -> None:
    generation = data.draw(st.sampled_from((0, 1, 2)))
    changed = bytearray(caffemodel({"a": [VALUES, VALUES[0]], "b": [VALUES]}, generation))
    for _ in range(data.draw(st.integers(1, 5))):
        place = data.draw(st.integers(0, len(changed) - 1))
        changed[place] = data.draw(st.sampled_from((0, 1, 0x7F, 0x80, 0xFF, 0x0A, 0x12)))
    path = folder / "w.caffemodel"
    path.write_bytes(changed)
    with suppress(BadInputError):
        weights = read_weights(path)
        for name in weights.spans:
            weights.shape_of(name)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_blob_or_refused(data: bytes) -> None:
    try:
        found = read(data)
    except BadInputError:
        return
    assert found.data.nbytes <= len(data)


def test_more_fields_than_a_network_has_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "MAX_FIELDS", 3)
    path = tmp_path / "four.caffemodel"
    path.write_bytes(message(1, "net") + message(100, b"") * 3)
    with pytest.raises(BadInputError, match="more than 3 fields"):
        read_weights(path)
    path.write_bytes(message(1, "net") + message(100, b"") * 2)
    assert read_weights(path).spans == {}


@pytest.mark.usefixtures("unmeasured")  # 200,000 times the same lines
def test_a_flood_of_fields_ends_soon(tmp_path: Path) -> None:
    path = tmp_path / "flood.caffemodel"
    path.write_bytes(message(1, "net") + message(100, b"") * 250_000)
    with pytest.raises(BadInputError, match="more than 200,000 fields"):
        read_weights(path)


@pytest.mark.usefixtures("unmeasured")  # as above
def test_a_flood_of_dims_ends_soon() -> None:
    with pytest.raises(BadInputError):
        read(message(7, message(1, b"\1" * 250_000)))


def test_a_long_varint_is_refused() -> None:
    with pytest.raises(BadInputError, match="byte"):
        read(b"\x08" + b"\xff" * 11)
    with pytest.raises(BadInputError, match="byte"):
        read(varint(5 << 3 | 2) + varint(2**62))


def test_a_quarter_of_a_gigabyte_is_opened_without_reading_it(tmp_path: Path) -> None:
    path = tmp_path / "large.caffemodel"
    sparse(path, {"fc6": [(4096, 9216), (4096,)], "fc7": [(4096, 4096)], "fc8": [(2000, 4096)]})
    assert path.stat().st_size > 245_000_000
    read_by_calls, held_before = _read_and_held()
    weights = read_weights(path)
    assert weights.shape_of("fc7") == (4096, 4096)
    read_since, held = _read_and_held()
    assert read_since - read_by_calls < 1_000_000
    assert held - held_before < 20_000_000
    span = weights.spans["fc6"][0]
    data = read_blob(weights.wire, *span, "fc6").data
    assert not data.flags.owndata
    assert np.shares_memory(data, np.frombuffer(weights.wire.data, np.uint8))


def test_of_two_layers_with_one_name_the_last_counts(tmp_path: Path) -> None:
    path = tmp_path / "twice.caffemodel"
    path.write_bytes(layer("a", [VALUES]) + layer("a", [VALUES[0]]))
    assert read_weights(path).shape_of("a") == (3,)


def test_of_an_old_layer_that_nobody_knows_the_weights_are_read(tmp_path: Path) -> None:
    unknown = message(1, "a") + message(2, "of a fork") + message(50, blob(VALUES, legacy=True))
    path = tmp_path / "old.caffemodel"
    path.write_bytes(message(2, message(1, unknown)) + layer("b", [VALUES], 0))
    weights = read_weights(path)
    assert (weights.shape_of("a"), weights.shape_of("b")) == ((1, 1, 2, 3), (1, 1, 2, 3))


def _read_and_held() -> tuple[int, int]:
    """Bytes that this process has read by calls, and bytes in memory, mapped files among them."""
    counts = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return int(counts["rchar"]), pages * os.sysconf("SC_PAGE_SIZE")
