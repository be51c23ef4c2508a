"""Where a PyTorch network comes from: the zoo or a user's factory, and its weights.

Needs the ``export`` extra (torch), which is imported when a network is loaded.
"""

from __future__ import annotations

import importlib
import importlib.util
import signal
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from lrn_deploy.bundle import ModelSource, Preprocessing, Said, TensorSpec, Weights
from lrn_deploy.bundle.said import complete
from lrn_deploy.errors import BadInputError, MissingError
from lrn_deploy.extras import install
from lrn_deploy.models import ZOO, ZooEntry, read_labels
from lrn_deploy.network.files import WeightsFile

if TYPE_CHECKING:
    from torch import nn

Origin = Literal["zoo", "factory", "module"]


@dataclass(frozen=True)
class Network:
    """A PyTorch module in evaluation mode with all that a bundle says about it.

    Attributes:
        module: Takes a tensor for each of ``inputs``.
        source: Where it came from.
        preprocessing: How an image becomes its input; None if it takes no images.
        labels: The class names, if known.
        inputs: What it takes, in order; empty: one float32 of shape (N, *source.input_shape).
    """

    module: nn.Module
    source: ModelSource
    preprocessing: Preprocessing | None
    labels: tuple[str, ...] | None
    inputs: tuple[TensorSpec, ...] = ()


def require_torch() -> None:
    """Import torch; an interrupt meanwhile is raised afterwards, since in torch it would abort.

    Raises:
        MissingError: If torch is not installed.
    """
    if importlib.util.find_spec("torch") is None:
        raise MissingError("PyTorch is not installed.", f"Install it with: {install('export')}")
    if threading.current_thread() is not threading.main_thread():
        importlib.import_module("torch")
        return
    interrupts: list[int] = []
    usual = signal.signal(signal.SIGINT, lambda number, _frame: interrupts.append(number))
    try:
        importlib.import_module("torch")
    finally:
        signal.signal(signal.SIGINT, usual)
    if interrupts:
        raise KeyboardInterrupt


def load_network(
    factory: str | nn.Module,
    *,
    weights: Path | WeightsFile | None = None,
    seed: int = 0,
    input_shape: tuple[int, ...] | None = None,
    inputs: Sequence[TensorSpec] = (),
    said: Said | None = None,
) -> Network:
    """Build a network and fill in its weights.

    Args:
        factory: A name of the zoo, ``package.module:factory``, ``file.py:factory``, or a module,
            which is filled, turned into float32 and put into evaluation mode in place.
        weights: A safetensors file, the index of a sharded one, an ``.npz`` archive or a PyTorch
            checkpoint, as ``FILE`` or ``FILE#mapping`` where several mappings in it fit. Without it
            a network of the zoo takes its shipped weights or, having none, random ones; a user's
            factory keeps the weights it made, a module those it has.
        seed: Seed of random weights; set before a user's factory is called, too.
        input_shape: Shape of the only input without the batch, which is float32; the same as
            ``inputs`` with that one.
        inputs: What the user says of the inputs; needed if the factory's module has neither an
            ``example_inputs`` nor an ``input_shape`` attribute. One without a name is taken in its
            place.
        said: What the user says of its preprocessing, which goes before what a user's module says
            of itself; None asks neither, for a bundle that knows it already.

    Raises:
        MissingError: If torch is not installed.
        BadInputError: If the factory, the weights, or what is said of the inputs or the
            preprocessing cannot be used.
    """
    require_torch()
    from lrn_deploy.network.inputs import describe_inputs, one_input

    if input_shape is not None:
        inputs = (one_input(input_shape, name=""),)
    origin: Origin
    if isinstance(factory, str):
        origin = "zoo" if factory in ZOO else "factory"
        module, name = _made(factory, seed)
    else:
        from lrn_deploy.network.factory import class_name

        origin, module = "module", factory
        name, factory = type(module).__name__, class_name(module)
    entry = ZOO.get(factory) if origin == "zoo" else None
    if entry is not None:
        usual = one_input(entry.input_shape)
        _check_usual(factory, entry.input_shape, inputs, usual)
        specs: tuple[TensorSpec, ...] = (usual,)
        shape, labels = entry.input_shape, read_labels(entry)
        preprocessing = complete(said or Said(), shape, entry.preprocessing)
    else:
        specs, labels = describe_inputs(module, factory, inputs), None
        shape = specs[0].at_batch(1)[1:]
        preprocessing = _preprocessing(module, specs, said)
    record = _filled(module, entry, weights, seed)
    if origin == "module" and record.kind == "factory":
        note = record.note.replace("as the factory made them", "as the module held them")
        record = record.model_copy(update={"kind": "module", "seed": None, "note": note})
    return Network(
        module=module.eval(),
        source=ModelSource(
            name=name,
            factory=_absolute(factory),
            origin=origin,
            input_shape=shape,
            weights=record,
        ),
        preprocessing=preprocessing,
        labels=labels,
        inputs=specs,
    )


