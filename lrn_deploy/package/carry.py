"""A copy of the bundle that goes along with a package."""

from __future__ import annotations

import shutil
from pathlib import Path

from lrn_deploy.bundle import MANIFEST, dump, named_files, write_atomic
from lrn_deploy.package.subject import Subject
from lrn_deploy.progress import Progress


def carry(subject: Subject, folder: Path, progress: Progress) -> int:
    """Copy the bundle to ``folder``, which must not be there; returns its size in bytes.

    All of it, since the server takes what suits the machine that it runs on; or, if an artifact was
    chosen, that one and what speaks of it. Samples are for checks, and no server reads them.

    Raises:
        OSError: If it cannot be written.
    """
    bundle, manifest = subject.bundle, subject.bundle.manifest
    artifacts, choices, default = manifest.artifacts, manifest.choices, manifest.default
    if subject.options.artifact:
        artifacts = {subject.artifact_name: subject.artifact}
        choices = tuple(one for one in choices if one.artifact in artifacts)
        default = subject.artifact_name
    carried = manifest.model_copy(
        update={
            "artifacts": artifacts,
            "choices": choices,
            "default": default,
            "samples": {},
            "samples_key": "",
        }
    )
    files = {Path(record.file) for record in named_files(carried)}
    reports = bundle.path / "reports"
    files |= {path.relative_to(bundle.path) for path in reports.rglob("*") if path.is_file()}
    for done, file in enumerate(sorted(files)):
        progress("copying", done, len(files))
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(bundle.path / file, folder / file)
    write_atomic(folder / MANIFEST, dump(carried))
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
