"""What is said when a checkpoint does not hold a network's weights, or holds them several times."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from lrn_deploy.errors import BadInputError

_SHOWN = 5
_LONGEST = 80


def no_such_mapping(file: str, mapping: str, names: Sequence[str]) -> BadInputError:
    """No mapping is called ``mapping``, or there is none at all."""
    inner = [name for name in names if name]
    if mapping and names:
        return BadInputError(
            f"'{file}' holds no mapping of tensors named '{mapping}'.",
            f"It holds: {_listed(inner)}." if inner else f"Leave out '#{mapping}'.",
        )
    return BadInputError(
        f"'{file}' holds no state dict.", "Save it with torch.save(model.state_dict(), FILE)."
    )


def several_fit(file: str, names: Sequence[str]) -> BadInputError:
    """More than one mapping fits, and they may differ."""
    named = [f"'{name}'" if name else "its outermost keys" for name in names]
    return BadInputError(
        f"'{file}' holds several weights that fit this network: {_listed(named)}.",
        f"Choose one: --weights '{file}#{next(name for name in names if name)}'.",
    )


def nothing_fits(
    file: str,
    mapping: str,
    stripped: tuple[str, ...],
    state: Mapping[str, torch.Tensor],
    own: Mapping[str, torch.Tensor],
    parts: Sequence[str],
) -> BadInputError:
    """No mapping fits.

    Args:
        file: The file's name.
        mapping: The mapping that comes nearest.
        stripped: What was taken out of its keys.
        state: It, without that.
        own: What would fit.
        parts: Parts of mappings that would fit if they were asked for.
    """
    both = [key for key in own if key in state]
    differing = (
        ("missing", [key for key in own if key not in state]),
        ("unexpected", [key for key in state if key not in own]),
        (
            "of another shape",
            [
                f"{_shown(key)} is {tuple(state[key].shape)}, should be {tuple(own[key].shape)}"
                for key in both
                if state[key].shape != own[key].shape
            ],
        ),
        (
            "of another type",
            [key for key in both if state[key].is_complex() != own[key].is_complex()],
        ),
    )
    problems = [f"{label}: {_listed(names)}" for label, names in differing if names]
    where = (f" under '{mapping}'" if mapping else "") + described(stripped)
    hint = "'lrn-deploy models' lists the networks; choose the one these weights belong to."
    if parts:
        hint = f"A part of it fits: --weights '{file}#{parts[0]}'."
    elif "-of-" in file:
        hint = "This is one of several shards: give the index (….index.json) that lies beside it."
    return BadInputError(
        f"'{file}' holds the weights of another network{where}; {'; '.join(problems)}.", hint
    )


def described(stripped: Sequence[str]) -> str:
    """What was stripped, as the end of a sentence for people; empty if nothing was."""
    return ", without " + " and ".join(f"'{part}'" for part in stripped) if stripped else ""


def _listed(items: Sequence[str]) -> str:
    more = len(items) - _SHOWN
    return ", ".join(map(_shown, items[:_SHOWN])) + (f" and {more} more" if more > 0 else "")


def _shown(text: str) -> str:
    """A name from a file, fit to be printed: it may hold anything, and be of any length."""
    legible = "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)
    return legible if len(legible) <= _LONGEST else legible[:_LONGEST] + "…"
