"""The kernel as PTX and cubin, made ahead of time and without a GPU.

What was compiled is kept in the user's cache folder (``XDG_CACHE_HOME``), under a key over the
kernel's source, all options and the version of Triton.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import subprocess
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from lrn_deploy.bundle import write_atomic
from lrn_deploy.errors import BadInputError, CannotWriteError, MissingError
from lrn_deploy.extras import install
from lrn_deploy.plugins import launch
from lrn_deploy.plugins.fusion import Fusion
from lrn_deploy.plugins.launch import Constant, Plane, Tile

DType = Literal["float32", "float16", "bfloat16"]
DTYPES: dict[str, str] = {"float32": "fp32", "float16": "fp16", "bfloat16": "bf16"}
"""Element types by name, and Triton's names of them."""

ARCHITECTURES = ("sm75", "sm80", "sm86", "sm89", "sm90", "sm120")
"""Those that the tests compile for; others from sm75 on are handed to Triton all the same."""
_OLDEST = 75
_PTX_VERSION = 87
"""PTX ISA 8.7, the oldest that knows sm120: drivers from CUDA 12.8 on take it."""


@dataclass(frozen=True)
class Compiled:
    """A kernel for one architecture.

    Its arguments are a pointer to the input, the batch as int32 and a pointer to the output.

    Attributes:
        name: Of the kernel within the PTX.
        ptx: Its PTX.
        cubin: Its machine code, an ELF file.
        arch: ``sm90``, say.
        threads: Of a program (a block, in CUDA's terms).
        shared: Bytes of shared memory of a program.
        registers: Of a thread.
        spilled: Bytes of registers that a thread keeps in memory.
    """

    name: str
    ptx: str
    cubin: bytes
    arch: str
    threads: int
    shared: int
    registers: int
    spilled: int


def import_triton() -> Any:
    """Triton.

    Raises:
        MissingError: If it is not installed.
    """
    try:
        import triton
    except ImportError as error:
        raise MissingError(
            "The fused LRN kernels need Triton, which is not installed.",
            f"Install it with: {install('plugins')}",
        ) from error
    return triton


def compile_kernel(
    fusion: Fusion,
    plane: Plane,
    dtype: DType,
    arch: str,
    *,
    tile: Tile | None = None,
    batch: int = 1,
) -> Compiled:
    """Compile the kernel, or read what was compiled before.

    Args:
        fusion: What it computes.
        plane: What on; the same kernel takes any batch.
        dtype: Element type of input and output.
        arch: Compute capability, ``sm75`` or newer.
        tile: How the work is cut; None chooses for ``batch``.
        batch: The largest batch to come.

    Raises:
        BadInputError: If the type or the architecture is not supported.
        MissingError: If Triton is not installed.
    """
    if dtype not in DTYPES:
        raise BadInputError(
            f"The fused LRN kernel has no element type {dtype}.", f"Use one of {', '.join(DTYPES)}."
        )
    capability = _capability(arch)
    triton = import_triton()
    tile = tile or launch.default_tile(fusion, plane, batch)
    constants = launch.constants(fusion, plane, tile, batch)
    source = Path(__file__).with_name("kernels.py").read_bytes()
    options = [constants, dtype, capability, tile.warps, _PTX_VERSION, triton.__version__]
    key = hashlib.sha256(source + json.dumps(options).encode()).hexdigest()
    file = cache_folder() / f"{key}.json"
    found = _read(file)
    if found is None:
        found = _compile(constants, dtype, capability, tile.warps)
        _keep(file, found)
    return found


def cache_folder() -> Path:
    """Where compiled kernels are kept."""
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return root / "lrn-deploy" / "kernels"


def _capability(arch: str) -> int:
    match = re.fullmatch(r"sm_?(\d+)", arch)
    if match is None:
        raise BadInputError(
            f"'{arch}' is no architecture.", f"Write one of {', '.join(ARCHITECTURES)}."
        )
    capability = int(match[1])
    check_capability(capability)
    return capability