def reload_network(source: ModelSource, module: nn.Module | None = None) -> Network:
    """Build again the network that a manifest describes, with the very same weights.

    Args:
        source: What the manifest says of it.
        module: Takes the place of what its factory makes, and is filled in place.

    Returns:
        Its module and source; what the manifest says beside them is not found out again.

    Raises:
        BadInputError: If its factory or its weights file is gone or has changed, or it was a module
            that a program had made.
        MissingError: If torch is not installed.
    """
    if source.origin == "module" and module is None:
        raise BadInputError(
            f"'{source.name}' was exported from a {source.factory} that a Python program had made, "
            "which cannot be made again.",
            "Validate it in that program, or where you have the module: "
            "lrn_deploy.open(BUNDLE, module=net).validate(); what that stores is enough "
            "afterwards.",
        )
    require_torch()
    old = source.weights
    file = WeightsFile(Path(old.file), old.mapping) if old.kind == "file" and old.file else None
    if module is None:
        module, _ = _made(source.factory, old.seed or 0)
    record = _filled(module, ZOO.get(source.factory), file, old.seed or 0)
    if record.sha256 != old.sha256:
        raise BadInputError(
            f"The weights of '{source.name}' ({old.file or source.factory}) are no "
            "longer those that were exported.",
            "Restore the file, or export the bundle again; save the weights of a factory that "
            "makes others each time, and give them with --weights.",
        )
    return Network(module.eval(), source.model_copy(update={"weights": record}), None, None)


def _made(factory: str, seed: int) -> tuple[nn.Module, str]:
    """The network with whatever weights it was made with, and its own name."""
    import torch

    from lrn_deploy.network.factory import call_factory
    from lrn_deploy.network.undrawn import Undrawn

    torch.manual_seed(seed)
    entry = ZOO.get(factory)
    if entry is None:
        return call_factory(factory)
    with Undrawn():
        return entry.build(), entry.name


def _filled(
    module: nn.Module, entry: ZooEntry | None, weights: Path | WeightsFile | None, seed: int
) -> Weights:
    """Fill in the weights, in float32; returns what they are."""
    from lrn_deploy.network.floats import as_float32
    from lrn_deploy.network.weights import fill

    if isinstance(weights, Path):
        weights = WeightsFile.parse(weights)
    turned = as_float32(module)  # before it is filled: a file may hold more digits
    record = fill(module, entry, weights, seed)
    return record.model_copy(update={"note": f"{record.note}; {turned}"}) if turned else record


def _absolute(factory: str) -> str:
    from lrn_deploy.network.factory import absolute

    return factory if factory in ZOO else absolute(factory)


def _check_usual(
    factory: str, shape: tuple[int, ...], given: Sequence[TensorSpec], usual: TensorSpec
) -> None:
    """Refuse what is said of the input of a network of the zoo, unless it is so."""
    for spec in given:
        if spec.model_copy(update={"name": usual.name}) != usual:
            raise BadInputError(
                f"The network '{factory}' takes inputs of shape {shape}, not "
                f"{spec.at_batch(1)[1:]}.",
                "Leave out --shape for a network of the zoo.",
            )


def default_preprocessing(shape: tuple[int, ...]) -> Preprocessing | None:
    """ImageNet's usual preprocessing for an image (C, H, W), all of it assumed; else None."""
    return complete(Said(), shape)


def _preprocessing(
    module: nn.Module, inputs: tuple[TensorSpec, ...], said: Said | None
) -> Preprocessing | None:
    if len(inputs) > 1 or inputs[0].dtype != "float32":
        if said is not None and said != Said():
            raise BadInputError(
                f"The network's inputs are no image: {'; '.join(spec.described for spec in inputs)}"
                ", so it has no preprocessing.",
                "Leave out what describes one; it is for networks with one image as input.",
            )
        return None
    shape = inputs[0].at_batch(1)[1:]
    if said is None or default_preprocessing(shape) is None or said.settles(shape):
        return complete(said or Said(), shape)
    from lrn_deploy.network.stated import stated

    return complete(said.over(stated(module, shape)), shape)
