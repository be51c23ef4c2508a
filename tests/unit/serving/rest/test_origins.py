"""Which pages may ask, and under which names the server may be asked."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lrn_deploy.errors import BadInputError
from lrn_deploy.serving.errors import ForbiddenError, MethodError, NotFoundError
from lrn_deploy.serving.repository.repository import Repository
from lrn_deploy.serving.request import Request
from lrn_deploy.serving.rest.app import App
from lrn_deploy.serving.rest.origins import Origins
from lrn_deploy.serving.service import Service
from lrn_deploy.serving.settings import ModelSettings, ServerSettings
from tests.support.image_bundles import colour_bundle

HOST = "127.0.0.1:8000"
OWN = "http://127.0.0.1:8000"
EVIL = "http://evil.example"
COSTLY = [
    ("POST", "/v2/models/colours/infer"),
    ("POST", "/v2/models/colours/versions/1/infer"),
    ("POST", "/v1/classify"),
    ("POST", "/v1/embed"),
    ("POST", "/v2/repository/models/colours/load"),
    ("POST", "/v2/repository/models/colours/unload"),
    ("POST", "/v2/systemsharedmemory/region/r/register"),
    ("POST", "/v2/systemsharedmemory/unregister"),
    ("POST", "/v2/repository/index"),
    ("GET", "/v1/stats"),  # 32 of them, and nobody else gets one
]


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    folder: Path = tmp_path_factory.mktemp("colours") / "bundle"
    colour_bundle(folder)
    repository = Repository(ModelSettings(threads=1))
    repository.load(repository.add(folder))
    yield App(Service(repository, ServerSettings(access_log="none", model_control=True)))
    repository.close(5)


def refused(app: App, method: str, path: str, headers: dict[str, str]) -> str:
    """Why a request is refused before its body is read; empty if it is not."""
    try:
        app.admit(Request(method, path, {"host": HOST} | headers))
    except ForbiddenError as error:
        return error.message
    return ""


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": EVIL},
        {"origin": "null"},  # a file, or a page in a sandbox
        {"origin": "http://127.0.0.1:8001"},  # another port is another origin
        {"origin": "http://localhost:8000"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site", "origin": "http://127.0.0.1:3000"},
        {"sec-fetch-site": "same-origin, cross-site"},
    ],
)
def test_pages_of_other_origins_are_refused_what_changes_or_costs_something(
    app: App, headers: dict[str, str]
) -> None:
    for method, path in COSTLY:
        said = refused(app, method, path, headers)
        assert "may not ask for this" in said, path
        assert f"--allow-origin {headers.get('origin', 'ORIGIN')}." in said, path


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"origin": OWN},
        {"origin": "https://127.0.0.1:8000"},  # a proxy in front that speaks TLS
        {"origin": OWN, "sec-fetch-site": "same-origin"},
        # A proxy that changes Host: the browser knows better.
        {"origin": "https://own.example", "sec-fetch-site": "same-origin"},
        {"sec-fetch-site": "none"},
    ],
)
def test_programs_and_own_pages_are_not(app: App, headers: dict[str, str]) -> None:
    for method, path in COSTLY:
        assert refused(app, method, path, headers) == "", path


@pytest.mark.parametrize("path", ["/v2", "/v2/health/ready", "/metrics", "/v2/models/colours"])
def test_plain_reads_are_as_they_were(app: App, path: str) -> None:
    assert refused(app, "GET", path, {"origin": EVIL, "sec-fetch-site": "cross-site"}) == ""


def test_allowed_origins_and_only_those() -> None:
    some = Origins(ServerSettings(allow_origin=("https://shop.example", "http://localhost:3000")))
    some.check_page({"origin": "https://shop.example", "sec-fetch-site": "cross-site"})
    some.check_page({"origin": "HTTP://localhost:3000"})
    for origin in (EVIL, "http://shop.example", "https://shop.example.evil.example", "null", ""):
        with pytest.raises(ForbiddenError):
            some.check_page({"origin": origin, "sec-fetch-site": "cross-site"})
    every = Origins(ServerSettings(allow_origin=("*",)))
    every.check_page({"origin": EVIL})
    every.check_page({"sec-fetch-site": "cross-site"})


GOOD_HOSTS = [
    *("localhost", "LOCALHOST:8000", "localhost.", "127.0.0.1", "127.0.0.1:1", "127.8.9.10:80"),
    *("[::1]", "[::1]:8000", "[::ffff:127.0.0.1]:8000", "", None),
]
BAD_HOSTS = [
    *("evil.example", "evil.example:8000", "localhost.evil.example", "127.0.0.1.evil.example"),
    *(
        "10.0.0.1",
        "[::2]:8000",
        "localhost, evil.example",
        "127.1",
        "a@localhost",
        "[::1",
        "0.0.0.0",
    ),
]


@pytest.mark.parametrize("host", GOOD_HOSTS)
def test_own_names_of_a_server_for_this_machine_only(host: str | None) -> None:
    Origins(ServerSettings()).check_host(host)


@pytest.mark.parametrize("host", BAD_HOSTS)
def test_other_names_are_refused_there(host: str) -> None:
    for bound in ("127.0.0.1", "127.0.0.5", "localhost", "::1"):
        with pytest.raises(ForbiddenError, match="--allow-host"):
            Origins(ServerSettings(host=bound)).check_host(host)


def test_names_that_are_allowed_and_a_server_for_everybody() -> None:
    named = Origins(ServerSettings(allow_host=("gpu.example",)))
    named.check_host("GPU.example:9000")
    with pytest.raises(ForbiddenError, match=r"'evil.example' .* --allow-host evil\.example\."):
        named.check_host("evil.example")
    with pytest.raises(ForbiddenError, match=r"'evil.example:80' .* --allow-host evil\.example\."):
        named.check_host("evil.example:80")
    for bound in ("0.0.0.0", "::", "192.0.2.1"):
        Origins(ServerSettings(host=bound)).check_host("anything.example")


def test_a_foreign_host_is_refused_on_every_path(app: App) -> None:
    for method, path in [*COSTLY, ("GET", "/v2"), ("GET", "/metrics"), ("GET", "/nothing")]:
        with pytest.raises(ForbiddenError):
            app.admit(Request(method, path, {"host": "rebound.example:8000"}))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"allow_origin": ("shop.example",)}, "no origin"),
        ({"allow_origin": ("https://shop.example/",)}, "no origin"),
        ({"allow_origin": ("",)}, "no origin"),
        ({"allow_host": ("gpu.example:8000",)}, "no host name"),
        ({"allow_host": ("http://gpu.example",)}, "no host name"),
    ],
)
def test_settings_that_can_match_nothing_are_refused(settings: Any, said: str) -> None:
    with pytest.raises(BadInputError, match=said) as caught:
        Origins(ServerSettings(**settings))
    assert "--allow" in caught.value.hint


SHOP = "https://shop.example"
READABLE = (
    "access-control-expose-headers",
    "inference-header-content-length, retry-after, traceresponse, x-lrn-layer, x-lrn-model, "
    "x-lrn-shape, x-request-id",
)


def test_who_may_read_an_answer() -> None:
    some = Origins(ServerSettings(allow_origin=(SHOP,)))
    vary = ("vary", "origin")
    assert some.shared
    assert not Origins(ServerSettings()).shared
    assert some.answer_headers({"origin": SHOP}) == (
        ("access-control-allow-origin", SHOP), READABLE, vary,
    )  # fmt: skip
    assert some.answer_headers({"origin": EVIL}) == some.answer_headers({}) == (vary,)
    every = Origins(ServerSettings(allow_origin=(SHOP, "*")))
    for headers in ({"origin": EVIL}, {}):
        assert every.answer_headers(headers) == (("access-control-allow-origin", "*"), READABLE)


def preflight(**headers: str) -> dict[str, str]:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    some = Origins(ServerSettings(allow_origin=(SHOP,)))
    answer = some.preflight(Request("OPTIONS", "/v2", names), ("GET", "HEAD", "OPTIONS"))
    assert (answer.status, answer.body) == (200, b"")
    return dict(answer.headers)


def test_what_a_browser_is_told_that_asks_first() -> None:
    plain = {"allow": "GET, HEAD, OPTIONS"}
    cors = plain | {
        "access-control-allow-methods": "GET, HEAD, OPTIONS",
        "access-control-max-age": "600",
    }
    assert preflight() == plain  # of no page
    assert preflight(origin=SHOP) == cors
    wanted = {"access_control_request_headers": "content-type, x-own"}
    assert preflight(origin=SHOP, **wanted) == cors | {
        "access-control-allow-headers": "content-type, x-own"
    }
    for strange in ("a" * 2001, "a\r\nx: y", ""):
        assert preflight(origin=SHOP, access_control_request_headers=strange) == cors
    assert "access-control-allow-headers" in preflight(
        origin=SHOP, access_control_request_headers="a" * 2000
    )
    near = preflight(origin=SHOP, access_control_request_private_network="true")
    assert near == cors | {"access-control-allow-private-network": "true"}
    assert preflight(origin=SHOP, access_control_request_private_network="false") == cors
    for origin in (EVIL, "null", OWN):
        with pytest.raises(ForbiddenError, match=f"'{origin}' may not ask"):
            preflight(origin=origin, host="other.example")


def test_paths_answer_browsers_only_where_pages_of_others_may_come() -> None:
    def app(**settings: Any) -> App:
        return App(Service(Repository(ModelSettings()), ServerSettings(**settings)))

    shared = app(allow_origin=(SHOP,))
    _, route = shared._find("OPTIONS", "/v1/classify")
    assert (route.works, route.guarded, route.scope) == (False, False, None)
    asked = Request("OPTIONS", "/v1/classify", {"origin": SHOP})
    assert shared.admit(asked) > 0
    answer = asyncio.run(shared.handle(asked))
    assert dict(answer.headers)["allow"] == "POST, OPTIONS"
    with pytest.raises(MethodError) as caught:
        shared._find("PUT", "/v1/classify")
    assert caught.value.methods == ("POST", "OPTIONS")
    with pytest.raises(NotFoundError):
        shared._find("OPTIONS", "/nothing")
    with pytest.raises(MethodError):
        app()._find("OPTIONS", "/v1/classify")
    assert shared.answer_headers(asked) == shared.origins.answer_headers({"origin": SHOP})
    assert app().answer_headers(asked) == ()
