"""Validate a bundle: every artifact, on every backend that can run here, against the reference."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import onnx_ir as ir

from lrn_deploy.backends.protocol import Array, Backend
from lrn_deploy.backends.registry import (
    DEVICES,
    artifact_backends,
    cannot_run_here,
    is_emulated,
    place,
    runs,
    torch_backends,
)
from lrn_deploy.backends.torch import TorchBackend
from lrn_deploy.bundle import Artifact, ArtifactData, Bundle
from lrn_deploy.bundle.staleness import stale_inputs
from lrn_deploy.circumstances import Circumstances
from lrn_deploy.errors import BadInputError, DamagedError, LrnDeployError, MissingError
from lrn_deploy.extras import install
from lrn_deploy.parity import graph
from lrn_deploy.parity.activity import ordinary_warning
from lrn_deploy.parity.inputs import regime_of
from lrn_deploy.parity.schema import Check, Drift, ParityReport, caught_by
from lrn_deploy.passes.emulate_half import emulate_half
from lrn_deploy.placement import Placement
from lrn_deploy.progress import Progress, silent
from lrn_deploy.workflows.outcome import Reported
from lrn_deploy.workflows.validate.checks import (
    Checked,
    check_layers,
    check_outputs,
    check_probes,
    fitting_batches,
    no_metrics,
    not_built,
)
from lrn_deploy.workflows.validate.options import ValidateOptions
from lrn_deploy.workflows.validate.reference import (
    ReferenceSession,
    open_reference,
    reference_names,
    trace_layers,
)
from lrn_deploy.workflows.validate.samples import Sample, Samples, ensure_samples

REPORT = "reports/parity.json"


def validate(
    bundle: Bundle, options: ValidateOptions | None = None, progress: Progress = silent
) -> Reported[ParityReport]:
    """Compare every artifact with the reference, and write ``reports/parity.json``.

    The reference is PyTorch in float32. Where it cannot run, its outputs that are stored with the
    bundle's samples take its place.

    Args:
        bundle: The bundle. Its samples are made, or made again, if need be.
        options: How to validate.
        progress: Told what goes on.

    Returns:
        The report; its verdict is ``fail`` if one check failed.

    Raises:
        MissingError: If nothing can run here, or samples are needed and cannot be made.
        DamagedError: If a file of the bundle is not what the manifest says.
        CannotWriteError: If the samples or the report cannot be written.
    """
    return _Validation(bundle, options or ValidateOptions(), progress).run()


class _Validation:
    """One run of :func:`validate`."""

    def __init__(self, bundle: Bundle, options: ValidateOptions, progress: Progress) -> None:
        self.bundle = bundle
        self.options = options
        self.progress = progress
        self.warnings: list[str] = []
        self.drift: list[Drift] = []

    def run(self) -> Reported[ParityReport]:
        steps = len(self._artifacts()) + 2
        with Circumstances() as around:
            checks = self._checks(steps)
        self.progress("writing the report", steps - 1, steps)
        report = self._report(checks, around)
        self.bundle.add_file(REPORT, (report.model_dump_json(indent=2) + "\n").encode())
        self.progress("done", steps, steps)
        return Reported(self.bundle, report)

    def _checks(self, steps: int) -> list[Check]:
        """All checks; meanwhile the bundle gains its samples, and the report its warnings."""
        self.progress("computing the reference", 0, steps)
        session, why_not = self._reference()
        samples = ensure_samples(
            self.bundle,
            session,
            images=self.options.images,
            rows=max(self.options.batches),
            missing=why_not,
        )
        self.bundle = samples.bundle
        manifest = self.bundle.manifest
        self.warnings.extend(samples.warnings)
        self.warnings.extend(stale_inputs(manifest))
        checks = list(self._check_reference(session, why_not, samples))
        truths = self._layers(session, samples, why_not) if self.options.layerwise else None
        if session is not None:
            session.close()
        del session
        for done, name in enumerate(self._artifacts(), start=1):
            self.progress(f"checking {name}", done, steps)
            checks.extend(self._check_artifact(name, manifest.artifacts[name], samples, truths))
        self._require_some(checks)
        return checks

    def _reference(self) -> tuple[ReferenceSession | None, str]:
        """PyTorch with the bundle's network, or why that cannot run here."""
        manifest = self.bundle.manifest
        backend = TorchBackend()
        probe = backend.probe()
        if not probe.available and not manifest.model.imported:
            return None, probe.detail
        try:
            return open_reference(manifest, backend), ""
        except (BadInputError, MissingError) as error:
            if not manifest.samples:
                raise
            return None, error.message

    def _check_reference(
        self, session: ReferenceSession | None, why_not: str, samples: Samples
    ) -> Iterator[Check]:
        """PyTorch against the stored samples: a stale reference must not go unnoticed."""
        if session is None:
            name, library = reference_names(self.bundle.manifest)
            self.warnings.append(f"{name} did not take part, stored outputs did: {why_not}")
            unseen = Checked(Placement("", library, "cpu"), "fp32")
            yield no_metrics(unseen, "skipped", why_not, "reference")
            return
        # One batch size will do: this asks whether the samples are still this network's.
        batches = self.options.batches
        yield from check_outputs(
            Checked(Placement.read("", session.label), "fp32"),
            session,
            samples.sets,
            batches[len(batches) // 2 :][:1],
            self.options.budgets,
            kind="reference",
        )
        for backend in torch_backends(self._devices()):
            if self.bundle.manifest.model.imported:
                break  # the reference of files has one device
            if backend.device == "cpu" or not backend.probe().available:
                continue
            checked = Checked(place("", backend), "fp32")
            with open_reference(self.bundle.manifest, backend) as other:
                yield from check_outputs(
                    checked, other, samples.sets, self.options.batches, self.options.budgets
                )

    def _layers(
        self, session: ReferenceSession | None, samples: Samples, why_not: str
    ) -> list[tuple[Sample, dict[str, Array]]]:
        """The output of every module of the reference on every set of inputs."""
        if session is None:
            raise MissingError(
                f"--layerwise needs the network in PyTorch: {why_not}",
                f"Leave out --layerwise, or install PyTorch with: {install('export')}",
            )
        manifest = self.bundle.manifest
        return [(sample, trace_layers(manifest, session, sample.feeds)) for sample in samples.sets]

    def _check_artifact(
        self,
        name: str,
        artifact: Artifact,
        samples: Samples,
        truths: list[tuple[Sample, dict[str, Array]]] | None,
    ) -> Iterator[Check]:
        """One artifact on every backend that can run here, or the reasons why none can."""
        known = artifact_backends(self._devices(), gpu_memory=self.options.gpu_memory)
        yield from not_built(self.bundle.manifest, name, known)
        backends = [
            backend
            for backend in known
            if runs(backend, artifact) and self._is_wanted(place(name, backend))
        ]
        if not backends:
            reason = (
                f"no backend on {' or '.join(self._devices())} runs the format {artifact.format} "
                f"for the target {artifact.target}"
            )
            nowhere = Checked(Placement(name, "", ""), artifact.precision)
            yield no_metrics(nowhere, "skipped", reason)
            return
        for backend in backends:
            checked = Checked(place(name, backend), artifact.precision)
            probe = backend.probe()
            if probe.available:
                yield from self._check_on(checked, backend, artifact, samples, truths)
            else:
                yield self._not_run(checked, artifact, probe.detail)

    def _not_run(self, checked: Checked, artifact: Artifact, why_not: str) -> Check:
        """What is known of an artifact that cannot run here: at least that its bytes are whole."""
        self.bundle.load(checked.artifact)
        known = "built, parsed and hashed, not run: " if artifact.engine is not None else ""
        return no_metrics(checked, "skipped", known + why_not)

    def _check_on(
        self,
        checked: Checked,
        backend: Backend,
        artifact: Artifact,
        samples: Samples,
        truths: list[tuple[Sample, dict[str, Array]]] | None,
    ) -> Iterator[Check]:
        options, manifest = self.options, self.bundle.manifest
        data = self.bundle.load(checked.artifact)
        if is_emulated(backend, artifact):
            data = _emulated(data)
            checked = replace(checked, note=f"{artifact.precision} emulated")
        try:
            with backend.load(data) as session:
                batches = fitting_batches(artifact, session, options.batches)
                yield from check_outputs(checked, session, samples.sets, batches, options.budgets)
            del session  # its memory goes before the next piece of the graph is loaded
        except (DamagedError, MissingError) as error:
            if cannot_run_here(artifact, backend, error):
                yield no_metrics(checked, "skipped", error.message)
                return
            yield no_metrics(checked, "fail", error.message)
        if artifact.format != "onnx":
            return
        model = graph.parse(data.data)
        data = replace(data, data=b"")  # its memory goes, too; the graph is enough
        yield from check_probes(checked, backend, data, model, manifest, options.budgets)
        if truths is not None:
            try:
                checks, drift = check_layers(
                    checked,
                    backend,
                    artifact,
                    data,
                    model,
                    manifest.layers,
                    truths,
                    options.budgets,
                )
            except LrnDeployError as error:
                yield no_metrics(checked, "fail", error.message, "layer")
                return
            self.drift.append(drift)
            yield from checks

    def _artifacts(self) -> dict[str, Artifact]:
        every, wanted = self.bundle.manifest.artifacts, self.options.placements
        names = every if wanted is None else {placement.artifact for placement in wanted}
        return {name: artifact for name, artifact in every.items() if name in names}

    def _is_wanted(self, placement: Placement) -> bool:
        return self.options.placements is None or placement in self.options.placements

    def _devices(self) -> Sequence[str]:
        return self.options.devices or DEVICES

    def _require_some(self, checks: Sequence[Check]) -> None:
        """Refuse a verdict on nothing, or on less than the devices that were asked for."""
        asked = self.options.devices or ("",)
        for device in asked:
            here = [check for check in checks if check.artifact and check.placement.on(device)]
            if any(check.verdict != "skipped" for check in here):
                continue
            reason = next((check.reason for check in here), "the bundle has none for it.")
            where = f"on {device}" if device else "here"
            raise MissingError(
                f"No artifact of the bundle can run {where}: {reason}",
                "'lrn-deploy doctor' lists the backends and how to enable them.",
            )

    def _report(self, checks: Sequence[Check], around: Circumstances) -> ParityReport:
        manifest = self.bundle.manifest
        activity = {name: samples.activity for name, samples in manifest.samples.items()}
        ordinary = [name for name in activity if regime_of(name) in ("ordinary", "synthetic")]
        failed = caught_by(checks)
        warning = ordinary_warning(activity, ordinary)
        return ParityReport(
            **around.fields,
            model=manifest.model.name,
            weights=manifest.model.weights.note,
            reference=next(iter(manifest.samples.values())).reference,
            verdict="fail" if failed else "pass",
            caught_by=failed,
            artifacts={name: artifact.sha256 for name, artifact in self._artifacts().items()},
            checks=tuple(checks),
            drift=tuple(self.drift),
            activity=activity,
            warnings=(*self.warnings, *([warning] if warning else [])),
        )


def _emulated(data: ArtifactData) -> ArtifactData:
    """A bf16 graph in fp32 that rounds where it does, for a CPU without bf16 kernels."""
    model = emulate_half(ir.from_proto(graph.parse(data.data)))
    return replace(data, data=ir.to_proto(model).SerializeToString())
