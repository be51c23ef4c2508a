"""Networks of the zoo with fewer hidden units in their last layers.

Nine of ten weights of an AlexNet lie there: a quarter of a gigabyte to draw, to write and to read,
that shows nothing which a few do not.
"""

from __future__ import annotations

import torch
from torch import nn

from lrn_deploy.models import ZooEntry

HIDDEN = {4096: 256}


def hidden(units: int) -> int:
    """What is left of so many."""
    return HIDDEN.get(units, units)


def build(entry: ZooEntry) -> nn.Module:
    """The network, with PyTorch's default initialisation; in place of :meth:`ZooEntry.build`."""
    with torch.device("meta"):
        module = _BUILD(entry)
        for path, layer in list(module.named_modules()):
            if isinstance(layer, nn.Linear):
                fewer = nn.Linear(hidden(layer.in_features), hidden(layer.out_features))
                module.set_submodule(path, fewer)
    module.to_empty(device="cpu")
    for layer in module.modules():
        if hasattr(layer, "reset_parameters"):
            layer.reset_parameters()
    return module


_BUILD = ZooEntry.build
