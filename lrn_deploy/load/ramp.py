"""Where the knee is: the highest rate at which a server keeps up.

A server keeps up with a rate if

- its p99 stays within the limit: the SLO if one was given, else so many times its unloaded median;
- it answers what it is offered: when the last request is due, no more than 2 % of them have still
  to end, and no more than 1 % have failed.

If p99 is over the limit only because the generator sent late, the search ends there: the knee is
further up than it can look.

Rates double until it does not, and the place in between is halved (geometrically) until its ends
are 5 % apart. A rate that it does not keep up with is tried once more, since a machine has other
things to do at times.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from lrn_deploy.load.schema import Knee, Step

SHORTFALL = 0.02
SHORTFALL_REQUESTS = 3
"""Fewer than these many may always be under way."""
FAILURES = 0.01
CLOSENESS = 1.05
"""Ratio of the ends between which the knee is left to be."""
LIMIT_FACTOR = 10.0
"""Times the unloaded median that p99 may be, where no SLO says otherwise. With random arrivals and
constant work (M/D/1) a server gets there at some 80 % of what it can do."""
_HALVINGS = 6

Measure = Callable[[float], Step]


def judged(step: Step, limit: float) -> Step:
    """A step with whether the server kept up.

    Args:
        step: Of an open loop.
        limit: Of p99, in seconds.
    """
    reason = _failure(step)
    if reason or step.latency is None:
        return step.model_copy(update={"kept": False, "reason": reason or "nothing was answered"})
    p99 = step.latency.p99 or step.latency.max
    if p99 <= limit:
        return step.model_copy(update={"kept": True})
    own = bool(step.generator.reason) and p99 - step.generator.late_p99 <= limit
    reason = f"p99 was {1e3 * p99:.3g} ms, over {1e3 * limit:.3g} ms"
    if own:
        reason = f"the load generator itself was the bottleneck: {step.generator.reason}"
    return step.model_copy(update={"kept": False, "reason": reason, "of_generator": own})


def find_knee(measure: Measure, first: float, limit: float) -> Knee:
    """Look for the knee.

    Args:
        measure: Offers a rate, and gives the step, judged.
        first: The rate to begin with, one that the server should keep up with.
        limit: Of p99, in seconds; it is only told.
    """
    good: float | None = None
    bad: Step | None = None
    rate = first
    while bad is None or (good is None and rate >= first / 2**_HALVINGS):
        step = _twice(measure, rate)
        if step.kept:
            good, rate = rate, 2 * rate
        elif not step.complete or step.of_generator:
            return _knee(good, step, limit)
        else:
            bad, rate = step, rate / 2
    while good is not None and bad.rate is not None and bad.rate / good > CLOSENESS:
        step = _twice(measure, math.sqrt(good * bad.rate))
        if step.kept:
            good = step.rate or good
        elif not step.complete or step.of_generator:
            return _knee(good, step, limit)
        else:
            bad = step
    return _knee(good, bad, limit)


def _twice(measure: Measure, rate: float) -> Step:
    step = measure(rate)
    return step if step.kept or not step.complete else measure(rate)


def _knee(good: float | None, bad: Step, limit: float) -> Knee:
    return Knee(
        rate=good,
        beyond=bad.rate if bad.complete else None,
        reason=bad.reason,
        limit=limit,
        of_generator=bad.of_generator,
    )


def _failure(step: Step) -> str:
    """Why the server did not answer all that it was asked; empty if it did."""
    if not step.complete:
        return "it was not measured to its end"
    failed = sum(step.errors.values())
    if failed > FAILURES * step.sent:
        most = max(step.errors, key=lambda kind: step.errors[kind])
        return f"{failed} of {step.sent} requests failed, most by: {most}"
    if step.backlog > max(SHORTFALL * step.sent, SHORTFALL_REQUESTS):
        return f"{step.backlog} of {step.sent} requests had still to be answered at its end"
    return ""
