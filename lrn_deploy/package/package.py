"""Make a package of a bundle: check, choose, let the target write, put it in its place."""

from __future__ import annotations

import importlib
import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol, cast

from lrn_deploy import __version__
from lrn_deploy.bundle import Bundle, write_atomic, writing
from lrn_deploy.bundle.contents import named_files
from lrn_deploy.bundle.folder import check_replaceable, folder_beside, put
from lrn_deploy.errors import BadInputError, LrnDeployError, MissingError
from lrn_deploy.package.check import differences
from lrn_deploy.package.options import PackageOptions
from lrn_deploy.package.record import (
    RECORD,
    PackageRecord,
    digest_of,
    digests,
    is_package,
    is_record,
    manifest_digest,
    parts_of,
    read_record,
)
from lrn_deploy.package.subject import Subject, Written
from lrn_deploy.placement import Placement
from lrn_deploy.progress import Progress
from lrn_deploy.workflows.choice import pick

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


class Target(Protocol):
    """What each module of a target has."""

    def write(self, subject: Subject, folder: Path, progress: Progress) -> Written:
        """Write the package into an empty folder.

        Raises:
            BadInputError: If the target cannot take what is to be packaged.
            MissingError: If something is not installed that it needs.
            CannotWriteError: If it cannot be written.
        """
        ...


@dataclass(frozen=True)
class Packaged:
    """A package.

    Attributes:
        path: Where it is: a folder, or one file.
        record: What it says of itself.
        notes: Sentences for people: what to type next, what was assumed.
        reused: Whether it was there, whole, of the same bundle and options.
    """

    path: Path
    record: PackageRecord
    notes: tuple[str, ...]
    reused: bool


def package(
    bundle: Bundle, output: Path, options: PackageOptions, progress: Progress, *, force: bool
) -> Packaged:
    """Make a package of a bundle for where it is to run.

    Args:
        bundle: The bundle; each file of it is checked by its digest.
        output: Folder, or for some targets the file, of the package to be.
        options: What it is for.
        progress: Told what is being done.
        force: Replace a package that is already there.

    Returns:
        The package; the one that is there if it is whole and of the same bundle and options.

    Raises:
        BadInputError: If the target cannot take the artifact, or ``output`` is taken.
        DamagedError: If a file of the bundle is not what its manifest says.
        MissingError: If something is not installed that the target needs.
        CannotWriteError: If it cannot be written; ``output`` is then as it was.
    """
    records = {record.file: record for record in named_files(bundle.manifest)}
    for done, record in enumerate(records.values()):
        progress("checking", done, len(records))
        bundle.read(record)
    subject = _subject(bundle, options)
    wanted = _record(subject, {}, Written())
    found = _found(output)
    if found is not None and found.made_as(wanted) and not differences(output, found):
        return Packaged(output, found, _told(found, output), reused=True)
    check_replaceable(output, is_package, "package", force=force)
    target = cast("Target", importlib.import_module(f"lrn_deploy.package.{options.to}"))
    progress("writing", 0, 1)
    with folder_beside(output) as folder:
        with writing(output):
            written = target.write(subject, folder, progress)
            files = digests(folder)
            if written.single is not None:
                files = {written.single: files[written.single]}
            made = _record(subject, files, written)
        check_replaceable(output, is_package, "package", force=force)  # it may have come meanwhile
        _place(folder, output, made)
    return Packaged(output, made, _told(made, output), reused=False)


def _subject(bundle: Bundle, options: PackageOptions) -> Subject:
    name = options.name or bundle.manifest.model.name
    if not _NAME.fullmatch(name):
        raise BadInputError(
            f"A model cannot be called '{name}' where folders and addresses have that name.",
            "Choose with --name another of letters, digits, dots, dashes and underscores.",
        )
    placement = None
    if options.artifact:
        bundle.manifest.artifact(options.artifact)  # there must be one
        artifact = options.artifact
    else:
        placement = _best(bundle, options.device)
        artifact = placement.artifact if placement else bundle.manifest.default
    return Subject(bundle, name, artifact, options, placement)


def _best(bundle: Bundle, device: str) -> Placement | None:
    """What suits a device, if that is known here or was found where the bundle was tuned."""
    manifest = bundle.manifest
    for choice in manifest.choices:
        artifact = manifest.artifacts.get(choice.artifact)
        whole = artifact is not None and artifact.sha256 == choice.sha256
        if whole and choice.placement.kind == device:
            return choice.placement
    try:
        return pick(bundle, (device,)).placement
    except MissingError:  # the machine that packages need not be one that runs it
        return None


def _record(subject: Subject, files: dict[str, str], written: Written) -> PackageRecord:
    chosen = asdict(subject.options)
    if subject.options.to == "binary" and (server := Path(subject.options.server)).is_file():
        chosen["server_sha256"] = digest_of(server)  # it is part of what is made
    return PackageRecord(
        version=__version__,
        target=subject.options.to,
        name=subject.name,
        bundle=subject.bundle.manifest.model.name,
        manifest=manifest_digest(subject.bundle),
        artifact=subject.artifact_name,
        parts=parts_of(subject.bundle, subject.artifact_name),
        options=json.loads(json.dumps(chosen, default=str)),
        files=files,
        single=written.single,
        notes=written.notes,
    )


def _found(output: Path) -> PackageRecord | None:
    try:
        return read_record(output)
    except LrnDeployError:
        return None


def _told(record: PackageRecord, output: Path) -> tuple[str, ...]:
    return tuple(note.replace("{output}", str(output)) for note in record.notes)


def _place(folder: Path, output: Path, record: PackageRecord) -> None:
    """Rename a folder that was filled, or its only wanted file, to the output."""
    content = (record.model_dump_json(indent=2) + "\n").encode()
    if record.single is None:
        write_atomic(folder / RECORD, content)
        put(folder, output)
        return
    beside = output.with_name(f"{output.name}.json")
    if beside.exists() and not is_record(beside):
        raise BadInputError(
            f"'{beside}', where the record of '{output}' is to be, is something else.",
            "Choose another output.",
        )
    before = beside.read_bytes() if beside.is_file() else None
    write_atomic(beside, content)
    try:
        put(folder / record.single, output)
    except BaseException:
        if before is None:
            beside.unlink()
        else:
            write_atomic(beside, before)
        raise
