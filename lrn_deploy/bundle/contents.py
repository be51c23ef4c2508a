"""A manifest's text read, wherever it came from, and the files that it names."""

from __future__ import annotations

import json
from collections.abc import Iterator

from pydantic import ValidationError

from lrn_deploy.bundle.manifest import SCHEMA_VERSION, FileRecord, Manifest
from lrn_deploy.errors import BadInputError, DamagedError


def read_manifest(text: bytes, where: str) -> Manifest:
    """The manifest that a text is.

    Args:
        text: Content of its ``manifest.json``.
        where: The bundle, for messages.

    Raises:
        BadInputError: If it is of a newer schema.
        DamagedError: If it is not what a bundle's manifest is.
    """
    file = f"{where}/manifest.json"
    try:
        content = json.loads(text)
        version = content["schema_version"]
        if type(version) is not int:
            raise TypeError(version)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise DamagedError(
            f"'{file}' is damaged: it is no JSON object with a schema_version.",
            "Export the bundle again.",
        ) from error
    if version > SCHEMA_VERSION:
        raise BadInputError(
            f"'{where}' has schema version {version}; "
            f"this lrn-deploy reads versions up to {SCHEMA_VERSION}.",
            "Upgrade lrn-deploy, or export the bundle again with this version.",
        )
    try:
        return Manifest.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise DamagedError(
            f"'{file}' is damaged at '{field}': {first['msg']}.", "Export the bundle again."
        ) from error


def named_files(manifest: Manifest) -> Iterator[FileRecord]:
    """Every file that a manifest names; one may be named more than once."""
    for artifact in manifest.artifacts.values():
        yield artifact
        yield from artifact.companions
    if manifest.labels is not None:
        yield manifest.labels
    yield from manifest.samples.values()
