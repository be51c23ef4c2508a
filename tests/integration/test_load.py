"""``lrn-deploy load`` against real servers, and the stall that a closed loop hides."""

from __future__ import annotations

import json
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lrn_deploy.cli import run
from lrn_deploy.client import Client
from lrn_deploy.load.load import load
from lrn_deploy.load.options import LoadOptions
from lrn_deploy.load.schema import LoadReport
from tests.support.image_bundles import colour_bundle
from tests.support.servers import Running, serving


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("load") / "colours"
    colour_bundle(folder)
    return folder


@pytest.fixture(scope="module")
def server(bundle: Path) -> Iterator[Running]:
    with serving(bundle, "--access-log", "none", measured=False) as running:
        yield running


def inferences(server: Running) -> int:
    with Client(f"http://{server.http}") as client:
        count: int = client.stats("colours")[0]["inference_count"]
        return count


@pytest.mark.parametrize("protocol", ["http", "grpc"])
@pytest.mark.parametrize("how", [{"rate": 60.0}, {"concurrency": 2}])
def test_the_server_counts_as_many_requests(
    server: Running, protocol: str, how: dict[str, Any]
) -> None:
    before = inferences(server)
    told: list[str] = []
    report = load(
        f"{protocol}://{getattr(server, protocol)}",
        LoadOptions(**how, duration=0.5, warmup=0.1),
        lambda what, _done, _total: told.append(what),
    )
    (step,) = report.steps
    assert len(step.samples.due) == inferences(server) - before - 1  # one was to see that it works
    assert step.errors == {}
    assert step.answered == step.sent > 0
    assert report.complete
    assert (report.model, report.server.split()[0]) == ("colours", "lrn-server")
    assert report.asked == "'image' [1, 3, 8, 8] FP32"
    assert step.latency is not None
    assert 0 < step.latency.p50 <= step.latency.max < 5
    if "rate" in how:
        assert step.sent == pytest.approx(30, abs=4 * 30**0.5)
    else:
        assert step.corrected is not None
    assert told
    assert LoadReport.model_validate_json(report.model_dump_json()) == report


def test_images_are_classified(server: Running, tmp_path: Path) -> None:
    for at in range(3):
        Image.new("RGB", (20, 20 + at), (at * 100, 0, 0)).save(tmp_path / f"{at}.png")
    before = inferences(server)
    options = LoadOptions(concurrency=1, duration=0.3, warmup=0.1, images=tmp_path)
    report = load(f"http://{server.http}", options)
    assert report.steps[0].answered > 0
    assert report.steps[0].errors == {}
    assert inferences(server) - before == len(report.steps[0].samples.due) + 1
    assert "3 images" in report.asked


class Stopped:
    """Stops a server for a second, once the load has gone on for half of one."""

    def __init__(self, server: Running) -> None:
        self._process = server.process
        self._timers: list[threading.Timer] = []

    def __call__(self, what: str, _done: int, _total: int) -> None:
        if not self._timers and what:
            for seconds, number in ((0.5, signal.SIGSTOP), (1.5, signal.SIGCONT)):
                timer = threading.Timer(seconds, self._process.send_signal, (number,))
                timer.start()
                self._timers.append(timer)


def test_a_stall_of_a_second_hides_in_a_closed_loop_and_shows_in_an_open_one(
    server: Running,
) -> None:
    url = f"http://{server.http}"
    whole = {"duration": 2.2, "warmup": 0.1}
    closed = load(url, LoadOptions(concurrency=1, **whole), Stopped(server)).steps[0]
    opened = load(url, LoadOptions(rate=100.0, **whole), Stopped(server)).steps[0]
    hidden, seen = (np.mean(np.array(one.samples.latency, float) > 0.3) for one in (closed, opened))
    assert closed.latency is not None
    assert closed.latency.max > 0.9  # it has seen it, once
    assert hidden < 0.05
    # Of those that were due almost half was due in that second, and waited for its end.
    assert seen > max(0.15, 5 * hidden)
    assert opened.latency is not None
    assert 0.8 < opened.latency.max < 5
    assert opened.errors == {}
    assert closed.corrected is not None
    assert closed.corrected.p90 is not None
    assert closed.corrected.p90 > 0.3


def test_a_server_that_dies_halfway_leaves_what_was_measured(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving(bundle, "--access-log", "none", measured=False) as mortal:
        killer = threading.Thread(target=_kill_under_load, args=(mortal,))
        killer.start()
        file = tmp_path / "load.json"
        code = run(
            ["load", f"http://{mortal.http}", "--rate", "50", "--duration", "30", "--warmup", "0",
             "-o", str(file)]
        )  # fmt: skip
        killer.join()
    assert code == 1
    report = LoadReport.model_validate_json(file.read_bytes())
    assert not report.complete
    assert report.steps[0].answered > 10
    assert report.steps[0].errors.get("no connection", 0) > 10
    said = capsys.readouterr().out
    assert "Ended early: The server took no more connections" in said


def _kill_under_load(server: Running) -> None:
    while inferences(server) < 15:
        time.sleep(0.02)
    server.process.kill()


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--rate", "0"], 2, "--rate must be above 0"),
        (["--rate", "-3"], 2, "--rate must be above 0, got -3"),
        ([], 2, "one of --rate, --concurrency and --ramp"),
        (["--ramp", "--model", "nope"], 2, "it has colours"),
        (["--ramp", "--images", "EMPTY"], 2, "has no images"),
        (["--ramp", "--images", "NOWHERE"], 2, "does not exist"),
        (["--ramp", "--batch", "99"], 1, "99"),
    ],
)
def test_what_cannot_be_done_is_said_with_a_hint(
    server: Running,
    tmp_path: Path,
    words: list[str],
    code: int,
    said: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "EMPTY").mkdir()
    words = [str(tmp_path / word) if word.isupper() else word for word in words]
    assert run(["load", f"http://{server.http}", *words]) == code
    found = capsys.readouterr().err
    assert said in found


def test_nobody_there_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["load", "http://127.0.0.1:1", "--rate", "1"]) == 3
    found = capsys.readouterr().err
    assert "Nobody answers at http://127.0.0.1:1" in found
    assert "Hint: Check host and port" in found


def test_a_limit_that_is_missed_is_an_exit_code(
    server: Running, capsys: pytest.CaptureFixture[str]
) -> None:
    url = f"http://{server.http}"
    words = ["load", url, "--concurrency", "1", "--duration", "0.3", "--warmup", "0", "--json"]
    assert run([*words, "--slo-ms", "0.001"]) == 1
    found = capsys.readouterr()
    assert "p99 was missed" in found.err
    assert json.loads(found.out)["slo"] == pytest.approx(1e-6)
    assert run([*words, "--slo-ms", "60000"]) == 0
