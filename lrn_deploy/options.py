"""Options: fields of a dataclass, each with its meaning, default, range and choices, said once.

Command lines, the server's environment and its TOML file are made of such fields by
``cli/common/fields.py``, and what Python programs can give by ``api/options.py``.
"""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from typing import Any, Literal, TypeVar

Kind = TypeVar("Kind")
REQUIRED: Any = MISSING
"""The default of a field that must be given."""
_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30}


@dataclass(frozen=True)
class Written:
    """How a value is written on a command line, where that is not as Python has it.

    Attributes:
        kind: What is written there: text, a number, a path, or a switch.
        read: What something written means. Its ValueError says in a sentence why it means nothing.
        write: How a value is written; the default must come back when it is read.
        many: Whether it may be repeated; ``read`` then takes all that was written.
    """

    kind: type
    read: Callable[[Any], Any]
    write: Callable[[Any], Any] = str
    many: bool = False


@dataclass(frozen=True)
class Option:
    """All that is to be said of a field but its name, its type and its default.

    Attributes:
        help: What it means; code stands between double backquotes.
        flag: What the command line calls it; empty for the field's own name, None if it cannot be
            set there.
        argument: What stands for it in the help if it is given by its place; empty for an option.
        line: What is written there means, where that differs.
        metavar: What stands for its value in the command line's help.
        choices: Its values; a ``Literal`` brings its own.
        least: Smallest number that a command line takes.
        most: Largest one. A class that Python programs use has its own checks, and leaves both out.
        path: What a path is to; a ``file`` need not be there.
        written: How its value is written, if not as it is.
        parts: For a field that holds options itself: those that the command line has, by name, with
            what they mean here if that is not what they mean anywhere.
        joined: For such a field that can be written as a whole, too: what the parts say over that.
    """

    help: str
    flag: str | None = ""
    argument: str = ""
    line: str = ""
    metavar: str | None = None
    choices: tuple[str, ...] = ()
    least: float | None = None
    most: float | None = None
    path: Literal["any", "file", "folder", "existing folder"] = "file"
    written: Written | None = None
    parts: Mapping[str, str] | None = None
    joined: Callable[[Any, Any], Any] | None = None


def option(default: Any, text: str, **further: Any) -> Any:
    """A field that is an option.

    Args:
        default: Its value where nothing is said; :data:`REQUIRED` if it must be given.
        text: Its :attr:`Option.help`.
        further: The rest of :class:`Option`.
    """
    return field(default=default, metadata={"option": Option(text, **further)})


def option_of(one: Field[Any]) -> Option:
    """What was said of a field by :func:`option`."""
    told: Option = one.metadata["option"]
    return told


def explained(kind: type[Kind]) -> type[Kind]:
    """An options class with a docstring that says what its fields mean."""
    meanings = [
        textwrap.fill(
            f"{member.name}: {option_of(member).help}",
            width=96,
            initial_indent=" " * 4,
            subsequent_indent=" " * 8,
        )
        for member in fields(kind)  # type: ignore[arg-type]  # a dataclass, which no bound can say
    ]
    kind.__doc__ = "\n".join([inspect.cleandoc(kind.__doc__ or ""), "", "Attributes:", *meanings])
    return kind


def binary_size(text: str) -> int:
    """A SIZE as it is written, ``512M`` or ``2GiB`` for instance, in bytes.

    Raises:
        ValueError: If it is none.
    """
    found = re.fullmatch(r"(\d+)([KMG]?)(?:i?B)?", text.strip(), re.IGNORECASE)
    if found is None or int(found[1]) == 0:
        raise ValueError(f"'{text}' is no size; write 512M or 4G for instance.")
    return int(found[1]) * _UNITS[found[2].upper()]
