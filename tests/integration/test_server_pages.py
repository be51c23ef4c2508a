"""Web pages and a real server: what they may ask, as bytes and from a real browser."""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Queue
from typing import Any, NamedTuple

import grpc
import pytest
import tritonclient.grpc
from tritonclient.utils import InferenceServerException

from tests.support.image_bundles import colour_bundle
from tests.support.servers import Running, ended, serving

SHOP = "https://shop.example"
INFER = "/v2/models/colours/infer"
LOAD = "/v2/repository/models/colours/load"
UNLOAD = "/v2/repository/models/colours/unload"
TENSOR = {"name": "image", "datatype": "FP32", "shape": [1, 3, 8, 8], "data": [1] * 192}
BODY = json.dumps({"inputs": [TENSOR]})


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pages") / "colours"
    colour_bundle(folder)
    return folder


@pytest.fixture(scope="module")
def closed(bundle: Path) -> Iterator[Running]:
    """As it is started by hand."""
    with serving(bundle, "--threads", "1") as running:
        yield running


@pytest.fixture(scope="module")
def shared(bundle: Path) -> Iterator[Running]:
    """One that the pages of a shop may use."""
    options = ("--model-control", "--allow-origin", SHOP, "--allow-host", "gpu.example")
    with serving(bundle, "--threads", "1", *options) as running:
        yield running


def test_without_model_control_nobody_loads_or_unloads(closed: Running) -> None:
    for path in (LOAD, UNLOAD):
        reply = closed.call("POST", path)
        assert (reply.status, "--model-control" in reply.content["error"]) == (403, True)
    with tritonclient.grpc.InferenceServerClient(closed.grpc) as client:
        for act in (client.load_model, client.unload_model):
            with pytest.raises(InferenceServerException, match="--model-control") as caught:
                act("colours")
            assert caught.value.status() == str(grpc.StatusCode.PERMISSION_DENIED)
    assert closed.call("POST", INFER, BODY.encode()).status == 200


def test_a_page_of_another_origin_is_refused_and_cannot_read_why(closed: Running) -> None:
    reply = closed.call("POST", INFER, BODY.encode(), Origin=SHOP, Sec_Fetch_Site="cross-site")
    assert (reply.status, f"--allow-origin {SHOP}" in reply.content["error"]) == (403, True)
    assert not [name for name in reply.headers if name.startswith("access-control")]
    question = closed.call("OPTIONS", INFER, Origin=SHOP, Access_Control_Request_Method="POST")
    assert (question.status, question.headers["allow"]) == (405, "POST")
    assert closed.call("POST", INFER, BODY.encode(), Host="shop.example").status == 403
    assert closed.call("POST", INFER, BODY.encode(), Host="localhost:1").status == 200


def test_a_refused_page_does_not_spoil_the_connection(closed: Running) -> None:
    connection = closed.connect()
    for origin, status in ((SHOP, 403), (f"http://{closed.http}", 200), (SHOP, 403)):
        connection.request("POST", INFER, BODY, {"Origin": origin})
        response = connection.getresponse()
        assert (response.status, bool(response.read())) == (status, True)
    connection.close()


def test_a_preflight_is_answered(shared: Running) -> None:
    reply = shared.call(
        "OPTIONS",
        INFER,
        Origin=SHOP,
        Access_Control_Request_Method="POST",
        Access_Control_Request_Headers="content-type,inference-header-content-length",
        Access_Control_Request_Private_Network="true",
        Sec_Fetch_Site="cross-site",
    )
    assert (reply.status, reply.body) == (200, b"")
    assert {name: value for name, value in reply.headers.items() if name.startswith("acc")} == {
        "access-control-allow-origin": SHOP,
        "access-control-allow-methods": "POST, OPTIONS",
        "access-control-allow-headers": "content-type,inference-header-content-length",
        "access-control-allow-private-network": "true",
        "access-control-max-age": "600",
        "access-control-expose-headers": reply.headers["access-control-expose-headers"],
    }
    assert reply.headers["vary"] == "origin"
    assert shared.call("OPTIONS", "/nothing", Origin=SHOP).status == 404
    assert shared.call("OPTIONS", "/metrics").headers["allow"] == "GET, HEAD, OPTIONS"
    other = shared.call("OPTIONS", INFER, Origin="https://evil.example")
    assert (other.status, "access-control-allow-origin" in other.headers) == (403, False)


def test_an_allowed_page_can_read_answers_and_refusals(shared: Running) -> None:
    for path, body, status in (
        (INFER, BODY, 200),
        (INFER, "{", 400),
        ("/v2/models/nothing/infer", BODY, 404),
        (UNLOAD, "", 200),
        (INFER, BODY, 503),
        (LOAD, "", 200),
    ):
        reply = shared.call("POST", path, body.encode(), Origin=SHOP, Sec_Fetch_Site="cross-site")
        assert (reply.status, reply.headers["access-control-allow-origin"]) == (status, SHOP)
        assert "inference-header-content-length" in reply.headers["access-control-expose-headers"]
    for origin in ({}, {"Origin": "https://evil.example"}):
        reply = shared.call("GET", "/v2", **origin)
        assert (reply.status, reply.headers["vary"]) == (200, "origin")
        assert "access-control-allow-origin" not in reply.headers
    assert shared.call("GET", "/v2", Host="gpu.example").status == 200
    assert shared.call("GET", "/v2", Host="evil.example").status == 403


