"""The limits of texts and of wire messages, to the character and to the field."""

from __future__ import annotations

import struct
from typing import Any

import pytest

from lrn_deploy.caffe.files import wire as wire_module
from lrn_deploy.caffe.files.place import Place, printable
from lrn_deploy.caffe.files.text import MAX_CHARACTERS, MAX_DEPTH, Node, Scalar, parse
from lrn_deploy.caffe.files.wire import Wire, signed
from lrn_deploy.errors import BadInputError
from tests.support.caffe_files import message, number, real, varint


def scalar(text: str) -> str:
    (found,) = parse(text, "n").fields["a"]
    assert isinstance(found, Scalar)
    return found.text


def test_a_text_of_exactly_the_limit_is_read() -> None:
    assert parse(" " * MAX_CHARACTERS, "n").fields == {}


def test_messages_nest_to_exactly_the_limit() -> None:
    node = parse("a {" * MAX_DEPTH + "}" * MAX_DEPTH, "n")
    for _ in range(MAX_DEPTH):
        (inner,) = node.fields["a"]
        assert isinstance(inner, Node)
        node = inner
    deeper = MAX_DEPTH + 1
    with pytest.raises(BadInputError, match=f"nested more than {MAX_DEPTH} deep"):
        parse("a {" * deeper + "}" * deeper, "n")


@pytest.mark.parametrize(
    ("quoted", "plain"),
    [
        (r'"\x4a\x4"', "J\x04"),
        (r'"\112\7"', "J\x07"),
        (r'"\1018"', "A8"),
        (r'"\xg"', "xg"),
        (r"'\'\q'", "'q"),
        (r'"\n\r\t\a\b\f\v\\"', "\n\r\t\a\b\f\v\\"),
        ("'a' \"b\"\n'c'", "abc"),
        ('""', ""),
    ],
)
def test_escapes(quoted: str, plain: str) -> None:
    assert scalar(f"a: {quoted}") == plain


@pytest.mark.parametrize("text", ["5", "-5", "+5", ".5", "5.", "5e3", "5E-3", "0x1F", "1.5f", "5F"])
def test_numbers_as_they_are_written(text: str) -> None:
    (found,) = parse(f"a: {text}", "n").fields["a"]
    assert isinstance(found, Scalar)
    assert (found.kind, found.text) == ("number", text)


@pytest.mark.parametrize("text", ["5x", "5.5.5", "0x", "1e", "5_0"])
def test_what_runs_on_after_a_number_is_none(text: str) -> None:
    with pytest.raises(BadInputError, match=r"^n:1:4: .* cannot stand here"):
        parse(f"a: {text}", "n")


def test_separators_and_lists() -> None:
    assert parse("a: 1, b: 2; c { }, d < >; e: [] f: [ { } ]", "n").fields.keys() == set("abcdef")
    assert parse("e: []", "n").fields == {"e": []}
    for text, where in (
        ("a: 1,, b: 2", "1:6"),
        ("a: [1,]", "1:7"),
        ("-a: 1", "1:1"),
        (": 1", "1:1"),
    ):
        with pytest.raises(BadInputError, match=f"^n:{where}: "):
            parse(text, "n")


def test_a_message_is_closed_as_it_was_opened() -> None:
    for text in ("a { >", "a < }"):
        with pytest.raises(BadInputError, match="a field's name is expected"):
            parse(text, "n")


def test_the_first_place_of_a_name_and_lines_after_comments() -> None:
    node = parse("a: 1\n  # x\n# y\n  a: 2 b: 3", "n")
    assert node.named["a"] == Place("n", 1, 1)
    assert node.named["b"] == Place("n", 4, 8)
    assert [item.place for item in node.fields["a"]] == [Place("n", 1, 4), Place("n", 4, 6)]


def test_a_place_says_no_more_than_it_knows() -> None:
    assert str(Place("/a/b")) == "/a/b"
    assert Place("/a/b").short == "b"
    assert Place("/a/b", 3, 4).short == "b:3"
    assert str(Place("/a/b", 3, 4)) == "/a/b:3"
    assert Place("/a/b").wrong("x").message == "/a/b: x"
    assert Place("/a/b", 3, 4).wrong("x", "y\x07").message == "/a/b:3:4: x"
    assert Place("/a/b", 3, 4).wrong("x", "y\x07").hint == "y?"
    assert Place("/a/b", 3, 4).wrong("x").hint == "Correct b:3, or fetch the file again."
    assert "fetch it again" in Place("/a/b").wrong("x").hint


