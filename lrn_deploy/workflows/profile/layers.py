"""Where the time of a run goes: each subject once more, in a session that times its layers.

What disturbs a run hits one layer at a time: it is in the whole run, but in no layer's median. So
only the quicker half of the runs counts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median

from lrn_deploy.backends.layer_times import LayerTrace, TimesLayers
from lrn_deploy.bundle import Bundle
from lrn_deploy.errors import LrnDeployError
from lrn_deploy.latency.schema import Layers, LayerTime
from lrn_deploy.progress import Progress
from lrn_deploy.workflows.profile.layer_names import Layer, LayerNames
from lrn_deploy.workflows.profile.subjects import Subject

SECONDS = 0.6
"""What the timed runs of one subject may take, about."""
MIN_RUNS, MAX_RUNS = 12, 30


def measure_layers(
    bundle: Bundle,
    subjects: Sequence[Subject],
    typical: Mapping[str, float],
    progress: Progress,
) -> tuple[list[Layers], list[str]]:
    """Time the layers of each subject of this bundle, at its smallest batch size.

    Args:
        bundle: The bundle.
        subjects: What was measured.
        typical: Median seconds of a run at that batch size, by a subject's key; others are left
            out.
        progress: Told which one comes next.

    Returns:
        The layers, and a sentence for each subject whose layers could not be timed.
    """
    found: list[Layers] = []
    failed: list[str] = []
    for subject in subjects:
        backend: object = subject.backend
        if subject.key not in typical or not isinstance(backend, TimesLayers):
            continue
        progress(f"timing the layers of {subject.name} on {subject.where}", 0, 1)
        runs = min(max(round(SECONDS / typical[subject.key]), MIN_RUNS), MAX_RUNS)
        batch = min(subject.batches)
        data = bundle.load(subject.name)
        try:
            trace = backend.layer_times(data, subject.rows(batch), runs)
        except LrnDeployError as error:
            failed.append(
                f"The layers of {subject.name} on {subject.where} could not be timed: "
                f"{error.message}"
            )
            continue
        if trace is not None:
            names = LayerNames(data.data, bundle.manifest)
            found.append(summarize_layers(subject, batch, trace, names))
    return found, failed


def summarize_layers(subject: Subject, batch: int, trace: LayerTrace, names: LayerNames) -> Layers:
    """What the layers took, of the quicker half of the runs."""
    order = sorted(range(len(trace.whole)), key=lambda at: trace.whole[at])
    quick = order[: (len(order) + 1) // 2]
    times: dict[Layer, list[list[float]]] = {}
    for kernel in trace.kernels:
        seconds_of = [kernel.seconds[at] for at in quick]
        times.setdefault(names.find(kernel.name, kernel.kind), []).append(seconds_of)
    whole = median(trace.whole[at] for at in quick)
    layers = []
    for layer, kernels in times.items():
        seconds = median(map(sum, zip(*kernels, strict=True)))  # of what they take together
        layers.append(
            LayerTime(name=layer.name, kind=layer.kind, seconds=seconds, share=seconds / whole)
        )
    return Layers(
        artifact=subject.name,
        sha256=subject.artifact.sha256,
        backend=subject.where,
        batch=batch,
        runs=len(quick),
        whole=whole,
        rest=median(
            trace.whole[at] - sum(kernel.seconds[at] for kernel in trace.kernels) for at in quick
        ),
        layers=tuple(layers),
    )