def test_an_origin_that_is_none_ends_the_start(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LRN_SERVER_ALLOW_ORIGIN", "* shop.example")
    done = ended(bundle, "--http-port", "0", "--grpc-port", "-1")
    assert done.returncode == 2
    assert "'shop.example' is no origin" in done.stderr


PAGE = """<!doctype html><meta charset="utf-8"><body><script>
const server = %(server)s, body = %(body)s;
const seen = {};
async function ask(name, path, options) {
  try {
    const answer = await fetch(server + path, {method: "POST", ...options});
    seen[name] = answer.type === "opaque" ? "opaque" : answer.status;
    return answer;
  } catch (error) { seen[name] = error.name; }
}
function form(path, text) {
  return new Promise(done => {
    const frame = document.createElement("iframe");
    frame.name = "frame" + path;
    const form = document.createElement("form");
    Object.assign(form, {method: "post", action: server + path, target: frame.name,
                         enctype: "text/plain"});
    if (text) {  // JSON that a form can send: its = lies in a string
      const field = document.createElement("input");
      field.name = text.slice(0, -1) + ', "id": "'; field.value = '"}';
      form.append(field);
    }
    document.body.append(frame, form);
    frame.onload = done;
    form.submit();
  });
}
function image(path) {
  return new Promise(done => {
    const image = new Image();
    image.onload = image.onerror = done;
    image.src = server + path;
  });
}
(async () => {
  await ask("simple unload", "%(unload)s");
  await ask("opaque unload", "%(unload)s", {mode: "no-cors"});
  await ask("json infer", "%(infer)s", {body, headers: {"Content-Type": "application/json"}});
  await ask("simple load", "%(load)s");
  const answer = await ask("simple infer", "%(infer)s", {body});
  if (answer) seen.scores = (await answer.json()).outputs?.[0].data;
  await form("%(unload)s", "");
  await form("%(load)s", "");
  await form("%(infer)s", body);
  await image("%(unload)s");
  await image("/v1/stats");
  const reply = await fetch("/seen", {method: "POST", body: JSON.stringify(seen)});
  const next = await reply.text();
  if (next) location = next;
})();
</script>"""


@contextmanager
def website(page: bytes, next_page: str) -> Iterator[tuple[int, Queue[Any]]]:
    """A web server with one page; its port, and what the page reports before it goes on."""
    seen: Queue[Any] = Queue()

    class Site(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(page)

        def do_POST(self) -> None:
            seen.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self._answer(next_page.encode())

        def _answer(self, content: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Site) as site:
        thread = threading.Thread(target=site.serve_forever)
        thread.start()
        try:
            yield site.server_port, seen
        finally:
            site.shutdown()
            thread.join()


class Visit(NamedTuple):
    """What a page saw of a server on 127.0.0.1, and what that wrote of its requests."""

    seen: Any
    lines: list[tuple[str, str, int]]


VISITS = {
    "another site": ("localhost", ()),
    "the same site": ("127.0.0.1", ()),
    "allowed": ("localhost", ("--allow-origin", "*")),
}
"""The page's host, and options of the server that it asks."""


@pytest.fixture(scope="module")
def visits(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Visit]:
    """One page after the other in one browser, each with a server of its own."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    if browser is None:
        pytest.skip("Chromium is not installed: apt-get install chromium")
    common = (bundle, "--threads", "1", "--access-log", "all", "--model-control")
    with ExitStack() as stack:
        servers, seen, url = {}, {}, ""
        for name, (host, options) in reversed(VISITS.items()):
            running = servers[name] = stack.enter_context(serving(*common, *options))
            server = json.dumps(f"http://{running.http}")
            names = {"unload": UNLOAD, "load": LOAD, "infer": INFER}
            page = PAGE % {"server": server, "body": json.dumps(BODY), **names}
            port, seen[name] = stack.enter_context(website(page.encode(), url))
            url = f"http://{host}:{port}/"
        process = subprocess.Popen(
            [
                *(browser, "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run"),
                *(f"--user-data-dir={tmp_path_factory.mktemp('profile')}", url),
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            found = {name: seen[name].get(timeout=60) for name in VISITS}
        finally:
            process.terminate()
            process.wait(20)
        said = {
            name: [json.loads(line) for line in running.said().splitlines() if line[:1] == "{"]
            for name, running in servers.items()
        }
    return {
        name: Visit(
            found[name], [(line["method"], line["path"], line["status"]) for line in said[name]]
        )
        for name in VISITS
    }


@pytest.mark.browser
@pytest.mark.slow
@pytest.mark.parametrize("where", ["another site", "the same site"])
def test_a_browser_gets_nothing_for_a_page_of_another_origin(
    visits: dict[str, Visit], where: str
) -> None:
    seen, lines = visits[where]
    assert seen.pop("opaque unload") == "opaque"
    assert set(seen.values()) == {"TypeError"}, seen  # what fetch raises where CORS says nothing
    assert [line for line in lines if line[2] == 200] == []
    # Three by fetch and one form each, apart from the question before the JSON, and the images.
    assert lines.count(("POST", UNLOAD, 403)) == 3
    assert lines.count(("POST", LOAD, 403)) == 2
    assert lines.count(("POST", INFER, 403)) == 2
    assert ("OPTIONS", INFER, 405) in lines
    assert ("GET", UNLOAD, 405) in lines
    assert ("GET", "/v1/stats", 403) in lines


@pytest.mark.browser
@pytest.mark.slow
def test_a_browser_gets_everything_for_an_allowed_page(visits: dict[str, Visit]) -> None:
    seen, lines = visits["allowed"]
    assert seen == {
        "simple unload": 200,
        "opaque unload": "opaque",
        "json infer": 503,  # it is unloaded, and the page can read that
        "simple load": 200,
        "simple infer": 200,
        "scores": [10, 10, 10],
    }
    assert lines.count(("POST", UNLOAD, 200)) == 3
    assert lines.count(("POST", LOAD, 200)) == 2
    assert lines.count(("POST", INFER, 200)) == 2
    assert ("OPTIONS", INFER, 200) in lines
