"""The overload benchmark, in short and with a small network: that it works and can fail."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.load import drive, infer, only_right
from benchmarks.overload import TOLERANCE, measure
from benchmarks.peers.ours import lrn_server
from lrn_deploy.bundle import Bundle
from tests.support.exported import exported

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("unmeasured")]


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    path = tmp_path_factory.mktemp("overload") / "digits"
    return exported("digits", path, uint8_input=True)


def test_overload_is_refused_cleanly_and_answered_rightly(digits: Bundle) -> None:
    result = measure(digits, 2, max_seconds=0.4)
    assert result["statuses"].keys() == {"200", "503"}
    kept = {name: check["kept"] for name, check in result["checks"].items()}
    assert kept["every answer right"]
    assert kept["every refusal a clean 503"]
    assert result["checks"]["every refusal a clean 503"]["measured"]["refused"] > 0
    assert result["goodput_per_second"] > 0.3 * result["maximum_per_second"]["before"]
    assert result["recovery_s"] < 2


def test_wrong_answers_are_counted(digits: Bundle) -> None:
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (2, *digits.manifest.inputs[0].shape[1:])).astype(np.uint8)
    name = digits.manifest.inputs[0].name
    requests = [infer("digits", name, one[None]) for one in pictures]
    others = rng.normal(size=(2, 10)).astype(np.float32)
    right = only_right(others, TOLERANCE)
    with lrn_server(digits.path) as server:
        load = drive(server.http_port, requests, connections=2, seconds=0.2, right=right)
    assert load.wrong == load.statuses[200] > 0
    assert load.per_second == 0
