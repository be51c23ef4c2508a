"""Models by name: what is told of each, and what a request must be to reach one."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from lrn_deploy.bundle import IntegerValues, TensorSpec
from lrn_deploy.errors import BadInputError
from lrn_deploy.serving.batching.batcher import Batcher
from lrn_deploy.serving.batching.policy import Adaptive, Fixed
from lrn_deploy.serving.errors import InvalidRequestError, NotFoundError, UnavailableError
from lrn_deploy.serving.inference import InferRequest, OutputForm
from lrn_deploy.serving.repository.embedding import Embedding
from lrn_deploy.serving.repository.loading import _policy, _warm
from lrn_deploy.serving.repository.model import ServedModel, Source, _finite, _fits
from lrn_deploy.serving.repository.repository import Repository
from lrn_deploy.serving.settings import ModelSettings
from tests.support.image_bundles import colour_bundle


class Closing:
    """A model that notes how long it was given to finish."""

    def __init__(self, *, ready: bool = True, finished: bool = True) -> None:
        self.ready = ready
        self.given: list[float | None] = []
        self.batcher = self
        self.finished = finished

    def close(self, timeout: float | None = None) -> bool:
        self.given.append(timeout)
        return self.finished


def filled(*models: tuple[str, Any], drain: float = 30) -> Repository:
    one = Repository(ModelSettings(), drain)
    for name, model in models:
        one.add(Path("nowhere"), name)
        one._slots[name].model = model
        if model is not None:
            one._slots[name].state, one._slots[name].reason = "READY", ""
    return one


def test_the_index_tells_each_state_and_why() -> None:
    one = filled(("good", Closing()), ("stuck", Closing(ready=False)), ("not", None))
    assert one.index() == [
        {"name": "good", "version": "1", "state": "READY", "reason": ""},
        {
            "name": "stuck",
            "version": "1",
            "state": "UNAVAILABLE",
            "reason": "no instance is left that can run",
        },
        {"name": "not", "version": "1", "state": "UNAVAILABLE", "reason": "not loaded"},
    ]
    assert [entry["name"] for entry in one.index(ready=True)] == ["good"]
    assert len(one.models()) == 2


def test_unloading_gives_the_time_to_drain_and_says_so() -> None:
    model = Closing()
    one = filled(("m", model), drain=7)
    one.unload("m")
    assert model.given == [7]
    assert one.index()[0]["reason"] == "unloaded"
    with pytest.raises(UnavailableError, match="'m' is not ready: unloaded"):
        one.get("m")
    one.unload("m")  # again changes nothing
    assert model.given == [7]
    assert Repository(ModelSettings())._drain_seconds == 30


def test_closing_shares_its_time_and_tells_whether_all_finished() -> None:
    models = [Closing(), Closing(finished=False), Closing()]
    one = filled(*((str(at), model) for at, model in enumerate(models)))
    assert not one.close(5)
    for model in models:
        (given,) = model.given
        assert given is not None
        assert 4 < given <= 5
    last = Closing()
    assert filled(("m", last)).close(0)
    assert last.given == [0]


def test_names_are_the_networks_the_folders_or_given(tmp_path: Path) -> None:
    colour_bundle(tmp_path / "bundle")
    one = Repository(ModelSettings())
    assert one.add(tmp_path / "bundle") == "colours"
    assert one.add(tmp_path / "none") == "none"
    assert one.add(tmp_path / "bundle", "other") == "other"
    with pytest.raises(BadInputError, match="would both be served as 'colours'") as caught:
        one.add(tmp_path / "bundle")
    assert f"colours-2={tmp_path / 'bundle'}" in caught.value.hint
    with pytest.raises(NotFoundError, match="there is 'colours', 'none', 'other'"):
        one.get("x")
    with pytest.raises(NotFoundError, match="there is none"):
        Repository(ModelSettings()).get("x")


def test_what_fails_to_load_says_why_and_what_ran_before_goes_on(tmp_path: Path) -> None:
    running = Closing()
    one = filled(("new", None), ("old", running))
    for name in ("new", "old"):
        one._slots[name].path = tmp_path / "none"
        with pytest.raises(InvalidRequestError, match=f"Failed to load '{name}': .*not a bundle"):
            one.load(name)
    new, old = one.index()
    assert (new["state"], old["state"]) == ("UNAVAILABLE", "READY")
    assert "is not a bundle" in new["reason"]
    assert one.get("old") is cast(Any, running)
    assert running.given == []


def test_a_model_is_replaced_before_the_old_one_is_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    old, new = Closing(), Closing()
    one = filled(("m", old), drain=7)
    one._slots["m"].artifact = "int8"
    asked: list[Any] = []

    def load(path: Path, settings: ModelSettings, *, name: str, artifact: str) -> Any:
        asked.append((path, settings, name, artifact, list(old.given)))
        return new

    monkeypatch.setattr("lrn_deploy.serving.repository.repository.load_model", load)
    one.load("m")
    assert asked == [(Path("nowhere"), one.settings, "m", "int8", [])]
    assert (one.get("m"), old.given, new.given) == (new, [7], [])
    one.unload("m")
    assert new.given == [7]
    one.load("m")
    assert one.index() == [{"name": "m", "version": "1", "state": "READY", "reason": ""}]


X = TensorSpec(
    name="x", dtype="int64", shape=("batch", 2),
    values=IntegerValues(low=2, high=9, source="table"),
)  # fmt: skip
Y = TensorSpec(name="y", dtype="float32", shape=("batch", "wide"))


def two_inputs(
    folder: Path, first: TensorSpec = X, **settings: Any
) -> tuple[ServedModel, list[Any]]:
    bundle = colour_bundle(folder)
    bundle = bundle.update(inputs=(first, Y))
    jobs: list[Any] = []
    batcher = cast(Batcher, SimpleNamespace(submit=jobs.append, alive=1))
    outputs = tuple(TensorSpec(name=name, dtype="float32", shape=("batch", 2)) for name in "oh")
    source = Source(bundle, "model", "onnxruntime", "cpu", "")
    hidden = Embedding("h", "net.5", 2)
    model = ServedModel("m", source, (X, Y), outputs, 4, batcher, ModelSettings(**settings), hidden)
    return model, jobs


def call(
    x: Any = ((2, 9),), y: Any = ((1.0, 2.0, 3.0),), outputs: tuple[str, ...] = (), **more: Any
) -> InferRequest:
    inputs = {"x": np.array(x, np.int64), "y": np.array(y, np.float32)} | more
    return InferRequest(inputs, tuple(map(OutputForm, outputs)))


def test_a_request_that_fits_is_queued_with_what_it_sent(tmp_path: Path) -> None:
    model, jobs = two_inputs(tmp_path / "b")
    asked = call(outputs=("o",))
    model.submit(asked)
    assert list(jobs[0].inputs) == ["x", "y"]
    assert jobs[0].inputs["y"] is asked.inputs["y"]
    assert (jobs[0].rows, jobs[0].priority, jobs[0].deadline) == (1, 2, None)
    assert [spec.name for spec in model.outputs] == ["o"]
    assert model.ready
    assert model.required_embedding().layer == "net.5"


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (call(outputs=("h",)), "no output 'h'; it has 'o'"),
        (call(z=np.zeros(1)), "takes the inputs 'x', 'y', got 'x', 'y', 'z'"),
        (InferRequest({}), "got none"),
        (call(x=np.zeros((1, 2), np.int32)), "|"),
        (call(x=((2, 9, 9),)), r"takes shape \[-1, 2\], got \[1, 3\]"),
        (call(x=(2, 9)), r"takes shape \[-1, 2\], got \[2\]"),
        (call(x=((2, 9), (2, 9))), "different batch sizes, 2 and 1"),
        (call(x=((1, 9),)), "takes 2 to 9, the rows of its table, got 1 to 9"),
        (call(x=((2, 10),)), "got 2 to 10"),
        (call(y=((1.0, np.nan),)), "NaN or infinite"),
        (call(y=((-np.inf, 1.0),)), "NaN or infinite"),
        (call(y=((np.inf, 1.0),)), "NaN or infinite"),
        (call(x=((2, 2),) * 5, y=((1.0,),) * 5), "from 1 to 4 for model 'm', got 5"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path: Path, asked: InferRequest, said: str) -> None:
    model, jobs = two_inputs(tmp_path / "b")
    if said == "|":
        asked = InferRequest({**asked.inputs, "x": asked.inputs["x"].astype(np.int32)})
        said = "'x' of model 'm' takes INT64, got INT32"
    with pytest.raises(InvalidRequestError, match=said):
        model.submit(asked)
    assert jobs == []


def test_only_what_looks_up_a_table_has_its_limits_checked(tmp_path: Path) -> None:
    model, jobs = two_inputs(tmp_path / "b")
    free = X.model_copy(update={"values": IntegerValues(low=2, high=9, source="example")})
    other, others = two_inputs(tmp_path / "c", first=free)
    for asked in (call(x=((2, 9),)), call(x=((9, 2),))):
        model.submit(asked)
    other.submit(call(x=((1, 10),)))
    assert (len(jobs), len(others)) == (2, 1)
    with pytest.raises(InvalidRequestError, match="from 1 to 4 for model 'm', got 0"):
        model.submit(call(x=np.zeros((0, 2)), y=np.zeros((0, 3))))


def test_what_is_not_finite_can_be_allowed(tmp_path: Path) -> None:
    model, jobs = two_inputs(tmp_path / "b", allow_nonfinite=True)
    model.submit(call(y=((np.nan, np.inf),)))
    assert len(jobs) == 1


def test_shapes_and_numbers_that_fit() -> None:
    assert _fits((7, 2), ("batch", 2))
    assert not _fits((7, 3), ("batch", 2))
    assert not _fits((7,), ("batch", 2))
    assert _finite(np.zeros(0, np.float32))
    assert _finite(np.array([3], np.int64))
    assert _finite(np.array([1e38, -1e38], np.float32))


class Session:
    inputs = (TensorSpec(name="x", dtype="uint8", shape=("batch", 3)),)

    def __init__(self) -> None:
        self.ran: list[tuple[tuple[int, ...], str]] = []

    def run(self, feeds: dict[str, Any]) -> None:
        self.ran.append((feeds["x"].shape, feeds["x"].dtype.name))


def test_each_size_is_warmed_up_the_smallest_first() -> None:
    session: Any = Session()
    _warm(session, {4, 1}, 2)
    assert session.ran == [((1, 3), "uint8")] * 2 + [((4, 3), "uint8")] * 2


def test_settings_become_a_policy_in_nanoseconds() -> None:
    fixed = ModelSettings(batching="fixed", max_queue_delay_us=5, preferred_batch_sizes=(2, 4))
    assert _policy(fixed, 8) == Fixed(8, 5000, (2, 4))
    assert _policy(ModelSettings(slo_ms=2.5), 8) == Adaptive(8, 2_500_000)
    assert _policy(ModelSettings(slo_ms=0), 8) == Adaptive(8, None)
