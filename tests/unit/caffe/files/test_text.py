"""The text format is read as protobuf reads it, and what is wrong is named with line and column."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrn_deploy.caffe.files.place import Place
from lrn_deploy.caffe.files.record import from_text
from lrn_deploy.caffe.files.text import Node, Scalar, parse
from lrn_deploy.errors import BadInputError


def values(node: Node) -> dict[str, list[object]]:
    return {
        name: [item.text if isinstance(item, Scalar) else values(item) for item in items]
        for name, items in node.fields.items()
    }


def test_every_form_of_a_field_is_read() -> None:
    text = """
    # a comment { with: braces }
    name: "a \\"quoted\\" \\x41\\n" 'and more'
    layer < type: 'ReLU', bottom: "x"; >
    layer: { include { phase: TEST } }
    input_dim: [1, -2, 0x10] input_dim: 1.5e-3f word: -inf
    """
    assert values(parse(text, "net.prototxt")) == {
        "name": ['a "quoted" A\nand more'],
        "layer": [{"type": ["ReLU"], "bottom": ["x"]}, {"include": [{"phase": ["TEST"]}]}],
        "input_dim": ["1", "-2", "0x10", "1.5e-3f"],
        "word": ["-inf"],
    }


@pytest.mark.parametrize(
    ("text", "where", "said"),
    [
        ('layer {\n  type: "ReLU"\n', "3:1", "ends before the '}' of what line 1 opens"),
        ("layer {\n  }\n}", "3:1", "a field's name is expected, not '}'"),
        ("layer {\n  name 'x' }", "2:8", "':' or '{' is expected after 'name'"),
        ('name: "x\n"', "1:7", "a string does not end on its line"),
        ("name: $", "1:7", "'$' cannot stand here"),
        ("layer [", "1:7", "is expected after 'layer'"),
        ("input_dim: [1 2]", "1:15", "',' or ']' is expected"),
        ("input_dim: [1 } 2]", "1:15", "',' or ']' is expected"),
        ("layer {" * 40, "1:", "nested more than 32 deep"),
        ("name:", "1:6", "a value is expected, not 'the end'"),
    ],
)
def test_what_is_no_text_format_is_named_with_its_place(text: str, where: str, said: str) -> None:
    with pytest.raises(BadInputError, match=f"^net.prototxt:{where}") as caught:
        parse(text, "net.prototxt")
    assert said in caught.value.message


@pytest.mark.parametrize(
    ("text", "where", "said"),
    [
        ("layer {\n  lrn_param {\n    locl_size: 5 } }", "3:5", "LRNParameter has no field"),
        ("layer { lrn_param { local_size: 5\n local_size: 5 } }", "2:14", "a second time"),
        ("layer { lrn_param { local_size: -5 } }", "1:33", "an integer of 0 or more"),
        ("layer { lrn_param { local_size: 5.0 } }", "1:33", "an integer of 0 or more"),
        ("layer { lrn_param { alpha: 'x' } }", "1:28", "a finite number"),
        ("layer { lrn_param { alpha: 1e999 } }", "1:28", "a finite number"),
        ("layer { lrn_param { alpha: nan } }", "1:28", "a finite number"),
        ("layer { lrn_param { norm_region: ACROSS } }", "1:34", "ACROSS_CHANNELS or WITHIN"),
        ("layer { lrn_param: 5 }", "1:20", "takes a message in braces"),
        ("layer { name { } }", "1:14", "takes one value, not a message"),
        ("layer { name: net }", "1:15", "a string in quotes"),
        ("layer { blobs { data: 1 } }", "1:15", "the text holds weights"),
        ("layer { convolution_param { bias_term: yes } }", "1:40", "true or false"),
    ],
)
def test_what_caffe_does_not_know_is_named_with_its_place(text: str, where: str, said: str) -> None:
    with pytest.raises(BadInputError, match=f"^net.prototxt:{where}: ") as caught:
        from_text(parse(text, "net.prototxt"), "NetParameter")
    assert said in caught.value.message


def test_a_misspelt_field_is_guessed() -> None:
    with pytest.raises(BadInputError, match="Is 'local_size' meant"):
        from_text(parse("layer { lrn_param { locl_size: 5 } }", "n"), "NetParameter")


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    with suppress(BadInputError):
        from_text(parse(text, "n"), "NetParameter")


@given(
    st.lists(
        st.sampled_from(
            ["layer", "{", "}", "<", ">", ":", "[", "]", ",", "name", '"x"', "5", "-1e9",
             "lrn_param", "local_size", "TEST", "include", "#\n", "input_dim", "0x", "9" * 23]
        ),
        max_size=30,
    )
)  # fmt: skip
def test_any_tokens_are_read_or_refused(tokens: list[str]) -> None:
    with suppress(BadInputError):
        from_text(parse(" ".join(tokens), "n"), "NetParameter")


def test_a_long_text_is_refused_at_once() -> None:
    with pytest.raises(BadInputError, match="more than the 1,000,000"):
        parse(" " * 1_000_001, "n")


def test_places_count_tabs_and_comments(tmp_path: Path) -> None:
    node = parse('# one\n\t# two\n\tname: "x"', str(tmp_path / "n"))
    (name,) = node.fields["name"]
    assert (name.place.line, name.place.column) == (3, 8)


def test_a_name_from_a_file_cannot_speak_to_the_terminal() -> None:
    with pytest.raises(BadInputError) as caught:
        from_text(parse('layer { type: "\\x1b[2J" lrn_param { k: \'' + "x" * 5000 + "' } }", "n"),
                  "NetParameter")  # fmt: skip
    assert len(caught.value.message) < 700
    with pytest.raises(BadInputError) as caught:
        raise Place("n", 1, 1).wrong("the layer '\x1b[2J\n' is unknown.")
    assert caught.value.message == "n:1:1: the layer '?[2J?' is unknown."
