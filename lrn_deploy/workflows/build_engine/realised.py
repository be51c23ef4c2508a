"""What an engine really computes in, where the GPU that it was built for can tell."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

from lrn_deploy.errors import DamagedError, LrnDeployError
from lrn_deploy.tensorrt.build import BuiltEngine, inspect_engine
from lrn_deploy.tensorrt.device.cuda import Device
from lrn_deploy.tensorrt.flavor import Flavor
from lrn_deploy.tensorrt.layers import NetworkLayer, NetworkRecord, compare, read_inspector
from lrn_deploy.tensorrt.targets import PORTABLE
from lrn_deploy.tensorrt.tf32 import rounds_to_tf32

State = Literal["unknown", "as requested", "different"]
_TF32 = "its products of fp32 are computed in TF32, although that was switched off"


@dataclass(frozen=True)
class Realised:
    """What became of the precision that was asked for.

    Attributes:
        record: What the engine says of itself; None where no GPU can tell.
        state: Whether it is what was asked for.
        difference: In what it is not, in words.
    """

    record: NetworkRecord | None
    state: State
    difference: str = ""


def realised(
    flavor: Flavor,
    built: BuiltEngine,
    device: Device | None,
    targets: tuple[str, ...],
    name: str,
    precision: str,
) -> Realised:
    """Ask the engine's inspector for its types, and the GPU whether fp32 stays fp32.

    Args:
        flavor: The TensorRT that built the engine.
        built: The engine.
        device: The GPU that is there, if one is.
        targets: What the engine was built for.
        name: Its name, for the record.
        precision: What was asked for.

    Raises:
        DamagedError: If TensorRT refuses the engine on the very GPU that it was built for.
    """
    record = _told(flavor, built, device, targets, name)
    if record is None or device is None:
        return Realised(None, "unknown")
    if precision == "fp32" and _is_tf32(flavor, device):
        return Realised(record, "different", _TF32)
    comparison = compare(built.layers, record.layers)
    if not comparison.compared:
        return Realised(record, "unknown")
    if not comparison.differences:
        return Realised(record, "as requested")
    first = comparison.differences[0]
    return Realised(
        record,
        "different",
        f"{len(comparison.differences)} of its values have another type than in the graph, the "
        f"first is '{first.value}': {first.realised} instead of {first.requested}",
    )


def _told(
    flavor: Flavor, built: BuiltEngine, device: Device | None, targets: tuple[str, ...], name: str
) -> NetworkRecord | None:
    """What the engine says of itself, or None where no GPU can tell."""
    if device is None or not {device.sm, PORTABLE} & set(targets):
        return None
    try:
        answer = inspect_engine(flavor, built.data)
    except DamagedError:
        if PORTABLE in targets:  # it fits many GPUs, and this one need not be among them
            return None
        raise
    layers: tuple[NetworkLayer, ...] = ()
    with suppress(DamagedError):  # an answer without details is kept as it is
        layers = read_inspector(answer)
    return NetworkRecord(kind="realised", engine=name, layers=layers, inspector=answer)


def _is_tf32(flavor: Flavor, device: Device) -> bool:
    """Whether fp32 products become TF32 on the GPU that is there; False if that cannot be told."""
    try:
        return rounds_to_tf32(flavor, device)
    except LrnDeployError:
        return False