def check_capability(capability: int) -> None:
    """Refuse GPUs that are too old.

    Raises:
        BadInputError: Below sm75.
    """
    if capability < _OLDEST:
        raise BadInputError(
            f"The fused LRN kernel needs a GPU of compute capability sm{_OLDEST} (Turing) or "
            f"newer, and this is sm{capability}."
        )


def _compile(constants: dict[str, Constant], dtype: DType, capability: int, warps: int) -> Compiled:
    import triton
    from triton.backends.compiler import GPUTarget

    from lrn_deploy.plugins.kernels import fused_lrn

    if not isinstance(fused_lrn, triton.runtime.JITFunction):
        raise BadInputError(
            "Triton's interpreter is on, which compiles nothing.", "Unset TRITON_INTERPRET."
        )
    pointer = f"*{DTYPES[dtype]}"
    signature = {"x": pointer, "N": "i32", "y": pointer} | dict.fromkeys(constants, "constexpr")
    aligned = [["tt.divisibility", 16]]
    source = triton.compiler.ASTSource(
        fused_lrn, signature, constexprs=constants, attrs={(0,): aligned, (2,): aligned}
    )
    with triton.knobs.compilation.scope():
        triton.knobs.compilation.disable_line_info = True  # it holds paths of this machine
        done = triton.compile(
            source,
            target=GPUTarget("cuda", capability, 32),
            options={"num_warps": warps, "enable_fp_fusion": True, "ptx_version": _PTX_VERSION},
        )
    ptx = drop_unused_parameters(done.asm["ptx"])
    cubin, report = _assemble(ptx, capability)
    return Compiled(
        name=done.metadata.name,
        ptx=ptx,
        cubin=cubin,
        arch=f"sm{capability}",
        threads=warps * 32,
        shared=done.metadata.shared,
        registers=_number(r"Used (\d+) registers", report),
        spilled=_number(r"(\d+) bytes spill stores", report)
        + _number(r"(\d+) bytes spill loads", report),
    )


def drop_unused_parameters(ptx: str) -> str:
    """Take out the kernel's last parameters where it does not use them.

    Triton adds pointers to scratch memory, which whoever else launches the kernel knows nothing of.
    """
    start = ptx.index("(", ptx.index(".entry")) + 1
    end = ptx.index(")", start)
    parameters = ptx[start:end].split(",")
    while parameters and ptx.count(parameters[-1].split()[-1]) == 1:
        parameters.pop()
    return f"{ptx[:start]}{','.join(parameters)}\n{ptx[end:]}"


def _assemble(ptx: str, capability: int) -> tuple[bytes, str]:
    """The cubin, and what NVIDIA's assembler says about registers and spills."""
    from triton.backends.nvidia.compiler import get_ptxas

    target = re.search(r"\.target (sm_\w+)", ptx)
    assert target is not None
    with tempfile.TemporaryDirectory() as folder:
        file, out = Path(folder) / "kernel.ptx", Path(folder) / "kernel.cubin"
        file.write_text(ptx)
        done = subprocess.run(
            [get_ptxas(capability).path, "-v", f"--gpu-name={target[1]}", file, "-o", out],
            capture_output=True,
            text=True,
            check=True,
        )
        return out.read_bytes(), done.stderr


def _number(pattern: str, report: str) -> int:
    match = re.search(pattern, report)
    assert match is not None, report
    return int(match[1])


def _read(file: Path) -> Compiled | None:
    """A kernel from the cache; None if it is not there or damaged."""
    try:
        content = json.loads(file.read_bytes())
        return Compiled(**content | {"cubin": base64.b64decode(content["cubin"])})
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _keep(file: Path, kernel: Compiled) -> None:
    content = asdict(kernel) | {"cubin": base64.b64encode(kernel.cubin).decode()}
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(file, json.dumps(content).encode())
    except (OSError, CannotWriteError):
        pass  # it is only a cache
