"""Servers side by side: the instruments, with lrn-server alone, as the peers need environments."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.peers.contenders import Contender
from benchmarks.serve import side_by_side
from benchmarks.serve.networks import nothing
from benchmarks.serve.side_by_side import ALL, in_turns, started

pytestmark = pytest.mark.usefixtures("unmeasured", "forked_servers")


def test_a_server_is_started_checked_and_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(side_by_side, "LEAD_SECONDS", 0.1)
    bundle = nothing(tmp_path, floats=False)
    with started(ALL[0], bundle, tmp_path, 1, 2) as (turn, took):
        assert 0.05 < took < 60
        turn.server.pause()
        told = in_turns([turn], 2, rounds=2, seconds=0.3)
    name = turn.contender.name
    assert len(told["saturated_per_second"][name]) == 2
    assert told["offered_per_second"] > 10
    assert [len(each) > 3 for each in told["half_load_ms"][name]] == [True, True]
    assert told["memory_bytes"][name]["after"] > 20e6


def test_an_answer_that_is_wrong_is_not_measured(tmp_path: Path) -> None:
    ours = ALL[0]
    wrong = Contender(ours.name, ours.start, ours.request, found=lambda row, _body: row + 1)
    with (
        pytest.raises(RuntimeError, match="does not answer as it should"),
        started(wrong, nothing(tmp_path, floats=False), tmp_path, 1, 2),
    ):
        pass
