"""Class names in the forms in which people keep them."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrn_deploy.bundle import TensorSpec
from lrn_deploy.errors import BadInputError
from lrn_deploy.export.labels import check_count, parse_labels, read_labels_file

FISH = ("tench, Tinca tinca", "goldfish, Carassius auratus")


@pytest.mark.parametrize(
    "data",
    [
        b"tench, Tinca tinca\ngoldfish, Carassius auratus\n",
        b"tench, Tinca tinca\ngoldfish, Carassius auratus",
        b"\xef\xbb\xbftench, Tinca tinca\r\ngoldfish, Carassius auratus\r\n",
        b"tench, Tinca tinca\rgoldfish, Carassius auratus\r",
        b"  tench,  Tinca tinca \t\n goldfish, Carassius\tauratus\n\n \r\n\n",
        "tench, Tinca tinca\r\ngoldfish, Carassius auratus\r\n".encode("utf-16"),
        b"n01440764 tench, Tinca tinca\nn01443537 goldfish, Carassius auratus\n",
        b"n01440764\ttench, Tinca tinca\r\nn01443537\tgoldfish, Carassius auratus\r\n",
        b'["tench, Tinca tinca", "goldfish, Carassius auratus"]',
        b'\xef\xbb\xbf\r\n["tench, Tinca tinca",\r\n "goldfish, Carassius auratus"]\r\n',
        b'[["n01440764", "tench", "Tinca tinca"], ["n01443537", "goldfish, Carassius auratus"]]',
        b'{"0": "tench, Tinca tinca", "1": "goldfish, Carassius auratus"}',
        b'{"1": "goldfish, Carassius auratus", "0": "tench, Tinca tinca"}',
        b'{"0": ["n01440764", "tench, Tinca tinca"],'
        b' "1": ["n01443537", "goldfish, Carassius auratus"]}',
        b'{"goldfish, Carassius auratus": 1, "tench, Tinca tinca": 0}',
        b'{"model_type": "x", "id2label":'
        b' {"0": "tench, Tinca tinca", "1": "goldfish, Carassius auratus"}}',
        b"{0: 'tench, Tinca tinca',\n 1: 'goldfish, Carassius auratus'}",
    ],
    ids=range(17),
)
def test_every_form_gives_the_same_names(data: bytes) -> None:
    assert parse_labels(data, "names") == FISH


def test_indices_are_sorted_as_numbers() -> None:
    names = {str(index): f"class {index}" for index in sorted(range(12), key=str)}
    found = parse_labels(json.dumps(names).encode(), "names.json")
    assert found == tuple(f"class {index}" for index in range(12))


def test_a_blank_line_between_names_keeps_their_places() -> None:
    assert parse_labels(b"cat\n\ndog\n", "names") == ("cat", "", "dog")


def test_a_synset_before_some_names_only_belongs_to_them() -> None:
    assert parse_labels(b"n01440764 tench\ncat\n", "names") == ("n01440764 tench", "cat")
    assert parse_labels(b"n01440764\nn01443537\n", "names") == ("n01440764", "n01443537")


def test_a_name_that_begins_like_json_is_a_name() -> None:
    assert parse_labels(b"[background]\n{other}\n", "names") == ("[background]", "{other}")


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "holds no class names"),
        (b" \r\n\xc2\xa0\n", "holds no class names"),
        (b"[]", "holds no class names"),
        (b"{}", "holds no class names"),
        (b"caf\xe9\n", r"is no UTF-8 text \(byte 3\)"),
        (b'{"0": "a", "2": "b"}', "no map of the indices 0 to 1: it has no 1"),
        (b'{"a": "b"}', "no map of the indices 0 to 0: it has no 0"),
        (b'{"a": 0, "b": 0}', "it has no 1"),
        (b'{"0": 1.5}', "no text as the name of class 0"),
        (b'["a", null]', "no text as the name of class 1"),
        (b'["a", []]', "no text as the name of class 1"),
        (b'["\\ud800"]', "a name that is no text: surrogates"),
    ],
)
def test_what_holds_no_names_is_refused(data: bytes, sentence: str) -> None:
    with pytest.raises(BadInputError, match=sentence) as caught:
        parse_labels(data, "names")
    assert caught.value.hint


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    for name, reason in (("gone.txt", "No such file or directory"), ("a\0b", "embedded null byte")):
        with pytest.raises(BadInputError, match=f"': {reason}\\.") as caught:
            read_labels_file(tmp_path / name)
        assert caught.value.hint == "Check --labels."


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), min_size=1))
def test_any_list_of_names_keeps_its_length_and_its_words(names: list[str]) -> None:
    with suppress(BadInputError):
        found = parse_labels(json.dumps(names).encode(), "names")
        assert [one.split() for one in found] == [one.split() for one in names]
        # As the bundle stores them: one in each line.
        assert tuple(("\n".join(found) + "\n").splitlines()) == found


json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["0", "1", "2", "id2label", "a"]), inner, max_size=4)
    ),
    max_leaves=8,
)


@given(json_values.map(lambda value: json.dumps(value).encode()) | st.binary(max_size=60))
def test_any_bytes_are_names_or_refused(data: bytes) -> None:
    with suppress(BadInputError):
        found = parse_labels(data, "names")
        assert any(found)
        assert tuple(("\n".join(found) + "\n").encode().decode().splitlines()) == found


def test_one_name_too_many_hints_at_a_background() -> None:
    output = TensorSpec(name="y", dtype="float32", shape=("batch", 2))
    check_count(["a", "b"], output)
    with pytest.raises(BadInputError, match="3 class names for an output of 2 classes") as caught:
        check_count(["background", "a", "b"], output)
    assert "background" in caught.value.hint
    for names in (["a"], ["a", "b", "c", "d"]):
        with pytest.raises(BadInputError) as caught:
            check_count(names, output)
        assert caught.value.hint == "Give one name for each class, in the order of the output."


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf16_in_either_order_of_bytes(encoding: str) -> None:
    data = "\ufeffchat\nch\xe2teau\n".encode(encoding)
    assert parse_labels(data, "names.txt") == ("chat", "château")


def test_a_first_class_without_a_name_does_not_move_the_others() -> None:
    assert parse_labels(b"\ncat\n\ndog\n\n", "names.txt") == ("", "cat", "", "dog")


def test_a_printed_dictionary_is_read_up_to_a_mebibyte() -> None:
    printed = "{0: 'cat', 1: 'dog'}"
    assert parse_labels(printed.ljust(2**20).encode(), "names") == ("cat", "dog")
    assert parse_labels(printed.ljust(2**20 + 1).encode(), "names") == (printed,)


def test_a_synset_that_is_all_there_is_of_a_name_is_the_name() -> None:
    assert parse_labels(b'[["n01440764"], ["n01443537", "goldfish"]]', "names") == (
        "n01440764",
        "goldfish",
    )
