"""Ray, once for all tests: two nodes on this machine, replicas on them, and images by the hundred.

``python -m benchmarks.ray_cluster`` measures at length what is looked at briefly here.
"""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import closing, redirect_stdout
from dataclasses import dataclass
from http.client import HTTPConnection
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.load import Load
from benchmarks.ray_cluster.measure import (
    Fronted,
    fronted,
    kill_node,
    kill_one,
    load,
    spread,
    two_nodes,
    wait_for,
)
from lrn_deploy.bundle import Bundle
from lrn_deploy.cli import run
from lrn_deploy.serving.repository.repository import Repository
from lrn_deploy.serving.settings import ModelSettings
from tests.support.image_bundles import LABELS, colour_bundle, picture
from tests.support.inside import inside
from tests.support.ray_workers import warm_workers
from tests.support.servers import Reply, ask, serving
from tests.support.warm import Warmed

pq = pytest.importorskip("pyarrow.parquet")
pytest.importorskip("ray.serve")
pytestmark = pytest.mark.slow

SECONDS = 1.5
COLOURS = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255)}
IMAGES = 200
BAD = frozenset(range(3, IMAGES, 41))
ROWS = ("red", "blue", "green", "blue", "red")
ALL = IMAGES + len(ROWS) + 1


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """With what Ray runs beside a cluster, for people who look at it, left out."""
    folder = tmp_path_factory.mktemp("ray")
    with pytest.MonkeyPatch.context() as patch, warm_workers(folder) as worker:
        patch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)  # Ray's own processes start as quick
        absent = ImportError("as without ray[default]")
        patch.setattr("ray._private.utils.get_dashboard_dependency_error", lambda: absent)
        few = {"include_log_monitor": False, "no_monitor": True}
        with two_nodes(worker_path=str(worker), **few) as started:
            yield started


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return colour_bundle(tmp_path_factory.mktemp("bundles") / "colours").path


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """What two replicas serve; it changes while they do."""
    return colour_bundle(tmp_path_factory.mktemp("served") / "colours")


@pytest.fixture(scope="module")
def two(cluster: Any, served: Bundle) -> Iterator[Fronted]:  # noqa: ARG001 - it must be there
    with fronted(served.path, 2) as started:
        yield started


def timeless(reply: Reply) -> tuple[int, dict[str, str], bytes]:
    """An answer without what depends on when and how fast it was made."""
    headers = dict(reply.headers) | {"date": ""}
    body = re.sub(rb'"timing": {[^}]*}', b"", reply.body)
    if body != reply.body:
        headers["content-length"] = ""
    return reply.status, headers, body


def all_right(found: Load) -> bool:
    return set(found.statuses) == {200} and not found.wrong and found.statuses[200] > 10


# Images.


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images of three colours; some are none."""
    folder = tmp_path_factory.mktemp("photos")
    random = np.random.default_rng(2)
    for number in range(IMAGES):
        colour = list(COLOURS.values())[random.integers(3)]
        content = b"broken" if number in BAD else picture(colour, (8, 9))
        (folder / f"{number:03}.png").write_bytes(content)
    return folder


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Parquet file of several row groups; its last row has no image."""
    import pyarrow as pa

    file = tmp_path_factory.mktemp("rows") / "in.parquet"
    images = [picture(COLOURS[colour], (8, 8)) for colour in ROWS]
    pq.write_table(pa.table({"picture": [*images, None]}), file, 2)
    return file


def classified(out: Path) -> dict[str, dict[str, Any]]:
    """The rows by image, of which there is one each."""
    rows = pq.read_table(out).to_pylist()
    found = {row["image"]: row for row in rows}
    assert len(found) == len(rows)
    return found


def refused(out: Path) -> dict[str, str]:
    lines = [line for file in (out / "_bad").iterdir() for line in file.read_text().splitlines()]
    found = {told["image"]: told["error"] for told in map(json.loads, lines)}
    assert len(found) == len(lines)
    return found


