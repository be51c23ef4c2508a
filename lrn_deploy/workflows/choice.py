"""What to run a bundle with here: what ``tune`` found, or else what suits the machine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lrn_deploy.backends.protocol import Backend
from lrn_deploy.backends.registry import artifact_backends, is_home, place, runs
from lrn_deploy.bundle import Artifact, Bundle
from lrn_deploy.errors import MissingError
from lrn_deploy.placement import MODEL, Placement
from lrn_deploy.precision import is_plain

_LOWERED = "cpu-fp32"
"""The same function as the canonical graph, written for ONNX Runtime's CPU kernels."""

MakeBackends = Callable[[int], Sequence[Backend]]
"""Makes the backends to choose from, in order of preference, for a number of threads."""


@dataclass(frozen=True)
class Pick:
    """An artifact and what to run it with.

    Attributes:
        artifact: The artifact's name.
        backend: A backend that can run here.
        reason: Why these, in one sentence.
    """

    artifact: str
    backend: Backend
    reason: str

    @property
    def placement(self) -> Placement:
        """Where it runs."""
        return place(self.artifact, self.backend)


def pick(
    bundle: Bundle,
    devices: Sequence[str] = ("cpu",),
    *,
    threads: int = 0,
    backends: MakeBackends | None = None,
) -> Pick:
    """Choose what to run.

    A bundle that was tuned says so itself. Else it is an engine that runs here or the canonical
    graph, in the form that suits the backend; never one of a lower precision, which nobody asked
    for.

    Args:
        bundle: The bundle.
        devices: Where to run, in order of preference.
        threads: Threads of one run on the CPU; 0 takes what was tuned, or the runtime's choice.
        backends: What to choose from; None takes every backend on ``devices``.

    Raises:
        MissingError: If nothing can run here.
    """
    make = backends or (lambda count: artifact_backends(devices, threads=count))
    manifest = bundle.manifest
    for rank, choice in enumerate(manifest.choices):
        artifact = manifest.artifacts.get(choice.artifact)
        if artifact is None or artifact.sha256 != choice.sha256:
            continue
        wanted = choice.placement
        for backend in make(threads or wanted.threads):
            named = place(choice.artifact, backend, wanted.threads) == wanted
            if named and runs(backend, artifact) and backend.probe().available:
                why = "tune chose it" if rank == 0 else "the best of tune's that runs here"
                return Pick(choice.artifact, backend, why)
    refused = []
    order = {device: rank for rank, device in enumerate(devices)}
    # An engine was built to be run: the backends for it come first on their device.
    for backend in sorted(
        make(threads),
        key=lambda backend: (order.get(backend.device, len(order)), "onnx" in backend.formats),
    ):
        probe = backend.probe()
        if not probe.available:
            refused.append(f"{backend.name} on {backend.device}: {probe.detail}")
            continue
        for name in _exact(manifest.artifacts, manifest.default, backend):
            return Pick(name, backend, "the bundle was not tuned for this machine")
    raise MissingError(
        f"Nothing can run '{bundle.path}' here: {' '.join(refused) or 'no device was given.'}",
        "'lrn-deploy doctor' lists the backends and how to enable them.",
    )


def pick_named(
    bundle: Bundle,
    device: str,
    *,
    artifact: str | None = None,
    threads: int = 0,
    gpu_memory: int | None = None,
) -> Pick:
    """What :func:`pick` chooses on one device, or the artifact that was named.

    Args:
        bundle: The bundle.
        device: Where to run.
        artifact: Name of the artifact to run; None lets :func:`pick` choose.
        threads: As for :func:`pick`.
        gpu_memory: Most bytes of GPU memory that it may take; None for all that is free.

    Raises:
        BadInputError: If there is no such artifact or device.
        MissingError: If none is named and nothing can run here.
    """

    def make(count: int) -> Sequence[Backend]:
        return artifact_backends([device], threads=count, gpu_memory=gpu_memory)

    if artifact is None:
        return pick(bundle, [device], threads=threads, backends=make)
    backends = make(threads)
    named = bundle.manifest.artifact(artifact)
    fitting = (backend for backend in backends if runs(backend, named))
    return Pick(artifact, next(fitting, backends[0]), "it was asked for")


def _exact(artifacts: dict[str, Artifact], default: str, backend: Backend) -> list[str]:
    """Artifacts for ``backend`` that compute what was exported, the fastest first."""
    engines = [name for name, artifact in artifacts.items() if artifact.engine is not None]
    lowered = _LOWERED in artifacts and is_home(place(_LOWERED, backend), "cpu")
    wanted = [
        *([default] if default != MODEL else []),
        *(name for name in engines if is_plain(artifacts[name].precision)),
        *([_LOWERED] if lowered else []),
        MODEL,
    ]
    return [name for name in wanted if name in artifacts and runs(backend, artifacts[name])]
