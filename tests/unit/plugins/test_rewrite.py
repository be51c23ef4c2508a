"""``fuse_lrn`` replaces what it can prove equal, and says why it leaves the rest alone."""

from __future__ import annotations

import re
from collections import OrderedDict

import pytest
import torch
from torch import nn

from lrn_deploy.plugins.rewrite import FusedLrn, Rewritten, fuse_lrn
from tests.support.small_alexnet import SmallAlexNet


def lrn(size: int = 5) -> nn.LocalResponseNorm:
    return nn.LocalResponseNorm(size, alpha=0.5, k=2)


def check(model: nn.Module, *shape: int) -> tuple[Rewritten, ...]:
    """Fuse, and compare with before."""
    model.eval()
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0)) * 3
    names = list(model.state_dict())
    with torch.no_grad():
        before = model(x)
        done = fuse_lrn(model)
        torch.testing.assert_close(model(x), before, rtol=2e-6, atol=1e-6)
    assert list(model.state_dict()) == names
    return done


def test_a_network_like_alexnet() -> None:
    model = SmallAlexNet()
    assert check(model, 2, 3, 37, 37) == (
        Rewritten("net.2", "relu_lrn_maxpool", ("net.1", "net.2", "net.3"), ""),
        Rewritten("net.6", "relu_lrn_maxpool", ("net.5", "net.6", "net.7"), ""),
    )
    assert repr(model.net[1]).startswith("FusedLrn(\n  relu_lrn_maxpool")


def test_a_network_like_caffenet() -> None:
    model = nn.Sequential(
        OrderedDict(relu=nn.ReLU(), pool=nn.MaxPool2d(3, 2, ceil_mode=True), norm=lrn(4))
    )
    (done,) = check(model, 2, 6, 8, 9)
    assert (done.name, done.modules) == ("relu_maxpool_lrn", ("relu", "pool", "norm"))


def test_an_lrn_outside_of_a_sequential_is_fused_alone() -> None:
    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.relu, self.norm = nn.ReLU(), lrn()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y: torch.Tensor = self.norm(x) + self.relu(x)  # not one after the other
            return y

    assert check(Network(), 2, 6, 4, 4)[0].modules == ("norm",)


@pytest.mark.parametrize(
    ("layers", "name", "reason"),
    [
        ([nn.ReLU(inplace=True), lrn()], "lrn", "0: it writes into a tensor"),
        ([nn.Conv2d(6, 6, 1), nn.ReLU(inplace=True), lrn()], "relu_lrn", ""),
        ([lrn(), nn.MaxPool2d(3, dilation=2)], "lrn", "1: it returns indices or is dilated"),
        ([lrn(), nn.MaxPool2d(8, 1)], "lrn", "1: its pool's window .* is not within 7 x 7"),
        ([nn.MaxPool2d(2), lrn(), nn.MaxPool2d(2)], "maxpool_lrn", ""),
        ([lrn(33)], None, "its size 33 is above 31"),
        ([nn.ReLU6(), lrn(), nn.AvgPool2d(2)], "lrn", ""),
    ],
)
def test_neighbours(layers: list[nn.Module], name: str | None, reason: str) -> None:
    (done,) = check(nn.Sequential(*layers), 2, 6, 9, 9)
    assert done.name == name
    assert re.search(reason or "^$", done.reason)


def test_layers_that_are_shared_or_watched_stay() -> None:
    norm, relu = lrn(), nn.ReLU()
    relu.register_forward_hook(lambda *_: None)
    shared = nn.Sequential(norm, nn.Sequential(norm))
    assert {item.reason for item in check(shared, 1, 6, 3, 3)} == {
        "it stands at several places of the network"
    }
    (done,) = check(nn.Sequential(relu, lrn()), 1, 6, 3, 3)
    assert (done.name, done.reason) == ("lrn", "0: it has hooks")
    (whole,) = check(lrn(), 1, 6, 3, 3)
    assert whole.name is None


def test_a_fused_network_still_trains_and_takes_what_the_operator_does_not() -> None:
    layers = [nn.ReLU(), lrn(), nn.MaxPool2d(2)]
    plain, fused = nn.Sequential(*layers), nn.Sequential(*layers)
    fuse_lrn(fused)
    assert isinstance(fused[0], FusedLrn)
    x = torch.randn(2, 6, 4, 4, requires_grad=True)
    (wanted,) = torch.autograd.grad(plain(x).sum(), x)
    (found,) = torch.autograd.grad(fused(x).sum(), x)
    torch.testing.assert_close(found, wanted)
    for other in (x.detach().double(), x.detach()[0], x.detach().transpose(2, 3)):
        torch.testing.assert_close(fused(other), plain(other))


def test_a_relu_that_writes_into_what_a_layer_handed_on_stays() -> None:
    """An Identity, or a Dropout that is off, gives the caller's own tensor to the ReLU."""
    for layer in (nn.Identity(), nn.Dropout()):
        x = -torch.ones(1, 6, 2, 2)
        model = nn.Sequential(layer, nn.ReLU(inplace=True), lrn()).eval()
        (done,) = fuse_lrn(model)
        assert (done.name, done.reason) == (
            "lrn",
            "1: it writes into a tensor that others may hold",
        )
        with torch.no_grad():
            model(x)
        assert not x.any()  # as before
