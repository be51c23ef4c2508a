"""Where a PyTorch network comes from: the zoo or a user's factory, and its weights.

Needs the ``export`` extra (torch), which is imported when a network is loaded.
"""

from __future__ import annotations

import importlib
import importlib.util
import signal
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lrn_deploy.bundle import ModelSource, Preprocessing, Said
from lrn_deploy.bundle.said import complete
from lrn_deploy.errors import BadInputError, MissingError
from lrn_deploy.models import ZOO, read_labels
from lrn_deploy.network.files import WeightsFile

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Network:
    """A PyTorch module in evaluation mode with all that a bundle says about it.

    Attributes:
        module: Takes a float32 tensor of shape (N, *source.input_shape).
        source: Where it came from.
        preprocessing: How an image becomes its input; None if it takes no images.
        labels: The class names, if known.
    """

    module: nn.Module
    source: ModelSource
    preprocessing: Preprocessing | None
    labels: tuple[str, ...] | None


def require_torch() -> None:
    """Import torch; an interrupt meanwhile is raised afterwards, since in torch it would abort.

    Raises:
        MissingError: If torch is not installed.
    """
    if importlib.util.find_spec("torch") is None:
        raise MissingError(
            "PyTorch is not installed.", "Install it with: pip install 'lrn-deploy[export]'"
        )
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
    factory: str,
    *,
    weights: Path | WeightsFile | None = None,
    seed: int = 0,
    input_shape: tuple[int, ...] | None = None,
    said: Said | None = None,
) -> Network:
    """Build a network and fill in its weights.

    Args:
        factory: A name of the zoo, ``package.module:factory`` or ``file.py:factory``.
        weights: A safetensors file, the index of a sharded one, an ``.npz`` archive or a PyTorch
            checkpoint, as ``FILE`` or ``FILE#mapping`` where several mappings in it fit. Without it
            a network of the zoo takes its shipped weights or, having none, random ones; a user's
            factory keeps the weights it made.
        seed: Seed of random weights; set before a user's factory is called, too.
        input_shape: Shape of one input without the batch; needed if the factory's module has no
            ``input_shape`` attribute.
        said: What the user says of its preprocessing, which goes before what a user's module says
            of itself; None asks neither, for a bundle that knows it already.

    Raises:
        MissingError: If torch is not installed.
        BadInputError: If the factory, the weights or what is said of the preprocessing cannot be
            used.
    """
    require_torch()
    import torch

    from lrn_deploy.network.factory import absolute, call_factory
    from lrn_deploy.network.factory import input_shape as shape_of
    from lrn_deploy.network.floats import as_float32
    from lrn_deploy.network.weights import fill

    torch.manual_seed(seed)
    entry = ZOO.get(factory)
    if entry is not None:
        module, shape = entry.build(), entry.input_shape
        if input_shape not in (None, shape):
            raise BadInputError(
                f"The network '{factory}' takes inputs of shape {shape}, not {input_shape}.",
                "Leave out --shape for a network of the zoo.",
            )
        name, labels = entry.name, read_labels(entry)
        preprocessing = complete(said or Said(), shape, entry.preprocessing)
    else:
        module, name = call_factory(factory)
        shape = shape_of(module, factory, input_shape)
        preprocessing, labels = _preprocessing(module, shape, said), None
        factory = absolute(factory)
    if isinstance(weights, Path):
        weights = WeightsFile.parse(weights)
    turned = as_float32(module)  # before it is filled: a file may hold more digits
    record = fill(module, entry, weights, seed)
    if turned:
        record = record.model_copy(update={"note": f"{record.note}; {turned}"})
    return Network(
        module=module.eval(),
        source=ModelSource(
            name=name,
            factory=factory,
            origin="factory" if entry is None else "zoo",
            input_shape=shape,
            weights=record,
        ),
        preprocessing=preprocessing,
        labels=labels,
    )


def reload_network(source: ModelSource) -> Network:
    """Build again the network that a manifest describes, with the very same weights.

    Raises:
        BadInputError: If its factory or its weights file is gone or has changed.
        MissingError: If torch is not installed.
    """
    record = source.weights
    file = record.file if record.kind == "file" else None
    network = load_network(
        source.factory,
        weights=WeightsFile(Path(file), record.mapping) if file else None,
        seed=record.seed or 0,
        input_shape=source.input_shape if source.origin == "factory" else None,
    )
    if network.source.weights.sha256 != record.sha256:
        raise BadInputError(
            f"The weights of '{source.name}' ({record.file or source.factory}) are no "
            "longer those that were exported.",
            "Restore the file, or export the bundle again; save the weights of a factory that "
            "makes others each time, and give them with --weights.",
        )
    return network


def default_preprocessing(shape: tuple[int, ...]) -> Preprocessing | None:
    """ImageNet's usual preprocessing for an image (C, H, W), all of it assumed; else None."""
    return complete(Said(), shape)


def _preprocessing(
    module: nn.Module, shape: tuple[int, ...], said: Said | None
) -> Preprocessing | None:
    if said is None or default_preprocessing(shape) is None or said.settles(shape):
        return complete(said or Said(), shape)
    from lrn_deploy.network.stated import stated

    return complete(said.over(stated(module, shape)), shape)