@dataclass(frozen=True)
class Finished:
    """What a run left that was killed, and what the next one made of it."""

    words: list[str]
    out: Path
    before: set[str]
    tally: dict[str, Any]


@pytest.fixture(scope="module")
def finished(
    cluster: Any, bundle: Path, photos: Path, rows: Path, tmp_path_factory: pytest.TempPathFactory
) -> Finished:
    out = tmp_path_factory.mktemp("results") / "out"
    words = ["classify", str(bundle), str(photos), str(rows), "--column", "picture", "--json"]
    words += ["--engine", "ray", "--out", str(out)]
    words += ["--workers", "1", "--ray-address", cluster.address]

    waiting = photos / "150.png"
    content = waiting.read_bytes()
    waiting.unlink()
    os.mkfifo(waiting)  # an image that never comes: the run stands still here
    with Warmed([sys.executable, "-m", "lrn_deploy", *words]) as process:
        limit = time.monotonic() + 60
        while len(list(out.glob("part-*.parquet"))) < 3 and time.monotonic() < limit:
            time.sleep(0.02)
        process.kill()
    before = set(classified(out))
    waiting.unlink()
    waiting.write_bytes(content)
    with redirect_stdout(StringIO()) as told:
        assert run(words) == 1  # some are no images
    return Finished(words, out, before, json.loads(told.getvalue()))


