"""What is packaged: a bundle, the artifact of it that is to run, and what was chosen."""

from __future__ import annotations

from dataclasses import dataclass

from lrn_deploy.bundle import Artifact, Bundle
from lrn_deploy.package.options import PackageOptions
from lrn_deploy.placement import Placement


@dataclass(frozen=True)
class Subject:
    """A bundle on its way.

    Attributes:
        bundle: The bundle, every file of which has been checked.
        name: What the model is called where it runs: letters, digits, dots, dashes, underscores.
        artifact_name: The artifact that is to run.
        options: What was chosen.
        placement: What was found to run that artifact best; None if it could not be decided here.
    """

    bundle: Bundle
    name: str
    artifact_name: str
    options: PackageOptions
    placement: Placement | None = None

    @property
    def artifact(self) -> Artifact:
        """What the manifest says of the artifact."""
        return self.bundle.manifest.artifact(self.artifact_name)


@dataclass(frozen=True)
class Written:
    """What a target has put into its folder.

    Attributes:
        notes: Sentences for people: what to type next, what was assumed. ``{output}`` in them is
            where the package is in the end.
        single: Name of the only file in the folder that is wanted; it becomes the output itself,
            and not the folder.
    """

    notes: tuple[str, ...] = ()
    single: str | None = None
