"""The weights of a network: from a file, shipped with the zoo, or random."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load
from torch import nn

from lrn_deploy.bundle import Weights, sha256
from lrn_deploy.errors import BadInputError
from lrn_deploy.models import WEIGHTS_FOLDER, ZooEntry


def fill(module: nn.Module, entry: ZooEntry | None, weights: Path | None, seed: int) -> Weights:
    """Give the module its weights and say where they came from.

    Args:
        module: Filled in place.
        entry: Its entry in the zoo, or None for a user's factory.
        weights: A weights file; None takes what is shipped, else random weights, and leaves a
            user's module as it is.
        seed: Seed of random weights.

    Raises:
        BadInputError: If the file cannot be read, or holds the weights of another network.
    """
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
        note = f"random He-normal weights (seed {seed}): untrained"
        return Weights(kind="random", seed=seed, sha256=_digest(module), note=note)
    note = "as the factory made them"
    return Weights(kind="factory", seed=seed, sha256=_digest(module), note=note)


def initialize_he(module: nn.Module, seed: int) -> None:
    """Fill weights with He-normal values and biases with zeros, reproducibly (He et al. 2015).

    With PyTorch's default the outputs of a deep network hardly depend on its input, and then
    parity checks see nothing. Normalisation layers keep their defaults.

    Args:
        module: Its convolutions and linear layers are filled in place.
        seed: Seed of a generator of its own.
    """
    generator = torch.Generator().manual_seed(seed)
    for layer in module.modules():
        if isinstance(layer, nn.Conv1d | nn.Conv2d | nn.Conv3d | nn.Linear):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu", generator=generator)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def read_checkpoint(path: Path) -> tuple[dict[str, torch.Tensor], str]:
    """Read a state dict and the SHA-256 of its file, without ever running a pickle.

    A safetensors file is read as such; anything else with ``torch.load(weights_only=True)``. A
    dictionary under ``model`` or ``state_dict`` is unwrapped, and so is the ``module.`` that
    DataParallel puts before each key.

    Raises:
        BadInputError: If the file cannot be read as weights.
    """
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


def _digest(module: nn.Module) -> str:
    """SHA-256 over the names and bytes of all weights, for those that no file holds."""
    digest = hashlib.sha256()
    for name, value in module.state_dict().items():
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy())
    return digest.hexdigest()
