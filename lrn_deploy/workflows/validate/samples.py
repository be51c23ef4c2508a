"""The samples of a bundle: inputs that checks run on, with the reference's outputs.

They are computed by PyTorch once and stored, so that a second validation, or one on a machine
without PyTorch, holds its artifacts against the very same numbers.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from lrn_deploy.backends.protocol import Array, Session
from lrn_deploy.bundle import Bundle, Manifest, SampleSet
from lrn_deploy.errors import DamagedError, MissingError
from lrn_deploy.extras import install
from lrn_deploy.images.decode import DecodedImage
from lrn_deploy.images.examples import photographs
from lrn_deploy.parity import activity as lrn_activity
from lrn_deploy.parity import inputs
from lrn_deploy.parity.inputs import InputSet
from lrn_deploy.placement import MODEL
from lrn_deploy.workflows.validate.reference import (
    ReferenceSession,
    lrn_labels,
    open_raised,
    trace_activity,
)

VERSION = 1
"""Raised whenever the sets of inputs change, so that stored ones are made again."""
FOLDER = "samples"
SEARCH_ROWS = 4
"""So many inputs are tried at each scale when looking for those that make LRN act."""


@dataclass(frozen=True)
class Sample:
    """One set of inputs with the reference's outputs.

    Attributes:
        name: The set's name.
        feeds: Inputs by name, each of shape (rows, *).
        outputs: The reference's outputs by name, each of shape (rows, *).
    """

    name: str
    feeds: dict[str, Array]
    outputs: dict[str, Array]

    @property
    def rows(self) -> int:
        """Number of inputs."""
        return len(next(iter(self.feeds.values())))


@dataclass(frozen=True)
class Samples:
    """All sets of a bundle.

    Attributes:
        bundle: The bundle that holds them.
        sets: The sets.
        made: Whether they were computed just now.
        warnings: What they cannot show.
    """

    bundle: Bundle
    sets: tuple[Sample, ...]
    made: bool
    warnings: tuple[str, ...] = ()


def samples_key(manifest: Manifest, rows: int, images: Sequence[DecodedImage]) -> str:
    """Digest of all that determines the samples of a bundle."""
    model = manifest.model
    # What says nothing is left out: the digest is then as it was before there were these fields.
    absent: dict[str, Any] = {
        name: True for name in ("sha256", "runtime", "stages") if not getattr(model, name)
    }
    if not model.weights.renamed:
        absent["weights"] = {"renamed"}
    facts = {
        "version": VERSION,
        "model": model.model_dump(mode="json", exclude=absent),
        "graph": manifest.artifact(MODEL).sha256,
        "preprocessing": manifest.preprocessing
        and manifest.preprocessing.model_dump(mode="json", exclude={"assumed"}),
        "rows": rows,
        "images": [hashlib.sha256(image.pixels.tobytes()).hexdigest() for image in images],
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def ensure_samples(
    bundle: Bundle,
    session: ReferenceSession | None,
    *,
    images: Path | None,
    rows: int,
    missing: str = "",
) -> Samples:
    """The samples of a bundle: those stored if they fit, else new ones, which are stored.

    Args:
        bundle: The bundle.
        session: The reference; None on a machine that cannot run it.
        images: A folder of pictures to take as well.
        rows: How many random and active inputs to make.
        missing: Why there is no session.

    Raises:
        MissingError: If there is no session and none, or not the right ones, are stored.
        DamagedError: If stored ones are damaged and cannot be made again.
    """
    pictures = inputs.read_folder(images) if images is not None else ()
    manifest = bundle.manifest
    key = samples_key(manifest, rows, pictures)
    if session is None:
        if not manifest.samples:
            raise MissingError(
                f"The bundle stores no samples, and the reference cannot make them: {missing}",
                "Validate it once where it was exported, or install PyTorch with: "
                f"{install('export')}",
            )
        if pictures and manifest.samples_key != key:
            raise MissingError(
                f"The reference outputs of your images cannot be made: {missing}",
                f"Leave out --images, or install PyTorch with: {install('export')}",
            )
        return Samples(bundle, read_samples(bundle), made=False)
    warnings: tuple[str, ...] = ()
    if manifest.samples and manifest.samples_key == key:
        try:
            return Samples(bundle, read_samples(bundle), made=False)
        except DamagedError as error:
            warnings = (f"{error.message} The samples were made again.",)
    with open_raised(bundle) as raised:
        sets, notes = _input_sets(manifest, session, raised, pictures, rows)
        bundle, made = _store(bundle, session, raised, sets, key)
    return Samples(bundle, made, made=True, warnings=(*warnings, *notes))


def read_samples(bundle: Bundle) -> tuple[Sample, ...]:
    """The stored samples.

    Raises:
        DamagedError: If one of them is damaged.
    """
    return tuple(_read(bundle, name, record) for name, record in bundle.manifest.samples.items())


def _input_sets(
    manifest: Manifest,
    session: ReferenceSession,
    raised: Session | None,
    pictures: Sequence[DecodedImage],
    rows: int,
) -> tuple[list[InputSet], list[str]]:
    """All sets of inputs, and what they cannot show."""
    preprocessing, specs = manifest.preprocessing, manifest.inputs
    sets: list[InputSet] = []
    warnings: list[str] = []
    if preprocessing is not None:
        try:
            taken = inputs.image_set(
                "photographs",
                inputs.with_dark(photographs()),
                specs[0],
                preprocessing,
                "scikit-learn's two photographs, as they are and dark",
            )
            sets.append(taken)
        except MissingError as error:
            warnings.append(f"No photographs were checked: {error.message} {error.hint}")
        if pictures:
            detail = f"{len(pictures)} of your images"
            sets.append(inputs.image_set("images", pictures, specs[0], preprocessing, detail))
    elif pictures:
        warnings.append(f"Your images were not checked: this network {manifest.no_image}.")
    sets.append(inputs.random_set(specs, preprocessing, rows))
    base = inputs.joined_set(sets, rows)
    sets.append(inputs.extreme_set(specs, preprocessing))
    active, notes = _active_sets(manifest, session, raised, base)
    return [*sets, *active], [*warnings, *notes]


def _active_sets(
    manifest: Manifest, session: ReferenceSession, raised: Session | None, base: InputSet
) -> tuple[list[InputSet], list[str]]:
    """Inputs scaled so that each LRN layer acts in at least one of the sets."""
    layers = lrn_labels(manifest)
    if not layers:
        return [], []
    if not inputs.scalable(manifest.inputs):
        return [], [
            "The network takes only integers, which cannot be scaled until LRN acts: "
            "only the LRN probes speak for its LRN layers there."
        ]
    measured: dict[float, tuple[float, ...]] = {}
    few = inputs.joined_set([base], SEARCH_ROWS)
    for factor in lrn_activity.SCALES:
        feeds = inputs.scaled_set(few, factor).feeds
        measured[factor] = tuple(trace_activity(manifest, session, feeds, raised)[1].values())
        if lrn_activity.searched_enough(list(measured.values())):
            break
    scales = lrn_activity.choose_scales(layers, measured)
    # At a factor of 1 the ordinary sets are active ones, and under a tighter budget.
    factors = sorted({scale.factor for scale in scales} - {1.0})
    warning = lrn_activity.active_warning(scales)
    return [inputs.scaled_set(base, factor) for factor in factors], [warning] if warning else []


def _store(
    bundle: Bundle,
    session: ReferenceSession,
    raised: Session | None,
    sets: Sequence[InputSet],
    key: str,
) -> tuple[Bundle, tuple[Sample, ...]]:
    records, made = {}, []
    for given in sets:
        outputs, activity = trace_activity(bundle.manifest, session, given.feeds, raised)
        made.append(Sample(given.name, given.feeds, outputs))
        record = bundle.add_file(
            f"{FOLDER}/{given.name}.safetensors",
            save_tensors(
                {f"input.{name}": value for name, value in given.feeds.items()}
                | {f"output.{name}": value for name, value in outputs.items()}
            ),
        )
        records[given.name] = SampleSet(
            **record.model_dump(),
            reference=session.described,
            detail=given.detail,
            activity=activity,
        )
    stale = {record.file for record in bundle.manifest.samples.values()}
    bundle = bundle.update(samples=records, samples_key=key)
    for file in stale - {record.file for record in records.values()}:
        (bundle.path / file).unlink(missing_ok=True)
    return bundle, tuple(made)


def _read(bundle: Bundle, name: str, record: SampleSet) -> Sample:
    try:
        tensors = load_tensors(bundle.read(record))
    except SafetensorError as error:
        raise DamagedError(f"'{record.file}' is no safetensors file: {error}.") from error
    parts: dict[str, dict[str, Array]] = {"input": {}, "output": {}}
    for key, value in tensors.items():
        kind, _, tensor = key.partition(".")
        parts.setdefault(kind, {})[tensor] = value
    return Sample(name, parts["input"], parts["output"])
