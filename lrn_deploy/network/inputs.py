"""What a user's network takes: name, type and shape of each input, and how it is called with them.

Whoever knows it says it: the user, the module's ``example_inputs`` (tensors with the batch axis
first), or its ``input_shape`` where it takes one image. The names of several are those of
``forward()``; a single one that nobody named is called :data:`ONLY`.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from lrn_deploy.bundle import IntegerValues, TensorSpec
from lrn_deploy.errors import BadInputError

if TYPE_CHECKING:
    from torch import Tensor, nn

ONLY = "input"
DTYPES = ("float32", "int64", "int32", "int8", "uint8", "bool")
"""What an input may be; other floating-point types become the first."""
BATCH = "batch"

_HINT = (
    "Say it with --shape name=C,H,W or --shape name=N:int64 for each input, or give the module an "
    "example_inputs attribute: a tuple or dict of tensors, batch axis first."
)
_KEYWORD = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
_IN_ORDER = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)

Value = TypeVar("Value")


def one_input(shape: Sequence[int], *, name: str = ONLY, dtype: str = DTYPES[0]) -> TensorSpec:
    """An input whose shape is given without the batch."""
    return TensorSpec(name=name, dtype=dtype, shape=(BATCH, *shape))


def describe_inputs(
    module: nn.Module, factory: str, given: Sequence[TensorSpec] = ()
) -> tuple[TensorSpec, ...]:
    """The inputs of a network, in the order in which ``forward()`` takes them.

    Args:
        module: The network.
        factory: What made it, for messages.
        given: What the user says of them; what has no name is taken in order. If empty, the
            module is asked.

    Raises:
        BadInputError: If nobody says, or what is said does not fit ``forward()``.
    """
    specs = tuple(given) or _own(module, factory)
    for spec in specs:
        if spec.dtype not in DTYPES:
            raise BadInputError(
                f"An input of type {spec.dtype} cannot be exported{_of(spec)}.",
                f"Choose one of {', '.join(DTYPES)}; networks are exported in float32.",
            )
    return _named(module, specs)


def arguments(
    module: nn.Module, values: Mapping[str, Value]
) -> tuple[tuple[Value, ...], dict[str, Value]]:
    """Positional and keyword arguments that give each value to the input of its name.

    In order where the names are those that ``forward()`` begins with, or are not its own.
    """
    parameters = _parameters(module)
    in_order = [name for name, parameter in parameters.items() if parameter.kind in _IN_ORDER]
    own = all(name in parameters and parameters[name].kind in _KEYWORD for name in values)
    if list(values) == in_order[: len(values)] or not own:
        return tuple(values.values()), {}
    return (), dict(values)


def _own(module: nn.Module, factory: str) -> tuple[TensorSpec, ...]:
    """What the module says of its inputs."""
    examples = getattr(module, "example_inputs", None)
    if examples is not None:
        return _from_examples(examples)
    shape = getattr(module, "input_shape", None)
    if shape is not None:
        return (one_input([int(axis) for axis in shape], name=""),)
    needed = _needed(module)
    if len(needed) > 1:
        raise BadInputError(
            f"The shapes of the {len(needed)} inputs of '{factory}' ({', '.join(needed)}) are not "
            "known.",
            _HINT,
        )
    raise BadInputError(
        f"The input shape of '{factory}' is not known.",
        "Add --shape C,H,W (without the batch; in Python input_shape=(C, H, W)), or give the "
        "module an input_shape attribute.",
    )


def _from_examples(examples: Any) -> tuple[TensorSpec, ...]:
    import torch

    if isinstance(examples, torch.Tensor):
        examples = (examples,)
    named = isinstance(examples, Mapping)
    items = list(examples.items()) if named else [("", example) for example in _listed(examples)]
    if not items or not all(isinstance(example, torch.Tensor) for _, example in items):
        raise BadInputError(
            "The network's example_inputs are no tensors.",
            "They must be a tensor, or a tuple or dict of tensors, each with the batch axis first.",
        )
    batches = {len(example) if example.dim() else 0 for _, example in items}
    if len(batches) > 1 or 0 in batches:
        shapes = ", ".join(str(list(example.shape)) for _, example in items)
        raise BadInputError(
            f"The network's example_inputs have no batch in common: their shapes are {shapes}.",
            "The first axis of each must be the batch, of one size for all and not 0.",
        )
    return tuple(_spec_of(str(name), example) for name, example in items)


def _listed(examples: Any) -> Sequence[Any]:
    return examples if isinstance(examples, tuple | list) else ()


def _spec_of(name: str, example: Tensor) -> TensorSpec:
    floats = example.is_floating_point()
    dtype = DTYPES[0] if floats else str(example.dtype).removeprefix("torch.")
    spec = one_input(example.shape[1:], name=name, dtype=dtype)
    if dtype not in DTYPES or floats or dtype == "bool" or not example.numel():
        return spec
    low, high = int(example.min()), int(example.max())
    return spec.model_copy(update={"values": IntegerValues(low=low, high=high, source="example")})


def _named(module: nn.Module, specs: tuple[TensorSpec, ...]) -> tuple[TensorSpec, ...]:
    """The inputs by the names of ``forward()``, in its order."""
    parameters = _parameters(module)
    takes = [
        name for name, parameter in parameters.items() if parameter.kind in (*_IN_ORDER, *_KEYWORD)
    ]
    more = any(parameter.kind is parameter.VAR_POSITIONAL for parameter in parameters.values())
    needed = _needed(module)
    said = ", ".join(takes)
    nameless = [spec for spec in specs if not spec.name]
    if nameless and len(nameless) < len(specs):
        raise BadInputError("Some inputs have a name and some have none.", f"Name each. {_HINT}")
    if len(specs) == 1 and nameless and len(needed) <= 1:
        return (specs[0].model_copy(update={"name": ONLY}),)
    if nameless:
        if len(specs) > len(takes) and not more:
            raise BadInputError(
                f"{len(specs)} inputs are given, but forward() takes {len(takes)} ({said}).",
                f"Give one for each. {_HINT}",
            )
        names = [*takes, *(f"{ONLY}_{at}" for at in range(len(takes), len(specs)))]
        specs = tuple(
            spec.model_copy(update={"name": name}) for name, spec in zip(names, specs, strict=False)
        )
    names = [spec.name for spec in specs]
    unknown = [name for name in names if name not in takes]
    if len(set(names)) < len(names) or (unknown and not more):
        wrong = f"has no input '{unknown[0]}'" if unknown else "takes each input once"
        raise BadInputError(f"The network's forward() {wrong}; it takes {said}.", _HINT)
    missing = [name for name in needed if name not in names]
    if missing:
        raise BadInputError(
            f"The network's forward() takes {len(needed)} inputs ({', '.join(needed)}), and "
            f"nothing is said of '{missing[0]}'.",
            _HINT,
        )
    order = {name: at for at, name in enumerate(takes)}
    return tuple(sorted(specs, key=lambda spec: order.get(spec.name, len(order))))


def _needed(module: nn.Module) -> list[str]:
    """Inputs without which ``forward()`` cannot be called."""
    return [
        name
        for name, parameter in _parameters(module).items()
        if parameter.default is parameter.empty and parameter.kind in (*_IN_ORDER, *_KEYWORD)
    ]


def _parameters(module: nn.Module) -> Mapping[str, inspect.Parameter]:
    return inspect.signature(module.forward).parameters


def _of(spec: TensorSpec) -> str:
    return f", as '{spec.name}' is" if spec.name else ""
