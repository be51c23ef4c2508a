"""What of a bundle was made with another preprocessing than the one it has now.

Only ``lrn-deploy preprocess`` changes a bundle's preprocessing. What is calibrated records the
digest of the preprocessing it was calibrated with among its options; what is older, and engines,
get that of the old one when it is changed. Reports are told by their bytes: those of then are
listed in the manifest, and a report that is made again has others.
"""

from __future__ import annotations

from lrn_deploy.bundle.manifest import Artifact, Manifest
from lrn_deploy.bundle.store import Bundle, sha256

CALIBRATED_WITH = "preprocessing"
"""The option of an artifact that holds the digest."""
_DIGEST_OF_IMAGES = "calibration_sha256"
_CHECKS = "reports/parity.json"
REPORTS = {
    _CHECKS: "validate",
    "reports/tune.json": "tune",
    "reports/report.html": "report",
}
"""The reports that depend on the preprocessing, and what makes each; times hardly do."""


def is_calibrated(manifest: Manifest, name: str) -> bool:
    """Whether an artifact, or one that it was made from, was calibrated on images."""
    artifact: Artifact | None = manifest.artifacts.get(name)
    for _ in manifest.artifacts:
        if artifact is None:
            return False
        if _DIGEST_OF_IMAGES in artifact.options:
            return True
        artifact = manifest.artifacts.get(artifact.source or "")
    return False


def stale_artifacts(manifest: Manifest) -> tuple[str, ...]:
    """The artifacts that were calibrated with another preprocessing, or made from such."""
    if manifest.preprocessing is None:
        return ()
    now = manifest.preprocessing.digest
    stale: set[str] = set()
    for _ in manifest.artifacts:  # a chain of sources is not longer
        stale |= {
            name
            for name, artifact in manifest.artifacts.items()
            if artifact.source in stale
            or (
                artifact.options.get(CALIBRATED_WITH, now) != now
                and not _is_of_source(manifest, artifact)
            )
        }
    return tuple(name for name in manifest.artifacts if name in stale)


def _is_of_source(manifest: Manifest, item: Artifact) -> bool:
    """Whether an engine was built from the very graph that its source is now."""
    source = manifest.artifacts.get(item.source or "")
    return (
        source is not None
        and item.engine is not None
        and item.engine.source_sha256 == source.sha256
    )


def stale_reports(bundle: Bundle) -> tuple[str, ...]:
    """The files of reports that were made before the preprocessing was changed."""
    return tuple(
        file
        for file, digest in bundle.manifest.outdated.items()
        if (found := digest_of(bundle, file)) and found == digest
    )


def digest_of(bundle: Bundle, file: str) -> str:
    """SHA-256 of a report; empty if it is not there."""
    try:
        return sha256((bundle.path / file).read_bytes())
    except OSError:
        return ""


def artifact_note(manifest: Manifest, name: str) -> str:
    """One sentence if the artifact is stale, else an empty string."""
    if name not in stale_artifacts(manifest):
        return ""
    engine = manifest.artifact(name).engine is not None
    command = "build-engine" if engine else "optimize"
    return f"'{name}' was calibrated with another preprocessing: run 'lrn-deploy {command}' again."


def stale_inputs(manifest: Manifest) -> tuple[str, ...]:
    """One sentence for each thing that is run or checked and is stale."""
    notes = [artifact_note(manifest, name) for name in stale_artifacts(manifest)]
    if manifest.samples and not manifest.samples_key:
        notes.append(
            "The stored samples were made before the preprocessing was changed: run "
            "'lrn-deploy validate' again where PyTorch is installed."
        )
    return tuple(notes)


def stale_notes(bundle: Bundle, *, without: str = "") -> tuple[str, ...]:
    """One sentence for each thing that is stale, reports included, but for the one ``without``."""
    stale = set(stale_reports(bundle)) - {without}
    reports = [_report_note(file) for file in REPORTS if file in stale]
    return (*stale_inputs(bundle.manifest), *reports)


def doubts(bundle: Bundle, name: str) -> tuple[str, ...]:
    """Why what an artifact answers about images may be wrong, one sentence for each reason.

    Its preprocessing was assumed, it was calibrated with another one, or the checks that it passed
    were made before the preprocessing was changed.
    """
    preprocessing = bundle.manifest.preprocessing
    notes = []
    if preprocessing is not None and preprocessing.assumed:
        notes.append(f"Preprocessing {preprocessing.assumption}.")
    if note := artifact_note(bundle.manifest, name):
        notes.append(note)
    if _CHECKS in stale_reports(bundle):
        notes.append(_report_note(_CHECKS))
    return tuple(notes)


def _report_note(file: str) -> str:
    return (
        f"'{file}' was made before the preprocessing was changed: "
        f"run 'lrn-deploy {REPORTS[file]}' again."
    )
