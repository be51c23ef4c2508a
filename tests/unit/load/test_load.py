"""A whole run against a queue in virtual time, whose knee is known."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest

from lrn_deploy.errors import BadInputError
from lrn_deploy.load import load as module
from lrn_deploy.load import workload
from lrn_deploy.load.drive import ANSWERED, NO_CONNECTION, Taken, drive
from lrn_deploy.load.load import load
from lrn_deploy.load.options import LoadOptions
from lrn_deploy.load.plans import poisson
from lrn_deploy.load.schema import INTERRUPTED, LoadReport
from lrn_deploy.progress import Progress, silent
from tests.support.scripted import answer, scripted
from tests.support.virtual_load import Serve, Virtual, steady

SECONDS = 0.01
"""What each request takes of a server that does one at a time: 100 a second, at most."""


def one_at_a_time() -> Serve:
    free = 0.0

    def serve(_ticket: int, now: float) -> tuple[float, str]:
        nonlocal free
        free = max(free, now) + SECONDS
        return free, ANSWERED

    return serve


def run(
    monkeypatch: pytest.MonkeyPatch, serve: Serve, progress: Progress = silent, **options: Any
) -> LoadReport:
    sender = Virtual(serve, cost=options.pop("cost", 0.0), most=options.get("connections", 512))
    told = workload.Workload("m", "s 1", "tensors", 100, lambda: sender)
    monkeypatch.setattr(module, "prepare", lambda _url, _options: told)
    monkeypatch.setattr(module, "drive", partial(drive, clock=sender.clock))
    return load("http://host:1", LoadOptions(**options), progress)


def test_a_closed_loop_is_reported_with_what_it_was_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = {"concurrency": 2, "duration": 2.0, "warmup": 0.5, "timeout": 9.0, "slo_ms": 30.0}
    closed: list[Virtual] = []
    monkeypatch.setattr(Virtual, "close", lambda sender: closed.append(sender))
    report = run(monkeypatch, steady(0.1), **asked, seed=7)
    assert (report.url, report.model, report.server) == ("http://host:1", "m", "s 1")
    assert (report.mode, report.asked, report.request_bytes) == ("closed", "tensors", 100)
    assert (report.seconds_each, report.warmup, report.timeout) == (2.0, 0.5, 9.0)
    assert (report.slo, report.seed, report.knee, report.stopped) == (0.03, 7, None, "")
    assert len(closed) == 1
    (step,) = report.steps
    assert (step.concurrency, step.rate, step.kept) == (2, None, None)
    assert step.throughput == pytest.approx(20, abs=1)
    assert step.seconds == pytest.approx(2.0)
    assert report.complete
    assert report.failed  # 100 ms each, and 30 at most
    assert run(monkeypatch, steady(0.1), concurrency=1).slo is None


def test_an_open_loop_offers_its_rate_and_each_step_of_a_ramp_other_arrivals(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = {"duration": 0.6, "warmup": 0.2, "seed": 3}
    (step,) = run(monkeypatch, steady(0.001), rate=100.0, **asked).steps
    assert step.samples.due == pytest.approx(poisson(100.0, 0.8, 3), abs=1e-6)
    ramp = run(monkeypatch, one_at_a_time(), ramp=True, slo_ms=11.0, **asked)
    assert ramp.steps[0].seconds == pytest.approx(0.6)
    rates = [one.rate for one in ramp.steps]
    assert rates[:3] == pytest.approx([None, 50, 50])  # tried once more
    for at in (1, 2):
        due = poisson(50.0, 0.8, 3 + at)
        assert ramp.steps[at].samples.due == pytest.approx(due, abs=1e-6)


def test_a_lone_client_is_measured_for_two_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    report = run(monkeypatch, steady(0.5), ramp=True, slo_ms=1.0, duration=9.0)
    assert report.steps[0].seconds == pytest.approx(2.0)
    assert report.seconds_each == 9.0


def test_without_a_lone_clients_times_there_is_no_ramp(monkeypatch: pytest.MonkeyPatch) -> None:
    report = run(monkeypatch, lambda _, now: (now + 0.1, "503"), ramp=True, duration=9.0)
    assert (len(report.steps), report.knee, report.stopped) == (1, None, "")
    assert report.failed


def test_what_was_taken_until_ctrl_c_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    def progress(_what: str, done: int, _total: int) -> None:
        if done >= 20:
            raise KeyboardInterrupt

    for asked in {"concurrency": 1}, {"ramp": True}:
        report = run(monkeypatch, steady(0.1), progress, **asked)
        assert (report.stopped, report.complete) == (INTERRUPTED, False)
        assert (len(report.steps), report.knee) == (1, None)
        assert report.steps[0].answered == pytest.approx(10, abs=1)  # in the second second


def test_four_times_a_second_it_tells_the_last_seconds_rate_and_p99(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def failing(ticket: int, now: float) -> tuple[float, str]:
        return now + 0.1, "503" if now > 52.0 and ticket % 2 else ANSWERED

    told: list[tuple[str, int, int]] = []
    asked = {"concurrency": 1, "duration": 2.0, "warmup": 1.5}
    run(monkeypatch, failing, lambda *step: told.append(step), **asked)
    assert {total for _, _, total in told} == {35}  # tenths of a second
    assert [done for _, done, _ in told] == sorted(done for _, done, _ in told)
    assert len(told) == pytest.approx(3.5 * 4, abs=3)
    assert max(done for _, done, _ in told) <= 35
    assert told[0] == ("1 at a time: 0/s", 0, 35)
    by_time = {done: what for what, done, _ in told}
    before, after = (
        [what for done, what in by_time.items() if first < done < last]
        for first, last in ((12, 20), (31, 36))
    )
    assert before
    assert after
    assert {what.replace(" 11/s", " 10/s") for what in before} == {"1 at a time: 10/s, p99 100 ms"}
    assert all(what.endswith(" failed") for what in after)


def test_it_tells_of_the_second_before_and_of_no_other() -> None:
    told: list[str] = []
    live = module._Live(lambda what, _done, _total: told.append(what), "it", 60.0)
    taken = Taken()
    # Answered at 0.99, 1, 1.5 and 2 s; refused at 1.6 s; still under way; and one that has ended
    # after the moment that is looked at.
    for due, ended, outcome in (
        (0.9, 0.99, ""),
        (0.9, 1.0, ""),
        (1.1, 1.5, ""),
        (1.98, 2.0, ""),
        (1.5, 1.6, "503"),
        (1.9, float("nan"), "no answer"),
        (1.9, 2.01, ""),
    ):
        taken.due.append(due)
        taken.ended.append(ended)
        taken.outcomes.append(outcome)
    live(2.0, taken)
    # p99 of 0.02, 0.1 and 0.4 s, by the line between the two last: 0.1 + 0.98 * 0.3
    assert told == ["it: 3/s, p99 394 ms, 1 failed"]
    live(2.2, taken)  # too soon
    live(2.25, taken)
    assert len(told) == 2


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
    report = run(monkeypatch, one_at_a_time(), rate=150.0, duration=5.0, connections=3)
    held = report.steps[0].generator.held
    assert held > 200
    assert report.warnings == (
        f"At 150/s {held} requests left late because 3 were under way, which is the limit of "
        "--connections; their latencies count from when they were due.",
    )
    assert report.steps[0].throughput == pytest.approx(100, rel=0.02)


def test_warnings_say_that_the_generator_was_too_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    report = run(monkeypatch, steady(0.001), rate=50.0, duration=1.0, cost=0.04)
    (said,) = report.warnings
    assert said.startswith("At 50/s the load generator itself was the bottleneck: a hundredth of")
    assert report.steps[0].generator.reason in said


def test_warnings_count_what_failed_but_not_in_a_ramp(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(ticket: int, now: float) -> tuple[float, str]:
        return now + 0.1, "503" if ticket % 4 == 0 else ANSWERED

    report = run(monkeypatch, failing, concurrency=2, duration=1.0, warmup=0.0)
    assert report.warnings == (
        "At 2 at a time 5 of 20 requests failed; the latencies are those of the others.",
    )
    ramp = run(monkeypatch, failing, ramp=True, duration=0.5)
    assert any(step.errors for step in ramp.steps)
    assert ramp.warnings == ()


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
