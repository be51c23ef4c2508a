"""Where a PyTorch network comes from: the zoo or a user's factory, and its weights.

Needs the ``export`` extra (torch).
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lrn_deploy.bundle import ModelSource, Preprocessing, Weights, sha256
from lrn_deploy.errors import BadInputError, MissingError
from lrn_deploy.models import WEIGHTS_FOLDER, ZOO, ZooEntry, read_labels

if TYPE_CHECKING:
    import torch
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
    """Raise a :class:`MissingError` if torch is not installed."""
    if importlib.util.find_spec("torch") is None:
        raise MissingError(
            "PyTorch is not installed.", "Install it with: pip install 'lrn-deploy[export]'"
        )


def load_network(
    factory: str,
    *,
    weights: Path | None = None,
    seed: int = 0,
    input_shape: tuple[int, ...] | None = None,
) -> Network:
    """Build a network and fill in its weights.

    Args:
        factory: A name of the zoo, ``package.module:factory`` or ``file.py:factory``.
        weights: A safetensors file, or a PyTorch checkpoint that holds tensors only. Without it a
            network of the zoo takes its shipped weights or, having none, random ones; a user's
            factory keeps the weights it made.
        seed: Seed of random weights; set before a user's factory is called, too.
        input_shape: Shape of one input without the batch; needed if the factory's module has no
            ``input_shape`` attribute.

    Raises:
        MissingError: If torch is not installed.
        BadInputError: If the factory or the weights cannot be used.
    """
    require_torch()
    import torch

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
        preprocessing: Preprocessing | None = entry.preprocessing
    else:
        module, name = _call_factory(factory)
        shape = _input_shape(module, factory, input_shape)
        preprocessing, labels = default_preprocessing(shape), None
        factory = _absolute(factory)
    record = _fill(module, entry, weights, seed)
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
    file = source.weights.file if source.weights.kind == "file" else None
    network = load_network(
        source.factory,
        weights=Path(file) if file else None,
        seed=source.weights.seed or 0,
        input_shape=source.input_shape if source.origin == "factory" else None,
    )
    if network.source.weights.sha256 != source.weights.sha256:
        raise BadInputError(
            f"The weights of '{source.name}' ({source.weights.file}) are no longer those that "
            "were exported.",
            "Restore the file, or export the bundle again.",
        )
    return network


def initialize_he(module: nn.Module, seed: int) -> None:
    """Fill weights with He-normal values and biases with zeros, reproducibly (He et al. 2015).

    With PyTorch's default the outputs of a deep network hardly depend on its input, and then
    parity checks see nothing. Normalisation layers keep their defaults.

    Args:
        module: Its convolutions and linear layers are filled in place.
        seed: Seed of a generator of its own.
    """
    import torch
    from torch import nn

    generator = torch.Generator().manual_seed(seed)
    for layer in module.modules():
        if isinstance(layer, nn.Conv1d | nn.Conv2d | nn.Conv3d | nn.Linear):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu", generator=generator)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def default_preprocessing(shape: tuple[int, ...]) -> Preprocessing | None:
    """ImageNet's usual preprocessing for an image-shaped input (C, H, W), else None."""
    if len(shape) != 3 or shape[0] not in (1, 3):
        return None
    _, height, width = shape
    resize = round(min(height, width) * 256 / 224) if min(height, width) >= 64 else None
    if shape[0] == 1:
        return Preprocessing(mode="L", resize=resize, crop=(height, width), mean=(0.5,), std=(0.5,))
    return Preprocessing(resize=resize, crop=(height, width))


def read_checkpoint(path: Path) -> tuple[dict[str, torch.Tensor], str]:
    """Read a state dict and the SHA-256 of its file, without ever running a pickle.

    A safetensors file is read as such; anything else with ``torch.load(weights_only=True)``. A
    dictionary under ``model`` or ``state_dict`` is unwrapped, and so is the ``module.`` that
    DataParallel puts before each key.

    Raises:
        BadInputError: If the file cannot be read as weights.
    """
    import io

    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        data = path.read_bytes()
    except OSError as error:
        raise BadInputError(
            f"Cannot read the weights file '{path}': {error.strerror}.", "Check --weights."
        ) from error
    try:
        content: Any = (
            load(data)
            if path.suffix == ".safetensors"
            else torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
        )
    except SafetensorError as error:
        raise BadInputError(
            f"'{path}' is no safetensors file: {error}.", "It may be truncated; copy it again."
        ) from error
    except Exception as error:  # torch.load raises many kinds on bytes that are no checkpoint
        raise BadInputError(
            f"'{path}' is no checkpoint that holds tensors only.",
            "Save it with torch.save(model.state_dict(), FILE) or as safetensors; files that need "
            "arbitrary pickle code are never loaded.",
        ) from error
    for key in ("model", "state_dict"):
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if not isinstance(content, Mapping) or not all(
        isinstance(value, torch.Tensor) for value in content.values()
    ):
        raise BadInputError(
            f"'{path}' holds no state dict.", "Save it with torch.save(model.state_dict(), FILE)."
        )
    return {str(key).removeprefix("module."): value for key, value in content.items()}, sha256(data)


