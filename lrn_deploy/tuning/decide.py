"""Which candidate to choose: pure functions on what was measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lrn_deploy.latency.statistics import MIN_ROUNDS, ratio_interval
from lrn_deploy.parity.metrics import Metrics
from lrn_deploy.placement import as_most_run
from lrn_deploy.tuning.demand import Demand
from lrn_deploy.tuning.schema import Candidate, Point

TIE = 1.02
"""Candidates this close to the fastest, and not surely slower, are as fast: accuracy decides."""


@dataclass(frozen=True)
class Decision:
    """A choice among candidates.

    Attributes:
        ranking: Indices of the candidates within the demand and raced, the choice first.
        batch: Items in a run of the choice.
    """

    ranking: tuple[int, ...]
    batch: int


def refusal(metrics: Metrics, demand: Demand) -> str:
    """Why a candidate is not accurate enough; empty if it is."""
    if metrics.nonfinite_mismatches:
        return f"{metrics.nonfinite_mismatches} values are NaN or infinite on one side only"
    if demand.max_error is not None and not metrics.relative_l2 <= demand.max_error:
        return f"relative L2 error {metrics.relative_l2:.2g}, over {demand.max_error:.2g}"
    agreement = metrics.top1_agreement
    if demand.min_agreement is not None and (agreement is None or agreement < demand.min_agreement):
        if agreement is None:
            return "its outputs are no classes, so there is no agreement to measure"
        return f"agreement {agreement:.1%}, under {demand.min_agreement:.1%}"
    return ""


def decide(candidates: Sequence[Candidate], demand: Demand) -> Decision | None:
    """Choose the fastest of the raced candidates within the demand.

    For the objective ``latency`` that is the shortest median at the demand's batch; for
    ``throughput`` the least time for an item at whatever batch, among runs no longer than
    ``max_latency``. Among those as fast as the fastest the most accurate is chosen.

    Args:
        candidates: With what was measured; points of the same batch were measured in turns.
        demand: What is asked for.

    Returns:
        None if no candidate is within the demand.
    """
    points = {
        at: point
        for at, candidate in enumerate(candidates)
        if candidate.within
        and candidate.raced
        and (point := best_point(candidate, demand)) is not None
    }
    if not points:
        return None
    order = sorted(points, key=lambda at: points[at].seconds / points[at].batch)
    fastest = points[order[0]]
    tied = [at for at in order if _as_fast(points[at], fastest)]
    chosen = min(tied, key=lambda at: _error(candidates[at]))
    return Decision((chosen, *(at for at in order if at != chosen)), points[chosen].batch)


def best_point(candidate: Candidate, demand: Demand) -> Point | None:
    """The point at which a candidate serves the demand best, if it has one."""
    if demand.objective == "latency":
        return candidate.at(demand.batch)
    limit = demand.max_latency
    fitting = [point for point in candidate.points if limit is None or point.seconds <= limit]
    return min(fitting, key=lambda point: point.seconds / point.batch, default=None)


def pareto(candidates: Sequence[Candidate], demand: Demand) -> set[int]:
    """Indices of the Pareto front: none other is at least as fast and as accurate, and better once.

    Candidates beyond the demand's errors can be on it, too: it shows what accuracy costs. Times
    that were not measured in turns do not compare, so who was not raced is not on it.
    """
    places = {
        at: (point.seconds / point.batch, _error(candidate))
        for at, candidate in enumerate(candidates)
        if candidate.raced
        and candidate.metrics is not None
        and (point := best_point(candidate, demand)) is not None
    }
    return {
        at
        for at, (seconds, error) in places.items()
        if not any(
            other != (seconds, error) and other[0] <= seconds and other[1] <= error
            for other in places.values()
        )
    }


def explain(candidates: Sequence[Candidate], decision: Decision | None, demand: Demand) -> str:
    """The choice and its reasons in one sentence."""
    if decision is None:
        return f"No candidate is {_wanted(demand)}; {_nearest(candidates)}."
    chosen = candidates[decision.ranking[0]]
    point = best_point(chosen, demand)
    assert point is not None
    said = f"{chosen.name} takes {_ms(point)} at batch {point.batch}"
    plain = next((candidate for candidate in candidates if as_most_run(candidate.placement)), None)
    before = plain.at(point.batch) if plain is not None and plain is not chosen else None
    if before is not None and plain is not None:
        times = before.seconds / point.seconds
        said += f", {times:.3g} times as fast as {plain.name} ({_ms(before)})"
    said += f", and is {_wanted(demand)} ({_reached(chosen, demand)})"
    if len(decision.ranking) == 1:
        return said + "; no other candidate is."
    second = candidates[decision.ranking[1]]
    other = best_point(second, demand)
    assert other is not None
    slower = (other.seconds / other.batch) / (point.seconds / point.batch)
    count = len(decision.ranking)
    if slower < 1:  # a tie that accuracy decided
        return (
            f"{said}; {second.name} is as fast within the measurement ({slower:.3g} of its time) "
            f"and less accurate, and the other {count - 2} within it are no faster."
        )
    return (
        f"{said}; of the {count} that are, the next is {second.name}, {slower:.3g} times as long."
    )


def _as_fast(point: Point, fastest: Point) -> bool:
    if point is fastest:
        return True
    ratio = (point.seconds / point.batch) / (fastest.seconds / fastest.batch)
    if ratio > TIE:
        return False
    if point.batch != fastest.batch or min(len(point.samples), len(fastest.samples)) < MIN_ROUNDS:
        return True
    return ratio_interval(point.samples, fastest.samples).low <= 1.0


def _error(candidate: Candidate) -> float:
    return candidate.metrics.relative_l2 if candidate.metrics is not None else float("inf")


def _wanted(demand: Demand) -> str:
    parts = []
    if demand.max_error is not None:
        parts.append(f"a relative L2 error of at most {demand.max_error:.2g}")
    if demand.min_agreement is not None:
        parts.append(f"an agreement of at least {demand.min_agreement:.1%}")
    if demand.objective == "throughput" and demand.max_latency is not None:
        parts.append(f"runs of at most {1e3 * demand.max_latency:.3g} ms")
    return f"within {' and '.join(parts) or 'any error'}"


def _reached(candidate: Candidate, demand: Demand) -> str:
    assert candidate.metrics is not None
    parts = []
    if demand.max_error is not None or demand.min_agreement is None:
        parts.append(f"error {candidate.metrics.relative_l2:.2g}")
    if demand.min_agreement is not None and candidate.metrics.top1_agreement is not None:
        parts.append(f"agreement {candidate.metrics.top1_agreement:.1%}")
    return ", ".join(parts)


def _nearest(candidates: Sequence[Candidate]) -> str:
    measured = [candidate for candidate in candidates if candidate.metrics is not None]
    if not measured:
        return "none could run here"
    best = min(measured, key=_error)
    return f"the most accurate is {best.name}: {best.reason or 'too slow'}"


def _ms(point: Point) -> str:
    return f"{1e3 * point.seconds:.3g} ms"
