"""Networks of the zoo are made without weights that are replaced at once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import nn

from lrn_deploy.models import ZOO
from lrn_deploy.network import load_network
from lrn_deploy.network.undrawn import Undrawn


@pytest.fixture
def empty_is_nan() -> Iterator[None]:
    """Memory that nothing was written to is NaN."""
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


@pytest.mark.usefixtures("empty_is_nan")
def test_what_would_be_drawn_is_not_and_constants_are() -> None:
    with Undrawn():
        layers = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 2))
    for layer in (layers[0], layers[2]):
        assert layer.weight.isnan().all()
    assert layers[1].state_dict()["weight"].tolist() == [1.0] * 4
    assert layers[1].state_dict()["running_var"].tolist() == [1.0] * 4
    assert not nn.Linear(4, 2).weight.isnan().any()


@pytest.mark.usefixtures("empty_is_nan")
@pytest.mark.parametrize("name", ["digits", "nn4_small2"])  # with trained weights, with random ones
def test_every_number_of_a_network_is_filled_in(name: str) -> None:
    for key, value in load_network(name).module.state_dict().items():
        assert value.isfinite().all(), key


@pytest.mark.parametrize("name", sorted(ZOO))
def test_the_zoo_is_of_layers_that_are_filled_or_constant(name: str) -> None:
    with torch.device("meta"):
        module = ZOO[name].build()
    holders = {type(layer) for layer in module.modules() if list(layer.parameters(recurse=False))}
    assert holders <= {nn.Conv2d, nn.Linear, nn.BatchNorm2d}
