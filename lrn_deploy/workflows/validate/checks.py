"""Holding one loaded artifact against the samples: outputs, LRN probes and layers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import onnx

from lrn_deploy.backends.protocol import Array, Backend, Session
from lrn_deploy.bundle import Artifact, ArtifactData, LayerTensor, Manifest
from lrn_deploy.errors import LrnDeployError, MissingError, NoKernelError
from lrn_deploy.parity import graph
from lrn_deploy.parity.budgets import Budget, Budgets
from lrn_deploy.parity.metrics import compare
from lrn_deploy.parity.probe import Runner, probe_layer
from lrn_deploy.parity.report import Check, Drift, Kind, Verdict
from lrn_deploy.parity.samples import regime_of
from lrn_deploy.workflows.validate.reference import lrn_labels
from lrn_deploy.workflows.validate.samples import Sample

LAYER_BATCH = 8
"""Batch size of --layerwise, where the artifact takes it."""


@dataclass(frozen=True)
class Subject:
    """What is being checked.

    Attributes:
        artifact: The artifact's name; empty for the reference.
        backend: Backend and device, for the report.
        precision: Which row of the budgets it is held to.
    """

    artifact: str
    backend: str
    precision: str


def check_outputs(
    subject: Subject,
    session: Session,
    samples: Sequence[Sample],
    batches: Sequence[int],
    budgets: Budgets,
    kind: Kind = "outputs",
) -> Iterator[Check]:
    """Every output on every set of inputs at every batch size."""
    for batch in batches:
        for sample in samples:
            budget = budgets.budget(subject.precision, regime_of(sample.name))
            try:
                outputs = run_in_batches(session, sample.feeds, batch)
            except LrnDeployError as error:
                yield no_metrics(
                    subject, "fail", error.message, kind, inputs=sample.name, batch=batch
                )
                continue
            for name, truth in sample.outputs.items():
                if name not in outputs:
                    reason = f"it has no output '{name}'"
                    yield no_metrics(subject, "fail", reason, kind, name, sample.name, batch)
                    continue
                check = judge(subject, kind, name, outputs[name], truth, budget)
                yield check.model_copy(update={"inputs": sample.name, "batch": batch})


def check_probes(
    subject: Subject,
    backend: Backend,
    whole: ArtifactData,
    model: onnx.ModelProto,
    manifest: Manifest,
    budgets: Budgets,
) -> Iterator[Check]:
    """Every LRN layer of an ONNX artifact, alone.

    Args:
        subject: What is being checked.
        backend: Runs it.
        whole: The artifact, whose precision and target the pieces are loaded with.
        model: Its graph.
        manifest: The bundle's.
        budgets: The budgets.
    """

    @contextmanager
    def load(data: bytes) -> Iterator[Runner]:
        with backend.load(replace(whole, name="LRN probe", data=data)) as session:
            yield session

    budget = budgets.budget(subject.precision, "probe")
    assert budget is not None, "every precision is judged by its LRN layers alone"
    for label, layer in zip(lrn_labels(manifest), manifest.lrn_layers, strict=True):
        for result in probe_layer(model, layer, load, budget):
            yield Check(
                kind="probe",
                artifact=subject.artifact,
                backend=subject.backend,
                subject=label,
                inputs="" if result.amplitude is None else f"amplitude {result.amplitude:g}",
                metrics=result.metrics,
                budget=budget,
                verdict=result.verdict,
                reason=result.reason,
            )


def check_layers(
    subject: Subject,
    backend: Backend,
    artifact: Artifact,
    whole: ArtifactData,
    model: onnx.ModelProto,
    layers: Sequence[LayerTensor],
    samples: Sequence[tuple[Sample, Mapping[str, Array]]],
    budgets: Budgets,
) -> tuple[list[Check], Drift]:
    """The output of every layer, and the first one that is over its budget.

    Args:
        subject: What is being checked.
        backend: Runs it.
        artifact: Its record.
        whole: The artifact, whose precision and target the marked graph is loaded with.
        model: Its graph, into which the intermediate values are marked as outputs.
        layers: Which value is which module's output, in the order in which they run.
        samples: Sets of inputs, with the reference's output of each module by its path.
        budgets: The budgets.
    """
    names = graph.value_names(model)
    present = [layer for layer in layers if layer.tensor in names]
    missing = tuple(layer.module for layer in layers if layer.tensor not in names)
    data = graph.with_outputs(model, [layer.tensor for layer in present])
    checks: list[Check] = []
    with backend.load(replace(whole, data=data)) as session:
        batch = fitting_batches(artifact, session, [LAYER_BATCH])[0]
        for sample, truths in samples:
            budget = budgets.budget(subject.precision, regime_of(sample.name))
            try:
                outputs = run_in_batches(session, sample.feeds, batch)
            except LrnDeployError as error:
                checks.append(
                    no_metrics(subject, "fail", error.message, "layer", inputs=sample.name)
                )
                continue
            for layer in present:
                check = judge(
                    subject,
                    "layer",
                    layer.module,
                    outputs[layer.tensor],
                    truths[layer.module],
                    budget,
                )
                checks.append(check.model_copy(update={"inputs": sample.name}))
    order = {layer.module: at for at, layer in enumerate(layers)}
    over = [check for check in checks if check.verdict == "fail"]
    first = min(over, key=lambda check: order.get(check.subject, -1), default=None)
    return checks, Drift(
        artifact=subject.artifact,
        backend=subject.backend,
        first=first,
        compared=len(present),
        missing=missing,
    )


def judge(
    subject: Subject, kind: Kind, name: str, output: Array, truth: Array, budget: Budget | None
) -> Check:
    """Compare one array with its reference; without a budget the metrics are only told."""
    if output.shape != truth.shape:
        reason = f"it gives shape {list(output.shape[1:])} instead of {list(truth.shape[1:])}"
        return no_metrics(subject, "fail", reason, kind, name)
    metrics = compare(output, truth)
    if budget is None:
        return Check(
            kind=kind,
            artifact=subject.artifact,
            backend=subject.backend,
            subject=name,
            metrics=metrics,
            verdict="unjudged",
            reason=f"{subject.precision} is not made for such inputs",
        )
    holds = budget.holds(metrics)
    reason = ""
    if metrics.nonfinite_mismatches:
        reason = f"{metrics.nonfinite_mismatches} values are NaN or infinite on one side only"
    elif not holds:
        reason = "over budget"
    return Check(
        kind=kind,
        artifact=subject.artifact,
        backend=subject.backend,
        subject=name,
        metrics=metrics,
        budget=budget,
        verdict="pass" if holds else "fail",
        reason=reason,
    )


def run_in_batches(session: Session, feeds: Mapping[str, Array], batch: int) -> dict[str, Array]:
    """Run all rows of ``feeds`` in batches of exactly ``batch``, the last filled up from the front.

    Returns:
        Outputs by name, one row for each row of the feeds.
    """
    rows = len(next(iter(feeds.values())))
    parts: dict[str, list[Array]] = {}
    for start in range(0, rows, batch):
        taken = np.arange(start, start + batch) % rows
        for name, value in session.run({key: all_[taken] for key, all_ in feeds.items()}).items():
            parts.setdefault(name, []).append(value)
    return {name: np.concatenate(values)[:rows] for name, values in parts.items()}


def fitting_batches(
    artifact: Artifact, session: Session, batches: Sequence[int]
) -> tuple[int, ...]:
    """The batch sizes to run at: those asked for, as far as the artifact takes them.

    An engine has a range of batches, and a graph may have one only; a size beyond them becomes
    the nearest that fits.
    """
    axis = session.inputs[0].shape[0]
    low, high = (axis, axis) if isinstance(axis, int) else (1, max(batches))
    if artifact.engine is not None:
        low, _, high = artifact.engine.batch
    return tuple(sorted({min(max(batch, low), high) for batch in batches}))


def cannot_run_here(artifact: Artifact, backend: Backend, error: LrnDeployError) -> bool:
    """Whether a refusal to load speaks of this machine or runtime rather than of the artifact.

    An engine is made for some GPUs, and a variant may ask for what a processor has no units for
    (bf16 in OpenVINO) or, unless it was made for that very device, for what a runtime has no kernel
    (bf16 in ONNX Runtime, on the CPU and on a GPU). OpenVINO need not take what was not made for
    it, which ONNX Runtime runs. The canonical graph, though, must run everywhere else, and its
    bytes are those that were recorded, so there it is the graph that is wrong.
    """
    if artifact.engine is not None:
        return True
    if backend.name == "openvino" and artifact.target != "openvino":
        return True
    if artifact.source is None:
        return False
    if isinstance(error, NoKernelError):
        return artifact.target != backend.device.partition(":")[0]
    return isinstance(error, MissingError)


def not_built(manifest: Manifest, name: str, backends: Sequence[Backend]) -> Iterator[Check]:
    """Rows for the GPUs on which TensorRT would run a variant that no engine was built from.

    Such a graph is made to be built. What else runs it on a GPU, if anything does, tells little.
    """
    artifact = manifest.artifact(name)
    built = {item.engine.source_sha256 for item in manifest.artifacts.values() if item.engine}
    if artifact.target != "tensorrt" or artifact.sha256 in built:
        return
    command = f"lrn-deploy build-engine --precision {artifact.precision}"
    for backend in backends:
        if backend.name == "tensorrt" and backend.probe().available:
            subject = Subject(name, f"{backend.name}:{backend.device}", artifact.precision)
            yield no_metrics(subject, "skipped", f"no engine was built from it: run '{command}'")


def no_metrics(
    subject: Subject,
    verdict: Verdict,
    reason: str,
    kind: Kind = "outputs",
    name: str = "",
    inputs: str = "",
    batch: int | None = None,
) -> Check:
    """A row for what could not be compared, and why."""
    return Check(
        kind=kind,
        artifact=subject.artifact,
        backend=subject.backend,
        subject=name,
        inputs=inputs,
        batch=batch,
        verdict=verdict,
        reason=reason,
    )
