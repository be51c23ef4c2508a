"""A bundle that is loaded, warm, and answers requests."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lrn_deploy.backends.onnxruntime import OnnxRuntimeBackend
from lrn_deploy.backends.protocol import Session
from lrn_deploy.backends.registry import check_device
from lrn_deploy.bundle import Bundle, TensorSpec
from lrn_deploy.errors import BadInputError
from lrn_deploy.serving.batcher import Batcher
from lrn_deploy.serving.datatypes import protocol_name
from lrn_deploy.serving.describe import wire_shape
from lrn_deploy.serving.errors import InvalidRequestError
from lrn_deploy.serving.pending import Job, Outcome, PendingQueue
from lrn_deploy.serving.policy import Adaptive, Fixed, Policy
from lrn_deploy.serving.runner import Runner
from lrn_deploy.serving.settings import DEFAULT_PRIORITY, PRIORITY_LEVELS, ModelSettings
from lrn_deploy.serving.statistics import Statistics

Array = NDArray[Any]


@dataclass(frozen=True)
class InferCall:
    """An inference request, whatever transport brought it.

    Attributes:
        inputs: The arrays by name, each with the shape that the client claims.
        outputs: Names of the outputs to return, in that order; empty for all.
        timeout_us: The client's ``timeout`` in microseconds; 0: none.
        priority: The client's ``priority``; 0: the default.
        deadline: Of the transport, in nanoseconds of the monotonic clock; None: none.
    """

    inputs: dict[str, Array]
    outputs: tuple[str, ...] = ()
    timeout_us: int = 0
    priority: int = 0
    deadline: int | None = field(default=None, compare=False)


class ServedModel:
    """A network behind its queue. Made by :func:`load_model`.

    Args:
        name: Name that clients ask for.
        bundle: Where it came from.
        artifact: Name of the artifact that runs.
        inputs: What the network takes, as the loaded session says.
        outputs: What it gives.
        max_batch: Rows that run together at most; for a network of a fixed batch that batch.
        batcher: What runs it.
        settings: How it is queued.
    """

    def __init__(
        self,
        name: str,
        bundle: Bundle,
        artifact: str,
        inputs: tuple[TensorSpec, ...],
        outputs: tuple[TensorSpec, ...],
        max_batch: int,
        batcher: Batcher,
        settings: ModelSettings,
    ) -> None:
        self.name = name
        self.bundle = bundle
        self.artifact = artifact
        self.inputs = inputs
        self.outputs = outputs
        self.max_batch = max_batch
        self.batcher = batcher
        self.settings = settings
        self.labels = bundle.labels()
        self.fixed_batch = fixed_batch(inputs)

    @property
    def ready(self) -> bool:
        """Whether it can answer."""
        return self.batcher.alive > 0

    def submit(self, call: InferCall) -> Future[Outcome]:
        """Check a request and queue it.

        Returns:
            What will hold all outputs for the request's rows; cancel it if nobody wants it any
            more.

        Raises:
            InvalidRequestError: If it does not fit the network.
            UnavailableError: If it cannot be queued.
        """
        rows = self._rows(call)
        for name in call.outputs:
            if name not in {spec.name for spec in self.outputs}:
                raise InvalidRequestError(
                    f"Model '{self.name}' has no output '{name}'; "
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
        )
        self.batcher.submit(job)
        return job.future

    def _rows(self, call: InferCall) -> int:
        """Check every input; returns the number of rows that they agree on."""
        names = {spec.name for spec in self.inputs}
        if call.inputs.keys() != names:
            raise InvalidRequestError(
                f"Model '{self.name}' takes the inputs {_listed(sorted(names))}, "
                f"got {_listed(call.inputs) or 'none'}."
            )
        rows: int | None = None
        for spec in self.inputs:
            array = call.inputs[spec.name]
            if array.dtype != np.dtype(spec.dtype):
                raise InvalidRequestError(
                    f"Input '{spec.name}' of model '{self.name}' takes "
                    f"{protocol_name(spec.dtype)}, got {protocol_name(array.dtype)}."
                )
            fits = len(array.shape) == len(spec.shape) and all(
                isinstance(want, str) or want == have
                for want, have in zip(spec.shape, array.shape, strict=True)
            )
            if not fits:
                raise InvalidRequestError(
                    f"Input '{spec.name}' of model '{self.name}' takes shape "
                    f"{wire_shape(spec)}, got {list(array.shape)}."
                )
            if rows is not None and array.shape[0] != rows:
                raise InvalidRequestError(
                    f"The inputs have different batch sizes, {rows} and {array.shape[0]}."
                )
            rows = array.shape[0]
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


def load_model(
    path: Path,
    settings: ModelSettings,
    *,
    name: str = "",
    on_change: Callable[[], None] = lambda: None,
) -> ServedModel:
    """Load a bundle, check its hashes, and warm it up with batch 1 and the maximum.

    Args:
        path: The bundle's folder.
        settings: How it is run and queued.
        name: Name that clients ask for; the network's own if empty.
        on_change: Called when the number of its live instances has changed.

    Raises:
        LrnDeployError: If the bundle is damaged, or cannot run on this machine.
    """
    check_device(settings.device)
    bundle = Bundle.open(path)
    artifact = bundle.manifest.default
    backend = OnnxRuntimeBackend(settings.device, threads=settings.threads)
    if bundle.manifest.artifact(artifact).format not in backend.formats:
        raise BadInputError(
            f"The default artifact '{artifact}' of '{path}' is no ONNX graph, which is all that "
            "can be served.",
            "Choose another default artifact.",
        )
    max_batch = 0

    def make() -> Session:
        nonlocal max_batch
        session = backend.load(bundle.load(artifact))
        max_batch = fixed_batch(session.inputs) or settings.max_batch_size
        for rows in sorted({fixed_batch(session.inputs) or 1, max_batch}):
            session.run(
                {spec.name: np.zeros(spec.at_batch(rows), spec.dtype) for spec in session.inputs}
            )
        return session

    sessions = [make() for _ in range(settings.instances)]
    runners: list[Runner] = list(sessions)
    batcher = Batcher(
        make,
        runners,
        _policy(settings, max_batch),
        PendingQueue(settings.max_queue_requests, settings.max_queue_bytes),
        Statistics(),
        hang_seconds=settings.hang_seconds,
        on_change=on_change,
    )
    return ServedModel(
        name or bundle.manifest.model.name,
        bundle,
        artifact,
        sessions[0].inputs,
        sessions[0].outputs,
        max_batch,
        batcher,
        settings,
    )


def fixed_batch(inputs: tuple[TensorSpec, ...]) -> int | None:
    """The batch that a network was made for, or None if it takes any."""
    batch = inputs[0].shape[0]
    return batch if isinstance(batch, int) else None


def _policy(settings: ModelSettings, max_rows: int) -> Policy:
    if settings.batching == "fixed":
        return Fixed(max_rows, settings.max_queue_delay_us * 1000, settings.preferred_batch_sizes)
    return Adaptive(max_rows, int(settings.slo_ms * 1e6) or None)


def _finite(array: Array) -> bool:
    """Whether no element is NaN or infinite. Both extremes tell, in one pass each, no copy."""
    if array.dtype.kind != "f" or not array.size:
        return True
    return bool(np.isfinite(array.max()) and np.isfinite(array.min()))


def _listed(names: Any) -> str:
    return ", ".join(f"'{name}'" for name in names)
