"""A model that is replaced while requests come: none of them is lost."""

from __future__ import annotations

from concurrent.futures import Future
from pathlib import Path
from typing import Any, cast

import pytest

from lrn_deploy.serving.batching.job import Outcome
from lrn_deploy.serving.errors import ClosedError, NotFoundError, UnavailableError
from lrn_deploy.serving.inference import InferRequest
from lrn_deploy.serving.repository.model import ServedModel
from lrn_deploy.serving.repository.repository import Repository
from lrn_deploy.serving.settings import ModelSettings


class Model:
    """A model that may be closed, and something that happens just then."""

    ready = True

    def __init__(self, closed: Any = None) -> None:
        self.closed = closed
        self.future: Future[Outcome] = Future()

    def submit(self, _call: InferRequest) -> Future[Outcome]:
        if self.closed is not None:
            self.closed()
            raise ClosedError("This model is being unloaded.")
        return self.future


def repository(model: Model) -> Repository:
    one = Repository(ModelSettings())
    assert one.add(Path("nowhere"), "m") == "m"
    one._slots["m"].model = cast(ServedModel, model)
    return one


def test_a_request_that_falls_into_the_gap_goes_to_the_newer_model() -> None:
    newer = Model()

    def replace() -> None:
        one._slots["m"].model = cast(ServedModel, newer)

    one = repository(Model(replace))
    model, future = one.submit("m", "1", InferRequest({}))
    assert cast(Any, model) is newer
    assert future is newer.future


def test_a_request_to_a_model_that_is_gone_meanwhile_is_told_so() -> None:
    def unload() -> None:
        one._slots["m"].model = None

    one = repository(Model(unload))
    with pytest.raises(UnavailableError, match="not ready"):
        one.submit("m", "", InferRequest({}))
    with pytest.raises(NotFoundError, match="no version 2"):
        one.submit("m", "2", InferRequest({}))
