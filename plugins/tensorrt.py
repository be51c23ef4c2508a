"""The fused kernel as a plugin of full TensorRT, 10.9 or newer.

**Never executed.** It is written against NVIDIA's documentation and the Python source of
``tensorrt.plugin``; no machine with full TensorRT was at hand. What was executed is the kernel's
PTX, through its assembler, and the arithmetic of shapes and grids.

The implementation is ahead of time: the PTX for the GPU at hand goes into the engine, which then
needs neither Python nor this package. TensorRT times the tiles, as tactics, and keeps the fastest.
The nodes come from :mod:`lrn_deploy.passes.lrn.fuse_plugin`.

Never for TensorRT for RTX: it runs no Python plugins, and one that is registered aborts the
process when its parser meets such a node. This module does not import it.
"""

from __future__ import annotations

import importlib
import inspect
import types
from collections.abc import Callable
from typing import Any

from lrn_deploy.errors import BadInputError, MissingError
from lrn_deploy.extras import install
from lrn_deploy.lrn import LrnSpec
from lrn_deploy.plugins import launch
from lrn_deploy.plugins.compile import DType, compile_kernel
from lrn_deploy.plugins.fusion import NAMES, Fusion, Pool
from lrn_deploy.plugins.launch import Plane

NAMESPACE = "lrn_deploy"
_LRN = {"size": int, "alpha": float, "beta": float, "bias": float}
_POOL = dict.fromkeys(
    ("kernel_h", "kernel_w", "stride_h", "stride_w", "pad_h", "pad_w", "ceil_mode"), int
)
_TACTICS = (1, 2, 3)
"""One for each of ``launch.tiles``."""
_DTYPES: dict[str, DType] = {"FLOAT": "float32", "HALF": "float16", "BF16": "bfloat16"}
"""By the names in ``tensorrt.DataType``."""

_registered: set[str] = set()


def register(arch: str) -> tuple[str, ...]:
    """Register all fusions with TensorRT, once in a process.

    Args:
        arch: Compute capability of the GPU that engines are built for, which is the one at hand.

    Returns:
        The plugins' names.

    Raises:
        MissingError: If TensorRT is not installed or too old.
    """
    plugin = import_plugin()
    for name in NAMES:
        if name not in _registered:
            register_one(plugin, name, arch)
            _registered.add(name)
    return NAMES


def import_plugin() -> Any:
    """``tensorrt.plugin``.

    Raises:
        MissingError: If it is not there.
    """
    try:
        return importlib.import_module("tensorrt.plugin")
    except ImportError as error:
        raise MissingError(
            "LRN plugins need full TensorRT 10.9 or newer, with its Python package.",
            f"Build with '--plugins off', or install it with: {install('tensorrt')}",
        ) from error


def register_one(plugin: Any, name: str, arch: str) -> None:
    """Register one fusion with ``tensorrt.plugin``."""
    attributes = _LRN | (_POOL if "maxpool" in name else {})
    identifier = f"{NAMESPACE}::{name}"

    def describe(x: Any, *values: Any) -> Any:
        y = x.like()
        pool = fusion_of(name, values).pool
        if pool is not None:
            for axis in (0, 1):
                y.shape_expr[2 + axis] = steps(plugin, x.shape_expr[2 + axis], pool, axis)
        return y

    def tune(*_: Any) -> Any:
        kinds = "FP32|FP16|BF16"
        return [plugin.AutoTuneCombination(f"{kinds}, {kinds}", "LINEAR", list(_TACTICS))]

    def implement(x: Any, *rest: Any) -> Any:
        *values, _outputs, tactic = rest
        return implementation(plugin, fusion_of(name, values), x, tactic, arch)

    tensor = plugin.TensorDesc
    outputs: dict[str, Any] = {"outputs": types.GenericAlias(tuple, (tensor,))}
    tactic = {"tactic": int}
    text = str | bytes
    answer = types.GenericAlias(tuple, (text, text, plugin.KernelLaunchParams, plugin.SymExprs))
    _sign(describe, {"x": tensor} | attributes, tensor)
    _sign(
        tune,
        {"x": tensor} | attributes | outputs,
        types.GenericAlias(list, (plugin.AutoTuneCombination,)),
    )
    _sign(implement, {"x": tensor} | attributes | outputs | tactic, answer)
    plugin.register(identifier)(describe)
    plugin.autotune(identifier)(tune)
    plugin.aot_impl(identifier)(implement)


def fusion_of(name: str, values: Any) -> Fusion:
    """The fusion that a node's attributes describe, in their order."""
    size, alpha, beta, k, *more = values
    pool = None
    if more:
        *pairs, ceil_mode = (int(value) for value in more)
        pool = Pool(
            (pairs[0], pairs[1]), (pairs[2], pairs[3]), (pairs[4], pairs[5]), bool(ceil_mode)
        )
    return Fusion(
        LrnSpec(int(size), float(alpha), float(beta), float(k)),
        relu=name.startswith("relu"),
        pool=pool,
        pool_first=name.endswith("maxpool_lrn"),
        convention="onnx",
    )


def steps(plugin: Any, size: Any, pool: Pool, axis: int) -> Any:
    """``Pool.output_size`` along one axis, as an expression of a size that may be symbolic."""
    kernel, stride, pad = pool.kernel[axis], pool.stride[axis], pool.padding[axis]
    room = size + (2 * pad - kernel)
    if not pool.ceil_mode:
        return room // stride + 1
    return plugin.min(plugin.cdiv(room, stride), plugin.cdiv(size + pad, stride) - 1) + 1


def implementation(plugin: Any, fusion: Fusion, x: Any, tactic: int, arch: str) -> Any:
    """Name and PTX of the kernel, its launch, and its one integer argument, the batch."""
    batch, *sizes = (x.shape_expr[axis] for axis in range(4))
    if not all(size.is_constant for size in sizes):
        raise BadInputError(
            "The LRN plugin needs a fixed number of channels and a fixed image size.",
            "Export the network with a fixed image size, or build with '--plugins off'.",
        )
    channels, height, width = (size.constant_value() for size in sizes)
    if fusion.pool is None:
        height, width = 1, height * width
    plane = Plane(channels, height, width)
    tile = launch.tiles(fusion, plane)[tactic - 1]
    kernel = compile_kernel(fusion, plane, _DTYPES[x.dtype.name], arch, tile=tile)
    lanes = batch * launch.lanes_of_image(fusion, plane)
    params = plugin.KernelLaunchParams()
    params.grid_x = plugin.cdiv(lanes, tile.lanes) * launch.chunks(plane, tile)
    params.block_x = kernel.threads
    params.shared_mem = kernel.shared
    arguments = plugin.SymIntExprs.from_tuple([plugin.SymInt32(batch)])
    return kernel.name.encode(), kernel.ptx.encode(), params, arguments


def _sign(function: Callable[..., Any], parameters: dict[str, Any], returns: Any) -> None:
    """Give a function the signature from which TensorRT reads a plugin's attributes."""
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    signature = inspect.Signature(
        [inspect.Parameter(name, kind, annotation=kinds) for name, kinds in parameters.items()],
        return_annotation=returns,
    )
    function.__signature__ = signature  # type: ignore[attr-defined]
