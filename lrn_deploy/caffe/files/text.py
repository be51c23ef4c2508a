"""Protobuf's text format, of which a prototxt is made, as a tree that remembers lines and columns.

https://protobuf.dev/reference/protobuf/textformat-spec/, without extensions and ``Any``, which
Caffe does not have. What the names mean is :mod:`lrn_deploy.caffe.files.schema`'s to say.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from lrn_deploy.caffe.files.place import Place

MAX_CHARACTERS = 1_000_000
"""Longest text that is read; a ResNet-152, among the longest that there are, has 200,000."""
MAX_DEPTH = 32

Kind = Literal["number", "string", "word"]

_TOKEN = re.compile(
    r"""(?P<space>(?:[ \t\r\n\f\v\ufeff]+|\#[^\n]*)+)
      | (?P<number>[-+]?(?:0[xX][0-9a-fA-F]+|(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?)[fF]?
          (?![\w.]))
      | (?P<word>-?[A-Za-z_][A-Za-z0-9_]*)
      | (?P<string>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')
      | (?P<mark>[{}<>\[\]:;,])""",
    re.VERBOSE,
)
_ESCAPE = re.compile(r"\\(x[0-9a-fA-F]{1,2}|[0-7]{1,3}|.)", re.DOTALL)
_ESCAPED = {"n": "\n", "r": "\r", "t": "\t", "a": "\a", "b": "\b", "f": "\f", "v": "\v"}
_CLOSING = {"{": "}", "<": ">"}


class Scalar(NamedTuple):
    """A number, a string (unescaped), or a word: an enum's value, true or false."""

    kind: Kind
    text: str
    place: Place


@dataclass
class Node:
    """A message: its fields by name, each with its values, in the order of the text."""

    place: Place
    fields: dict[str, list[Scalar | Node]] = field(default_factory=dict)
    named: dict[str, Place] = field(default_factory=dict)
    """Where each field's name stands, the first time."""


class _Token(NamedTuple):
    """A plain tuple, since a text has a hundred thousand: its place is made where it is needed."""

    kind: str
    text: str
    line: int
    column: int


def parse(text: str, file: str) -> Node:
    """The tree of a text.

    Args:
        text: The whole text.
        file: What errors call it.

    Raises:
        BadInputError: If it is not in the text format; with line and column.
    """
    if len(text) > MAX_CHARACTERS:
        raise Place(file).wrong(
            f"the text has {len(text):,} characters, more than the {MAX_CHARACTERS:,} that any "
            "network needs.",
            "Give the prototxt first and the caffemodel second.",
        )
    return _Parser(_tokens(text, file), file).message(Node(Place(file, 1, 1)), "", 0)


def _tokens(text: str, file: str) -> Iterator[_Token]:
    at, line, start = 0, 1, 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            place = Place(file, line, at - start + 1)
            raise place.wrong(_cannot_stand(text[at]), "Is it a prototxt, and whole?")
        kind, token = str(match.lastgroup), match.group()
        if kind != "space":
            yield _Token(kind, token, line, at - start + 1)
        elif "\n" in token:
            line += token.count("\n")
            start = at + token.rindex("\n") + 1
        at = match.end()
    yield _Token("end", "", line, at - start + 1)


def _cannot_stand(character: str) -> str:
    if character in "\"'":
        return "a string does not end on its line."
    return f"{character!r} cannot stand here."


class _Parser:
    """Recursive descent over the tokens of one text."""

    def __init__(self, tokens: Iterator[_Token], file: str) -> None:
        self._tokens = tokens
        self._next = next(tokens)
        self._file = file

    def message(self, node: Node, closing: str, depth: int) -> Node:
        """Fill ``node`` up to the mark ``closing``, or to the end of the text if that is empty."""
        if depth > MAX_DEPTH:
            raise node.place.wrong(f"messages are nested more than {MAX_DEPTH} deep.")
        while True:
            token = self._take()
            if token.kind == "end" and closing:
                raise self._place(token).wrong(
                    f"the text ends before the '{closing}' of what line {node.place.line} opens.",
                    "The file is cut short, or a brace is missing.",
                )
            if token.kind == "end" or (closing and token.text == closing):
                return node
            if token.kind != "word" or token.text.startswith("-"):
                raise self._place(token).wrong(f"a field's name is expected, not '{token.text}'.")
            values = self._values(token, depth)
            if token.text not in node.named:
                node.named[token.text] = self._place(token)
            node.fields.setdefault(token.text, []).extend(values)
            if self._next.kind == "mark" and self._next.text in ",;":
                self._take()

    def _values(self, name: _Token, depth: int) -> list[Scalar | Node]:
        """What follows a field's name: ``: value``, ``{ … }``, ``: { … }`` or ``: [ …, … ]``."""
        token = self._take()
        if token.kind == "mark" and token.text == ":":
            token = self._take()
        elif not (token.kind == "mark" and token.text in _CLOSING):
            raise self._place(token).wrong(
                f"':' or '{{' is expected after '{name.text}', not '{token.text or 'the end'}'."
            )
        if token.kind != "mark" or token.text != "[":
            return [self._value(token, depth)]
        values: list[Scalar | Node] = []
        token = self._take()
        if token.kind == "mark" and token.text == "]":
            return values
        while True:
            values.append(self._value(token, depth))
            token = self._take()
            if token.kind != "mark" or token.text not in ",]":
                raise self._place(token).wrong(f"',' or ']' is expected, not '{token.text}'.")
            if token.text == "]":
                return values
            token = self._take()

    def _value(self, token: _Token, depth: int) -> Scalar | Node:
        if token.kind == "mark" and token.text in _CLOSING:
            return self.message(Node(self._place(token)), _CLOSING[token.text], depth + 1)
        if token.kind == "number":
            return Scalar("number", token.text, self._place(token))
        if token.kind == "word":
            return Scalar("word", token.text, self._place(token))
        if token.kind == "string":
            quoted = [token.text]
            while self._next.kind == "string":  # neighbours are one string
                quoted.append(self._take().text)
            return Scalar("string", "".join(map(_unescaped, quoted)), self._place(token))
        raise self._place(token).wrong(f"a value is expected, not '{token.text or 'the end'}'.")

    def _take(self) -> _Token:
        token = self._next
        self._next = next(self._tokens, token)  # the end is there for ever
        return token

    def _place(self, token: _Token) -> Place:
        return Place(self._file, token.line, token.column)


def _unescaped(quoted: str) -> str:
    def character(match: re.Match[str]) -> str:
        code = match.group(1)
        if code[0] == "x" and len(code) > 1:
            return chr(int(code[1:], 16))
        if code[0] in "01234567":
            return chr(int(code, 8))
        return _ESCAPED.get(code, code)

    return _ESCAPE.sub(character, quoted[1:-1])
