"""The kernel equals the float64 definition, in Triton's interpreter on a CPU."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lrn_deploy.lrn import LrnSpec
from lrn_deploy.plugins import gpu, launch
from lrn_deploy.plugins.fusion import NAMES, Fusion, Pool
from lrn_deploy.plugins.launch import Plane, Tile
from tests.unit.plugins.conftest import Kernel, assert_close, expected

SPEC = LrnSpec(5, 0.5, 0.75, 2.0)
POOL = Pool((3, 3), (2, 2))
LAYOUTS = (torch.contiguous_format, torch.channels_last)


def fusion_called(name: str, spec: LrnSpec = SPEC, pool: Pool = POOL) -> Fusion:
    return Fusion(
        spec,
        relu=name.startswith("relu"),
        pool=pool if "maxpool" in name else None,
        pool_first=name.endswith("maxpool_lrn"),
    )


@st.composite
def pools(draw: st.DrawFn) -> Pool:
    kernel = (draw(st.integers(1, 4)), draw(st.integers(1, 4)))
    return Pool(
        kernel,
        (draw(st.integers(1, 4)), draw(st.integers(1, 4))),
        tuple(draw(st.integers(0, size // 2)) for size in kernel),  # type: ignore[arg-type]
        draw(st.booleans()),
    )


@st.composite
def fusions(draw: st.DrawFn) -> Fusion:
    spec = LrnSpec(
        size=draw(st.integers(1, 31)),
        alpha=10 ** draw(st.floats(-5, 1)),
        beta=draw(st.integers(-4, 8)) / 4 + draw(st.sampled_from((0.0, 0.01, 0.15, 0.249))),
        k=10 ** draw(st.floats(-1, 1)),
    )
    pool = draw(st.one_of(st.none(), pools()))
    convention = draw(st.sampled_from(("torch", "onnx")))
    return Fusion(spec, draw(st.booleans()), pool, draw(st.booleans()), convention)  # type: ignore[arg-type]


@st.composite
def inputs(draw: st.DrawFn) -> torch.Tensor:
    """Up to 6e4, in any type and layout; at times with a value that is not finite."""
    shape = tuple(draw(st.integers(*bounds)) for bounds in ((1, 3), (1, 9), (4, 5), (4, 5)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    x = rng.standard_normal(shape) * 10 ** draw(st.floats(-2, 4))
    x = x.clip(-6e4, 6e4)
    if draw(st.booleans()):
        place = tuple(draw(st.integers(0, size - 1)) for size in shape)
        x[place] = draw(st.sampled_from((np.inf, -np.inf, np.nan)))
    dtype = draw(st.sampled_from(gpu.DTYPES))
    return torch.from_numpy(x).to(dtype).contiguous(memory_format=draw(st.sampled_from(LAYOUTS)))


@given(x=inputs(), fusion=fusions(), channels=st.sampled_from((1, 3, 4)))
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_it_equals_the_definition(
    interpret: Kernel, x: torch.Tensor, fusion: Fusion, channels: int
) -> None:
    channels = 1 if gpu.check_tensor(x, fusion) else channels
    y = interpret(x, fusion, Tile(lanes=64, channels=channels))
    assert y.dtype == x.dtype
    assert_close(y, expected(x, fusion))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", NAMES)
def test_each_order_of_the_stages_at_its_default_tile(
    interpret: Kernel, name: str, layout: torch.memory_format
) -> None:
    fusion = fusion_called(name)
    assert fusion.name == name
    x = torch.randn(2, 18, 7, 9, generator=torch.Generator().manual_seed(0)) * 5
    y = interpret(x.contiguous(memory_format=layout), fusion)
    assert y.is_contiguous(memory_format=layout)
    assert_close(y, expected(x, fusion))


def test_the_hand_check_of_the_article(interpret: Kernel) -> None:
    x = torch.tensor([-0.7747, 0.4657, -0.3479]).reshape(1, 3, 1, 1)
    y = interpret(x, Fusion(LrnSpec(5, 1e-4, 0.75, 2.0)))
    np.testing.assert_allclose(y.flatten().numpy(), [-0.4607, 0.2769, -0.2069], atol=1e-4)


def test_an_even_window_lies_where_its_convention_says(interpret: Kernel) -> None:
    x = torch.randn(1, 9, 2, 3, generator=torch.Generator().manual_seed(0)) * 3
    torch_like = Fusion(LrnSpec(4, 1.0))
    onnx_like = dataclasses.replace(torch_like, convention="onnx")
    assert_close(interpret(x, onnx_like), expected(x, onnx_like))
    with pytest.raises(AssertionError):
        assert_close(interpret(x, torch_like), expected(x, onnx_like))


@pytest.mark.parametrize("value", [float("inf"), float("nan")])
def test_what_is_not_finite_stays_in_its_windows(interpret: Kernel, value: float) -> None:
    x = torch.ones(1, 24, 1, 2)
    clean = interpret(x, Fusion(SPEC))
    x[0, 10, 0, 0] = value
    touched = (interpret(x, Fusion(SPEC)) != clean).squeeze()
    assert touched.nonzero().tolist() == [[channel, 0] for channel in range(8, 13)]


@pytest.mark.parametrize(
    ("alpha", "k", "beta"), [(-1.0, 2.0, 0.75), (1.0, -2.0, 1.0), (0.0, 1.0, 0.5), (1.0, 0.0, 0.5)]
)
def test_signs_and_zeros_of_the_parameters(
    interpret: Kernel, alpha: float, k: float, beta: float
) -> None:
    x = torch.arange(-6.0, 6.0).reshape(1, 3, 4)
    fusion = Fusion(LrnSpec(2, alpha, beta, k))
    with np.errstate(all="ignore"):
        assert_close(interpret(x, fusion), expected(x, fusion))


def test_lanes_are_numbered_in_64_bits_where_they_must_be(
    interpret: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    fusion, plane, tile = Fusion(SPEC, pool=POOL), Plane(96, 55, 55, True), Tile(channels=1)
    per_image = 27 * 27 * 96
    most = 2**31 // per_image
    assert not launch.constants(fusion, plane, tile, most - 1)["WIDE"]
    assert launch.constants(fusion, plane, tile, most + 1)["WIDE"]
    monkeypatch.setattr(launch, "_MAX_INT32", 0)
    x = torch.randn(2, 3, 5, 5)
    assert_close(interpret(x, fusion, Tile(lanes=32, channels=2)), expected(x, fusion))


def test_an_empty_batch_gives_an_empty_result(interpret: Kernel) -> None:
    assert interpret(torch.empty(0, 3, 9, 9), Fusion(SPEC, pool=POOL)).shape == (0, 3, 4, 4)


def test_every_tile_gives_the_same_bits(interpret: Kernel) -> None:
    fusion: Any = fusion_called("relu_lrn_maxpool")
    x = torch.randn(1, 10, 5, 5, generator=torch.Generator().manual_seed(0))
    first, *others = (interpret(x, fusion, Tile(channels=n)) for n in (16, 8, 4, 1))
    assert all(torch.equal(first, other) for other in others)


@pytest.mark.parametrize("size", [(4, 5), (5, 4)])  # rows or columns alone reach over the end
def test_a_window_beyond_the_last_row_or_column_sees_what_is_there(
    interpret: Kernel, size: tuple[int, int]
) -> None:
    x = -1 - torch.rand(1, 2, *size, generator=torch.Generator().manual_seed(0))
    x[0, 1] = 7.0  # what lies behind in memory is larger
    fusion = fusion_called("lrn_maxpool", pool=Pool((3, 3), (2, 2), ceil_mode=True))
    assert fusion.output_size(*size) == (2, 2)
    assert_close(interpret(x, fusion, Tile(lanes=8, channels=1)), expected(x, fusion))
