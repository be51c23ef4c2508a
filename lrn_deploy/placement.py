"""Where something runs: an artifact on a backend, its device and a number of threads."""

from __future__ import annotations

from dataclasses import dataclass

MODEL = "model"
"""Name of the canonical graph among a bundle's artifacts."""


@dataclass(frozen=True)
class Placement:
    """An artifact and what runs it.

    Attributes:
        artifact: The artifact's name; empty for the reference.
        backend: The backend's name, ``onnxruntime``; empty where there is none for it.
        device: Its device, ``cpu`` or ``cuda:1``.
        threads: Threads of one run; 0 where the backend has no such setting, or was not asked.
    """

    artifact: str
    backend: str
    device: str
    threads: int = 0

    @classmethod
    def read(cls, artifact: str, where: str, threads: int = 0) -> Placement:
        """What records say: ``onnxruntime:cpu``, and after a comma what else is so."""
        backend, _, device = where.partition(",")[0].partition(":")
        return cls(artifact, backend, device, threads)

    @property
    def where(self) -> str:
        """Backend and device as manifests and reports have them; empty without a backend."""
        return f"{self.backend}:{self.device}" if self.backend else ""

    @property
    def kind(self) -> str:
        """The kind of its device, ``cpu`` or ``cuda``."""
        return self.device.partition(":")[0]

    def on(self, device: str) -> bool:
        """Whether it is on a device; empty is any."""
        return not device or self.device == device


def as_most_run(placement: Placement) -> bool:
    """Whether it is the canonical graph as most would run it, which others are compared with."""
    return (placement.artifact, placement.backend) == (MODEL, "onnxruntime")
