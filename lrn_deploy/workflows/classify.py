"""Images in, the network's likeliest classes out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lrn_deploy.backends.protocol import Backend, Session
from lrn_deploy.bundle import Bundle, Manifest, Preprocessing
from lrn_deploy.errors import BadInputError
from lrn_deploy.images.collect import ImageSource
from lrn_deploy.images.decode import DEFAULT_LIMITS, ImageLimits, decode
from lrn_deploy.images.preprocess import preprocess

Array = NDArray[Any]


@dataclass(frozen=True)
class Prediction:
    """One class of a network.

    Attributes:
        index: Its place in the output.
        label: Its name, or None if the bundle has no labels.
        probability: From 0 to 1.
    """

    index: int
    label: str | None
    probability: float


@dataclass(frozen=True)
class ImageResult:
    """What became of one image.

    Attributes:
        name: The image's name, as its source gives it.
        size: Width and height in pixels after rotation; None if it could not be decoded.
        predictions: The likeliest classes, likeliest first; empty if there is an error.
        note: What was left out of the image, or empty.
        error: Why it could not be classified, or empty.
        hint: What to do about the error.
    """

    name: str
    size: tuple[int, int] | None = None
    predictions: tuple[Prediction, ...] = ()
    note: str = ""
    error: str = ""
    hint: str = ""


def classify(
    bundle: Bundle,
    sources: Iterable[ImageSource],
    *,
    backend: Backend,
    artifact: str | None = None,
    batch_size: int = 8,
    top: int = 5,
    limits: ImageLimits = DEFAULT_LIMITS,
    on_batch: Callable[[int], None] | None = None,
) -> Iterator[ImageResult]:
    """Classify images, batch by batch: one decoded image and one batch are in memory, no more.

    An image that cannot be read becomes a result with an error, and the rest go on.

    Args:
        bundle: A bundle whose network takes images.
        sources: The images.
        backend: What runs the network; its session lives as long as the iterator.
        artifact: Name of the artifact to run; the bundle's default if None.
        batch_size: Images to a batch. A network of a fixed batch is given that instead.
        top: Number of classes to report.
        limits: What is decoded at most.
        on_batch: Called with the number of images that a batch has finished.

    Yields:
        One result for each source, in their order. They do not depend on the batch size, but for
        the rounding of the runtime.

    Raises:
        BadInputError: Before anything is decoded, if the network takes no images or gives no
            classes, the artifact does not exist or does not run on this backend, the labels are
            those of another network, or a number is out of range.
        DamagedError: If a file of the bundle is not what the manifest says.
        MissingError: If the backend cannot run here.
    """
    _check_counts(batch_size, top)
    preprocessing = image_preprocessing(bundle.manifest)
    labels = class_labels(bundle)
    name = artifact or bundle.manifest.default
    kind = bundle.manifest.artifact(name).format
    if kind not in backend.formats:
        raise BadInputError(
            f"The artifact '{name}' is of format {kind}, which {backend.name} does not run.",
            "Choose another artifact; 'lrn-deploy inspect' lists them.",
        )

    def results() -> Iterator[ImageResult]:
        with backend.load(bundle.load(name)) as session:
            yield from classify_on(
                session,
                preprocessing,
                labels,
                sources,
                batch_size=batch_size,
                top=top,
                limits=limits,
                on_batch=on_batch,
            )

    return results()


def classify_on(
    session: Session,
    preprocessing: Preprocessing,
    labels: tuple[str, ...] | None,
    sources: Iterable[ImageSource],
    *,
    batch_size: int = 8,
    top: int = 5,
    limits: ImageLimits = DEFAULT_LIMITS,
    on_batch: Callable[[int], None] | None = None,
) -> Iterator[ImageResult]:
    """Classify images with a network that is loaded; as :func:`classify` does it.

    Args:
        session: The network.
        preprocessing: How an image becomes its input.
        labels: Names of its classes, as :func:`class_labels` gives them.
        sources: The images.
        batch_size: Images to a batch. A network of a fixed batch is given that instead.
        top: Number of classes to report.
        limits: What is decoded at most.
        on_batch: Called with the number of images that a batch has finished.

    Raises:
        BadInputError: If a number is out of range.
    """
    _check_counts(batch_size, top)
    rows = session.inputs[0].fixed_batch or batch_size
    remaining = iter(sources)
    while chunk := list(islice(remaining, rows)):
        prepared = [_prepare(source, preprocessing, limits) for source in chunk]
        yield from _predict(session, prepared, labels, top)
        if on_batch is not None:
            on_batch(len(chunk))


def _check_counts(batch_size: int, top: int) -> None:
    for what, value in (("batch size", batch_size), ("number of classes to report", top)):
        if value < 1:
            raise BadInputError(f"The {what} must be at least 1, got {value}.")


def image_preprocessing(manifest: Manifest) -> Preprocessing:
    """How an image becomes the network's input.

    Raises:
        BadInputError: If it takes no images.
    """
    if manifest.preprocessing is None:
        raise BadInputError(
            f"The network '{manifest.model.name}' {manifest.no_image}, so it cannot classify any.",
            "Export a network whose only input has shape (1 or 3, height, width); 'lrn-deploy "
            "serve' answers to any inputs as they are.",
        )
    return manifest.preprocessing


def class_count(manifest: Manifest) -> int:
    """How many classes the network's first output gives scores for.

    Raises:
        BadInputError: If that output is no vector of classes, a map of pixels for instance.
    """
    output = manifest.outputs[0] if manifest.outputs else None
    if output is None or output.classes is None:
        shape = f" has shape {output.described_shape}, which" if output else ""
        raise BadInputError(
            f"The output of '{manifest.model.name}'{shape} is no vector of classes, so it cannot "
            "classify.",
            "Export a network whose first output has shape (batch, classes); 'lrn-deploy serve' "
            "answers with any output as it is.",
        )
    return output.classes


def class_labels(bundle: Bundle) -> tuple[str, ...] | None:
    """The names of the network's classes, one for each, or None if the bundle has none.

    Raises:
        BadInputError: If the output is no vector of classes, or there are more or fewer names.
        DamagedError: If the file of names is not what the manifest says.
    """
    count, labels = class_count(bundle.manifest), bundle.labels()
    if labels is not None and len(labels) != count:
        raise BadInputError(
            f"The bundle has {len(labels)} labels for {count} classes.",
            "Export it again with the right --labels.",
        )
    return labels


def weights_note(manifest: Manifest) -> str:
    """A warning for people if the predictions mean nothing, else an empty string."""
    weights = manifest.model.weights
    if weights.kind != "random":
        return ""
    return (
        f"The weights of '{manifest.model.name}' are random (seed {weights.seed}): these "
        "predictions show that the chain works and say nothing about the images. "
        "For real ones export with --weights."
    )


def to_probabilities(scores: Array) -> NDArray[np.float64]:
    """Probabilities of the classes, by softmax where a network does not end in one.

    Args:
        scores: Of shape (N, K), any float dtype. A row that is non-negative and sums to 1 (to
            1e-3, which fp16 needs) is taken to be probabilities already.

    Returns:
        float64 of shape (N, K); NaN throughout a row whose scores have NaN or +infinity.
    """
    values = np.asarray(scores, np.float64)
    with np.errstate(invalid="ignore"):
        done = (values >= 0).all(axis=1) & (np.abs(values.sum(axis=1) - 1) <= 1e-3)
        powers = np.exp(values - values.max(axis=1, keepdims=True))
        softmax = powers / powers.sum(axis=1, keepdims=True)
    return np.where(done[:, None], values, softmax)


def _prepare(
    source: ImageSource, preprocessing: Preprocessing, limits: ImageLimits
) -> tuple[ImageResult, Array | None]:
    """A result without predictions, and the network's input unless the result is an error."""
    result = ImageResult(source.name)
    try:
        decoded = decode(source.content, name=source.name, limits=limits)
        result = replace(result, size=decoded.size, note=decoded.note)
        return result, preprocess(decoded.image, preprocessing)
    except BadInputError as error:
        return replace(result, error=error.message, hint=error.hint), None


