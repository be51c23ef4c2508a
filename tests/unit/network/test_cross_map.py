"""Calls of ``nn.CrossMapLRN2d`` are caught while asked for, and go to PyTorch again afterwards."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.modules._functions import CrossMapLRN2d

from lrn_deploy.backends.torch import TorchBackend
from lrn_deploy.bundle import TensorSpec
from lrn_deploy.network.cross_map import Call, cross_map_calls
from tests.support.networks import Conv

X = torch.from_numpy(np.random.default_rng(0).normal(0, 300, (2, 8, 3, 3)))


def zero(_own: Call) -> Call:
    return lambda x, *_parameters: torch.zeros_like(x)


def test_calls_go_to_the_stand_in_and_then_to_pytorch_again() -> None:
    module, own = nn.CrossMapLRN2d(5), CrossMapLRN2d.apply
    before = module(X)
    with cross_map_calls(zero):
        assert not module(X).any()
        with cross_map_calls(lambda own: lambda x, *rest: own(x, *rest) + 1):
            assert (module(X) == 1).all(), "the inner one stands before the outer one"
        assert not module(X).any()
    assert torch.equal(module(X), before)
    assert CrossMapLRN2d.apply == own
    assert "apply" not in vars(CrossMapLRN2d)


def test_a_failure_leaves_nothing_behind() -> None:
    with pytest.raises(ZeroDivisionError), cross_map_calls(zero):
        raise ZeroDivisionError
    assert "apply" not in vars(CrossMapLRN2d)


def test_the_reference_shows_what_enters_both_kinds_of_lrn_in_their_order() -> None:
    class Both(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            y: Tensor = nn.LocalResponseNorm(5)(nn.CrossMapLRN2d(5)(x) + 1)
            return y * 2

    spec = TensorSpec(name="x", dtype="float64", shape=("batch", 8, 3, 3))
    out = TensorSpec(name="y", dtype="float64", shape=("batch", 8, 3, 3))
    with TorchBackend().open(Both(), (spec,), (out,)) as session:
        trace = session.trace({"x": X.numpy()}, lrn_inputs=True)
    first, second = trace.lrn_inputs
    np.testing.assert_array_equal(first, X.numpy())
    np.testing.assert_array_equal(second, nn.CrossMapLRN2d(5)(X).numpy() + 1)


def test_a_module_behind_a_convolution_is_left_as_it_is() -> None:
    module = Conv(nn.CrossMapLRN2d(5))
    with cross_map_calls(zero):
        assert not module(torch.ones(1, 3, 9, 9)).any()
    assert type(module.norm) is nn.CrossMapLRN2d
    assert "forward" not in vars(module.norm)
