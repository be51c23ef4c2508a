"""What happens in a second, counted by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lrn_deploy.serving.inference import InferRequest
from lrn_deploy.serving.repository.repository import Repository
from lrn_deploy.serving.settings import ModelSettings
from lrn_deploy.serving.telemetry.interval import Interval, percentile
from tests.support.image_bundles import colour_bundle


def test_percentiles_are_measured_values_by_nearest_rank() -> None:
    values = [ms * 1_000_000 for ms in range(100, 0, -1)]
    assert (percentile(values, 50), percentile(values, 99)) == (50, 99)
    assert percentile([7_000_000], 99) == 7
    assert percentile([], 99) is None


def test_an_interval_counts_what_is_new_and_a_reloaded_model_from_zero(tmp_path: Path) -> None:
    colour_bundle(tmp_path / "b")
    repository = Repository(ModelSettings(threads=1))
    name = repository.add(tmp_path / "b")
    repository.load(name)

    def ask(rows: int) -> None:
        call = InferRequest({"image": np.zeros((rows, 3, 8, 8), np.float32)})
        repository.submit(name, "", call)[1].result(10)

    ask(5)
    interval = Interval(repository.models(), 0)
    ask(2)
    ask(2)
    ask(3)
    first = interval.next(repository.models(), 2_000_000_000)
    (entry,) = first["models"]
    assert first["seconds"] == 2
    assert (entry["requests"], entry["rows"]) == (3, 7)
    assert entry["batches"] == {"2": 2, "3": 1}
    assert entry["queue"] == {"requests": 0, "rows": 0, "bytes": 0}
    (idle,) = interval.next(repository.models(), 3_000_000_000)["models"]
    assert (idle["requests"], idle["batches"], idle["failures"]) == (0, {}, {})
    repository.load(name)
    ask(1)
    (anew,) = interval.next(repository.models(), 4_000_000_000)["models"]
    assert (anew["requests"], anew["rows"]) == (1, 1)
    repository.close(5)


def test_durations_are_those_of_the_interval(tmp_path: Path) -> None:
    colour_bundle(tmp_path / "b")
    repository = Repository(ModelSettings(threads=1))
    name = repository.add(tmp_path / "b")
    repository.load(name)
    call = InferRequest({"image": np.zeros((1, 3, 8, 8), np.float32)})
    outcome = repository.submit(name, "", call)[1].result(10)
    statistics = repository.models()[0].batcher.statistics
    done = outcome.timing.arrived + outcome.timing.queue + outcome.timing.compute
    assert statistics.durations_since(done) == []
    assert statistics.durations_since(done - 1) == [
        pytest.approx(outcome.timing.queue + outcome.timing.compute)
    ]
    repository.close(5)
