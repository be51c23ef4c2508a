"""A whole run against a queue in virtual time, whose knee is known."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest

from lrn_deploy.errors import BadInputError
from lrn_deploy.load import load as module
from lrn_deploy.load import workload
from lrn_deploy.load.drive import ANSWERED, NO_CONNECTION, drive
from lrn_deploy.load.load import load
from lrn_deploy.load.options import LoadOptions
from lrn_deploy.load.schema import LoadReport
from tests.support.scripted import answer, scripted
from tests.support.virtual_load import Serve, Virtual

SECONDS = 0.01
"""What each request takes of a server that does one at a time: 100 a second, at most."""


def one_at_a_time() -> Serve:
    free = 0.0

    def serve(_ticket: int, now: float) -> tuple[float, str]:
        nonlocal free
        free = max(free, now) + SECONDS
        return free, ANSWERED

    return serve


def run(monkeypatch: pytest.MonkeyPatch, serve: Serve, **options: Any) -> LoadReport:
    sender = Virtual(serve)
    told = workload.Workload("m", "s 1", "tensors", 100, lambda: sender)
    monkeypatch.setattr(module, "prepare", lambda _url, _options: told)
    monkeypatch.setattr(module, "drive", partial(drive, clock=sender.clock))
    return load("http://host:1", LoadOptions(**options))


def test_the_knee_is_at_four_fifths_of_what_the_server_can_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """M/D/1: p99 of the time in the queue and served is ten services at a load of about 0.81."""
    report = run(monkeypatch, one_at_a_time(), ramp=True, duration=20.0)
    knee = report.knee
    assert knee is not None
    assert knee.limit == pytest.approx(10 * SECONDS)
    assert knee.rate is not None
    assert 70 < knee.rate < 92
    assert not knee.of_generator
    assert [step.concurrency for step in report.steps[:2]] == [1, None]
    assert report.steps[1].rate == pytest.approx(0.5 / SECONDS)
    assert report.complete
    assert not report.failed


def test_with_a_limit_of_its_own_the_knee_is_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    tight = run(monkeypatch, one_at_a_time(), ramp=True, duration=15.0, slo_ms=30.0).knee
    assert tight is not None
    assert tight.rate is not None
    assert 25 < tight.rate < 55


def test_a_server_that_dies_in_a_ramp_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    alive = one_at_a_time()

    def mortal(ticket: int, now: float) -> tuple[float, str]:
        return alive(ticket, now) if now < 54.5 else (now, NO_CONNECTION)

    report = run(monkeypatch, mortal, ramp=True, duration=5.0)
    assert "took no more connections" in report.stopped
    assert not report.complete
    assert report.failed
    assert len(report.steps) == 2
    assert report.knee is not None
    assert report.knee.beyond is None


def test_warnings_say_which_loads_were_held(monkeypatch: pytest.MonkeyPatch) -> None:
    sender_most = 3
    monkeypatch.setattr(Virtual, "most", sender_most)
    sender = Virtual(one_at_a_time(), most=sender_most)
    told = workload.Workload("m", "s 1", "tensors", 100, lambda: sender)
    monkeypatch.setattr(module, "prepare", lambda _url, _options: told)
    monkeypatch.setattr(module, "drive", partial(drive, clock=sender.clock))
    report = load("http://h:1", LoadOptions(rate=150.0, duration=5.0, connections=sender_most))
    assert report.steps[0].generator.held > 200
    assert "left late because 3 were under way" in report.warnings[0]
    assert report.steps[0].throughput == pytest.approx(100, rel=0.02)


METADATA = {
    "name": "m", "versions": ["1"], "platform": "p",
    "inputs": [
        {"name": "a", "datatype": "FP16", "shape": [-1, 3, -1]},
        {"name": "b", "datatype": "BF16", "shape": [-1, 2]},
        {"name": "c", "datatype": "BYTES", "shape": [-1]},
        {"name": "d", "datatype": "INT64", "shape": [-1, 4]},
        {"name": "e", "datatype": "UINT8", "shape": [-1, 8]},
    ],
    "outputs": [],
}  # fmt: skip
SERVER = {"name": "s", "version": "1", "extensions": []}


def test_tensors_are_of_the_models_types_and_shapes() -> None:
    outputs = answer(200, {"outputs": []})
    with scripted(answer(200, METADATA), answer(200, SERVER), outputs) as server:
        options = LoadOptions(ramp=True, model="m", batch=2, api_key="k")
        made = workload.prepare(server.url, options)
        said = server.asked[-1].announced["inputs"]
    assert made.server == "s 1"
    tensors = 2 * 2 * 3 * 224 + 2 * 2 * 2 + 2 * 4 * 8 + 2 * 8  # bytes, without those of strings
    assert tensors < made.nbytes < tensors + 1000
    assert [(one["name"], one["datatype"], one["shape"]) for one in said] == [
        ("a", "FP16", [2, 3, 224]),
        ("b", "BF16", [2, 2]),
        ("c", "BYTES", [2]),
        ("d", "INT64", [2, 4]),
        ("e", "UINT8", [2, 8]),
    ]
    assert {one.headers["authorization"] for one in server.asked} == {"Bearer k"}
    assert "'a' [2, 3, 224] FP16" in made.asked


def test_a_fixed_batch_is_told() -> None:
    fixed = METADATA | {"inputs": [{"name": "a", "datatype": "FP32", "shape": [8, 2]}]}
    with scripted(answer(200, fixed), answer(200, SERVER)) as server:
        with pytest.raises(BadInputError, match="takes batches of 8, not of 1") as caught:
            workload.prepare(server.url, LoadOptions(ramp=True, model="m"))
        assert "--batch 8" in caught.value.hint


def test_the_only_model_that_is_ready_needs_no_name() -> None:
    index = [{"name": "m", "state": "READY"}, {"name": "c", "state": "UNAVAILABLE"}]
    done = answer(200, {"outputs": []})
    with scripted(
        answer(200, index),  # type: ignore[arg-type]  # a script of any kind
        answer(200, METADATA),
        answer(200, SERVER),
        done,
    ) as server:
        assert workload.prepare(server.url, LoadOptions(ramp=True)).model == "m"
    with (
        scripted(answer(200, index[1:])) as server,  # type: ignore[arg-type]  # the same
        pytest.raises(BadInputError, match="The server has no models"),
    ):
        workload.prepare(server.url, LoadOptions(ramp=True))


def test_another_name_is_answered_with_those_that_there_are() -> None:
    index = [{"name": "b", "state": "READY"}, {"name": "a"}]
    none = answer(404, {"error": "There is no model 'x'."})
    with scripted(none, answer(200, index)) as server:  # type: ignore[arg-type]  # the same
        with pytest.raises(BadInputError, match="no model 'x'") as caught:
            workload.prepare(server.url, LoadOptions(ramp=True, model="x"))
        assert "--model NAME; it has a, b" in caught.value.hint


def test_images_of_a_folder_are_asked_for_in_turn(tmp_path: Path) -> None:
    for name in ("a.png", "b.jpg"):
        (tmp_path / name).write_bytes(name.encode())
    said = answer(200, {"results": []})
    with scripted(answer(200, METADATA), answer(200, SERVER), said) as server:
        options = LoadOptions(ramp=True, model="m", images=tmp_path)
        made = workload.prepare(server.url, options)
        assert (server.asked[-1].target, server.asked[-1].body) == (
            "/v1/classify?model=m&top=5",
            b"a.png",
        )
    assert made.nbytes == 5
    assert made.asked == f"2 images of '{tmp_path}' in turn, by /v1/classify"
    (tmp_path / "b.jpg").write_bytes(b"")
    with pytest.raises(BadInputError, match="is empty"):
        workload.prepare("http://127.0.0.1:1", options)


def test_several_models_are_a_choice() -> None:
    index = [{"name": "a", "state": "READY"}, {"name": "b", "state": "READY"},
             {"name": "c", "state": "UNAVAILABLE"}]  # fmt: skip
    with scripted(answer(200, index)) as server:  # type: ignore[arg-type]  # a script of any kind
        with pytest.raises(BadInputError, match="The server has 2 models: a, b") as caught:
            workload.prepare(server.url, LoadOptions(ramp=True))
        assert "--model NAME" in caught.value.hint


def test_images_over_grpc_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="over HTTP only"):
        workload.prepare("grpc://127.0.0.1:1", LoadOptions(ramp=True, images=tmp_path))
