"""What GPUs engines are built for, and on which of them TensorRT for RTX runs at all."""

from __future__ import annotations

import re

from lrn_deploy.extras import install, install_package

CURRENT = "current"
"""The target that means the GPU of this machine."""

PORTABLE = "portable"
"""The target that names no GPU: TensorRT for RTX chooses those that the engine runs on."""

RTX_TARGETS = ("sm75", "sm80", "sm86", "sm89", "sm120", "sm121")
"""Compute capabilities that tensorrt-rtx 1.7 can be told to build for. Hopper (sm90) is none."""

TURING = "sm75"
"""Has no matrix product of fp32 in TensorRT for RTX."""

RTX_BEFORE_CHECK = "1.6.1.120"
"""The last tensorrt-rtx that does not look at the GPU's compute capability before it runs."""


def rtx_refuses(version: str, sm: str) -> bool:
    """Whether a version of tensorrt-rtx runs no engine on a GPU, whatever it was built for.

    Since 1.7 it loads an engine only where the GPU's compute capability is one of
    :data:`RTX_TARGETS` or newer than all of them. The versions before have no such check, and hold
    kernels for Hopper although no target names it.

    Args:
        version: Version of tensorrt-rtx, ``1.7.1.116`` for instance.
        sm: The GPU's compute capability, ``sm90`` for instance.
    """
    newest = numbers(RTX_TARGETS[-1])
    return numbers(version) >= (1, 7) and sm not in RTX_TARGETS and numbers(sm) < newest


def rtx_refusal(version: str, gpu: str, sm: str) -> str:
    """Says so of a GPU, without a full stop."""
    return f"tensorrt-rtx {version} does not run on this machine's {gpu} ({sm})"


def rtx_hint() -> str:
    """What helps where :func:`rtx_refuses`, without a full stop."""
    return (
        f"Install the full TensorRT: {install('tensorrt')}. Or try a tensorrt-rtx that does not "
        "check the GPU and may run there, though without int8 convolutions: "
        f"{install_package(f'tensorrt-rtx=={RTX_BEFORE_CHECK}')}"
    )


def numbers(version: str) -> tuple[int, ...]:
    """The numbers in a version, which compare as versions do."""
    return tuple(int(part) for part in re.findall(r"\d+", version))
