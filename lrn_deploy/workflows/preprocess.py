"""Correct how images become the input of a bundle's network, without exporting it again."""

from __future__ import annotations

from dataclasses import dataclass

from lrn_deploy.bundle import Artifact, Bundle, Preprocessing, Said
from lrn_deploy.bundle.said import complete
from lrn_deploy.bundle.staleness import CALIBRATED_WITH, REPORTS, digest_of, is_calibrated
from lrn_deploy.errors import BadInputError
from lrn_deploy.placement import MODEL
from lrn_deploy.workflows.classify import image_preprocessing


@dataclass(frozen=True)
class Correction:
    """What became of a bundle's preprocessing.

    Attributes:
        bundle: The bundle, with the preprocessing that holds now.
        preprocessing: That preprocessing.
        changed: Whether images become other inputs than before.
        untuned: Whether the bundle was tuned to something, which no longer counts.
    """

    bundle: Bundle
    preprocessing: Preprocessing
    changed: bool
    untuned: bool = False


def correct_preprocessing(bundle: Bundle, said: Said) -> Correction:
    """Put what was said into the manifest, atomically, and mark what was made with the old.

    The graph and every other file stay as they are. What was calibrated, tuned or validated with
    the old preprocessing is told from what was not by :mod:`lrn_deploy.bundle.staleness`; what
    ``tune`` chose is dropped, so that nothing is run that was judged on other inputs.

    Args:
        bundle: The bundle.
        said: What to change; nothing leaves the bundle as it is.

    Raises:
        BadInputError: If the network takes no images, what was said is not possible, or it would
            change what is inside the graph.
        CannotWriteError: If the manifest cannot be written; it is then as it was.
    """
    old, manifest = image_preprocessing(bundle.manifest), bundle.manifest
    new = complete(said, manifest.model.input_shape, old)
    assert new is not None  # a network that takes images
    if new == old:
        return Correction(bundle, old, changed=False)
    if new.digest == old.digest:
        return Correction(bundle.update(preprocessing=new), new, changed=False)
    if old.in_graph and _in_graph(new) != _in_graph(old):
        raise BadInputError(
            f"Colors, scale, mean and std of '{bundle.path}' are inside its graph, which takes "
            "uint8 images, so they cannot be changed afterwards.",
            "Export it again with '--input uint8 --force' and these options.",
        )
    artifacts = {
        name: _stamped(artifact, old.digest) if is_calibrated(manifest, name) else artifact
        for name, artifact in manifest.artifacts.items()
    }
    model = artifacts[MODEL]  # an export would not give this bundle again
    updated = bundle.update(
        preprocessing=new,
        artifacts=artifacts | {MODEL: model.model_copy(update={"key": ""})},
        samples_key="",
        default=MODEL,
        choices=(),
        outdated={file: digest for file in REPORTS if (digest := digest_of(bundle, file))},
    )
    return Correction(updated, new, changed=True, untuned=bool(manifest.choices))


def _in_graph(preprocessing: Preprocessing) -> tuple[object, ...]:
    return preprocessing.mode, preprocessing.scale, preprocessing.mean, preprocessing.std


def _stamped(artifact: Artifact, digest: str) -> Artifact:
    """The artifact with the preprocessing that it was calibrated with, if it has none yet."""
    return artifact.model_copy(update={"options": {CALIBRATED_WITH: digest} | artifact.options})
