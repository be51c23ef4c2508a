"""The race of tune: candidates loaded at once and timed in turns, batch by batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from lrn_deploy.backends.protocol import Array, Session
from lrn_deploy.bundle import Bundle
from lrn_deploy.errors import LrnDeployError
from lrn_deploy.latency.effort import Effort
from lrn_deploy.latency.sampling import Run, interleave
from lrn_deploy.tuning.elimination import farewell, remaining
from lrn_deploy.tuning.schema import Candidate, Point
from lrn_deploy.workflows.tune.contenders import Contender, point, rows
from lrn_deploy.workflows.tune.evaluation import Evaluation
from lrn_deploy.workflows.validate.checks import fitting_batches


@dataclass(frozen=True)
class Rules:
    """How to race.

    Attributes:
        efforts: How long to measure at each batch size, in this order.
        eliminating: Whether whoever is surely slower at a batch size leaves the race at it.
        decisive: The batch size that alone decides: it comes first, and who left there is not
            measured at others. None if each of them counts.
        compared: Place of the finalist that is measured at every batch size all the same.
    """

    efforts: Mapping[int, Effort]
    eliminating: bool = False
    decisive: int | None = None
    compared: int | None = None


def race(
    finalists: Sequence[Contender],
    bundle: Bundle,
    inputs: Evaluation,
    rules: Rules,
    on_round: Callable[[int, int], None],
) -> tuple[list[Candidate], bool]:
    """Time candidates in turns, all of them loaded at once.

    Args:
        finalists: The candidates.
        bundle: The bundle.
        inputs: What to run.
        rules: How to race.
        on_round: Told after each round how many of how many are done.

    Returns:
        The candidates with their points, and whether it was not interrupted.
    """
    points: list[list[Point]] = [[] for _ in finalists]
    errors = ["" for _ in finalists]
    farewells: list[list[str]] = [[] for _ in finalists]
    out: set[int] = set()
    complete = True
    with ExitStack() as stack:
        sessions = [stack.enter_context(finalist.load(bundle)) for finalist in finalists]
        sizes = [
            fitting_batches(
                bundle.manifest.artifact(finalist.candidate.artifact), session, tuple(rules.efforts)
            )
            for finalist, session in zip(finalists, sessions, strict=True)
        ]
        for place, (batch, effort) in enumerate(rules.efforts.items()):

            def told(done: int, total: int, place: int = place) -> None:
                on_round(place * total + done, len(rules.efforts) * total)

            feeds = rows(inputs, batch)
            run = interleave(
                {
                    str(at): _runner(session, feeds)
                    for at, session in enumerate(sessions)
                    if batch in sizes[at] and at not in out
                },
                effort,
                seed=batch,
                expected=(LrnDeployError,),
                on_round=told,
                remaining=remaining if rules.eliminating else None,
            )
            for name, samples in run.samples.items():
                if samples.rounds:
                    points[int(name)].append(point(batch, samples))
                errors[int(name)] = errors[int(name)] or samples.error
            left = _farewells(run) if rules.eliminating and run.complete else {}
            for at in map(int, run.samples):
                farewells[at].append(left.get(at, ""))
            if batch == rules.decisive:
                out = set(left) - {rules.compared}
            complete = run.complete
            if not complete:
                break
    return [
        finalist.changed(
            points=tuple(found),
            raced=True,
            within=finalist.candidate.within and not error,
            reason=error or finalist.candidate.reason or _left(said, decisive=rules.decisive),
        ).candidate
        for finalist, found, error, said in zip(finalists, points, errors, farewells, strict=True)
    ], complete


def _farewells(run: Run) -> dict[int, str]:
    """Why each of those who left did so, by their place."""
    able = {name: timings.rounds for name, timings in run.samples.items() if not timings.error}
    longest = max(able.values(), key=len, default=[])
    told = {int(name): farewell(rounds, longest) for name, rounds in able.items()}
    return {at: said for at, said in told.items() if said}


def _left(said: Sequence[str], *, decisive: int | None) -> str:
    """Why it left the race: at the first batch size if that decides, else at all of them."""
    if not said or (decisive is None and not all(said)):
        return ""
    return said[0]


def _runner(session: Session, feeds: dict[str, Array]) -> Callable[[], object]:
    return lambda: session.run(feeds)
