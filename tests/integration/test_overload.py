"""The overload benchmark, in short and with a small network: that it works and can fail."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.load import drive, infer, only_right
from benchmarks.overload import RECOVERY_SECONDS, TOLERANCE, measure
from benchmarks.peers.ours import lrn_server
from lrn_deploy.bundle import Bundle
from tests.support.image_bundles import PREPROCESSING, colour_bundle

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("unmeasured", "forked_servers")]


@pytest.fixture(scope="module")
def colours(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    in_graph = PREPROCESSING.model_copy(update={"in_graph": True})
    path = tmp_path_factory.mktemp("overload") / "colours"
    return colour_bundle(path, preprocessing=in_graph)


def test_overload_is_refused_cleanly_and_answered_rightly(colours: Bundle) -> None:
    result = measure(colours, 1, max_seconds=0.2)
    assert result["statuses"].keys() == {"200", "503"}
    kept = {name: check["kept"] for name, check in result["checks"].items()}
    assert kept["every answer right"]
    assert kept["every refusal a clean 503"]
    assert result["checks"]["every refusal a clean 503"]["measured"]["refused"] > 0
    assert result["goodput_per_second"] > 0
    assert result["recovery_s"] < 10 * RECOVERY_SECONDS  # after which it would have been given up


def test_wrong_answers_are_counted(colours: Bundle) -> None:
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (2, *colours.manifest.inputs[0].shape[1:])).astype(np.uint8)
    name = colours.manifest.inputs[0].name
    requests = [infer("colours", name, one[None]) for one in pictures]
    others = rng.normal(size=(2, 3)).astype(np.float32)
    right = only_right(others, TOLERANCE)
    with lrn_server(colours.path) as server:
        load = drive(server.http_port, requests, connections=2, seconds=0.2, right=right)
    assert load.wrong == load.statuses[200] > 0
    assert load.per_second == 0
