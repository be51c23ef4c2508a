"""Where something was read, and the error that names it."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from lrn_deploy.errors import BadInputError

MAX_SENTENCE = 600
_FETCH = "The file may be damaged or another than you mean: fetch it again."


class Place(NamedTuple):
    """A place in a file.

    Attributes:
        file: The file's name.
        line: Line, counted from 1; 0 in a binary file.
        column: Column in characters, counted from 1.
    """

    file: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.line else self.file

    @property
    def short(self) -> str:
        """The same without the file's folder."""
        name = Path(self.file).name
        return f"{name}:{self.line}" if self.line else name

    def wrong(self, sentence: str, hint: str = "") -> BadInputError:
        """The error that ``sentence`` holds here, to be raised; there is always a hint."""
        usual = f"Correct {self.short}, or fetch the file again." if self.line else _FETCH
        where = f"{self}:{self.column}" if self.line else str(self)
        return BadInputError(f"{where}: {printable(sentence)}", printable(hint or usual))


def printable(text: str) -> str:
    """A sentence with a file's names in it, safe to print: no control characters, not endless."""
    safe = "".join(letter if letter.isprintable() else "?" for letter in text[:MAX_SENTENCE])
    return safe if len(text) <= MAX_SENTENCE else f"{safe}…"
