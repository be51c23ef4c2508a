"""The TensorRT plugin as far as it goes without TensorRT: shapes, grid, PTX, signatures.

``tensorrt.plugin`` itself cannot be imported without NVIDIA's libraries; a stand-in with the few
names that are used takes its place, and counts in plain integers.
"""

from __future__ import annotations

import inspect
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lrn_deploy.errors import BadInputError, MissingError
from lrn_deploy.plugins import tensorrt
from lrn_deploy.plugins.fusion import NAMES, Pool

CALLS: dict[str, Any] = {}
ALEXNET = (5, 1e-4, 0.75, 2.0)
POOL = (3, 3, 2, 2, 0, 0, 0)


class Size(int):
    is_constant = True

    def constant_value(self) -> int:
        return int(self)


class Unknown(Size):
    is_constant = False


class Desc:
    def __init__(self, *shape: int, dtype: str = "HALF") -> None:
        self.shape_expr = [Size(n) if type(n) is int else n for n in shape]
        self.dtype = SimpleNamespace(name=dtype)

    def like(self) -> Desc:
        return Desc(*self.shape_expr)


def record(kind: str) -> Any:
    return lambda name: lambda function: CALLS.__setitem__(f"{kind} {name}", function)


PLUGIN = SimpleNamespace(
    TensorDesc=Desc,
    KernelLaunchParams=type("KernelLaunchParams", (), {}),
    SymExprs=type("SymExprs", (), {}),
    AutoTuneCombination=type(
        "Combination", (), {"__init__": lambda self, *args: vars(self).update(args=args)}
    ),
    SymInt32=lambda value: value,
    SymIntExprs=SimpleNamespace(from_tuple=list),
    cdiv=lambda a, b: -(-a // b),
    min=min,
    register=record("register"),
    autotune=record("autotune"),
    aot_impl=record("aot_impl"),
)


@pytest.fixture(autouse=True)
def registered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for name in NAMES:
        tensorrt.register_one(PLUGIN, name, "sm90")


def test_every_fusion_is_registered_with_its_attributes() -> None:
    for name in NAMES:
        signature = inspect.signature(CALLS[f"register lrn_deploy::{name}"])
        assert list(signature.parameters)[:5] == ["x", "size", "alpha", "beta", "bias"]
        assert ("kernel_h" in signature.parameters) == ("maxpool" in name)
        implement = inspect.signature(CALLS[f"aot_impl lrn_deploy::{name}"])
        assert list(implement.parameters)[-2:] == ["outputs", "tactic"]


def test_alexnet_s_first_block() -> None:
    pytest.importorskip("triton")
    name = "lrn_deploy::relu_lrn_maxpool"
    x = Desc(32, 96, 55, 55)
    y = CALLS[f"register {name}"](x, *ALEXNET, *POOL)
    assert y.shape_expr == [32, 96, 27, 27]
    (choices,) = CALLS[f"autotune {name}"](x, *ALEXNET, *POOL, (y,))
    kinds = [CALLS[f"aot_impl {name}"](x, *ALEXNET, *POOL, (y,), t) for t in choices.args[2]]
    assert len({ptx for _, ptx, _, _ in kinds}) == 3
    for (kernel, ptx, params, arguments), channels in zip(kinds, (16, 8, 4), strict=True):
        assert f".entry {kernel.decode()}(".encode() in ptx
        assert b".target sm_90" in ptx
        assert arguments == [32]
        assert params.grid_x == -(-32 * 27 * 27 // 128) * (96 // channels)
        assert (params.block_x, params.shared_mem) == (128, 0)


def test_an_image_of_unknown_size() -> None:
    with pytest.raises(BadInputError, match="a fixed image size"):
        CALLS["aot_impl lrn_deploy::lrn"](Desc(1, 96, 55, Unknown(55)), *ALEXNET, (None,), 1)


@pytest.mark.parametrize("ceil_mode", [False, True])
def test_the_symbolic_size_is_the_pool_s(ceil_mode: bool) -> None:
    for size in range(4, 12):
        for kernel, stride, pad in ((3, 2, 0), (3, 2, 1), (2, 3, 1), (4, 4, 2), (2, 2, 0)):
            pool = Pool((kernel, 1), (stride, 1), (pad, 0), ceil_mode)
            assert tensorrt.steps(PLUGIN, size, pool, 0) == pool.output_size(size, 1)[0]


def test_without_tensorrt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt.plugin", None)
    with pytest.raises(MissingError, match=r"need full TensorRT 10\.9 or newer"):
        tensorrt.register("sm90")