def _fill(module: nn.Module, entry: ZooEntry | None, weights: Path | None, seed: int) -> Weights:
    """Give the module its weights and say where they came from."""
    if weights is not None:
        state, digest = read_checkpoint(weights)
        _load_state(module, state, weights)
        file = str(weights.resolve())
        return Weights(
            kind="file", file=file, sha256=digest, seed=seed, note=f"from {weights.name}"
        )
    if entry is not None and entry.weights is not None:
        path = WEIGHTS_FOLDER / entry.weights
        state, digest = read_checkpoint(path)
        _load_state(module, state, path)
        return Weights(
            kind="shipped",
            file=entry.weights,
            sha256=digest,
            note=f"trained, shipped as {path.name}",
        )
    if entry is not None:
        initialize_he(module, seed)
        return Weights(
            kind="random", seed=seed, note=f"random He-normal weights (seed {seed}): untrained"
        )
    return Weights(kind="factory", seed=seed, note="as the factory made them")


def _load_state(module: nn.Module, state: dict[str, torch.Tensor], path: Path) -> None:
    own = module.state_dict()
    missing = [key for key in own if key not in state]
    unexpected = [key for key in state if key not in own]
    shapes = [
        f"{key} is {tuple(state[key].shape)}, should be {tuple(own[key].shape)}"
        for key in own
        if key in state and state[key].shape != own[key].shape
    ]
    problems = [
        f"{label}: {', '.join(items[:5])}"
        + (f" and {len(items) - 5} more" if len(items) > 5 else "")
        for label, items in (
            ("missing", missing),
            ("unexpected", unexpected),
            ("of another shape", shapes),
        )
        if items
    ]
    if problems:
        raise BadInputError(
            f"'{path.name}' holds the weights of another network; {'; '.join(problems)}.",
            "'lrn-deploy models' lists the networks; choose the one these weights belong to.",
        )
    module.load_state_dict(state)


def _call_factory(factory: str) -> tuple[nn.Module, str]:
    """Import and call ``package.module:name`` or ``file.py:name``; the module and a short name."""
    from torch import nn

    where, colon, attribute = factory.rpartition(":")
    if not colon or not where or not attribute:
        raise BadInputError(
            f"There is no network named '{factory}'.",
            f"Choose one of {', '.join(ZOO)}, or give package.module:factory or file.py:factory.",
        )
    code = _import_file(Path(where)) if where.endswith(".py") else _import_module(where)
    function = getattr(code, attribute, None)
    if not callable(function):
        raise BadInputError(f"'{where}' has no callable named '{attribute}'.")
    try:
        module = function()
    except (Exception, SystemExit) as error:  # a script's main may well end with sys.exit
        raise BadInputError(
            f"The factory '{factory}' raised {type(error).__name__}: {error}.",
            "It is called without arguments and must return a torch.nn.Module.",
        ) from error
    if not isinstance(module, nn.Module):
        raise BadInputError(
            f"The factory '{factory}' returned a {type(module).__name__}.",
            "It must return a torch.nn.Module.",
        )
    return module, attribute


def _import_module(name: str) -> Any:
    _search(Path.cwd())
    try:
        return importlib.import_module(name)
    except (Exception, SystemExit) as error:
        raise BadInputError(
            f"Cannot import '{name}': {type(error).__name__}: {error}.",
            "Give a module that Python finds from here, or a path that ends in .py.",
        ) from error


def _import_file(path: Path) -> Any:
    if not path.is_file():
        raise BadInputError(f"There is no file '{path}'.", "Check the path before the colon.")
    spec = importlib.util.spec_from_file_location(f"_lrn_deploy_user_{path.stem}", path.resolve())
    assert spec is not None
    assert spec.loader is not None
    code = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = code  # dataclasses in the file look themselves up there
    _search(path.resolve().parent)
    try:
        spec.loader.exec_module(code)
    except (Exception, SystemExit) as error:
        del sys.modules[spec.name]
        raise BadInputError(
            f"'{path}' cannot be imported: {type(error).__name__}: {error}.",
            "Run it with python to see the whole error.",
        ) from error
    return code


def _search(folder: Path) -> None:
    """Let imports find ``folder``, as they would if Python were run there."""
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))


def _absolute(factory: str) -> str:
    where, _, attribute = factory.rpartition(":")
    return f"{Path(where).resolve()}:{attribute}" if where.endswith(".py") else factory


def _input_shape(module: nn.Module, factory: str, given: tuple[int, ...] | None) -> tuple[int, ...]:
    own = getattr(module, "input_shape", None)
    if given is None and own is None:
        raise BadInputError(
            f"The input shape of '{factory}' is not known.",
            "Add --shape C,H,W (without the batch), or give the module an input_shape attribute.",
        )
    return tuple(int(axis) for axis in (given if given is not None else own or ()))
