"""Which of ours is compared: what ``tune`` makes the default for each demand."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from benchmarks.runtimes.candidates import THREADS, title
from benchmarks.runtimes.verdicts import CLASSES, Class, allowed
from lrn_deploy.bundle import Bundle
from lrn_deploy.latency.effort import Effort
from lrn_deploy.workflows.tune.options import TuneOptions
from lrn_deploy.workflows.tune.tune import tune

EFFORT = Effort(rounds=60, seconds=6.0)
"""Shorter than tune's own: a choice that this misses shows as a loss."""

Choices = dict[tuple[Class, int], str | None]
"""By class of error and batch size, the name of the candidate; None if nothing is within it."""


def tuned(
    bundle: Bundle, network: str, batches: Sequence[int], tell: Callable[[str], None]
) -> Choices:
    """Run ``tune`` for each class of error at each batch size.

    Args:
        bundle: The bundle; it gains what tune makes.
        network: Its name in the zoo.
        batches: Batch sizes.
        tell: Told each choice.
    """
    choices: Choices = {}
    for class_ in CLASSES:
        for batch in batches:
            limits = allowed(network, class_)
            options = TuneOptions(
                max_error=limits.get("max_error"),
                min_agreement=limits.get("min_agreement"),
                batch=batch,
                max_batch=1,  # beside batch; more would only take time
                threads=(THREADS,),
                effort=EFFORT,
            )
            report = tune(Bundle.open(bundle.path), options).report
            if not report.complete:
                raise KeyboardInterrupt
            tell(f"{network}: tune for {class_} at batch {batch}: {report.explanation}")
            choice = report.choice
            choices[class_, batch] = title(choice.artifact, choice.backend) if choice else None
    return choices
