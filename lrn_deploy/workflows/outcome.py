"""What a command gives back: the bundle as it is afterwards, and what was made or found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

from lrn_deploy.bundle import Artifact, Bundle

Report = TypeVar("Report")


@dataclass(frozen=True)
class Added:
    """An artifact that the bundle has now.

    Attributes:
        bundle: The bundle; the one that was given if it had the artifact.
        name: The artifact's name.
        reused: Whether the bundle had it, undamaged, of the same graph, options and tools.
    """

    bundle: Bundle
    name: str
    reused: bool

    @property
    def artifact(self) -> Artifact:
        """What the manifest says of it."""
        return self.bundle.manifest.artifact(self.name)


@dataclass(frozen=True)
class Reported(Generic[Report]):
    """A report that was written into the bundle.

    Attributes:
        bundle: The bundle, with what it gained meanwhile.
        report: The report.
    """

    bundle: Bundle
    report: Report
