"""YAML that says what was meant, to readers of every version."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from lrn_deploy.package.yaml_text import scalar, yaml_text

TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=12)
PLAIN = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXT
CONTENT = st.recursive(
    PLAIN,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=12,
)


@pytest.mark.parametrize(
    "word",
    [
        *("no", "No", "yes", "on", "off", "y", "n", "true", "null", "~", "1e3", "0x1f", "0o17"),
        *("017", "22:22", "1_000", ".inf", ".nan", "2026-11-28", "=x", "<<", "-", "--", "?", ":"),
        *("#", "&", "*", "!", "|", ">", "%", "@", "`", "{}", "[]", "a:b", "a#b", "--host"),
        *("0.0.0.0", "{{.Name}}=/m", "", " ", "a b", "a: b", "a #b", "line\nline", "tab\t"),
        *('"', "'", "\\", "é", "\x85", "\u2028", "\x7f", "\U0001f600"),
    ],
)
def test_a_string_stays_the_string_it_is(word: str) -> None:
    text = yaml_text({"key": word, word: 1})
    assert yaml.safe_load(text) == {"key": word, word: 1}


@pytest.mark.parametrize(
    "word", ["alexnet", "kserve-container", "/mnt/models", "serving.kserve.io/v1"]
)
def test_a_plain_word_stands_bare(word: str) -> None:
    assert scalar(word) == word


@given(content=st.dictionaries(TEXT, CONTENT, max_size=4))
def test_what_is_read_is_what_was_written(content: dict[str, Any]) -> None:
    assert yaml.safe_load(yaml_text(content)) == content


def test_a_comment_stands_before_it() -> None:
    text = yaml_text({"a": [{"b": [1, 2], "c": {}}, []]}, "one\n\ntwo")
    assert text == "# one\n#\n# two\na:\n  - b:\n      - 1\n      - 2\n    c: {}\n  - []\n"


def test_what_yaml_has_no_word_for_is_not_written() -> None:
    with pytest.raises(TypeError, match="bytes"):
        yaml_text({"a": b"raw"})
    with pytest.raises(ValueError, match="JSON compliant"):
        yaml_text({"a": float("nan")})


def test_quoted_strings_are_json_as_well() -> None:
    assert json.loads(scalar("1e3")) == "1e3"
