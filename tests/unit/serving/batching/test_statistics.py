"""What is counted, with durations added up by hand."""

from __future__ import annotations

import time

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


def test_every_duration_stands_under_its_own_name() -> None:
    statistics = Statistics()
    statistics.record_batch(batch(40, 70), [120, 90])
    statistics.record_failure("REJECTED", 7)
    statistics.record_failure("REJECTED")
    statistics.record_failure("BACKEND", 5)
    found = statistics.snapshot("m", "1")
    assert (found["name"], found["version"]) == ("m", "1")
    assert abs(found["last_inference"] / 1e3 - time.time()) < 60
    none = {"count": 0, "ns": 0}
    assert found["inference_stats"] == {
        "success": {"count": 2, "ns": 210},
        "fail": {"count": 3, "ns": 12},
        "queue": {"count": 2, "ns": 90},
        "compute_input": {"count": 2, "ns": 20},
        "compute_infer": {"count": 2, "ns": 60},
        "compute_output": {"count": 2, "ns": 40},
        "cache_hit": none,
        "cache_miss": none,
    }
    assert found["batch_stats"] == [
        {
            "batch_size": 4,
            "compute_input": {"count": 1, "ns": 10},
            "compute_infer": {"count": 1, "ns": 30},
            "compute_output": {"count": 1, "ns": 20},
        }
    ]
    assert statistics.failures == {"REJECTED": 2, "BACKEND": 1}
    assert Statistics().snapshot("m", "1")["last_inference"] == 0
