"""The PyTorch operators: registered completely, equal to the definition, clear about bad input."""

from __future__ import annotations

import dataclasses
import sys
from typing import Any

import numpy as np
import pytest
import torch

from lrn_deploy.errors import BadInputError, MissingError
from lrn_deploy.lrn import LrnSpec
from lrn_deploy.plugins import gpu, launch
from lrn_deploy.plugins.compile import check_capability, import_triton
from lrn_deploy.plugins.fusion import NAMES, Fusion, Pool, split_beta
from lrn_deploy.plugins.launch import Plane
from lrn_deploy.plugins.operators import arguments, operator
from tests.unit.plugins.conftest import assert_close, expected
from tests.unit.plugins.test_kernels import LAYOUTS, fusion_called

ops = torch.ops.lrn_deploy
POOL = Pool((3, 2), (2, 1), (1, 0), ceil_mode=True)


def random(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return (torch.randn(shape, generator=torch.Generator().manual_seed(0)) * 5).to(dtype)


@pytest.mark.parametrize("dtype", gpu.DTYPES)
@pytest.mark.parametrize("name", NAMES)
def test_on_a_cpu_it_equals_the_definition(name: str, dtype: torch.dtype) -> None:
    fusion = fusion_called(name, LrnSpec(4, 0.5, 0.6, 2.0), POOL)
    x = random(2, 7, 8, 9, dtype=dtype)
    x[0, 3, 4, 4] = float("inf")
    assert_close(operator(name)(x, *arguments(fusion)), expected(x, fusion))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", ["lrn", "relu_lrn_maxpool", "maxpool_lrn"])
def test_opcheck(name: str, layout: torch.memory_format) -> None:
    x = random(2, 8, 9, 9).contiguous(memory_format=layout)
    torch.library.opcheck(operator(name), (x, *arguments(fusion_called(name))))


def test_under_torch_compile() -> None:
    def network(x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = ops.relu_lrn_maxpool(x * 2, 5)
        return y + 1

    x = random(2, 8, 9, 9)
    compiled = torch.compile(network, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(x), network(x))


def test_the_defaults_are_those_of_torch() -> None:
    x = random(1, 8, 9, 9)
    layers = torch.nn.Sequential(torch.nn.LocalResponseNorm(5), torch.nn.MaxPool2d(3, 2))
    torch.testing.assert_close(ops.lrn_maxpool(x, 5), layers(x))


def test_other_ranks_than_four() -> None:
    for shape in ((2, 6, 5), (2, 6, 2, 3, 2)):
        x = random(*shape)
        torch.testing.assert_close(ops.lrn(x, 3), torch.nn.functional.local_response_norm(x, 3))


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (torch.zeros(2, 3, 4, 4, dtype=torch.float64), "this tensor is torch.float64"),
        (torch.zeros(3, 4, 4), r"of shape \(N, C, H, W\), got shape \(3, 4, 4\)"),
        (torch.zeros(2, 0, 4, 4), "without channels"),
        (torch.zeros(2, 3, 4, 8)[..., ::2], r"is not contiguous: .* Call '\.contiguous\(\)'"),
        (torch.zeros(2, 1, 4, 4).expand(2, 3, 4, 4), "overlaps itself"),
        (torch.zeros(2, 3, 2, 2), "A pool of 3 x 3 does not fit on an image of 2 x 2"),
    ],
)
def test_tensors_that_it_does_not_take(x: torch.Tensor, message: str) -> None:
    with pytest.raises(BadInputError, match=message):
        ops.relu_lrn_maxpool(x, 5)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"size": 32}, "its size 32 is above 31"),
        ({"size": 0}, "at least 1"),
        ({"beta": 9.0}, "its beta 9 is not within 8"),
        ({"alpha": 1e39}, r"its alpha 1e\+39 is infinite in fp32"),
        ({"kernel_size": [8, 8]}, "its pool's window .* is not within 7 x 7"),
        ({"stride": [0, 1]}, "stride .* is below 1"),
        ({"padding": [2, 0]}, "padding .* is above half of its window"),
    ],
)
def test_parameters_that_the_kernel_does_not_cover(values: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInputError, match=message):
        ops.relu_lrn_maxpool(random(1, 4, 9, 9), **{"size": 5} | values)


def test_the_kernel_runs_on_nvidia_gpus_only() -> None:
    with pytest.raises(BadInputError, match="on NVIDIA GPUs, and this tensor is on 'cpu'"):
        gpu.on_gpu(random(1, 4, 9, 9), Fusion(LrnSpec(5)))
    with pytest.raises(BadInputError, match="this is sm70"):
        check_capability(70)


def test_without_triton(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "triton", None)
    with pytest.raises(MissingError, match="need Triton, which is not installed"):
        import_triton()
    assert ops.lrn(random(1, 4, 2, 2), 5).shape == (1, 4, 2, 2)  # a CPU does without


def test_a_plane_needs_channels() -> None:
    with pytest.raises(BadInputError, match="at least one channel"):
        Plane(0, 1, 1)


def test_it_says_that_it_has_no_gradient() -> None:
    y = ops.lrn(random(1, 4, 2, 2).requires_grad_(), 5)
    with pytest.raises(BadInputError, match="lrn_deploy::lrn is for inference"):
        y.sum().backward()


def test_few_lanes_get_more_programs() -> None:
    fusion, plane = Fusion(LrnSpec(5)), Plane(256, 1, 27 * 27)
    assert [launch.default_tile(fusion, plane, n).channels for n in (1, 4, 8, 128)] == [
        4,
        8,
        16,
        16,
    ]
    last = dataclasses.replace(plane, channels_last=True)
    assert [launch.default_tile(fusion, last, n).lanes for n in (1, 128)] == [512, 512]
    tiny = Plane(8, 1, 4, channels_last=True)
    assert launch.default_tile(fusion, tiny, 1).lanes == 128


@pytest.mark.parametrize("beta", [0.0, 0.3, 0.5, 0.75, 1.0, 2.6, -0.75])
def test_beta_is_split_without_loss(beta: float) -> None:
    whole, fourths, rest = split_beta(beta)
    assert fourths in range(4)
    assert 0 <= rest < 0.25
    np.testing.assert_allclose(whole + fourths / 4 + rest, abs(beta), rtol=1e-15)


def test_a_rest_of_beta_that_no_float_can_show_is_none() -> None:
    """Else the kernel would multiply every value by an exponential that is 1."""
    assert split_beta(np.nextafter(0.75, 1)) == (0, 3, 0.0)
    assert split_beta(0.75 + 1e-7) == (0, 3, pytest.approx(1e-7, rel=1e-6))


def test_a_compiler_must_not_change_the_strides_of_what_enters() -> None:
    """Layout is part of the kernel's choice: channels first or last."""
    for name in NAMES:
        assert torch.Tag.needs_fixed_stride_order in operator(name).tags
