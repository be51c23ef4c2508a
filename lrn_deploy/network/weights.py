"""The weights of a network: from a file, shipped with the zoo, or random."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from lrn_deploy.bundle import Weights
from lrn_deploy.errors import BadInputError
from lrn_deploy.models import WEIGHTS_FOLDER, ZooEntry
from lrn_deploy.network.files import WeightsFile, is_index, read_shards, sharded_digest
from lrn_deploy.network.fit_errors import described
from lrn_deploy.network.fitting import Fit, find_weights
from lrn_deploy.network.formats import parse


@dataclass(frozen=True)
class Checkpoint:
    """What a file of weights holds.

    Attributes:
        content: Mappings of tensors, maybe within others.
        digest: SHA-256 of the file; of an index, over it and its shards' digests.
    """

    content: Any
    digest: str


def fill(
    module: nn.Module, entry: ZooEntry | None, weights: WeightsFile | None, seed: int
) -> Weights:
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
        fit, digest = _load(module, weights, entry.name if entry is not None else "")
        under = f", under '{fit.mapping}'" if fit.mapping else ""
        by = f", by {fit.renamed}" if fit.renamed else ""
        return Weights(
            kind="file",
            file=str(weights.path.resolve()),
            sha256=digest,
            seed=seed,
            note=f"from {weights.path.name}{under}{described(fit.stripped)}{by}",
            mapping=fit.mapping,
            stripped=fit.stripped,
            renamed=fit.renamed,
        )
    if entry is not None and entry.weights is not None:
        path = WEIGHTS_FOLDER / entry.weights
        _, digest = _load(module, WeightsFile(path))
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


def read_checkpoint(weights: WeightsFile) -> Checkpoint:
    """Read a file of weights, or an index and its shards, without ever running a pickle.

    Raises:
        BadInputError: If a file cannot be read as weights, or a shard lacks what the index says.
    """
    data = weights.read()
    shards = read_shards(weights.path, data)
    digest = sharded_digest(data, shards.values())
    if not is_index(weights.path):
        return Checkpoint(parse(data, weights.path.name), digest)
    content: dict[str, torch.Tensor] = {}
    for name, shard in shards.items():
        held = parse(shard.data, name)
        for key in shard.keys:
            value = held.get(key) if isinstance(held, dict) else None
            if not isinstance(value, torch.Tensor):
                raise BadInputError(
                    f"The shard '{name}' holds no {key!r}, which '{weights.path.name}' says it "
                    "does.",
                    "Shards and index are of different networks or versions; copy all of them "
                    "again.",
                )
            content[key] = value
    return Checkpoint(content, digest)


def _load(module: nn.Module, weights: WeightsFile, network: str = "") -> tuple[Fit, str]:
    checkpoint = read_checkpoint(weights)
    fit = find_weights(
        checkpoint.content, module.state_dict(), weights.path.name, weights.mapping, network
    )
    module.load_state_dict(fit.state)
    return fit, checkpoint.digest


def _digest(module: nn.Module) -> str:
    """SHA-256 over the names and bytes of all weights, for those that no file holds."""
    digest = hashlib.sha256()
    for name, value in module.state_dict().items():
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy())
    return digest.hexdigest()