def test_a_run_that_is_killed_is_finished_by_the_next_and_each_image_has_one_row(
    finished: Finished, bundle: Path, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert 0 < len(finished.before) < IMAGES
    assert finished.tally["images"] == ALL
    assert finished.tally["before"] >= len(finished.before)
    assert finished.tally["bad"] == len(BAD) + 1
    rows = classified(finished.out)
    assert len(rows) == ALL - len(BAD) - 1
    digest = Bundle.open(bundle).manifest.artifact("model").sha256
    assert {row["artifact_sha256"] for row in rows.values()} == {digest}

    run(["classify", str(bundle), str(photos), "--jsonl"])  # the one without Ray
    lines = map(json.loads, capsys.readouterr().out.splitlines())
    plain = {told["image"]: told for told in lines}
    assert {name: told for name, told in refused(finished.out).items() if "#" not in name} == {
        name: told["error"] for name, told in plain.items() if told["error"]
    }
    for name, row in rows.items():
        if "#" in name:
            continue
        best = plain[name]["predictions"][0]
        assert row["label"] == best["label"]
        assert row["probability"] == pytest.approx(best["probability"], abs=1e-6)


def test_what_is_done_is_not_done_again(
    finished: Finished, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = classified(finished.out)
    assert run(finished.words) == 1
    assert json.loads(capsys.readouterr().out)["before"] == ALL
    assert classified(finished.out) == rows


def test_results_of_another_bundle_are_left_alone(
    finished: Finished, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = classified(finished.out)
    other = colour_bundle(tmp_path / "other", labels=LABELS[::-1])
    name, _, *words = finished.words
    assert run([name, str(other.path), *words]) == 2
    assert "results of another bundle or other options" in capsys.readouterr().err
    assert classified(finished.out) == rows


def test_rows_of_parquet_are_classified_by_their_number(finished: Finished, rows: Path) -> None:
    of_rows = {name: row for name, row in classified(finished.out).items() if "#" in name}
    assert {name: row["label"] for name, row in of_rows.items()} == {
        f"{rows}#{row}": colour for row, colour in enumerate(ROWS)
    }
    assert [name for name in refused(finished.out) if "#" in name] == [f"{rows}#{len(ROWS)}"]


# Servers.


def test_a_server_on_ray_answers_as_lrn_server_does_and_goes_on_without_a_broken_bundle(
    cluster: Any, tmp_path: Path
) -> None:
    bundle = colour_bundle(tmp_path / "colours")
    image = picture("red")
    tensor = {"name": "image", "shape": [1, 3, 8, 8], "datatype": "FP32", "data": [0.5] * 192}
    asked: list[tuple[str, str, bytes | None, dict[str, str]]] = [
        ("GET", "/v2", None, {}),
        ("GET", "/v2/health/ready", None, {}),
        ("GET", "/v2/models/colours", None, {}),
        ("GET", "/v2/models/nobody", None, {}),
        ("POST", "/v2/models/colours/infer", json.dumps({"inputs": [tensor]}).encode(), {}),
        ("POST", "/v2/models/colours/infer", b"{", {}),
        ("POST", "/v1/classify?top=2", image, {"content_type": "image/png"}),
        ("POST", "/v1/classify", b"no image", {}),
        ("PUT", "/v2", b"", {}),
        ("GET", "/nowhere", None, {}),
        ("GET", "/v2", None, {"host": "elsewhere.example"}),
    ]
    repository = Repository(ModelSettings(threads=1))
    repository.load(repository.add(bundle.path))
    ray_address = ("--engine", "ray", "--ray-address", cluster.address)
    with inside(repository) as own, serving(bundle.path, *ray_address) as rays:
        assert rays.ports["models"] == ["colours"]
        for method, path, body, headers in asked:
            replies: list[Reply] = []
            for connection in (own.connect(), rays.connect()):
                reply = ask(connection, method, path, body, x_request_id="mine", **headers)
                replies.append(reply)
                connection.close()
            here, there = replies
            assert timeless(here) == timeless(there), (method, path)

        metrics = rays.call("GET", "/metrics").body.decode()
        assert 'nv_inference_request_success{replica="' in metrics

        (bundle.path / "model.onnx").write_bytes(b"other")  # which no replica can load
        rays.process.send_signal(signal.SIGHUP)
        limit = time.monotonic() + 60
        while "go on" not in rays.said() and time.monotonic() < limit:
            reply = rays.call("POST", "/v1/classify?top=1", image)
            assert reply.content["results"][0]["predictions"][0]["label"] == "red"
            time.sleep(0.1)
        assert "model.onnx" in rays.said()

        rays.process.terminate()
        assert rays.finish() == 0
        assert "Replacing the replicas." in rays.said()


@pytest.mark.usefixtures("cluster")
def test_a_bundle_that_no_replica_can_load_ends_the_command_with_its_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = colour_bundle(tmp_path / "colours")
    (bundle.path / "model.onnx").write_bytes(b"other")
    began = time.monotonic()
    assert run(["serve", str(bundle.path), "--engine", "ray", "--http-port", "0"]) == 2
    assert time.monotonic() - began < 30
    said = capsys.readouterr().err
    assert "Error: Failed to load 'colours'" in said
    assert "model.onnx" in said


def label_of_red(two: Fronted) -> str:
    with closing(HTTPConnection("127.0.0.1", two.port)) as connection:
        reply = ask(connection, "POST", "/v1/classify?top=1", picture("red"))
    return str(reply.content["results"][0]["predictions"][0]["label"])


def test_an_update_under_load_loses_nothing_and_takes_up_a_changed_bundle(
    two: Fronted, served: Bundle, capsys: pytest.CaptureFixture[str]
) -> None:
    before = set(two.places())
    assert label_of_red(two) == "red"
    colour_bundle(served.path, labels=("rouge", "vert", "bleu"))
    assert all_right(load(two.port, SECONDS, two.replicas.renew))
    assert "Replaced the replicas." in capsys.readouterr().out
    assert not before & set(two.places())
    assert label_of_red(two) == "rouge"


def test_a_node_that_is_killed_under_load_takes_no_answer_along(two: Fronted, cluster: Any) -> None:
    spread(two, cluster)
    lost = two.front.lost
    assert all_right(load(two.port, SECONDS, lambda: kill_node(two, cluster)))
    assert two.front.lost > lost  # requests were under way there, and were sent again


def test_a_replica_that_is_killed_under_load_takes_no_answer_along(two: Fronted) -> None:
    wait_for(two, 2)
    lost = two.front.lost
    assert all_right(load(two.port, SECONDS, lambda: kill_one(two)))
    assert two.front.lost > lost
