"""A mapping is a network's weights in one reading of its keys, or in none."""

from __future__ import annotations

import pytest
import torch

from lrn_deploy.errors import BadInputError
from lrn_deploy.network.fitting import Named, find_weights, fit_of

OWN = {"conv.weight": torch.zeros(2)}


def test_a_wrapper_comes_off_where_that_leaves_every_key_its_own() -> None:
    fit = fit_of(Named("", {"conv.module.weight": torch.ones(2)}), OWN)
    assert fit is not None
    assert fit.stripped == ("module.",)
    assert torch.equal(fit.state["conv.weight"], torch.ones(2))


def test_weights_that_would_fall_onto_each_other_without_their_wrapper_are_not_taken() -> None:
    """Which of the two the network is to have, nobody can say."""
    both = {"conv.weight": torch.ones(2), "conv.module.weight": torch.full((2,), 2.0)}
    assert fit_of(Named("", both), OWN) is None
    with pytest.raises(BadInputError, match=r"weights\.pt"):
        find_weights(both, OWN, "weights.pt", "")
