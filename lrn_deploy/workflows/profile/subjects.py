"""What a profile measures: artifacts loaded on the backends that run here, and why others are not.

Everything is loaded at once, since what is compared must run in turns.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from lrn_deploy.backends.protocol import Array, Backend, Session
from lrn_deploy.backends.registry import DEVICES, artifact_backends, place, runs
from lrn_deploy.bundle import Artifact, ArtifactData, Bundle
from lrn_deploy.errors import LrnDeployError
from lrn_deploy.latency import floor
from lrn_deploy.latency.schema import Row, Start
from lrn_deploy.latency.work import NodeWork, graph_work
from lrn_deploy.parity.inputs import random_set
from lrn_deploy.placement import Placement
from lrn_deploy.progress import Progress
from lrn_deploy.workflows.profile.first_run import measure_first_run
from lrn_deploy.workflows.profile.options import ProfileOptions
from lrn_deploy.workflows.validate.checks import fitting_batches

Label = Literal["this", "other"]


@dataclass(frozen=True)
class Subject:
    """One artifact on one backend.

    Attributes:
        label: ``this`` bundle's, or the ``other`` one's.
        name: The artifact's name.
        artifact: Its record.
        backend: What runs it.
        session: It, loaded; None if it cannot run.
        reason: Why it cannot run; empty if it can.
        feeds: Inputs of as many rows as the largest batch.
        batches: Batch sizes that it is measured at.
        work: What its graph has to do; empty where that is not known.
        start: What its first run cost; None if that was not asked for.
    """

    label: Label
    name: str
    artifact: Artifact
    backend: Backend | None
    session: Session | None = None
    reason: str = ""
    feeds: Mapping[str, Array] | None = None
    batches: tuple[int, ...] = ()
    work: tuple[NodeWork, ...] = ()
    start: Start | None = None

    @property
    def placement(self) -> Placement:
        """The artifact, and what runs it; without a backend if none takes the format."""
        return place(self.name, self.backend) if self.backend else Placement(self.name, "", "")

    @property
    def where(self) -> str:
        """Backend and device, ``onnxruntime:cpu``; empty if no backend takes the format."""
        return self.placement.where

    @property
    def key(self) -> str:
        """A name that no other subject of the profile has."""
        return f"{self.label}/{self.name}/{self.where}"

    def rows(self, batch: int) -> dict[str, Array]:
        """Inputs of ``batch`` items."""
        assert self.feeds is not None
        return {name: values[:batch].copy() for name, values in self.feeds.items()}

    def candidate(self, batch: int) -> Callable[[], object]:
        """A run of ``batch`` items."""
        session, rows = self.session, self.rows(batch)
        assert session is not None
        return lambda: session.run(rows)

    def row(self, batch: int | None = None, reason: str = "", **measured: Any) -> Row:
        """A row with what was measured, or with the reason why nothing was."""
        return Row(
            bundle=self.label,
            artifact=self.name,
            sha256=self.artifact.sha256,
            backend=self.where,
            precision=self.artifact.precision,
            batch=batch,
            reason=reason or self.reason,
            **measured,
        )


def load_subjects(
    bundle: Bundle,
    names: tuple[str, ...],
    options: ProfileOptions,
    label: Label,
    progress: Progress,
) -> list[Subject]:
    """Load artifacts of a bundle on every backend that runs them here.

    Raises:
        BadInputError: If a name or a device does not exist.
        DamagedError: If a file is not what the manifest says.
    """
    subjects = []
    devices = options.devices or DEVICES
    for name in names:
        artifact = bundle.manifest.artifact(name)
        data = bundle.load(name)
        backends = [
            backend
            for backend in artifact_backends(devices, threads=options.threads)
            if runs(backend, artifact)
        ]
        if not backends:
            reason = f"no backend on {' or '.join(devices)} runs the format {artifact.format}"
            if artifact.target != "any":
                reason += f", made for {artifact.target}"
            subjects.append(Subject(label, name, artifact, None, reason=reason))
        for backend in backends:
            progress(f"loading {name} on {place(name, backend).where}", 0, 1)
            subjects.append(_load(bundle, name, data, backend, options, label))
    return subjects


def _load(
    bundle: Bundle,
    name: str,
    data: ArtifactData,
    backend: Backend,
    options: ProfileOptions,
    label: Label,
) -> Subject:
    artifact = bundle.manifest.artifact(name)
    probe = backend.probe()
    if not probe.available:
        return Subject(label, name, artifact, backend, reason=probe.detail)
    start = None
    if options.first_run:
        cost = measure_first_run(
            bundle.path, name, backend, threads=options.threads, largest=max(options.batches)
        )
        where = place(name, backend).where
        start = Start(bundle=label, artifact=name, backend=where, cost=cost)
        if cost.error:  # a runtime that died on it would take this process along
            return Subject(label, name, artifact, backend, reason=cost.error, start=start)
    try:
        session = backend.load(data)
    except LrnDeployError as error:
        return Subject(label, name, artifact, backend, reason=error.message, start=start)
    batches = fitting_batches(artifact, session, options.batches)
    preprocessing = bundle.manifest.preprocessing
    drawn = random_set(bundle.manifest.inputs, preprocessing, max(batches)).feeds
    feeds = {
        spec.name: drawn[spec.name].astype(spec.dtype, copy=False)
        if spec.name in drawn
        else random_set([spec], None, max(batches)).feeds[spec.name]
        for spec in session.inputs
    }
    on_cpu = backend.device == "cpu" and artifact.format == "onnx"
    work = graph_work(data.data) if on_cpu else ()
    return Subject(
        label, name, artifact, backend, session, "", feeds, batches, work=work, start=start
    )


def matrix_products(options: ProfileOptions) -> dict[str, Callable[[], object]]:
    """What multiplies matrices on this machine's processor: numpy, and each backend that can."""
    products: dict[str, Callable[[], object]] = {"fp32:numpy": floor.numpy_product()}
    for backend in artifact_backends(["cpu"], threads=options.threads):
        if not backend.probe().available or "onnx" not in backend.formats:
            continue
        for kind in ("fp32", "int8"):
            data = ArtifactData("matrix product", "onnx", floor.product_graph(kind))
            feeds = {"x": floor.product_input(kind)}
            try:
                session = backend.load(data)
                session.run(feeds)
            except LrnDeployError:
                continue  # it has no kernel for this type, so it cannot show its rate

            def product(session: Session = session, feeds: Mapping[str, Array] = feeds) -> object:
                return session.run(feeds)

            products[f"{kind}:{backend.name}"] = product
    return products
