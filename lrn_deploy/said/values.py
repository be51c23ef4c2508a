"""The values of a preprocessing as people write them: numbers, lists, arrays, or text of those."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Literal

from lrn_deploy.errors import BadInputError

Colors = Literal["rgb", "bgr", "gray"]
Interpolation = Literal["nearest", "bilinear", "bicubic", "lanczos", "box"]

COLORS: dict[str, Colors] = {
    "rgb": "rgb", "bgr": "bgr", "gray": "gray", "grey": "gray", "l": "gray"
}  # fmt: skip
INTERPOLATIONS: dict[str, Interpolation] = {
    "nearest": "nearest", "bilinear": "bilinear", "bicubic": "bicubic", "lanczos": "lanczos",
    "box": "box", "nearest-exact": "nearest",
}  # fmt: skip


def _numbers(name: str, value: Any, where: str) -> tuple[float, ...]:
    try:
        parts = value.tolist() if hasattr(value, "tolist") else value
        if isinstance(parts, str):
            parts = parts.split(",")
        elif not isinstance(parts, list | tuple):
            parts = [parts]
        numbers = tuple(_number(part) for part in parts)
    except (TypeError, ValueError, OverflowError, ZeroDivisionError):
        numbers = ()
    if not numbers or not all(map(math.isfinite, numbers)):
        raise BadInputError(
            f"The {name} of {where} is {value!r}, which is no number or list of numbers.",
            "Write 123.68,116.78,103.94 for instance.",
        )
    if name in ("std", "scale") and 0 in numbers:
        raise BadInputError(f"The {name} of {where} is 0.", "Write 1 for no change.")
    return numbers


def _number(part: Any) -> float:
    """A number, as such or as text: ``0.5`` or ``1/255``."""
    if isinstance(part, bool) or part is None:
        raise TypeError(part)
    if isinstance(part, str):
        above, slash, below = part.partition("/")
        return float(above) / float(below) if slash else float(above)
    return float(part)


def _factor(name: str, value: Any, where: str) -> float:
    numbers = _numbers(name, value, where)
    if len(numbers) > 1:
        raise BadInputError(
            f"The {name} of {where} has {len(numbers)} numbers.",
            "It is one for all channels; put what differs between them into --std.",
        )
    return numbers[0]


def _size(name: str, value: Any, where: str) -> int | tuple[int, int]:
    text = value.lower().replace("x", ",") if isinstance(value, str) else value
    try:
        numbers = _numbers(name, text, where)
    except BadInputError:
        numbers = ()
    if len(numbers) not in (1, 2) or any(number < 1 or number % 1 for number in numbers):
        raise BadInputError(
            f"The {name} of {where} is {value!r}, which is no size in pixels.",
            "Write 256, or height and width: 224,224 for instance.",
        )
    sides = tuple(int(number) for number in numbers)
    return sides[0] if len(sides) == 1 else (sides[0], sides[1])


def _crop(name: str, value: Any, where: str) -> tuple[int, int]:
    size = _size(name, value, where)
    return (size, size) if isinstance(size, int) else size


def _choice(choices: Mapping[str, str]) -> Callable[[str, Any, str], str]:
    def read(name: str, value: Any, where: str) -> str:
        found = choices.get(str(getattr(value, "value", value)).strip().lower())
        if found is None:
            raise BadInputError(
                f"The {name} of {where} is {value!r}.",
                f"Choose one of {', '.join(dict.fromkeys(choices.values()))}.",
            )
        return found

    return read


READERS: dict[str, Callable[[str, Any, str], Any]] = {
    "colors": _choice(COLORS),
    "resize": _size,
    "crop": _crop,
    "interpolation": _choice(INTERPOLATIONS),
    "scale": _factor,
    "mean": _numbers,
    "std": _numbers,
}
"""How each value is read, of its name, itself and what messages call its owner."""
