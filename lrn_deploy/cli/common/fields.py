"""The command line's options, made of an options class's fields; see ``lrn_deploy.options``."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable, Iterator, Mapping
from dataclasses import Field, dataclass, fields, replace
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


def field_options(
    kind: type[Any], environment: str = "", only: Mapping[str, str] | None = None
) -> Callable[[Function], Function]:
    """Add an option for each field of ``kind``; :func:`made_of` makes the object of their values.

    Args:
        kind: The options class.
        environment: What the names of variables begin with that can set the options, too.
        only: The fields to add, with what they mean here if that is not what they mean anywhere.
    """

    def add(function: Function) -> Function:
        for line in reversed(list(_lines(kind))):
            if only is None:
                function = line.decorate(environment)(function)
            elif line.name in only:
                function = line.meaning(only[line.name]).decorate(environment)(function)
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
            parts = {name: values[_part_name(field, name)] for name in option.parts}
            unsaid: Any = field.default
            said = replace(unsaid, **parts)
            if option.joined is not None and values[field.name] is not None:
                said = option.joined(said, values[field.name])
            arguments[field.name] = said
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

    def meaning(self, text: str) -> _Line:
        """The same with another meaning, if there is one."""
        return replace(self, option=replace(self.option, line=text or self.option.line))

    def decorate(self, environment: str) -> Callable[[Function], Function]:
        """What adds it to a command."""
        option, written = self.option, self.option.written
        if option.argument:
            return click.argument(
                self.name,
                nargs=-1 if self.many else 1,
                required=True,
                type=self._type(),
                metavar=option.argument,
                callback=self._read,
            )
        wanted: dict[str, Any] = {"type": self._type(), "metavar": option.metavar}
        flag = f"--{option.flag or self.name.replace('_', '-')}"
        if self.default is REQUIRED:
            wanted["required"] = True
        else:
            shown = self.default
            if written is not None and shown is not None:
                shown = None if written.many else written.write(shown)
            wanted["default"] = shown
            wanted["show_default"] = not self.many and shown != ""
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
        if self.option.written is not None:
            return self.option.written.many
        return get_origin(_required(self.hint)) is tuple

    def _type(self) -> Any:
        """What click is to make of a word."""
        option, kind = self.option, _required(self.hint)
        if option.written is not None:
            kind = option.written.kind
        elif self.many:
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
        written = self.option.written
        if self.many and (not value or written is None):
            return tuple(dict.fromkeys(value)) or self.default
        if value is None or written is None:
            return value
        try:
            return written.read(value)
        except ValueError as error:
            raise click.BadParameter(str(error)) from error


def _lines(kind: type[Any]) -> Iterator[_Line]:
    for field in fields(kind):
        option = option_of(field)
        if option.parts is not None:
            if option.joined is not None:
                yield _Line(field.name, option, None, None)
            inner = {line.name: line for line in _lines(type(field.default))}
            for name, text in option.parts.items():
                line, default = inner[name].meaning(text), getattr(field.default, name)
                called = replace(line.option, flag=line.option.flag or name.replace("_", "-"))
                yield replace(line, name=_part_name(field, name), option=called, default=default)
        elif option.flag is not None:
            yield _Line(field.name, option, _hint(kind, field), field.default)


def _part_name(field: Field[Any], part: str) -> str:
    """What click calls a part's value; another field may be called as a part of what is said."""
    return part if option_of(field).joined is None else f"{field.name}_{part}"


def _hint(kind: type[Any], field: Field[Any]) -> Any:
    """A field's type; None if its words are of another, which may then be one to be imported."""
    if option_of(field).written is not None:
        return None
    alone = types.SimpleNamespace(__annotations__={field.name: field.type})
    return get_type_hints(alone, vars(sys.modules[kind.__module__]))[field.name]


def _required(hint: Any) -> Any:
    """A type without its None."""
    if get_origin(hint) not in (Union, types.UnionType):
        return hint
    left = [kind for kind in get_args(hint) if kind is not type(None)]
    return left[0] if len(left) == 1 else str
