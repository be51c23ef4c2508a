"""Networks of the zoo are made without weights that are replaced at once."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from lrn_deploy.models import ZOO
from lrn_deploy.network.undrawn import Undrawn


def layers() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 2))


def test_nothing_is_drawn_and_constants_are_written() -> None:
    before = torch.get_rng_state()
    with Undrawn():
        made = layers()
    assert torch.equal(torch.get_rng_state(), before)
    norm = made[1].state_dict()
    assert norm["weight"].tolist() == norm["running_var"].tolist() == [1.0] * 4
    assert norm["bias"].tolist() == norm["running_mean"].tolist() == [0.0] * 4
    layers()
    assert not torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("name", sorted(ZOO))
def test_the_zoo_is_of_layers_that_are_filled_or_constant(name: str) -> None:
    with torch.device("meta"):
        module = ZOO[name].build()
    holders = {type(layer) for layer in module.modules() if list(layer.parameters(recurse=False))}
    assert holders <= {nn.Conv2d, nn.Linear, nn.BatchNorm2d}
