"""What a block of times says of the machine meanwhile."""

from __future__ import annotations

import pytest

from lrn_deploy.latency import circumstances
from lrn_deploy.latency.circumstances import Measurement
from lrn_deploy.latency.machine import Usage

BEFORE = Usage(at=100.0, own=4.0, busy=10.0)
AFTER = Usage(at=104.0, own=5.0, busy=13.0)
LATER = Usage(at=200.0, own=5.0, busy=13.0)


def test_others_kept_half_a_core_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    moments = iter([BEFORE, AFTER])
    monkeypatch.setattr(circumstances, "usage", lambda: next(moments))
    with Measurement() as measured:
        pass
    assert measured.fields["foreign_cores"] == (3 - 1) / 4


def test_only_while_times_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    moments = iter([LATER, BEFORE, AFTER])
    monkeypatch.setattr(circumstances, "usage", lambda: next(moments))
    with Measurement() as measured, measured.timing():
        pass
    assert measured.fields["foreign_cores"] == (3 - 1) / 4
    (warning,) = measured.crowded("measure") or ("",)
    assert "measure" in warning
