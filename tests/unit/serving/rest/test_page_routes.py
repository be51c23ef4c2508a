"""The page's routes, called without a socket, on networks computed by hand."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lrn_deploy.bundle import Bundle
from lrn_deploy.errors import BadInputError
from lrn_deploy.serving.http.message import Response
from lrn_deploy.serving.page.assets import POLICY
from lrn_deploy.serving.repository.repository import Repository
from lrn_deploy.serving.request import Request
from lrn_deploy.serving.rest.app import App
from lrn_deploy.serving.service import Service
from lrn_deploy.serving.settings import ModelSettings, ServerSettings
from tests.support.image_bundles import colour_bundle, encode
from tests.support.quadrant_bundles import QUADRANTS, quadrant_bundle

GREY = 128 / 255
OCCLUDE = "/v1/models/quadrants/occlude"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page")
    quadrant_bundle(folder / "quadrants")
    quadrant_bundle(folder / "pairs", batch=2)
    colour_bundle(folder / "map", last="Map", labels=None)
    return folder


@pytest.fixture(scope="module")
def repository(folder: Path) -> Iterator[Repository]:
    repository = Repository(ModelSettings(max_batch_size=4, threads=1), drain_seconds=5)
    repository.load(repository.add(folder / "quadrants"))
    repository.load(repository.add(folder / "pairs", "pairs"))
    repository.load(repository.add(folder / "map", "map"))
    yield repository
    repository.close(5)


@pytest.fixture(scope="module")
def app(repository: Repository) -> App:
    return App(Service(repository, ServerSettings(access_log="none")))


def call(app: App, method: str, path: str, body: bytes = b"", **headers: str) -> Response:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    path, _, query = path.partition("?")
    pairs = dict(part.split("=") for part in query.split("&")) if query else {}
    return asyncio.run(app.handle(Request(method, path, names, pairs, body, id="r1")))


def bright(row: int, column: int) -> bytes:
    """A picture of 8 x 8 pixels, white in one quadrant and black elsewhere."""
    pixels = np.zeros((8, 8, 3), np.uint8)
    pixels[4 * row : 4 * row + 4, 4 * column : 4 * column + 4] = 255
    return encode(Image.fromarray(pixels), "PNG")


def expected(row: int, column: int, cells: int) -> list[list[float]]:
    """How far the bright quadrant's probability falls, pixel by pixel in float64."""
    image = np.zeros((8, 8))
    image[4 * row : 4 * row + 4, 4 * column : 4 * column + 4] = 1

    def probability(values: Any) -> float:
        scores = [10 * values[y : y + 4, x : x + 4].mean() for y in (0, 4) for x in (0, 4)]
        return float(np.exp(scores[2 * row + column]) / np.exp(scores).sum())

    side = 8 / cells
    drops = np.empty((cells, cells))
    for y, x in np.ndindex(cells, cells):
        covered = image.copy()
        for i, j in np.ndindex(8, 8):
            # Pixel i lies in the cell or in the half of one around it.
            near = [(k - 0.5) * side <= p < (k + 1.5) * side for k, p in ((y, i), (x, j))]
            if all(near):
                covered[i, j] = GREY
        drops[y, x] = probability(image) - probability(covered)
    return drops.tolist()


