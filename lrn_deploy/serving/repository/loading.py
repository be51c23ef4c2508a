"""From a bundle's folder to a network that is warm and behind its queue."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from lrn_deploy.backends.protocol import Backend, Session
from lrn_deploy.backends.registry import artifact_backends, check_device
from lrn_deploy.bundle import ArtifactData, Bundle
from lrn_deploy.errors import DamagedError, LrnDeployError, MissingError
from lrn_deploy.serving.batching.batcher import Batcher
from lrn_deploy.serving.batching.policy import Adaptive, Fixed, Policy
from lrn_deploy.serving.batching.queue import PendingQueue
from lrn_deploy.serving.batching.statistics import Statistics
from lrn_deploy.serving.errors import NotFoundError
from lrn_deploy.serving.repository.embedding import Embedding, expose
from lrn_deploy.serving.repository.model import ServedModel, Source
from lrn_deploy.serving.settings import ModelSettings
from lrn_deploy.workflows.choice import Pick, pick, pick_named

_HERE_SECONDS = 200e-6
"""To hand a batch to another thread and its answers back takes about half as long."""


def load_model(
    path: Path,
    settings: ModelSettings,
    *,
    name: str = "",
    artifact: str = "",
    on_change: Callable[[], None] = lambda: None,
    backends: Callable[[int], Sequence[Backend]] | None = None,
) -> ServedModel:
    """Load a bundle, check its hashes, and warm it up with batch 1 and the maximum.

    Args:
        path: The bundle's folder.
        settings: How it is run and queued.
        name: Name that callers ask for; the network's own if empty.
        artifact: Name of the artifact to run; what suits the machine if empty.
        on_change: Called when the number of its live instances has changed.
        backends: What it may run on, for a number of threads; None: all on the settings' device.

    Raises:
        LrnDeployError: If the bundle is damaged, lacks the artifact, or cannot run on this machine.
    """
    check_device(settings.device)
    bundle = Bundle.open(path)
    if artifact:
        picked = pick_named(bundle, settings.device, artifact=artifact, threads=settings.threads)
        why = picked.reason
        sessions, embedding = _made(bundle, picked, settings, settings.instances)
    else:
        picked, sessions, embedding, why = _sessions(bundle, settings, backends)
    first = sessions[0]
    engine = bundle.manifest.artifact(picked.artifact).engine
    smallest, largest = (
        (engine.batch[0], engine.batch[2]) if engine else (1, settings.max_batch_size)
    )
    fixed = first.inputs[0].fixed_batch
    max_batch = fixed or min(settings.max_batch_size, largest)
    sizes = {fixed or smallest, max_batch}
    if engine:  # each has a CUDA graph of its own, which the second run captures
        sizes = set(range(min(sizes), max_batch + 1))
    runs = 2 if engine else 1

    def restart() -> Session:  # the bytes are not kept
        (session,), _ = _made(bundle, picked, settings, 1)
        _warm(session, sizes, runs)
        return session

    for session in sessions:
        _warm(session, sizes, runs)
    batcher = Batcher(
        restart,
        list(sessions),
        _policy(settings, max_batch),
        PendingQueue(settings.max_queue_requests, settings.max_queue_bytes),
        Statistics(),
        hang_seconds=settings.hang_seconds,
        here_seconds=_HERE_SECONDS if picked.backend.device == "cpu" else 0,
        on_change=on_change,
    )
    source = Source(bundle, picked.artifact, picked.backend.name, picked.backend.device, why)
    name = name or bundle.manifest.model.name
    return ServedModel(
        name, source, first.inputs, first.outputs, max_batch, batcher, settings, embedding
    )


def _sessions(
    bundle: Bundle,
    settings: ModelSettings,
    backends: Callable[[int], Sequence[Backend]] | None,
) -> tuple[Pick, list[Session], Embedding | str, str]:
    """What was picked, a session for each instance, where the embedding is, and why these.

    Where this machine lacks what the pick needs, the next best is taken.
    """
    make = backends or (lambda threads: artifact_backends((settings.device,), threads=threads))
    refused: dict[str, LrnDeployError] = {}
    while True:
        try:
            picked = pick(
                bundle,
                (settings.device,),
                threads=settings.threads,
                backends=lambda threads: [
                    backend for backend in make(threads) if backend.name not in refused
                ],
            )
        except MissingError as error:
            raise next(iter(refused.values()), error) from None
        try:
            sessions, embedding = _made(bundle, picked, settings, settings.instances)
        except (MissingError, DamagedError) as error:
            engine = bundle.manifest.artifact(picked.artifact).engine
            if isinstance(error, DamagedError) and engine is None:
                raise
            refused[picked.backend.name] = error  # an engine that was built for another machine too
            continue
        why = [picked.reason, *(f"not {at}: {error.message}" for at, error in refused.items())]
        return picked, sessions, embedding, "; ".join(why)


def _made(
    bundle: Bundle, picked: Pick, settings: ModelSettings, count: int
) -> tuple[list[Session], Embedding | str]:
    """Sessions of an artifact, and where its embedding is, or why it has none."""

    def make(data: ArtifactData) -> tuple[list[Session], Embedding | str]:
        data, embedding = _exposed(data, bundle, settings)
        return [picked.backend.load(data) for _ in range(count)], embedding

    artifact = bundle.manifest.artifact(picked.artifact)
    if picked.backend.name == "onnxruntime" and not (artifact.companions or settings.embed):
        return bundle.use(picked.artifact, make)
    return make(bundle.load(picked.artifact))


def _exposed(
    data: ArtifactData, bundle: Bundle, settings: ModelSettings
) -> tuple[ArtifactData, Embedding | str]:
    """The artifact, giving its last hidden layer too if that is wanted; where it is, or why not."""
    if not settings.embed:
        return data, "start the server with --embed."
    if data.format != "onnx":
        return data, "the artifact that runs is no ONNX graph."
    try:
        return expose(data, bundle.manifest.outputs[0].name, bundle.manifest.layers)
    except NotFoundError as error:
        return data, error.message


def _warm(session: Session, sizes: set[int], runs: int) -> None:
    """Run each batch size so many times."""
    for rows in sorted(sizes):
        feeds = {spec.name: np.zeros(spec.at_batch(rows), spec.dtype) for spec in session.inputs}
        for _ in range(runs):
            session.run(feeds)


def _policy(settings: ModelSettings, max_rows: int) -> Policy:
    if settings.batching == "fixed":
        return Fixed(max_rows, settings.max_queue_delay_us * 1000, settings.preferred_batch_sizes)
    return Adaptive(max_rows, int(settings.slo_ms * 1e6) or None)
