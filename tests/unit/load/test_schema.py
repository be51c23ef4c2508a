"""When a load has failed, so that the command exits with 1."""

from __future__ import annotations

from typing import Any

import pytest

from lrn_deploy.load.schema import INTERRUPTED, Knee, Latency, LoadReport, Step


def latency(p99: float | None, most: float) -> Latency:
    return Latency.model_construct(p99=p99, max=most)


def report(*latencies: Latency | None, **told: Any) -> LoadReport:
    """A closed loop's, of steps with these latencies; what nothing depends on is left out."""
    steps = tuple(
        Step.model_construct(answered=int(one is not None), latency=one) for one in latencies
    )
    return LoadReport.model_construct(**({"mode": "closed", "steps": steps} | told))


FINE = latency(0.010, 0.5)


@pytest.mark.parametrize(
    ("made", "failed"),
    [
        (report(FINE), False),
        (report(FINE, stopped=INTERRUPTED), False),
        (report(FINE, stopped="The server took no more connections."), True),
        (report(None), True),
        (report(None, FINE), False),
        (report(FINE, slo=0.010), False),
        (report(FINE, slo=0.009), True),
        (report(FINE, latency(0.02, 0.03), slo=0.015), True),
        (report(None, FINE, slo=1.0), True),
        (report(latency(None, 0.02), slo=0.02), False),
        (report(latency(None, 0.02), slo=0.01), True),
        (report(FINE, slo=0.009, mode="ramp"), False),
        (report(FINE, mode="ramp", knee=Knee(rate=5, beyond=6, reason="", limit=1)), False),
        (report(FINE, mode="ramp", knee=Knee(rate=None, beyond=6, reason="", limit=1)), True),
    ],
)
def test_it_has_failed_if_nothing_was_answered_or_not_in_time(
    made: LoadReport, failed: bool
) -> None:
    assert made.failed is failed