@pytest.mark.parametrize(("model", "batches"), [("quadrants", 5), ("pairs", 9)])
def test_the_map_is_highest_where_the_score_is_made(app: App, model: str, batches: int) -> None:
    path = f"/v1/models/{model}/occlude?grid=4"
    for row, column in np.ndindex(2, 2):
        answer = json.loads(call(app, "POST", path, bright(row, column)).body)
        assert answer["class"]["label"] == QUADRANTS[2 * row + column]
        np.testing.assert_allclose(answer["drops"], expected(row, column, 4), atol=1e-6)
        worst = np.unravel_index(np.argmax(answer["drops"]), (4, 4))
        assert (worst[0] // 2, worst[1] // 2) == (row, column)
        # 17 images, four or two at a time.
        assert (answer["rows"], answer["batches"]) == (17, batches)
        assert answer["region"] == {"left": 0, "top": 0, "width": 1, "height": 1}


def test_the_class_is_that_of_the_whole_image_and_the_times_are_milliseconds(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its first part covered, the image would be of another class: 128 is less than 200."""
    pixels = np.zeros((8, 8, 3), np.uint8)
    pixels[:4, :4], pixels[4:, 4:] = 255, 200
    moments = iter((0, 3_000_000, 10_000_000))
    monkeypatch.setattr(
        "lrn_deploy.serving.rest.page_routes.time",
        SimpleNamespace(monotonic_ns=lambda: next(moments)),
    )
    content = encode(Image.fromarray(pixels), "PNG")
    answer = json.loads(call(app, "POST", f"{OCCLUDE}?grid=2", content).body)
    exponents = np.exp([10, 0, 0, 10 * 200 / 255])
    assert answer["class"] == {
        "index": 0,
        "label": QUADRANTS[0],
        "probability": pytest.approx(exponents[0] / exponents.sum(), rel=1e-5),
    }
    assert answer["model"] == "quadrants"
    assert answer["timing"] == {"decode_ms": 3, "total_ms": 10}


def test_a_network_without_names_or_numbers(
    app: App, repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, body = f"{OCCLUDE}?grid=2", bright(0, 1)
    monkeypatch.setattr(repository.get("quadrants"), "labels", None)
    assert json.loads(call(app, "POST", path, body).body)["class"]["label"] is None
    routes = "lrn_deploy.serving.rest.page_routes"
    monkeypatch.setattr(f"{routes}.to_probabilities", lambda scores: scores * np.nan)
    broken = call(app, "POST", path, body)
    assert (broken.status, "not finite" in json.loads(broken.body)["error"]) == (500, True)

    def no_image(_manifest: Any) -> Any:
        raise BadInputError("It takes no image.")

    monkeypatch.setattr(f"{routes}.image_preprocessing", no_image)
    refused = call(app, "POST", path, body)
    assert (refused.status, json.loads(refused.body)["error"]) == (400, "It takes no image.")


def test_of_several_models_one_must_be_named(app: App) -> None:
    for path in ("/v1/classify", "/v1/embed"):
        answer = json.loads(call(app, "POST", path, bright(0, 0)).body)
        assert answer["error"] == (
            f"Say which model: {path}?model=NAME; there is quadrants, pairs, map."
        )
    empty = App(Service(Repository(ModelSettings()), ServerSettings(access_log="none")))
    assert "there is none." in json.loads(call(empty, "POST", "/v1/classify", b"x").body)["error"]
    named = call(app, "POST", "/v1/classify?model=pairs&top=1", bright(1, 0))
    assert json.loads(named.body)["results"][0]["predictions"][0]["label"] == QUADRANTS[2]


def test_a_map_is_of_one_image(app: App) -> None:
    part = b'--b\r\nContent-Disposition: form-data; name="f"\r\n\r\n' + bright(0, 0) + b"\r\n"
    kind = "multipart/form-data; boundary=b"
    one = call(app, "POST", f"{OCCLUDE}?grid=2", part + b"--b--", content_type=kind)
    two = call(app, "POST", f"{OCCLUDE}?grid=2", part * 2 + b"--b--", content_type=kind)
    assert (one.status, two.status) == (200, 413)


def test_what_the_network_ran_for_a_map_is_noted(app: App) -> None:
    request = Request("POST", OCCLUDE, {}, {"grid": "2"}, bright(0, 0))
    asyncio.run(app.handle(request))
    assert [timing.batch_rows for timing in request.timings] == [4, 1]  # the image and four parts


def test_a_grid_that_fits_into_one_batch_is_one_batch(folder: Path) -> None:
    repository = Repository(ModelSettings(max_batch_size=65, threads=1), drain_seconds=5)
    model = repository.add(folder / "quadrants")
    repository.load(model)
    app = App(Service(repository, ServerSettings(access_log="none")))
    before = repository.get(model).batcher.statistics.executions
    answer = json.loads(call(app, "POST", OCCLUDE, bright(0, 0)).body)  # 8 x 8 cells by default
    assert (answer["rows"], answer["batches"], np.shape(answer["drops"])) == (65, 1, (8, 8))
    assert repository.get(model).batcher.statistics.executions == before + 1
    repository.close(5)


@pytest.mark.parametrize(
    ("path", "body", "status", "said"),
    [
        (f"{OCCLUDE}?grid=13", b"x", 400, "'grid' must be from 2 to 12, got '13'"),
        (f"{OCCLUDE}?grid=9", bright(0, 0), 400, "from 2 to 8 for this network"),
        (OCCLUDE, b"no image", 400, "is not an image"),
        (OCCLUDE, b"", 400, "body is empty"),
        ("/v1/models/map/occlude", bright(0, 0), 400, "no vector of classes"),
        ("/v1/models/none/occlude", bright(0, 0), 404, "unknown model"),
    ],
)
def test_what_cannot_be_occluded_is_refused(
    app: App, path: str, body: bytes, status: int, said: str
) -> None:
    response = call(app, "POST", path, body)
    answer = json.loads(response.body)
    assert (response.status, said in answer["error"], answer["request_id"]) == (status, True, "r1")


def test_a_map_counts_for_the_rate_and_a_full_queue_refuses_it(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[Request, str | None]] = []
    monkeypatch.setattr(
        app.service, "admit_work", lambda request, name, *_: asked.append((request, name))
    )
    request = Request("POST", OCCLUDE)
    app.admit(request)
    app.admit(Request("GET", "/v1/models/quadrants/card"))
    assert asked == [(request, "quadrants")]


def test_the_page_and_its_files(app: App) -> None:
    page = call(app, "GET", "/")
    headers = dict(page.headers)
    assert (page.status, headers["content-security-policy"]) == (200, POLICY)
    assert page.body.startswith(b"<!doctype html>")
    packed = call(app, "GET", "/page/app.js", accept_encoding="br, gzip")
    assert dict(packed.headers)["content-encoding"] == "gzip"
    assert b"import" in gzip.decompress(packed.body)
    tag = dict(packed.headers)["etag"]
    assert call(app, "GET", "/page/app.js", if_none_match=tag).status == 304
    for name in ("nothing.js", "..", "%2e%2e", "assets.py", "../assets.py"):
        assert call(app, "GET", f"/page/{name}").status == 404
    assert call(app, "POST", "/").status == 405


def test_without_the_page_its_files_are_gone(repository: Repository) -> None:
    app = App(Service(repository, ServerSettings(access_log="none", page=False)))
    for path in ("/", "/page/app.js"):
        assert call(app, "GET", path).status == 404
    assert call(app, "GET", "/v1/models/quadrants/card").status == 200


def test_a_report_is_shown_if_there_is_one_and_runs_nothing(app: App, folder: Path) -> None:
    path = "/v1/models/quadrants/report"
    missing = call(app, "GET", path)
    assert (missing.status, "no report" in json.loads(missing.body)["error"]) == (404, True)
    assert json.loads(call(app, "GET", "/v1/models/quadrants/card").body)["report"] is False
    Bundle.open(folder / "quadrants").add_file("reports/report.html", b"<!DOCTYPE html>report")
    shown = call(app, "GET", path)
    assert (shown.status, shown.body) == (200, b"<!DOCTYPE html>report")
    policy = dict(shown.headers)["content-security-policy"]
    assert "script-src" not in policy
    assert {"default-src 'none'", "sandbox"} <= {part.strip() for part in policy.split(";")}
    assert json.loads(call(app, "GET", "/v1/models/quadrants/card").body)["report"] is True
