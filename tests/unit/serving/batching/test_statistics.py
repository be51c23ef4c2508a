"""What is counted, with durations added up by hand."""

from __future__ import annotations

from lrn_deploy.serving.batching.job import Timing
from lrn_deploy.serving.batching.statistics import Statistics


def batch(*arrived: int) -> list[Timing]:
    """One batch that ran from 100 to 160, of requests of 2 rows each."""
    rows = 2 * len(arrived)
    return [Timing(100 - at, 10, 30, 20, rows, at) for at in arrived]


def test_each_request_of_a_batch_adds_the_whole_batchs_compute() -> None:
    statistics = Statistics()
    statistics.record_batch(batch(40, 70), [120, 90])
    statistics.record_batch(batch(90), [70])
    found = statistics.snapshot("m", "1")
    assert (found["inference_count"], found["execution_count"]) == (6, 2)
    inference = found["inference_stats"]
    assert inference["success"] == {"count": 3, "ns": 280}
    assert inference["queue"] == {"count": 3, "ns": 60 + 30 + 10}
    assert inference["compute_infer"] == {"count": 3, "ns": 90}
    sizes = {one["batch_size"]: one["compute_infer"] for one in found["batch_stats"]}
    assert sizes == {2: {"count": 1, "ns": 30}, 4: {"count": 1, "ns": 30}}
    assert statistics.batch_sizes() == {2: 1, 4: 1}


def test_only_what_was_answered_after_a_moment_is_recent() -> None:
    statistics = Statistics()
    statistics.record_batch(batch(40, 70), [120, 91])  # answered at 160 and 161
    assert statistics.durations_since(159) == [120, 91]
    assert statistics.durations_since(160) == [91]
    assert statistics.durations_since(161) == []


def test_no_more_than_the_latest_requests_are_kept() -> None:
    statistics = Statistics()
    for at in range(9000):
        statistics.record_batch([Timing(0, 0, 0, 0, 1, at)], [1])
    assert len(statistics.durations_since(0)) == 8192
