"""A replica whose network waits before each batch, as one does that runs elsewhere."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from typing import Any

from lrn_deploy.backends.protocol import Array, Backend, Probe, Session, SessionBase
from lrn_deploy.backends.registry import artifact_backends
from lrn_deploy.bundle import ArtifactData
from lrn_deploy.cluster.serve.replica import Replica
from lrn_deploy.serving.repository import repository
from lrn_deploy.serving.repository.loading import load_model

WAIT_SECONDS = 0.05


class _WaitingSession(SessionBase):
    def __init__(self, inner: Session) -> None:
        self._inner = inner
        self.inputs = inner.inputs
        self.outputs = inner.outputs

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        time.sleep(WAIT_SECONDS)
        return self._inner.run(feeds)


class _WaitingBackend:
    def __init__(self, inner: Backend) -> None:
        self._inner = inner
        self.name = inner.name
        self.device = inner.device
        self.formats = inner.formats

    def probe(self) -> Probe:
        return self._inner.probe()

    def load(self, artifact: ArtifactData) -> Session:
        return _WaitingSession(self._inner.load(artifact))


def _backends(threads: int) -> Sequence[Backend]:
    return [_WaitingBackend(inner) for inner in artifact_backends(("cpu",), threads=threads)]


class WaitingReplica(Replica):
    """The real one, on backends that wait."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        def load_waiting(*args: Any, **told: Any) -> Any:
            return load_model(*args, **told, backends=_backends)

        # Of this process, which is this replica's own.
        repository.load_model = load_waiting  # type: ignore[attr-defined] # it is imported there
        super().__init__(*arguments, **named)

    def where(self) -> tuple[int, str]:
        """The process, and the node that it is on."""
        import ray

        return os.getpid(), ray.get_runtime_context().get_node_id()
