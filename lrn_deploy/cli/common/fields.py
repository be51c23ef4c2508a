"""The command line's options, made of an options class's fields; see ``lrn_deploy.options``."""

from __future__ import annotations

import types
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from functools import wraps
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import click

from lrn_deploy.options import REQUIRED, Option, option_of

Function = Callable[..., Any]
Kind = TypeVar("Kind")


def takes(kind: type[Any]) -> Callable[[Function], Function]:
    """Give a command an option for each field of ``kind``, and the object itself as ``options``."""

    def add(function: Function) -> Function:
        @wraps(function)
        def call(*args: Any, **values: Any) -> Any:
            options = made_of(kind, values)
            names = {line.name for line in _lines(kind)}
            others = {name: value for name, value in values.items() if name not in names}
            return function(*args, options=options, **others)

        return field_options(kind)(call)

    return add


def field_options(kind: type[Any], environment: str = "") -> Callable[[Function], Function]:
    """Add an option for each field of ``kind``; :func:`made_of` makes the object of their values.

    Args:
        kind: The options class.
        environment: What the names of variables begin with that can set the options, too.
    """

    def add(function: Function) -> Function:
        for line in reversed(list(_lines(kind))):
            function = line.decorate(environment)(function)
        return function

    return add


def made_of(kind: type[Kind], values: Mapping[str, Any]) -> Kind:
    """The options that a command line said.

    Args:
        kind: Their class.
        values: The values of its options by name; others are not looked at.
    """
    arguments: dict[str, Any] = {}
    for field in fields(kind):  # type: ignore[arg-type]  # a dataclass, which no bound can say
        option = option_of(field)
        if option.parts is not None:
            parts = {name: values[name] for name in option.parts}
            group: Any = field.default
            arguments[field.name] = replace(group, **parts)
        elif option.flag is not None:
            arguments[field.name] = values[field.name]
    return kind(**arguments)


@dataclass(frozen=True)
class _Line:
    """An option of the command line."""

    name: str
    option: Option
    hint: Any
    default: Any

    def decorate(self, environment: str) -> Callable[[Function], Function]:
        """What adds it to a command."""
        option, written = self.option, self.option.written
        wanted: dict[str, Any] = {"type": self._type(), "metavar": option.metavar}
        flag = f"--{option.flag or self.name.replace('_', '-')}"
        if self.default is REQUIRED:
            wanted["required"] = True
        else:
            shown = self.default
            if written is not None and shown is not None:
                shown = written.write(shown)
            wanted["default"] = shown
            wanted["show_default"] = not self.many
        if wanted["type"] is bool:
            # What the environment has set, the command line can take back.
            both = bool(environment) or wanted.get("default", False)
            flag = f"{flag}/--no-{flag[2:]}" if both else flag
            wanted |= {"is_flag": True, "show_default": both}
        if environment:
            wanted["envvar"] = f"{environment}_{self.name.upper()}"
        return click.option(
            flag,
            self.name,
            multiple=self.many,
            callback=self._read,
            help=(option.line or option.help).replace("``", ""),
            **wanted,
        )

    @property
    def many(self) -> bool:
        """Whether it may be repeated."""
        return self.option.written is None and get_origin(_required(self.hint)) is tuple

    def _type(self) -> Any:
        """What click is to make of a word."""
        option, kind = self.option, _required(self.hint)
        if option.written is not None:
            return option.written.kind
        if self.many:
            kind = get_args(kind)[0]
        choices = option.choices or (get_args(kind) if get_origin(kind) is Literal else ())
        if choices:
            return click.Choice(choices)
        if kind is Path:
            return click.Path(
                path_type=Path,
                file_okay=option.path in ("any", "file"),
                dir_okay=option.path != "file",
                exists=option.path == "existing folder",
            )
        if kind in (int, float) and (option.least, option.most) != (None, None):
            ranges: Any = click.IntRange if kind is int else click.FloatRange
            return ranges(min=option.least, max=option.most)
        return kind

    def _read(self, _ctx: click.Context, _param: click.Parameter, value: Any) -> Any:
        """The value that was meant."""
        if self.many:
            return tuple(dict.fromkeys(value)) or self.default
        if value is None or self.option.written is None:
            return value
        try:
            return self.option.written.read(value)
        except ValueError as error:
            raise click.BadParameter(str(error)) from error


def _lines(kind: type[Any]) -> Iterator[_Line]:
    hints = get_type_hints(kind)
    for field in fields(kind):
        option, hint = option_of(field), hints[field.name]
        if option.parts is not None:
            inner = {line.name: line for line in _lines(hint)}
            for name, text in option.parts.items():
                line, default = inner[name], getattr(field.default, name)
                told = replace(line.option, line=text or line.option.line)
                yield replace(line, option=told, default=default)
        elif option.flag is not None:
            yield _Line(field.name, option, hint, field.default)


def _required(hint: Any) -> Any:
    """A type without its None."""
    if get_origin(hint) not in (Union, types.UnionType):
        return hint
    left = [kind for kind in get_args(hint) if kind is not type(None)]
    return left[0] if len(left) == 1 else str
