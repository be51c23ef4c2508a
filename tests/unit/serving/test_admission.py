"""Who is let in, with how much, and until when: the limits to the byte and to the nanosecond."""

from __future__ import annotations

import time
import tracemalloc
import zlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from lrn_deploy.serving.batching.batcher import Batcher
from lrn_deploy.serving.batching.job import Job
from lrn_deploy.serving.errors import (
    InvalidRequestError,
    NotFoundError,
    TooLargeError,
    TooManyError,
)
from lrn_deploy.serving.inference import InferRequest
from lrn_deploy.serving.rate_limit import RateLimiter
from lrn_deploy.serving.repository.model import ServedModel, Source
from lrn_deploy.serving.repository.repository import Repository
from lrn_deploy.serving.request import Request, request_id
from lrn_deploy.serving.rest.app import App
from lrn_deploy.serving.rest.compression import decompress
from lrn_deploy.serving.service import Service
from lrn_deploy.serving.settings import ModelSettings, ServerSettings
from tests.support.image_bundles import colour_bundle

INFER = "/v2/models/colours/infer"


def server(**settings: Any) -> App:
    """A server without models."""
    return App(Service(Repository(ModelSettings()), ServerSettings(access_log="none", **settings)))


def test_a_body_of_exactly_the_limit_is_let_in() -> None:
    app = server(max_body_bytes=1000)
    request = Request("POST", "/v1/classify", {"content-length": "1000"})
    assert app.admit(request) == 1000
    with pytest.raises(TooLargeError, match="1,001 bytes"):
        app.admit(Request("POST", "/v1/classify", {"content-length": "1001"}))


def test_a_client_pays_for_all_its_connections_and_for_nobody_elses() -> None:
    app = server(rate_limit=0.001, client_header="X-Client")

    def ask(address: str, **headers: str) -> None:
        with pytest.raises(NotFoundError):  # let in: there is no such model
            app.admit(app.begin("POST", INFER, headers, {}, address))

    ask("10.0.0.1:1001")
    with pytest.raises(TooManyError):
        app.admit(app.begin("POST", INFER, {}, {}, "10.0.0.1:1002"))
    ask("10.0.0.2:1001")
    ask("10.0.0.1:1003", **{"x-client": "a"})  # a gateway that says whose request it is
    ask("10.0.0.1:1003", **{"x-client": "b"})
    with pytest.raises(TooManyError):
        app.admit(app.begin("POST", INFER, {"x-client": "a"}, {}, "10.0.0.9:1"))


def test_a_client_that_was_silent_for_long_has_saved_nothing_up() -> None:
    limiter = RateLimiter(2)
    limiter.take("a", 0.0)
    for _ in range(2):
        limiter.take("a", 1000.0)
    with pytest.raises(TooManyError):
        limiter.take("a", 1000.0)


def test_what_unpacks_to_more_than_the_limit_takes_no_memory() -> None:
    packed = zlib.compress(bytes(8 * 2**20), 1)
    tracemalloc.start()
    with pytest.raises(TooLargeError, match="unpacks to more than 1,000 bytes"):
        decompress(packed, "deflate", 1000)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 2**20
    assert decompress(zlib.compress(bytes(1000)), "deflate", 1000) == bytes(1000)


@pytest.mark.parametrize("claimed", ["", "a" * 129, "a\r\nx: y", "a\x1b[2J", "naïve", "\x7f"])
def test_an_id_that_could_change_the_answer_or_the_log_is_not_taken_over(claimed: str) -> None:
    assert request_id(claimed) != claimed
    assert request_id("a" * 128) == "a" * 128


def model(folder: Path, jobs: list[Job], **settings: Any) -> ServedModel:
    """A model whose batcher only notes what it gets."""
    bundle = colour_bundle(folder)
    manifest = bundle.manifest
    return ServedModel(
        "colours",
        Source(bundle, "model", "onnxruntime", "cpu", ""),
        manifest.inputs,
        manifest.outputs,
        4,
        cast(Batcher, SimpleNamespace(submit=jobs.append)),
        ModelSettings(**settings),
        "",
    )


def call(rows: int = 1, **more: Any) -> InferRequest:
    return InferRequest({"image": np.zeros((rows, 3, 8, 8), np.float32)}, **more)


def test_the_earliest_of_all_deadlines_counts(tmp_path: Path) -> None:
    jobs: list[Job] = []
    served = model(tmp_path / "b", jobs, default_timeout_us=5_000)
    soon = time.monotonic_ns() + 1_000
    served.submit(call())
    served.submit(call(timeout_us=3_000))
    served.submit(call(timeout_us=7_000))
    served.submit(call(timeout_us=3_000, deadline=soon))
    left = [(job.deadline or 0) - job.arrived for job in jobs]
    assert left[:3] == [5_000_000, 3_000_000, 5_000_000]
    assert jobs[3].deadline == soon
    model(tmp_path / "c", jobs).submit(call())
    assert jobs[4].deadline is None


def test_a_batch_has_one_row_at_least_and_no_more_than_the_maximum(tmp_path: Path) -> None:
    jobs: list[Job] = []
    served = model(tmp_path / "b", jobs)
    for rows in (0, 5):
        with pytest.raises(InvalidRequestError, match=f"from 1 to 4 .*, got {rows}"):
            served.submit(call(rows))
    served.submit(call(4))
    assert [job.rows for job in jobs] == [4]


def test_priorities_are_those_that_there_are(tmp_path: Path) -> None:
    jobs: list[Job] = []
    served = model(tmp_path / "b", jobs)
    for priority in (1, 2, 3, 0):  # 0 is the default, 2
        served.submit(call(priority=priority))
    assert [job.priority for job in jobs] == [1, 2, 3, 2]
    for priority in (-1, 4):
        with pytest.raises(InvalidRequestError, match=f"from 1 .* to 3, .* got {priority}"):
            served.submit(call(priority=priority))
