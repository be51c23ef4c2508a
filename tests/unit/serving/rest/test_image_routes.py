"""Images over HTTP, called without a socket, on a network computed by hand."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from lrn_deploy.serving.errors import UnavailableError
from lrn_deploy.serving.http.message import Response
from lrn_deploy.serving.repository.repository import Repository
from lrn_deploy.serving.request import Request
from lrn_deploy.serving.rest.app import App
from lrn_deploy.serving.service import Service
from lrn_deploy.serving.settings import ModelSettings, ServerSettings
from tests.support.image_bundles import SURE, colour_bundle, picture


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    folder = tmp_path_factory.mktemp("colours") / "bundle"
    colour_bundle(folder, weights="random")
    repository = Repository(ModelSettings(threads=1), drain_seconds=5)
    repository.load(repository.add(folder))
    yield App(Service(repository, ServerSettings(max_images=3, access_log="none")))
    repository.close(5)


def call(app: App, path: str, body: bytes, **headers: str) -> Response:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    path, _, query = path.partition("?")
    pairs = dict(part.split("=") for part in query.split("&")) if query else {}
    return asyncio.run(app.handle(Request("POST", path, names, pairs, body, id="r1")))


def content(response: Response) -> Any:
    return json.loads(response.body)


def test_classify_one_image(app: App) -> None:
    answer = content(call(app, "/v1/classify?top=2", picture("red")))
    (result,) = answer["results"]
    assert [one["label"] for one in result["predictions"]] == ["red", "green"]
    assert result["predictions"][0]["probability"] == pytest.approx(SURE)
    assert (result["width"], result["height"]) == (20, 30)
    assert set(answer["timing"]) == {"decode_ms", "queue_ms", "compute_ms", "total_ms"}
    assert 0 <= answer["timing"]["decode_ms"] <= answer["timing"]["total_ms"]
    assert "random" in answer["note"]


def multipart(*parts: tuple[str, bytes], end: bytes = b"--b--\r\n") -> bytes:
    return (
        b"".join(
            b'--b\r\nContent-Disposition: form-data; name="f"; filename="%s"\r\n\r\n%s\r\n'
            % (name.encode(), data)
            for name, data in parts
        )
        + end
    )


def test_images_whose_neighbour_is_refused_take_no_turn(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    queued: Future[Any] = Future()
    answers = iter((queued,))

    def infer(*_: Any) -> tuple[Any, Future[Any]]:
        for future in answers:
            return None, future
        raise UnavailableError("The queue is full.")

    monkeypatch.setattr(app.service, "infer", infer)
    body = multipart(("a", picture("blue")), ("b", picture("red")))
    response = call(app, "/v1/classify", body, content_type="multipart/x; boundary=b")
    assert (response.status, queued.cancelled()) == (503, True)


def test_classify_several_images_of_which_one_is_none(app: App) -> None:
    body = multipart(("a.png", picture("blue")), ("b.txt", b"\r\n--x"), ("c", picture("lime")))
    answer = content(
        call(app, "/v1/classify", body, content_type="multipart/form-data; boundary=b")
    )
    labels = [
        r["predictions"][0]["label"] if r["predictions"] else r["error"] for r in answer["results"]
    ]
    assert labels[0::2] == ["blue", "green"]
    assert "'b.txt' is not an image" in labels[1]


@pytest.mark.parametrize(
    ("body", "kind", "status", "said"),
    [
        (multipart(*[("a", b"")] * 4), "multipart/form-data; boundary=b", 413, "3 images at most"),
        (multipart(("a", b""), end=b""), "multipart/form-data; boundary=b", 400, "cut short"),
        (multipart(("a", b"")), "multipart/form-data; boundary=c", 400, "cut short"),
        (multipart(("a", b"")), "multipart/form-data", 400, "no boundary"),
        (multipart(), "multipart/form-data; boundary=b", 400, "no images"),
        (b"--b\r\nno end of headers\r\n--b--", 'multipart/x; boundary="b"', 400, "no end of its"),
    ],
)
def test_malformed_multipart_bodies(
    app: App, body: bytes, kind: str, status: int, said: str
) -> None:
    response = call(app, "/v1/classify", body, content_type=kind)
    assert response.status == status
    assert said in content(response)["error"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"last": "Map", "labels": None},
            "The output of 'colours' has shape [batch, 3, 8, 8], which is no vector of classes, "
            "so it cannot classify. Ask /v2/models/colours/infer for the output as it is.",
        ),
        (
            {"labels": ("red", "green")},
            "The bundle has 2 labels for 3 classes. Export it again with the right --labels.",
        ),
        (
            {"labels": ("red", "green", "blue", "grey")},
            "The bundle has 4 labels for 3 classes. Export it again with the right --labels.",
        ),
    ],
)
def test_what_cannot_be_read_as_classes_is_not_classified(
    tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    colour_bundle(tmp_path / "b", **changes)
    repository = Repository(ModelSettings(threads=1))
    repository.load(repository.add(tmp_path / "b"))
    app = App(Service(repository, ServerSettings(access_log="none")))
    response = call(app, "/v1/classify", picture("red"))
    assert (response.status, content(response)["error"]) == (400, said)
    tensor = {"name": "image", "datatype": "FP32", "shape": [1, 3, 8, 8], "data": [0] * 192}
    asked = json.dumps({"inputs": [tensor]}).encode()
    assert call(app, "/v2/models/colours/infer", asked).status == 200
    repository.close(5)


@pytest.mark.parametrize("last", ["", "Spatial"])
def test_a_vector_of_classes_needs_no_labels(tmp_path: Path, last: str) -> None:
    colour_bundle(tmp_path / "b", last=last, labels=None)
    repository = Repository(ModelSettings(threads=1))
    repository.load(repository.add(tmp_path / "b"))
    app = App(Service(repository, ServerSettings(access_log="none")))
    answer = content(call(app, "/v1/classify?top=1", picture("lime")))
    (best,) = answer["results"][0]["predictions"]
    assert (best["index"], best["label"]) == (1, None)
    repository.close(5)
