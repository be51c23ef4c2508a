"""A bundle that is loaded, warm, and answers requests."""

from __future__ import annotations

import time
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lrn_deploy.bundle import Bundle, TensorSpec
from lrn_deploy.bundle.staleness import doubts
from lrn_deploy.serving.batching.batcher import Batcher
from lrn_deploy.serving.batching.job import Job, Outcome
from lrn_deploy.serving.datatypes import protocol_name, wire_shape
from lrn_deploy.serving.errors import InvalidRequestError, NotFoundError
from lrn_deploy.serving.inference import InferRequest
from lrn_deploy.serving.repository.embedding import Embedding
from lrn_deploy.serving.settings import DEFAULT_PRIORITY, PRIORITY_LEVELS, ModelSettings

Array = NDArray[Any]

VERSION = "1"
"""The only version of a model. A reload replaces it, so callers that pin it go on undisturbed."""


@dataclass(frozen=True)
class Source:
    """What runs.

    Attributes:
        bundle: Where it came from.
        artifact: Name of the artifact.
        backend: Name of the backend.
        device: ``cpu`` or ``cuda:N``.
        reason: Why these.
    """

    bundle: Bundle
    artifact: str
    backend: str
    device: str
    reason: str


class ServedModel:
    """A network behind its queue. Made by :func:`lrn_deploy.serving.repository.loading.load_model`.

    Args:
        name: Name that callers ask for.
        source: Where it came from and what runs it.
        inputs: What the network takes, as the loaded session says.
        outputs: What the session gives; an embedding among them is not listed as an output.
        max_batch: Rows that run together at most; for a network of a fixed batch that batch.
        batcher: What runs it.
        settings: How it is queued.
        embedding: The last hidden layer, or why there is none.
    """

    def __init__(
        self,
        name: str,
        source: Source,
        inputs: tuple[TensorSpec, ...],
        outputs: tuple[TensorSpec, ...],
        max_batch: int,
        batcher: Batcher,
        settings: ModelSettings,
        embedding: Embedding | str,
    ) -> None:
        self.name = name
        self.version = VERSION
        self.source = source
        self.bundle = bundle = source.bundle
        self.artifact = source.artifact
        self.inputs = inputs
        self._dtypes = {spec.name: np.dtype(spec.dtype) for spec in inputs}
        # Indices that a table has no row for would fail a whole batch, or be answered with garbage.
        self._tables = {
            spec.name: spec.values
            for spec in bundle.manifest.inputs
            if spec.values is not None and spec.values.source == "table"
        }
        hidden = {embedding.tensor} if isinstance(embedding, Embedding) else set()
        self.outputs = tuple(spec for spec in outputs if spec.name not in hidden)
        self.embedding = embedding
        self.max_batch = max_batch
        self.batcher = batcher
        self.settings = settings
        self.labels = bundle.labels()
        self.doubts = doubts(bundle, source.artifact)
        self.fixed_batch = inputs[0].fixed_batch

    @property
    def ready(self) -> bool:
        """Whether it can answer."""
        return self.batcher.alive > 0

    def required_embedding(self) -> Embedding:
        """Where the embedding is.

        Raises:
            NotFoundError: If there is none; says why.
        """
        if isinstance(self.embedding, str):
            raise NotFoundError(f"Model '{self.name}' has no embedding here: {self.embedding}")
        return self.embedding

    def submit(self, call: InferRequest) -> Future[Outcome]:
        """Check a request and queue it.

        Returns:
            What will hold all outputs for the request's rows; cancel it if nobody wants it any
            more.

        Raises:
            InvalidRequestError: If it does not fit the network.
            UnavailableError: If it cannot be queued.
        """
        rows = self._rows(call)
        for form in call.outputs:
            if form.name not in {spec.name for spec in self.outputs}:
                raise InvalidRequestError(
                    f"Model '{self.name}' has no output '{form.name}'; "
                    f"it has {_listed(spec.name for spec in self.outputs)}."
                )
        if not 0 <= call.priority <= PRIORITY_LEVELS:
            raise InvalidRequestError(
                f"The priority must be from 1 (highest) to {PRIORITY_LEVELS}, or 0 for the "
                f"default, got {call.priority}."
            )
        now = time.monotonic_ns()
        timeouts = [value for value in (call.timeout_us, self.settings.default_timeout_us) if value]
        deadlines = [now + timeout * 1000 for timeout in timeouts]
        if call.deadline is not None:
            deadlines.append(call.deadline)
        job = Job(
            {spec.name: call.inputs[spec.name] for spec in self.inputs},
            rows,
            now,
            deadline=min(deadlines, default=None),
            priority=call.priority or DEFAULT_PRIORITY,
            caller=call.caller,
        )
        self.batcher.submit(job)
        return job.future

    def _rows(self, call: InferRequest) -> int:
        """Check every input; returns the number of rows that they agree on."""
        if call.inputs.keys() != self._dtypes.keys():
            raise InvalidRequestError(
                f"Model '{self.name}' takes the inputs {_listed(sorted(self._dtypes))}, "
                f"got {_listed(call.inputs) or 'none'}."
            )
        rows: int | None = None
        for spec in self.inputs:
            array = call.inputs[spec.name]
            if array.dtype != self._dtypes[spec.name]:
                raise InvalidRequestError(
                    f"Input '{spec.name}' of model '{self.name}' takes "
                    f"{protocol_name(spec.dtype)}, got {protocol_name(array.dtype)}."
                )
            if not _fits(array.shape, spec.shape):
                raise InvalidRequestError(
                    f"Input '{spec.name}' of model '{self.name}' takes shape "
                    f"{wire_shape(spec)}, got {list(array.shape)}."
                )
            if rows is not None and array.shape[0] != rows:
                raise InvalidRequestError(
                    f"The inputs have different batch sizes, {rows} and {array.shape[0]}."
                )
            rows = array.shape[0]
            table = self._tables.get(spec.name)
            if table and array.size and not table.low <= array.min() <= array.max() <= table.high:
                raise InvalidRequestError(
                    f"Input '{spec.name}' of model '{self.name}' takes {table.described}, got "
                    f"{array.min()} to {array.max()}."
                )
            if not self.settings.allow_nonfinite and not _finite(array):
                raise InvalidRequestError(
                    f"Input '{spec.name}' has values that are NaN or infinite; "
                    "send finite numbers only."
                )
        assert rows is not None
        if not 1 <= rows <= self.max_batch:
            raise InvalidRequestError(
                f"The batch size must be from 1 to {self.max_batch} for model '{self.name}', "
                f"got {rows}."
            )
        return rows


def _fits(have: tuple[int, ...], wanted: tuple[int | str, ...]) -> bool:
    """Whether a shape is one that is wanted, where a name stands for any length."""
    if len(have) != len(wanted):
        return False
    return all(isinstance(b, str) or a == b for a, b in zip(have, wanted, strict=True))


def _finite(array: Array) -> bool:
    """Whether no element is NaN or infinite. Both extremes tell, in one pass each, no copy."""
    if array.dtype.kind != "f" or not array.size:
        return True
    return bool(np.isfinite(array.max()) and np.isfinite(array.min()))


def _listed(names: Any) -> str:
    return ", ".join(f"'{name}'" for name in names)
