"""Candidates of one case, timed in turns, and the bandwidth of a large copy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch

from benchmarks.gpu.kernels.cases import reason
from benchmarks.gpu.kernels.device import Device, Run

WARMUP = 3
_COPIES = 5


@dataclass
class Candidates:
    """What runs in one case, and why others do not."""

    device: Device
    runs: dict[str, Run] = field(default_factory=dict)
    not_run: dict[str, str] = field(default_factory=dict)

    def add(self, name: str, make: Callable[[], Run]) -> None:
        """Add a candidate, or the reason why it cannot run."""
        try:
            run = make()
            run.go()
            self.device.settle()
        except Exception as error:  # each runtime has exceptions of its own
            self.not_run[name] = reason(error)
        else:
            self.runs[name] = run
            return
        self.device.free()  # after the error's traceback, which holds tensors, is gone


def measure(device: Device, runs: Mapping[str, Run]) -> dict[str, list[float]]:
    """Seconds of a call of each candidate, in turns whose order rotates."""
    names = list(runs)
    samples: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(WARMUP + device.rounds):
        at = turn % len(names)
        for name in names[at:] + names[:at]:
            seconds = device.seconds(runs[name])
            if turn >= WARMUP:
                samples[name].append(seconds)
    return samples


def copy_samples(device: Device) -> list[float]:
    """Bytes in a second, read and written, of several copies on the device.

    They are enqueued, not captured: as a node of a CUDA graph a large copy is left to the copy
    engines, which reach two thirds of what the same call reaches from the host.
    """
    source = torch.randint(256, (device.copied,), dtype=torch.uint8, device=device.name)
    target = torch.empty_like(source)
    calls = device.calls_through([source])

    def go() -> None:
        for _ in range(calls):
            target.copy_(source)

    run = device.enqueued(go, [source], [target])
    return [2 * device.copied / device.seconds(run) for _ in range(_COPIES)]