def _predict(
    session: Session,
    prepared: list[tuple[ImageResult, Array | None]],
    labels: tuple[str, ...] | None,
    top: int,
) -> Iterator[ImageResult]:
    inputs = [array for _, array in prepared if array is not None]
    rows = iter(to_probabilities(_scores(session, inputs)) if inputs else ())
    for result, array in prepared:
        yield result if array is None else _with_predictions(result, next(rows), labels, top)


def _scores(session: Session, inputs: list[Array]) -> Array:
    """Run one batch: the first output, as (N, K)."""
    spec = session.inputs[0]
    batch = np.stack(inputs)
    if spec.dtype.startswith("float"):  # a graph of half precision may take half precision
        batch = batch.astype(spec.dtype, copy=False)
    missing = (spec.fixed_batch or len(inputs)) - len(inputs)
    if missing:
        batch = np.concatenate([batch, np.zeros((missing, *batch.shape[1:]), batch.dtype)])
    output = session.run({spec.name: batch})[session.outputs[0].name]
    return output.reshape(len(batch), -1)[: len(inputs)]


def _with_predictions(
    result: ImageResult,
    probabilities: NDArray[np.float64],
    labels: tuple[str, ...] | None,
    top: int,
) -> ImageResult:
    if np.isnan(probabilities).any():
        return replace(
            result,
            error=f"The network's output for '{result.name}' is not finite.",
            hint="Check the bundle with 'lrn-deploy validate'.",
        )
    likeliest = np.argsort(-probabilities, kind="stable")[:top]
    return replace(
        result,
        predictions=tuple(
            Prediction(int(i), labels[i] if labels else None, float(probabilities[i]))
            for i in likeliest
        ),
    )
