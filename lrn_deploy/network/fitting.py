"""Which mapping of a checkpoint holds a network's weights, under whatever names they were saved.

A checkpoint is a tree: the weights may lie under ``model_state_dict`` or ``ema`` beside an
optimizer, and each of their keys may begin with what a wrapper put there::

    {"epoch": 3, "net": {"module._orig_mod.conv.weight": …}}   →   net, without module._orig_mod.

Nothing is guessed: a mapping fits if, without such a prefix, its keys are the network's keys, or
those that a table of the zoo gives them, and every shape is the network's shape. If several fit, it
takes a person to say which.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import Any

import torch

from lrn_deploy.network.fit_errors import no_such_mapping, nothing_fits, several_fit
from lrn_deploy.network.naming import renamed

Tensors = dict[str, torch.Tensor]

_WRAPPERS = frozenset(("_orig_mod", "module", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"))
"""What torch.compile, (Distributed)DataParallel, FSDP and activation checkpoints put into keys."""
_AVERAGED = "n_averaged"
"""A counter that torch.optim.swa_utils.AveragedModel keeps beside the weights."""
_COUNTERS = "num_batches_tracked"
"""A counter of batch normalisation: older checkpoints lack it, and no evaluation reads it."""
_MAX_DEPTH = 8
_MAX_ITEMS = 64
"""Items of a list that are looked at: a training history has thousands, and holds no weights."""


@dataclass(frozen=True)
class Named:
    """A mapping of tensors in a checkpoint.

    Attributes:
        name: The keys that lead to it, joined by ``/``; empty for the outermost.
        tensors: Its tensors by their names there; what else it holds is left out.
    """

    name: str
    tensors: Tensors


@dataclass(frozen=True)
class Fit:
    """A network's weights, found in a checkpoint.

    Attributes:
        mapping: As :attr:`Named.name`.
        stripped: What was taken out of the keys, ``module.`` for instance.
        state: The tensors by the network's own keys.
        renamed: Whose names the layers have there, and the order of axes if it is another.
    """

    mapping: str
    stripped: tuple[str, ...]
    state: Tensors
    renamed: str = ""


def find_weights(
    content: Any, own: Mapping[str, torch.Tensor], file: str, mapping: str, network: str = ""
) -> Fit:
    """The weights of a network in what a file holds.

    Args:
        content: What the file holds.
        own: The network's own state dict.
        file: The file's name, for errors.
        mapping: The mapping to take; empty: the only one that fits.
        network: The network's name in the zoo, whose tables then apply.

    Raises:
        BadInputError: If no mapping fits, several do, or there is none called ``mapping``.
    """
    found = list(_mappings(content))
    chosen = _called(found, mapping) if mapping else found
    if not chosen:
        raise no_such_mapping(file, mapping, [named.name for named in found])
    fits = [fit for named in chosen if (fit := fit_of(named, own, network)) is not None]
    if len(fits) == 1:
        return fits[0]
    if fits:
        raise several_fit(file, [fit.mapping for fit in fits])
    readings = (reading for named in chosen for reading in _readings(named, own, network))
    nearest = max(readings, key=lambda reading: _likeness(reading.state, own))
    parts = [part.name for named in chosen for part in _parts(named) if fit_of(part, own)]
    raise nothing_fits(file, nearest.mapping, nearest.stripped, nearest.state, own, parts)


def fit_of(named: Named, own: Mapping[str, torch.Tensor], network: str = "") -> Fit | None:
    """The mapping read as the network's weights, or None if no reading of its keys fits."""
    for reading in _readings(named, own, network):
        state = reading.state
        lacking = {key: value for key, value in own.items() if key not in state}
        if not all(key.rpartition(".")[2] == _COUNTERS for key in lacking):
            continue
        if len(state) + len(lacking) == len(own) and all(
            value.shape == own[key].shape and value.is_complex() == own[key].is_complex()
            for key, value in state.items()
        ):
            return replace(reading, state={**state, **lacking})
    return None