def test_a_sentence_has_at_most_six_hundred_characters() -> None:
    assert printable("x" * 600) == "x" * 600
    assert printable("x" * 601) == "x" * 600 + "…"


def walked(data: bytes) -> list[tuple[int, int, Any]]:
    return list(Wire(memoryview(data), Place("w")).walk(0, len(data)))


def test_the_four_wire_types() -> None:
    data = number(1, 300) + varint(2 << 3 | 1) + b"8 bytes." + message(3, "abc") + real(4, 1.0)
    assert walked(data) == [(1, 0, 300), (2, 1, (4, 12)), (3, 2, (14, 17)), (4, 5, (18, 22))]
    assert walked(number(1, 2**64 - 1)) == [(1, 0, 2**64 - 1)]
    assert walked(message(3, "")) == [(3, 2, (2, 2))]


@pytest.mark.parametrize(
    "data",
    [
        varint(0 << 3) + b"\0",
        varint(1 << 3 | 3),
        varint(1 << 3 | 4),
        varint(1 << 3 | 6),
        varint(1 << 3 | 2) + b"\x04abc",
        varint(1 << 3 | 5) + b"abc",
        varint(1 << 3 | 1) + b"1234567",
        varint(1 << 3),
        varint(1 << 3) + b"\x80",
        varint(1 << 3) + b"\x80" * 10 + b"\x01",
    ],
)
def test_what_is_no_message(data: bytes) -> None:
    with pytest.raises(BadInputError, match="is not where a field"):
        walked(data)


def test_a_varint_has_ten_bytes_at_most_and_64_bits() -> None:
    assert walked(varint(1 << 3) + b"\x80" * 9 + b"\x01") == [(1, 0, 2**63)]
    assert walked(varint(1 << 3) + b"\x80" * 9 + b"\x02") == [(1, 0, 0)]


def test_signs() -> None:
    assert [signed(one) for one in (0, 2**63 - 1, 2**63, 2**64 - 1)] == [
        0, 2**63 - 1, -(2**63), -1,
    ]  # fmt: skip


def test_as_many_fields_as_the_limit_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire_module, "MAX_FIELDS", 5)
    assert len(walked(number(1, 7) * 5)) == 5
    with pytest.raises(BadInputError, match="more than 5 fields"):
        walked(number(1, 7) * 6)

    def packed(count: int) -> list[int]:
        data = b"\7" * count
        return list(Wire(memoryview(data), Place("w")).packed(0, count))

    assert packed(5) == [7] * 5
    with pytest.raises(BadInputError):
        packed(6)

    def floats(count: int) -> list[Any]:
        data = message(5, struct.pack(f"<{count}f", *[2.0] * count))
        record = Wire(memoryview(data), Place("w")).record("LayerParameter", 0, len(data))
        return record.all("loss_weight")

    assert floats(4) == [2.0] * 4  # and the field itself
    with pytest.raises(BadInputError):
        floats(5)


def record(data: bytes, name: str) -> Any:
    return Wire(memoryview(data), Place("w")).record(name, 0, len(data))


def test_a_field_of_another_wire_type_or_number_is_passed_over() -> None:
    layer = record(
        number(1, 5) + message(2, "ReLU") + message(999, "x") + real(3, 1.0) + message(6, "any"),
        "LayerParameter",
    )
    assert [name for name in layer.values if layer.has(name)] == ["type"]
    lrn = record(message(1, varint(7) + varint(9)) + number(4, 9) + message(2, b"abc"),
                 "LRNParameter")  # fmt: skip
    assert lrn.get("local_size") == 9  # packed, of one that is not repeated: the last
    assert not lrn.has("norm_region")  # an enum's unknown number
    assert not lrn.has("alpha")  # no whole number of floats
    assert record(number(1, 5) + number(1, 7), "LRNParameter").all("local_size") == [7]


def test_numbers_of_each_kind() -> None:
    lrn = record(real(2, 0.5) + real(3, float("inf")) + number(4, 1), "LRNParameter")
    assert (lrn.get("alpha"), lrn.get("beta"), lrn.get("norm_region")) == (
        0.5, 0.75, "WITHIN_CHANNEL",
    )  # fmt: skip
    for value, read in ((0, False), (1, True), (2, True)):
        assert record(number(2, value), "InnerProductParameter").get("bias_term") is read
    assert record(number(1, 2**64 - 3) + message(1, varint(4) + varint(5)), "BlobShape").all(
        "dim"
    ) == [-3, 4, 5]
    layer = record(message(118, number(1, 3)) + message(7, "blob"), "LayerParameter")
    assert layer.part("lrn_param").get("local_size") == 3
    assert layer.all("blobs") == [(7, 11)]
