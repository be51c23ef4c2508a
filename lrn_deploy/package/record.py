"""What a package says of itself: what it was made of, and each file of it."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lrn_deploy.bundle import MANIFEST, Bundle, sha256
from lrn_deploy.errors import BadInputError, DamagedError

RECORD = "package.json"


class PackageRecord(BaseModel):
    """The content of ``package.json``.

    Attributes:
        made_by: Whose record it is; other programs have files of that name.
        version: Version of lrn-deploy.
        target: What the package is for.
        name: What the model is called there.
        bundle: What the bundle calls itself.
        manifest: SHA-256 of the bundle's manifest.
        artifact: The artifact that runs there.
        parts: Digests of what runs and answers: the network, its labels, its preprocessing.
        options: What was chosen, with the defaults.
        files: SHA-256 of each file of the package, by its path in it.
        single: Name that the only file was made under, if the package is one file.
        notes: Sentences for people, with ``{output}`` for where the package is.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    made_by: Literal["lrn-deploy"] = "lrn-deploy"
    version: str
    target: str
    name: str
    bundle: str
    manifest: str
    artifact: str
    parts: dict[str, str]
    options: dict[str, Any] = Field(default_factory=dict)
    files: dict[str, str]
    single: str | None = None
    notes: tuple[str, ...] = ()

    def made_as(self, other: PackageRecord) -> bool:
        """Whether it was made of the same bundle in the same way."""
        return self._origin() == other._origin()

    def _origin(self) -> dict[str, Any]:
        return self.model_dump(mode="json", exclude={"files", "single", "notes"})


def record_file(output: Path) -> Path:
    """Where the record of a package is: in its folder, or beside its only file."""
    return output.with_name(f"{output.name}.json") if output.is_file() else output / RECORD


def read_record(output: Path) -> PackageRecord:
    """What a package says of itself.

    Raises:
        BadInputError: If nothing is there, or no package.
        DamagedError: If its record is damaged.
    """
    file = record_file(output)
    try:
        text = file.read_bytes()
    except OSError as error:
        raise BadInputError(
            f"'{output}' is not a package: it has no '{file.name}' that can be read.",
            "Make one with 'lrn-deploy package BUNDLE --to triton -o FOLDER'.",
        ) from error
    try:
        return PackageRecord.model_validate_json(text)
    except ValidationError as error:
        raise DamagedError(
            f"'{file}' is not what 'lrn-deploy package' writes: {error.errors()[0]['msg']}.",
            "Make the package again, in another folder.",
        ) from error


def is_package(output: Path) -> bool:
    """Whether something is a package of ours, whole or not."""
    return is_record(record_file(output))


def is_record(file: Path) -> bool:
    """Whether a file is the record of a package of ours."""
    try:
        PackageRecord.model_validate_json(file.read_bytes())
    except (OSError, ValidationError):
        return False
    return True


def parts_of(bundle: Bundle, artifact: str) -> dict[str, str]:
    """Digests of what a bundle answers with: its network, its labels, how images become inputs."""
    manifest = bundle.manifest
    network = manifest.artifact(artifact)
    files = (network, *network.companions)
    parts = {"network": sha256("".join(file.sha256 for file in files).encode())}
    if manifest.labels is not None:
        parts["labels"] = manifest.labels.sha256
    if manifest.preprocessing is not None:
        parts["preprocessing"] = manifest.preprocessing.digest
    return parts


def manifest_digest(bundle: Bundle) -> str:
    """SHA-256 of a bundle's manifest as it is on disk."""
    return sha256((bundle.path / MANIFEST).read_bytes())


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of each file below a folder, by its path there.

    The record itself is left out, and what Python keeps beside the modules that it has run.
    """
    return {
        file.relative_to(folder).as_posix(): digest_of(file)
        for file in sorted(folder.rglob("*"))
        if file.is_file() and file != folder / RECORD and file.parent.name != "__pycache__"
    }


def digest_of(file: Path) -> str:
    """SHA-256 of a file, which need not fit in memory."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
