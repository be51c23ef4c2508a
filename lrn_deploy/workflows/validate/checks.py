"""Holding one loaded artifact against the samples: outputs, LRN probes and layers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import onnx

from lrn_deploy.backends.protocol import Array, Backend, Session
from lrn_deploy.backends.registry import is_home, place
from lrn_deploy.bundle import Artifact, ArtifactData, LayerTensor, Manifest
from lrn_deploy.errors import LrnDeployError
from lrn_deploy.parity import graph
from lrn_deploy.parity.budget import Budget
from lrn_deploy.parity.budgets import Budgets
from lrn_deploy.parity.inputs import regime_of
from lrn_deploy.parity.metrics import compare
from lrn_deploy.parity.probe import Runner, probe_layer
from lrn_deploy.parity.schema import Check, Drift, Kind, Verdict
from lrn_deploy.placement import Placement
from lrn_deploy.workflows.validate.reference import lrn_labels
from lrn_deploy.workflows.validate.samples import Sample

LAYER_BATCH = 8
"""Batch size of --layerwise, where the artifact takes it."""


@dataclass(frozen=True)
class Checked:
    """What is being checked.

    Attributes:
        placement: The artifact, and what runs it.
        precision: Which row of the budgets it is held to.
        note: What else the report is to say of the backend; empty if nothing.
    """

    placement: Placement
    precision: str
    note: str = ""

    @property
    def artifact(self) -> str:
        """The artifact's name; empty for the reference."""
        return self.placement.artifact

    @property
    def backend(self) -> str:
        """Backend and device, for the report."""
        where = self.placement.where
        return f"{where}, {self.note}" if self.note else where


def check_outputs(
    checked: Checked,
    session: Session,
    samples: Sequence[Sample],
    batches: Sequence[int],
    budgets: Budgets,
    kind: Kind = "outputs",
) -> Iterator[Check]:
    """Every output on every set of inputs at every batch size."""
    for batch in batches:
        for sample in samples:
            budget = budgets.budget(checked.precision, regime_of(sample.name))
            try:
                outputs = run_in_batches(session, sample.feeds, batch)
            except LrnDeployError as error:
                yield no_metrics(
                    checked, "fail", error.message, kind, inputs=sample.name, batch=batch
                )
                continue
            for name, truth in sample.outputs.items():
                if name not in outputs:
                    reason = f"it has no output '{name}'"
                    yield no_metrics(checked, "fail", reason, kind, name, sample.name, batch)
                    continue
                output = outputs[name]
                yield judge(checked, kind, name, output, truth, budget, sample.name, batch)


def check_probes(
    checked: Checked,
    backend: Backend,
    whole: ArtifactData,
    model: onnx.ModelProto,
    manifest: Manifest,
    budgets: Budgets,
) -> Iterator[Check]:
    """Every LRN layer of an ONNX artifact, alone.

    Args:
        checked: What is being checked.
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

    budget = budgets.budget(checked.precision, "probe")
    assert budget is not None, "every precision is judged by its LRN layers alone"
    for label, layer in zip(lrn_labels(manifest), manifest.lrn_layers, strict=True):
        for result in probe_layer(model, layer, load, budget):
            yield Check(
                kind="probe",
                artifact=checked.artifact,
                backend=checked.backend,
                subject=label,
                inputs="" if result.amplitude is None else f"amplitude {result.amplitude:g}",
                metrics=result.metrics,
                budget=budget,
                verdict=result.verdict,
                reason=result.reason,
            )


def check_layers(
    checked: Checked,
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
        checked: What is being checked.
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
            budget = budgets.budget(checked.precision, regime_of(sample.name))
            try:
                outputs = run_in_batches(session, sample.feeds, batch)
            except LrnDeployError as error:
                checks.append(
                    no_metrics(checked, "fail", error.message, "layer", inputs=sample.name)
                )
                continue
            for layer in present:
                name, output = layer.module, outputs[layer.tensor]
                checks.append(
                    judge(checked, "layer", name, output, truths[name], budget, sample.name)
                )
    order = {layer.module: at for at, layer in enumerate(layers)}
    over = [check for check in checks if check.verdict == "fail"]
    first = min(over, key=lambda check: order.get(check.subject, -1), default=None)
    return checks, Drift(
        artifact=checked.artifact,
        backend=checked.backend,
        first=first,
        compared=len(present),
        missing=missing,
    )


def judge(
    checked: Checked,
    kind: Kind,
    name: str,
    output: Array,
    truth: Array,
    budget: Budget | None,
    inputs: str = "",
    batch: int | None = None,
) -> Check:
    """Compare one array with its reference; without a budget the metrics are only told."""
    if output.shape != truth.shape:
        reason = f"it gives shape {list(output.shape[1:])} instead of {list(truth.shape[1:])}"
        return no_metrics(checked, "fail", reason, kind, name, inputs, batch)
    metrics = compare(output, truth)
    verdict: Verdict = "pass"
    reason = ""
    if budget is None:
        verdict, reason = "unjudged", f"{checked.precision} is not made for such inputs"
    elif not budget.holds(metrics):
        verdict, reason = "fail", "over budget"
    if budget is not None and metrics.nonfinite_mismatches:
        reason = f"{metrics.nonfinite_mismatches} values are NaN or infinite on one side only"
    return Check(
        kind=kind,
        artifact=checked.artifact,
        backend=checked.backend,
        subject=name,
        inputs=inputs,
        batch=batch,
        metrics=metrics,
        budget=budget,
        verdict=verdict,
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
    fixed = session.inputs[0].fixed_batch
    low, high = (fixed, fixed) if fixed is not None else (1, max(batches))
    if artifact.engine is not None:
        low, _, high = artifact.engine.batch
    return tuple(sorted({min(max(batch, low), high) for batch in batches}))


def not_built(manifest: Manifest, name: str, backends: Sequence[Backend]) -> Iterator[Check]:
    """Rows for the GPUs on which TensorRT would run a variant that no engine was built from.

    Such a graph is made to be built. What else runs it on a GPU, if anything does, tells little.
    """
    artifact = manifest.artifact(name)
    built = {record.engine.source_sha256 for record in manifest.artifacts.values() if record.engine}
    if artifact.target != "tensorrt" or artifact.sha256 in built:
        return
    command = f"lrn-deploy build-engine --precision {artifact.precision}"
    for backend in backends:
        placement = place(name, backend)
        if is_home(placement, "tensorrt") and backend.probe().available:
            checked = Checked(placement, artifact.precision)
            yield no_metrics(checked, "skipped", f"no engine was built from it: run '{command}'")


def no_metrics(
    checked: Checked,
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
        artifact=checked.artifact,
        backend=checked.backend,
        subject=name,
        inputs=inputs,
        batch=batch,
        verdict=verdict,
        reason=reason,
    )