def _mappings(content: Any) -> Iterator[Named]:
    """Every mapping in ``content`` that holds tensors, the outermost first, each once."""
    seen: set[int] = set()  # a pickle may hold a mapping twice, or within itself
    level = [("", content)]
    for _ in range(_MAX_DEPTH):
        below = []
        for name, held in level:
            if id(held) in seen or not isinstance(held, Mapping | list | tuple):
                continue
            seen.add(id(held))
            if isinstance(held, Mapping):
                tensors = {
                    key: value.detach()
                    for key, value in held.items()
                    if isinstance(key, str) and isinstance(value, torch.Tensor) and _is_plain(value)
                }
                if tensors or (not held and not name):
                    yield Named(name, tensors)
                items = list(held.items())
            else:
                items = list(enumerate(held[:_MAX_ITEMS]))
            below += [
                (f"{name}/{key}" if name else str(key), value)
                for key, value in items
                if isinstance(key, int) or (isinstance(key, str) and key.isprintable())
            ]
        level = below


def _is_plain(value: torch.Tensor) -> bool:
    return (
        value.layout is torch.strided
        and not value.is_meta
        and not value.is_quantized
        and not value.is_nested
    )


def _called(found: list[Named], mapping: str) -> list[Named]:
    """The mapping of that name; else the part of one whose keys begin with the name's end."""
    exact = [named for named in found if named.name == mapping]
    return exact or [part for named in found for part in _parts(named) if part.name == mapping]


def _parts(named: Named) -> list[Named]:
    """The keys of a mapping by their first word: ``model`` and ``criterion`` for instance."""
    parts: dict[str, Tensors] = {}
    for key, value in named.tensors.items():
        first, dot, rest = key.partition(".")
        if dot and first.isprintable():
            parts.setdefault(first, {})[rest] = value
    above = f"{named.name}/" if named.name else ""
    return [Named(above + first, tensors) for first, tensors in parts.items()]


def _readings(named: Named, own: Mapping[str, torch.Tensor], network: str) -> Iterator[Fit]:
    """Ways to read a mapping, the network's own names first."""
    plain = [Fit(named.name, *reading) for reading in _stripped(named.tensors, own)]
    yield from plain
    for reading in plain:
        for told, state in renamed(reading.state, own, network):
            yield replace(reading, state=state, renamed=told)


def _stripped(
    tensors: Tensors, own: Mapping[str, torch.Tensor]
) -> Iterator[tuple[tuple[str, ...], Tensors]]:
    """Ways to read the keys, and what each strips: as they are, without wrappers, a prefix."""
    dropped: tuple[str, ...] = ()
    if _AVERAGED in tensors and _AVERAGED not in own:
        tensors = {key: value for key, value in tensors.items() if key != _AVERAGED}
        dropped = (_AVERAGED,)
    for stripped, state in ((dropped, tensors), *_unwrapped(dropped, tensors)):
        yield stripped, state
        for prefix in _shared_prefixes(state):
            cut = {key.removeprefix(prefix): value for key, value in state.items()}
            yield (*stripped, prefix), cut


def _unwrapped(dropped: tuple[str, ...], tensors: Tensors) -> list[tuple[tuple[str, ...], Tensors]]:
    """The keys without any word of a wrapper: ``features.module.0.weight`` has one inside."""
    words = {key: key.split(".") for key in tensors}
    wrappers = sorted({word for path in words.values() for word in path} & _WRAPPERS)
    state = {
        ".".join(word for word in words[key] if word not in _WRAPPERS): value
        for key, value in tensors.items()
    }
    if not wrappers or len(state) != len(tensors):
        return []
    return [((*dropped, *(f"{word}." for word in wrappers)), state)]


def _shared_prefixes(state: Tensors) -> list[str]:
    """The prefixes of whole words that all keys share, the shortest first."""
    words = zip(*(key.split(".")[:-1] for key in state), strict=False)
    shared = [same[0] for same in takewhile(lambda same: len(set(same)) == 1, words)]
    prefixes = [".".join(shared[:end]) + "." for end in range(1, len(shared[:_MAX_DEPTH]) + 1)]
    return [prefix for prefix in prefixes if prefix.isprintable()]


def _likeness(state: Tensors, own: Mapping[str, torch.Tensor]) -> tuple[int, int, int]:
    """How near a reading comes: keys of the right shape, keys, tensors at all."""
    same = [key for key in state if key in own]
    return sum(state[key].shape == own[key].shape for key in same), len(same), len(state)
