"""The fields of an options class as keyword arguments, which are thus written down only there."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import wraps
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar, cast

from lrn_deploy.bundle import Said

Fields = ParamSpec("Fields")
Options = TypeVar("Options")
Given = TypeVar("Given")
First = TypeVar("First")
Result = TypeVar("Result")


def takes(
    make: Callable[Fields, Options],
) -> Callable[[Callable[[Given, Options], Result]], Callable[Concatenate[Given, Fields], Result]]:
    """Let a function of something and options take the options' fields as arguments instead.

    Args:
        make: The class of the options, or what else makes them.
    """
    return lambda function: _spread(function, make, 0)


def takes_after(
    make: Callable[Concatenate[First, Fields], Options],
) -> Callable[
    [Callable[[Given, Options], Result]], Callable[Concatenate[First, Given, Fields], Result]
]:
    """The same, with the options' first field before what the function is given."""
    return lambda function: _spread(function, make, 1)


def _spread(function: Callable[..., Any], make: Callable[..., Any], leading: int) -> Any:
    """``function`` with the parameters of ``make``, so many of them before its own first one."""
    own = inspect.signature(function)
    given, *_ = own.parameters.values()
    fields = list(inspect.signature(make).parameters.values())
    signature = own.replace(parameters=[*fields[:leading], given, *fields[leading:]])

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        bound = signature.bind(*args, **kwargs).arguments
        first = bound.pop(given.name)
        return function(first, make(**{name: _read(field(name), bound[name]) for name in bound}))

    def field(name: str) -> str:
        return str(signature.parameters[name].annotation)

    # help() reads this; mypy would refuse a plain assignment, since it knows no such attribute.
    setattr(call, "__signature__", signature)  # noqa: B010
    kinds = {name: parameter.annotation for name, parameter in signature.parameters.items()}
    call.__annotations__ = {**kinds, "return": own.return_annotation}
    call.__doc__ = f"{inspect.cleandoc(function.__doc__ or '')}\n\n{_meanings(make)}\n"
    return call


def _read(kind: str, value: object) -> object:
    """Text where a field takes a path, and a mapping where it takes what is said of images."""
    if isinstance(value, str) and "Path" in kind and "str" not in kind:
        return Path(value)
    if isinstance(value, Mapping) and "Said" in kind:
        return Said.of(cast(Mapping[str, Any], value), "'preprocessing'")
    return value


def _meanings(make: Callable[..., Any]) -> str:
    """What the fields mean, as the docstrings of their classes say it."""
    classes = make.__mro__[:-1] if isinstance(make, type) else [make]
    parts = []
    for kind in reversed(classes):
        text = inspect.cleandoc(kind.__doc__ or "")
        for heading in ("Attributes:\n", "Args:\n"):
            if heading in text:
                section = text.partition(heading)[2].partition("\n\n")[0]
                parts.append(section.rstrip())
    return "Args:\n" + "\n".join(parts)
