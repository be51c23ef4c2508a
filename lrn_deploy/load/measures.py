"""Figures of what was taken: rates, latencies, and whether the generator itself was in the way.

Only the measured window counts, from the end of the warm-up until nothing more was sent. In an open
loop latencies count from when a request was *due*, so that neither a stall of the server nor one of
the generator hides a request that should have been sent meanwhile. In a closed loop they count from
when it was sent, which is when its predecessor has ended: a stall delays the requests that would
have seen it, and hides ("coordinated omission", Gil Tene). :func:`corrected` puts back what is
missing, as HdrHistogram does.
"""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
from numpy.typing import NDArray

from lrn_deploy.load.drive import ANSWERED, Taken
from lrn_deploy.load.schema import Generator, Latency, Samples, Step

Floats = NDArray[np.float64]
LATE_SECONDS = 1e-3
LATE_SHARE = 0.1
"""The generator is in the way if a hundredth of its requests left later than both a millisecond and
a tenth of the median latency."""
BUSY_SHARE = 0.9
"""And so is it in a closed loop if its thread was busy for so much of the time."""
_PERCENTS = {"p90": (90.0, 10), "p99": (99.0, 100), "p999": (99.9, 1000)}
"""Percentiles, and how many samples there must be for one to lie beyond."""


def step_of(
    taken: Taken,
    *,
    warmup: float,
    seconds: float,
    rate: float | None = None,
    concurrency: int | None = None,
) -> Step:
    """What a run tells.

    Args:
        taken: What became of its requests.
        warmup: Seconds at its beginning that do not count.
        seconds: Seconds that were to be measured after that.
        rate: Requests that were due in a second, of an open loop.
        concurrency: Requests at a time, of a closed one.
    """
    due, sent, ended = (np.array(times) for times in (taken.due, taken.sent, taken.ended))
    good = np.array([outcome == ANSWERED for outcome in taken.outcomes], bool)
    end = min(warmup + seconds, math.inf if taken.stopped is None else taken.stopped)
    length = max(0.0, end - warmup)
    counted = (due >= warmup) & (due < end)
    latencies = ended - (due if concurrency is None else sent)
    within = good & (ended >= warmup) & (ended < end)
    outcomes = Counter(
        outcome for outcome, one in zip(taken.outcomes, counted, strict=True) if one and outcome
    )
    measured = latencies[counted & good]
    latency = summary(measured)
    fixed = None
    if concurrency is not None and latency is not None:
        fixed = summary(corrected(measured, latency.p50))
    return Step(
        rate=rate,
        concurrency=concurrency,
        seconds=length,
        sent=int(counted.sum()),
        answered=int((counted & good).sum()),
        errors=dict(outcomes),
        offered=float(counted.sum() / length) if rate is not None and length else None,
        throughput=float(within.sum() / length) if length else 0.0,
        backlog=int(counted.sum() - (counted & (ended < end)).sum()),
        latency=latency,
        corrected=fixed,
        generator=_generator(taken, (sent - due)[counted], latency, closed=concurrency is not None),
        complete=taken.stopped is None,
        samples=_samples(taken, due, sent, latencies),
    )


def summary(latencies: Floats) -> Latency | None:
    """The distribution of latencies; None if there are none.

    A percentile beyond which not even one sample lies is None: it would be the largest by another
    name.
    """
    count = len(latencies)
    if not count:
        return None
    points = {
        name: float(np.percentile(latencies, percent)) if count >= least else None
        for name, (percent, least) in _PERCENTS.items()
    }
    return Latency(
        count=count,
        p50=float(np.median(latencies)),
        p90=points["p90"],
        p99=points["p99"],
        p999=points["p999"],
        max=float(latencies.max()),
        mean=float(latencies.mean()),
    )


def corrected(latencies: Floats, interval: float) -> Floats:
    """A closed loop's latencies with those of the requests that it did not send while it waited.

    Whoever waits for an answer longer than the interval at which it would have asked is taken to
    have asked all the same: beside a latency L stand L - interval, L - 2 interval and so on, as in
    HdrHistogram's ``copyCorrectedForCoordinatedOmission``.

    Args:
        latencies: Of one closed loop, in seconds.
        interval: At which each of its turns asks when nothing stalls, which is the median latency.
    """
    if interval <= 0:
        return latencies
    missing = [
        np.arange(latency - interval, interval * (1 - 1e-9), -interval)
        for latency in latencies[latencies >= 2 * interval]
    ]
    return np.concatenate([latencies, *missing])


def _generator(taken: Taken, late: Floats, latency: Latency | None, *, closed: bool) -> Generator:
    busy = taken.cpu_seconds / taken.seconds if taken.seconds else 0.0
    p99 = float(np.percentile(late, 99)) if len(late) else 0.0
    reason = ""
    if closed:
        if busy > BUSY_SHARE:
            reason = f"it was busy {busy:.0%} of the time"
    elif not taken.held and p99 > max(LATE_SECONDS, LATE_SHARE * (latency.p50 if latency else 0)):
        reason = f"a hundredth of the requests left {1e3 * p99:.1f} ms late or more"
    return Generator(
        busy=busy,
        late_p50=float(np.median(late)) if len(late) else 0.0,
        late_p99=p99,
        late_max=float(late.max()) if len(late) else 0.0,
        held=taken.held,
        reason=reason,
    )


def _samples(taken: Taken, due: Floats, sent: Floats, latencies: Floats) -> Samples:
    kinds = tuple(dict.fromkeys(taken.outcomes))
    place = {kind: at for at, kind in enumerate(kinds)}
    return Samples(
        due=tuple(np.round(due, 6).tolist()),
        late=tuple(np.round(sent - due, 6).tolist()),
        latency=tuple(
            None if math.isnan(taken) else taken for taken in np.round(latencies, 6).tolist()
        ),
        outcome=tuple(place[kind] for kind in taken.outcomes),
        outcomes=tuple(kind or "answered" for kind in kinds),
    )
