"""From a bundle's folder to a network that is warm and behind its queue."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from lrn_deploy.backends.protocol import Backend, Session
from lrn_deploy.backends.registry import artifact_backends, check_device
from lrn_deploy.bundle import ArtifactData, Bundle
from lrn_deploy.errors import MissingError
from lrn_deploy.serving.batcher import Batcher
from lrn_deploy.serving.embedding import Embedding, expose
from lrn_deploy.serving.errors import NotFoundError
from lrn_deploy.serving.model import ServedModel, Source, fixed_batch
from lrn_deploy.serving.pending import PendingQueue
from lrn_deploy.serving.policy import Adaptive, Fixed, Policy
from lrn_deploy.serving.settings import ModelSettings
from lrn_deploy.serving.statistics import Statistics
from lrn_deploy.workflows.choice import Pick, pick

_GRAPH_RUNS = 2
"""Runs of one size after which a GPU session replays it: a run that warms up, one to capture."""


def load_model(
    path: Path,
    settings: ModelSettings,
    *,
    name: str = "",
    on_change: Callable[[], None] = lambda: None,
    backends: Callable[[int], Sequence[Backend]] | None = None,
) -> ServedModel:
    """Load a bundle, check its hashes, and warm it up with batch 1 and the maximum.

    Args:
        path: The bundle's folder.
        settings: How it is run and queued.
        name: Name that clients ask for; the network's own if empty.
        on_change: Called when the number of its live instances has changed.
        backends: What it may run on, for a number of threads; None: all on the settings' device.

    Raises:
        LrnDeployError: If the bundle is damaged, or cannot run on this machine.
    """
    check_device(settings.device)
    bundle = Bundle.open(path)
    make_backends = backends or (
        lambda threads: artifact_backends((settings.device,), threads=threads)
    )
    refused: dict[str, MissingError] = {}
    while True:
        try:
            picked = pick(
                bundle,
                (settings.device,),
                threads=settings.threads,
                backends=lambda threads: [
                    item for item in make_backends(threads) if item.name not in refused
                ],
            )
        except MissingError as error:
            raise next(iter(refused.values()), error) from None
        try:
            return _loaded(bundle, picked, refused, settings, name, on_change)
        except MissingError as error:  # this machine lacks what the artifact needs: the next one
            refused[picked.backend.name] = error


def _loaded(
    bundle: Bundle,
    picked: Pick,
    refused: dict[str, MissingError],
    settings: ModelSettings,
    name: str,
    on_change: Callable[[], None],
) -> ServedModel:
    engine = bundle.manifest.artifact(picked.artifact).engine
    largest = min(settings.max_batch_size, engine.batch[2]) if engine else settings.max_batch_size

    def start(content: ArtifactData) -> Session:
        session = picked.backend.load(content)
        _warm(session, largest, every=engine is not None)
        return session

    def restart() -> Session:  # the bytes are not kept
        return start(_read(bundle, picked.artifact, settings)[0])

    data, embedding = _read(bundle, picked.artifact, settings)
    sessions = [start(data) for _ in range(settings.instances)]
    del data
    first = sessions[0]
    max_batch = fixed_batch(first.inputs) or largest
    batcher = Batcher(
        restart,
        list(sessions),
        _policy(settings, max_batch),
        PendingQueue(settings.max_queue_requests, settings.max_queue_bytes),
        Statistics(),
        hang_seconds=settings.hang_seconds,
        on_change=on_change,
    )
    why = "; ".join(
        [picked.reason, *(f"not {at}: {error.message}" for at, error in refused.items())]
    )
    backend = picked.backend
    source = Source(bundle, picked.artifact, backend.name, backend.device, why)
    return ServedModel(
        name or bundle.manifest.model.name,
        source,
        first.inputs,
        first.outputs,
        max_batch,
        batcher,
        settings,
        embedding,
    )


def _read(
    bundle: Bundle, artifact: str, settings: ModelSettings
) -> tuple[ArtifactData, Embedding | str]:
    """The artifact, giving its last hidden layer too if that is wanted; where it is, or why not."""
    data = bundle.load(artifact)
    if not settings.embed:
        return data, "start the server with --embed."
    if data.format != "onnx":
        return data, "the artifact that runs is no ONNX graph."
    try:
        return expose(data, bundle.manifest.outputs[0].name, bundle.manifest.layers)
    except NotFoundError as error:
        return data, error.message


def _warm(session: Session, largest: int, *, every: bool) -> None:
    """Run batch 1 and the largest; with ``every``, each size until its CUDA graph is captured."""
    fixed = fixed_batch(session.inputs)
    sizes = {fixed} if fixed else set(range(1, largest + 1)) if every else {1, largest}
    for rows in sorted(sizes):
        feeds = {spec.name: np.zeros(spec.at_batch(rows), spec.dtype) for spec in session.inputs}
        for _ in range(_GRAPH_RUNS if every else 1):
            session.run(feeds)


def _policy(settings: ModelSettings, max_rows: int) -> Policy:
    if settings.batching == "fixed":
        return Fixed(max_rows, settings.max_queue_delay_us * 1000, settings.preferred_batch_sizes)
    return Adaptive(max_rows, int(settings.slo_ms * 1e6) or None)
