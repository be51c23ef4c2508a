"""What ``lrn-deploy load`` writes; every table and chart of it is drawn from these models.

Times are in seconds.
"""

from __future__ import annotations

from typing import Literal

from lrn_deploy.circumstances import Record
from lrn_deploy.latency.circumstances import MeasuredReport

SCHEMA_VERSION = 1


class Latency(Record):
    """A distribution of latencies.

    Attributes:
        count: How many.
        p50: Median.
        p90: 90th percentile; None if fewer than 10 were measured, and so on for the next two.
        p99: 99th percentile.
        p999: 99.9th percentile.
        max: The longest.
        mean: Mean.
    """

    count: int
    p50: float
    p90: float | None
    p99: float | None
    p999: float | None
    max: float
    mean: float


class Generator(Record):
    """What the load generator itself had to do with it.

    Attributes:
        busy: Share of the time in which its process used a processor.
        late_p50: How long after they were due requests left, the median.
        late_p99: The same, 99th percentile.
        late_max: The same, at most.
        held: Requests that left late because as many as may be were under way.
        reason: Why it was the bottleneck; empty if it was not.
    """

    busy: float
    late_p50: float
    late_p99: float
    late_max: float
    held: int
    reason: str = ""


class Samples(Record):
    """Each request, in the order in which they were due; the warm-up is among them.

    Attributes:
        due: When it was due, since the step began.
        late: How much later it left.
        latency: From when it was due, in a closed loop from when it was sent, until it ended; None
            if it never did.
        outcome: What became of it, as an index of ``outcomes``.
        outcomes: ``answered``, and what went wrong.
    """

    due: tuple[float, ...]
    late: tuple[float, ...]
    latency: tuple[float | None, ...]
    outcome: tuple[int, ...]
    outcomes: tuple[str, ...]


class Step(Record):
    """One load for some seconds.

    Attributes:
        rate: Requests that were to be sent in a second, of an open loop; None of a closed one.
        concurrency: Requests at a time, of a closed loop; None of an open one.
        seconds: How long was measured, after the warm-up.
        sent: Requests that were due in that time.
        answered: Those of them that were answered as they should be, then or later.
        errors: The others by what went wrong.
        offered: Requests a second that were due, of an open loop.
        throughput: Right answers a second.
        backlog: Requests that had not ended when the last of them was due.
        latency: Of those that were answered, from when they were due, in a closed loop from when
            they were sent; None if none was.
        corrected: The same with the requests that a closed loop does not send while it waits.
        generator: What the generator had to do with it.
        complete: False if it was ended early.
        kept: Whether the server kept up, of a ramp; None where nobody asked.
        reason: Why it did not.
        of_generator: True if that was the generator's fault: without its own delays it would have.
        samples: Each request.
    """

    rate: float | None = None
    concurrency: int | None = None
    seconds: float
    sent: int
    answered: int
    errors: dict[str, int]
    offered: float | None = None
    throughput: float
    backlog: int
    latency: Latency | None
    corrected: Latency | None = None
    generator: Generator
    complete: bool = True
    kept: bool | None = None
    reason: str = ""
    of_generator: bool = False
    samples: Samples


class Knee(Record):
    """Where a server no longer keeps up.

    Attributes:
        rate: Highest offered rate at which it did; None if it kept up with none that was tried.
        beyond: Lowest rate above at which it did not; None if it kept up with all.
        reason: Why it did not.
        limit: What p99 was held against, in seconds.
        of_generator: True if the generator ended before the server did: the knee is further up.
    """

    rate: float | None
    beyond: float | None
    reason: str
    limit: float
    of_generator: bool = False


class LoadReport(MeasuredReport):
    """The answer of ``load``.

    Attributes:
        url: The server's address.
        server: Its name and version, as it says.
        asked: What was asked, in words.
        request_bytes: Size of a request's body on average.
        mode: How it was asked.
        seconds_each: How long each step was to be measured, after ``warmup``.
        warmup: Seconds before that.
        timeout: Seconds after which an answer was not waited for.
        slo: Limit of p99 that was given; None if none was.
        seed: Of the arrivals.
        steps: What was measured, in the order in which it was.
        knee: Of a ramp.
        stopped: Why it ended early; empty if it did not.
    """

    schema_version: int = SCHEMA_VERSION
    url: str
    server: str
    asked: str
    request_bytes: int
    mode: Literal["open", "closed", "ramp"]
    seconds_each: float
    warmup: float
    timeout: float
    slo: float | None = None
    seed: int
    steps: tuple[Step, ...]
    knee: Knee | None = None
    stopped: str = ""

    @property
    def failed(self) -> bool:
        """Whether the server stopped answering, answered nothing, or missed the limit given."""
        if self.stopped and self.stopped != INTERRUPTED:
            return True
        answered = sum(step.answered for step in self.steps)
        late = (
            self.slo is not None
            and self.mode != "ramp"
            and not all(
                step.latency and (step.latency.p99 or step.latency.max) <= self.slo
                for step in self.steps
            )
        )
        nowhere = self.knee is not None and self.knee.rate is None
        return not answered or late or nowhere


INTERRUPTED = "It was interrupted."
"""Why a report is not complete, if it was Ctrl-C."""
