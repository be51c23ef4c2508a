"""What somebody said of how an image becomes a network's input.

The same names and forms hold for the command line's options, for a file, and for a module's own
``preprocessing`` attribute. What nobody says the tool fills in; see :mod:`lrn_deploy.bundle.said`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from lrn_deploy.errors import BadInputError
from lrn_deploy.options import Written, explained, option
from lrn_deploy.said.values import READERS, Colors, Interpolation

_HINT = 'Write {"mean": [0.5, 0.5, 0.5], "std": [1, 1, 1]} for instance.'


def _as(name: str) -> Written:
    """How it is written on a command line."""
    read = READERS[name]
    return Written(str, lambda value: read(name, value, "the command line"))


@explained
@dataclass(frozen=True)
class Said:
    """What somebody said of a preprocessing; None where nobody did."""

    colors: Colors | None = option(
        None, "Order of the network's channels.", metavar="rgb|bgr|gray", written=_as("colors")
    )
    resize: int | tuple[int, int] | None = option(
        None,
        "Resize the shorter side to N pixels, or the image to H x W.",
        metavar="N|H,W",
        written=_as("resize"),
    )
    crop: tuple[int, int] | None = option(
        None,
        "Crop the centre; it must be the network's input.",
        metavar="N|H,W",
        written=_as("crop"),
    )
    interpolation: Interpolation | None = option(
        None,
        "bilinear, bicubic, nearest, lanczos or box.",
        metavar="NAME",
        written=_as("interpolation"),
    )
    scale: float | None = option(
        None,
        "Multiply pixels 0..255 by X before mean and std, 1 or 1/255 for instance.",
        metavar="X",
        written=_as("scale"),
    )
    mean: tuple[float, ...] | None = option(
        None,
        "Subtract this from the scaled channels, in the network's order.",
        metavar="X,Y,Z",
        written=_as("mean"),
    )
    std: tuple[float, ...] | None = option(
        None, "Divide by this then.", metavar="X,Y,Z", written=_as("std")
    )

    @classmethod
    def of(cls, content: Mapping[str, Any], where: str) -> Said:
        """What a mapping says, as JSON, TOML or a module's attribute have it.

        Args:
            content: Names of :data:`NAMES` and their values; None is as good as absent. Numbers may
                be text as well, ``123,117,104``, ``1/255`` or ``224x224`` for instance.
            where: What messages call it.

        Raises:
            BadInputError: If a name or a value is none that is known.
        """
        unknown = [str(name) for name in content if name not in NAMES]
        if unknown:
            raise BadInputError(
                f"{where} has no entry '{unknown[0]}' to take.",
                f"A preprocessing is described by {', '.join(NAMES)}.",
            )
        given = {name: value for name, value in content.items() if value is not None}
        return cls(**{name: READERS[name](name, value, where) for name, value in given.items()})

    @classmethod
    def read(cls, path: Path) -> Said:
        """What a file says, TOML where its name ends so and else JSON.

        Raises:
            BadInputError: If it cannot be read or understood.
        """
        import json
        import tomllib

        kind = "TOML" if path.suffix.lower() == ".toml" else "JSON"
        try:
            text = path.read_text(encoding="utf-8")
        except OSError as error:
            raise BadInputError(
                f"'{path}' cannot be read: {error.strerror}.", "Check the path."
            ) from error
        except ValueError as error:
            raise BadInputError(f"'{path}' is no {kind}: it is not UTF-8 text.", _HINT) from error
        try:
            content = tomllib.loads(text) if kind == "TOML" else json.loads(text)
        except (ValueError, RecursionError) as error:
            raise BadInputError(
                f"'{path}' is no {kind}: {error}.", "Name a TOML file .toml, and correct it."
            ) from error
        if not isinstance(content, dict):
            raise BadInputError(f"'{path}' holds no object with names and values.", _HINT)
        return cls.of(content, f"'{path}'")

    @property
    def content(self) -> dict[str, Any]:
        """What was said, by its names; :meth:`of` takes it."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    def over(self, other: Said) -> Said:
        """This, and where it says nothing what ``other`` says.

        Raises:
            BadInputError: If this has a mean without a scale that is impossible at the other's, or
                another order of channels without a mean and std in that order.
        """
        if self.mean is not None and self.scale is None and other.scale is not None:
            check_range(self.mean, None, other.scale)
        if self.colors is not None and other.colors not in (None, self.colors):
            for name in ("mean", "std"):
                values = getattr(other, name)
                if getattr(self, name) is None and len(set(values or ())) > 1:
                    raise BadInputError(
                        f"The {name} {list(values)} is in the order {other.colors}, and colors are "
                        f"now {self.colors}.",
                        f"Give --{name} as well, in the new order.",
                    )
        return replace(other, **self.content)

    def settles(self, shape: tuple[int, ...]) -> bool:
        """Whether nothing is left to assume for inputs of ``shape`` (C, H, W)."""
        known = {"crop", *self.content} | ({"colors"} if shape[0] == 1 else set())
        return known.issuperset(NAMES)


NAMES = tuple(field.name for field in fields(Said))
"""What can be said, in the order of its use."""


AS_WRITTEN: Mapping[str, Any] = {
    "line": "JSON or TOML with the names of the options below, which go before it.",
    "metavar": "FILE",
    "written": Written(Path, Said.read),
    "parts": dict.fromkeys(NAMES, ""),
    "joined": Said.over,
}
"""How an options class's field of it is written on a command line: a file, and over it options."""


def check_range(mean: tuple[float, ...], std: tuple[float, ...] | None, scale: float) -> None:
    """Refuse numbers that nobody can mean for pixels from 0 to 255 times ``scale``.

    Raises:
        BadInputError: If there is one.
    """
    low, high = sorted((0.0, 255 * scale))
    numbers = [("mean", value) for value in mean if not low <= value <= high]
    numbers += [("std", value) for value in std or () if abs(value) > max(high - low, 1)]
    if numbers:
        name, value = numbers[0]
        raise BadInputError(
            f"A {name} of {value:g} does not fit pixels from 0 to {255 * scale:g}, and no scale is "
            "given with it.",
            "Add --scale: 1 if mean and std are for pixels from 0 to 255, 1/255 for 0 to 1.",
        )
