"""``POST /v1/classify``: image files in, labels out.

The images of one request are rows for the batcher like any others, so they share batches with each
other and with other callers.
"""

from __future__ import annotations

import time
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lrn_deploy.errors import BadInputError
from lrn_deploy.images.decode import ImageLimits, decode
from lrn_deploy.images.preprocess import preprocess
from lrn_deploy.serving.batching.job import Outcome
from lrn_deploy.serving.errors import InvalidRequestError
from lrn_deploy.serving.inference import InferRequest
from lrn_deploy.serving.repository.embedding import Embedding
from lrn_deploy.serving.repository.model import ServedModel
from lrn_deploy.workflows.classify import (
    class_count,
    image_preprocessing,
    to_probabilities,
    weights_note,
)

Array = NDArray[Any]
DEFAULT_TOP = 5


@dataclass(frozen=True)
class Prepared:
    """One image, ready for the network, or why it is not.

    Attributes:
        entry: What is known about it, as JSON.
        asked: What to run; None if the entry has an error.
    """

    entry: dict[str, Any]
    asked: InferRequest | None


@dataclass(frozen=True)
class Ran:
    """The images of one request after the network has run.

    Attributes:
        prepared: All images.
        outcomes: One for each of those without an error, in their order.
        started: When the request came, in nanoseconds of the monotonic clock.
        decoded: When the images were decoded.
    """

    prepared: list[Prepared]
    outcomes: list[Outcome]
    started: int
    decoded: int

    def rows(self, output: str) -> list[tuple[dict[str, Any], Array | None]]:
        """For each image its entry and its own row of an output, flat; None if it has an error."""
        remaining = iter(self.outcomes)
        return [
            (
                image.entry,
                None if image.asked is None else next(remaining).outputs[output][:1].reshape(-1),
            )
            for image in self.prepared
        ]

    def timing(self) -> dict[str, float]:
        """Where the time went, in milliseconds."""
        timings = [outcome.timing for outcome in self.outcomes]
        return {
            "decode_ms": (self.decoded - self.started) / 1e6,
            "queue_ms": max((timing.queue for timing in timings), default=0) / 1e6,
            "compute_ms": max((timing.compute_infer for timing in timings), default=0) / 1e6,
            "total_ms": (time.monotonic_ns() - self.started) / 1e6,
        }


def check_classes(model: ServedModel) -> None:
    """Make sure that a network's output can be read as classes, and its labels as their names.

    Raises:
        InvalidRequestError: If not, as ``lrn-deploy classify`` says it.
    """
    try:
        count = class_count(model.bundle.manifest)
    except BadInputError as error:
        raise InvalidRequestError(
            f"{error.message} Ask /v2/models/{model.name}/infer for the output as it is."
        ) from error
    if model.labels is not None and len(model.labels) != count:
        raise InvalidRequestError(
            f"The bundle has {len(model.labels)} labels for {count} classes. "
            "Export it again with the right --labels."
        )


def prepare(model: ServedModel, name: str, content: bytes, limits: ImageLimits) -> Prepared:
    """Decode one image and make the network's input of it.

    Raises:
        InvalidRequestError: If the network takes no images.
    """
    try:
        preprocessing = image_preprocessing(model.bundle.manifest)
    except BadInputError as error:
        raise InvalidRequestError(str(error)) from error
    entry: dict[str, Any] = {"image": name, "error": None}
    try:
        decoded = decode(content, name=name, limits=limits)
        entry |= {"width": decoded.size[0], "height": decoded.size[1], "note": decoded.note or None}
        array = preprocess(decoded.image, preprocessing)
    except BadInputError as error:
        return Prepared(entry | {"error": str(error)}, None)
    spec = model.inputs[0]
    if spec.dtype.startswith("float"):
        array = array.astype(spec.dtype, copy=False)
    batch = np.zeros((model.fixed_batch or 1, *array.shape), array.dtype)
    batch[0] = array
    return Prepared(entry, InferRequest({spec.name: batch}))


def labelled(model: ServedModel, ran: Ran, *, top: int) -> dict[str, Any]:
    """The answer of a classification as JSON: for each image its ``top`` likeliest classes."""
    results = []
    labels = model.labels
    for entry, scores in ran.rows(model.outputs[0].name):
        result: dict[str, Any] = entry | {"predictions": []}
        results.append(result)
        if scores is None:
            continue
        probabilities = to_probabilities(scores.reshape(1, -1))[0]
        if np.isnan(probabilities).any():
            result["error"] = "The network's output is not finite."
            continue
        result["predictions"] = [
            {
                "index": int(index),
                "label": labels[index] if labels else None,
                "probability": float(probabilities[index]),
            }
            for index in np.argsort(-probabilities, kind="stable")[:top]
        ]
    if all(result["error"] for result in results):
        raise InvalidRequestError("; ".join(result["error"] for result in results))
    return {
        "model": model.name,
        "weights": model.bundle.manifest.model.weights.kind,
        "note": weights_note(model.bundle.manifest) or None,
        "results": results,
        "timing": ran.timing(),
    }


def embedded(model: ServedModel, embedding: Embedding, ran: Ran) -> dict[str, Any]:
    """The answer of an embedding as JSON: for each image a list of ``dimension`` numbers."""
    results = [
        entry | {"embedding": None if row is None else row.tolist()}
        for entry, row in ran.rows(embedding.tensor)
    ]
    return {
        "model": model.name,
        "layer": embedding.layer,
        "dimension": embedding.dimension,
        "note": weights_note(model.bundle.manifest) or None,
        "results": results,
        "timing": ran.timing(),
    }


def embedded_raw(embedding: Embedding, ran: Ran) -> tuple[int, bytes]:
    """The embeddings of all images as little-endian float32, row after row; how many, and they.

    Raises:
        InvalidRequestError: If an image has none: rows without names must not shift.
    """
    rows = []
    for entry, row in ran.rows(embedding.tensor):
        if row is None:
            raise InvalidRequestError(f"{entry['error']} Raw embeddings need every image.")
        rows.append(row.astype("<f4"))
    return len(rows), b"".join(row.tobytes() for row in rows)


def cancel(futures: list[Future[Outcome]]) -> None:
    """Take images out of the queue that nobody waits for any more."""
    for future in futures:
        future.cancel()
