"""A machine whose clock only the runs of candidates advance: what ``profile`` makes of times."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
import pytest

from lrn_deploy.latency import sampling, yardstick
from lrn_deploy.workflows.profile import profile
from lrn_deploy.workflows.profile.subjects import Subject


class SteadyMachine:
    """Whatever this machine does, a run takes a millisecond, by seeded noise of 1 %.

    The runs are real, but only they make its clock go on.

    Attributes:
        factor: How many times as long the profiled bundle takes, but not what it is compared with.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        self.rng = np.random.default_rng(0)
        self.factor = 1.0
        original = Subject.candidate

        def candidate(subject: Subject, batch: int) -> Callable[[], object]:
            work = original(subject, batch)
            factor = self.factor if subject.label == "this" else 1.0
            return lambda: (work(), self.take(factor))

        measured = functools.partial(sampling.interleave, clock=lambda: self.now)
        monkeypatch.setattr(Subject, "candidate", candidate)
        monkeypatch.setattr(profile, "interleave", measured)
        monkeypatch.setattr(yardstick, "workload", lambda: self.take)

    def take(self, factor: float = 1.0) -> None:
        self.now += 1e-3 * factor * float(self.rng.lognormal(0, 0.01))
