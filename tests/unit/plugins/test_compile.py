"""The kernel compiles for every architecture without a GPU, and its registers suffice."""

from __future__ import annotations

import dataclasses
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from lrn_deploy.errors import BadInputError, MissingError
from lrn_deploy.extras import install
from lrn_deploy.lrn import LrnSpec
from lrn_deploy.plugins import compile as compiling
from lrn_deploy.plugins import launch
from lrn_deploy.plugins.compile import ARCHITECTURES, compile_kernel, drop_unused_parameters
from lrn_deploy.plugins.fusion import Fusion, Pool
from lrn_deploy.plugins.launch import Plane

pytest.importorskip("triton")

ALEXNET = LrnSpec(5, 1e-4, 0.75, 2.0)
FUSED = Fusion(ALEXNET, relu=True, pool=Pool())
PLANE = Plane(96, 55, 55)
DEFAULTS = {
    "relu_lrn": (Fusion(ALEXNET, relu=True), Plane(96, 1, 55 * 55)),
    "relu_lrn_maxpool": (FUSED, PLANE),
    "relu_maxpool_lrn": (dataclasses.replace(FUSED, pool_first=True), PLANE),
    "largest window": (Fusion(LrnSpec(31, beta=0.6), True, Pool(), True), PLANE),
    "channels last": (FUSED, Plane(256, 27, 27, channels_last=True)),
    "channels last, pool first": (
        dataclasses.replace(FUSED, pool_first=True),
        Plane(96, 55, 55, channels_last=True),
    ),
}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "lrn-deploy" / "kernels"


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_every_architecture(arch: str) -> None:
    kernel = compile_kernel(FUSED, PLANE, "float16", arch, batch=128)
    assert kernel.arch == arch
    assert f".target sm_{arch[2:]}" in kernel.ptx
    assert kernel.cubin.startswith(b"\x7fELF")
    assert kernel.spilled == 0
    assert 0 < kernel.registers <= 128


@pytest.mark.parametrize("arch", ["sm75", "sm90"])  # Turing lacks instructions, and spills first
@pytest.mark.parametrize("case", DEFAULTS)
def test_no_default_tile_spills_registers(case: str, arch: str) -> None:
    fusion, plane = DEFAULTS[case]
    for tile in launch.tiles(fusion, plane):
        assert compile_kernel(fusion, plane, "float16", arch, batch=128, tile=tile).spilled == 0


def test_each_default_tile_is_one_of_those() -> None:
    for fusion, plane in DEFAULTS.values():
        found = {launch.default_tile(fusion, plane, batch) for batch in (1, 2, 4, 8, 32, 128)}
        assert found <= {*launch.tiles(fusion, plane)}


def test_the_assembler_reports_spills_where_there_are_some() -> None:
    tile = launch.Tile(channels=64, warps=1)  # four lanes for each thread
    assert compile_kernel(FUSED, PLANE, "float32", "sm90", tile=tile).spilled > 0


def test_bf16_and_images_beyond_32_bits() -> None:
    kernel = compile_kernel(FUSED, PLANE, "bfloat16", "sm80", batch=2**25)
    assert kernel.spilled == 0


def test_others_can_launch_it_and_it_tells_nothing_of_this_machine() -> None:
    kernel = compile_kernel(FUSED, PLANE, "float16", "sm90")
    head = kernel.ptx[kernel.ptx.index(".entry") : kernel.ptx.index(")")]
    assert head.count(".param") == 3
    assert f".entry {kernel.name}(" in kernel.ptx
    assert str(Path(launch.__file__).parent) not in kernel.ptx


def test_parameters_that_are_used_stay() -> None:
    ptx = ".entry k(\n .param .u64 k_0,\n .param .u64 k_1\n)\n{ ld [k_1]; }"
    assert drop_unused_parameters(ptx).count(".param") == 2
    assert drop_unused_parameters(ptx.replace("[k_1]", "[k_0]")).count(".param") == 1


def test_what_was_compiled_is_kept(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = compile_kernel(FUSED, PLANE, "float16", "sm86")
    (file,) = cache.iterdir()
    monkeypatch.setattr(compiling, "_compile", lambda *_: pytest.fail("it compiled again"))
    assert compile_kernel(FUSED, PLANE, "float16", "sm_86") == first
    for other in (
        lambda: compile_kernel(FUSED, PLANE, "float16", "sm89"),
        lambda: compile_kernel(FUSED, PLANE, "float32", "sm86"),
        lambda: compile_kernel(Fusion(ALEXNET, pool=Pool()), PLANE, "float16", "sm86"),
    ):
        with pytest.raises(pytest.fail.Exception):
            other()
    monkeypatch.undo()
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache.parents[1]))
    file.write_bytes(file.read_bytes()[:100])  # damaged
    assert compile_kernel(FUSED, PLANE, "float16", "sm86") == first


@pytest.mark.parametrize(
    ("dtype", "arch", "message"),
    [
        ("float64", "sm90", "has no element type float64"),
        ("float16", "sm70", r"sm75 \(Turing\) or newer, and this is sm70"),
        ("float16", "gfx942", "'gfx942' is no architecture"),
    ],
)
def test_what_cannot_be_compiled(dtype: str, arch: str, message: str) -> None:
    with pytest.raises(BadInputError, match=message):
        compile_kernel(FUSED, PLANE, dtype, arch)  # type: ignore[arg-type]


def test_without_triton(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "triton", None)
    with pytest.raises(MissingError, match=re.escape(install("plugins"))):
        compile_kernel(FUSED, PLANE, "float16", "sm90")


def test_under_the_interpreter_nothing_is_compiled() -> None:
    code = (
        "from lrn_deploy.plugins.compile import compile_kernel as c\n"
        "from lrn_deploy.plugins.fusion import *; from lrn_deploy.plugins.launch import *\n"
        "from lrn_deploy.lrn import LrnSpec\n"
        "c(Fusion(LrnSpec(5)), Plane(8, 1, 8), 'float16', 'sm90')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "TRITON_INTERPRET": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Unset TRITON_INTERPRET" in done.stderr


def test_a_nan_passes_the_relu_and_the_pool() -> None:
    """The interpreter's maximum is numpy's, which always hands a NaN on; the GPU's need not."""
    ptx = compile_kernel(FUSED, PLANE, "float16", "sm80").ptx
    assert "max.NaN.f32" in ptx
    assert "max.f32" not in ptx
