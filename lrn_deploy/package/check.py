"""Whether a package is still what was made, and of the bundle as it is now."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lrn_deploy.bundle import Bundle
from lrn_deploy.package.record import (
    PackageRecord,
    digest_of,
    digests,
    manifest_digest,
    parts_of,
    read_record,
)


@dataclass(frozen=True)
class Checked:
    """What became of a package.

    Attributes:
        record: What it says of itself.
        files: Its files that are not what was made, each with how: ``changed``, ``missing`` or
            ``added``.
        parts: What the bundle answers with that has changed since: ``network``, ``labels``,
            ``preprocessing``.
        rest: Whether the bundle's manifest has changed since, in that or in anything else.
    """

    record: PackageRecord
    files: dict[str, str]
    parts: tuple[str, ...] = ()
    rest: bool = False


def check(output: Path, bundle: Bundle | None = None) -> Checked:
    """Compare a package with what was made, and with its bundle.

    Args:
        output: The package.
        bundle: The bundle that it was made of, as it is now; None looks at the files alone.

    Raises:
        BadInputError: If there is no package.
        DamagedError: If its record is damaged.
    """
    record = read_record(output)
    files = differences(output, record)
    if bundle is None:
        return Checked(record, files)
    there = record.artifact in bundle.manifest.artifacts
    now = parts_of(bundle, record.artifact) if there else {}
    changed = sorted(
        part for part in {*record.parts, *now} if record.parts.get(part) != now.get(part)
    )
    return Checked(record, files, tuple(changed), manifest_digest(bundle) != record.manifest)


def differences(output: Path, record: PackageRecord) -> dict[str, str]:
    """The files of a package that are not what was made, with how; see :class:`Checked`."""
    if record.single is not None:
        now = {record.single: digest_of(output)} if output.is_file() else {}
    else:
        now = digests(output)
    return {
        file: "missing" if file not in now else "added" if file not in record.files else "changed"
        for file in sorted({*record.files, *now})
        if record.files.get(file) != now.get(file)
    }
