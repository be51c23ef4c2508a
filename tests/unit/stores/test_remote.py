"""Reading a store in pieces: their sizes, servers without ranges, broken and silent connections."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from lrn_deploy.errors import BadInputError, LrnDeployError, MissingError
from lrn_deploy.stores import remote as module
from lrn_deploy.stores.place import Place
from lrn_deploy.stores.refusals import AbsentError, LostError
from lrn_deploy.stores.remote import Remote
from tests.support.free_ports import free_ports

DATA = bytes(range(251)) * 5000  # 1.2 MB: several pieces, of a length that is none of theirs


class Quiet(SimpleHTTPRequestHandler):
    """Python's own server, which knows no ranges."""

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def http(handler: Any) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "model.onnx").write_bytes(DATA)
    (tmp_path / "x" / "empty").touch()
    return tmp_path


def read(url: str, name: str = "model.onnx", start: int = 0, end: int = len(DATA)) -> bytes:
    return b"".join(Remote(Place.read(url)).pieces(name, start, end))


@pytest.mark.parametrize("scheme", ["file", "http"])
def test_pieces_are_the_file(folder: Path, scheme: str) -> None:
    with http(partial(Quiet, directory=str(folder))) as address:
        url = f"{address}/x" if scheme == "http" else f"file://{folder}/x"
        assert read(url) == DATA
        assert read(url, start=1_000_000) == DATA[1_000_000:]
        assert read(url, end=len(DATA) + 10**6) == DATA
        assert read(url, "empty") == b""
        with pytest.raises(AbsentError):
            read(url, "missing")
        remote = Remote(Place.read(url))
        assert remote.small("missing", 10) is None
        assert remote.small("model.onnx", len(DATA)) == DATA
        with pytest.raises(BadInputError, match="more than 1000 bytes"):
            remote.small("model.onnx", 1000)


class Counted(Quiet):
    """Keeps what it was asked for."""

    asked: list[str]

    def do_GET(self) -> None:
        self.asked.append(self.path)
        super().do_GET()


def test_a_server_without_ranges_sends_the_file_once(folder: Path) -> None:
    kind = type("Own", (Counted,), {"asked": []})
    with http(partial(kind, directory=str(folder))) as address:
        assert read(f"{address}/x") == DATA
    assert kind.asked == ["/x/model.onnx"]


def test_pieces_grow_while_they_come_quickly_and_shrink_when_slow() -> None:
    assert module._next_size(2**18, 0.1) == 2**19
    assert module._next_size(2**24, 0.1) == 2**24
    assert module._next_size(2**20, 1.0) == 2**20
    assert module._next_size(2**20, 3.0) == 2**19
    assert module._next_size(2**18, 3.0) == 2**18


class Answers(BaseHTTPRequestHandler):
    """Answers with what a test has said, one thing after another."""

    script: list[Any]
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        step = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        step(self)


def ok(handler: BaseHTTPRequestHandler, body: bytes = b"whole") -> None:
    handler.send_response(206)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


def broken(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(206)
    handler.send_header("Content-Length", "5")
    handler.end_headers()
    handler.wfile.write(b"wh")
    handler.close_connection = True


def status(code: int) -> Any:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(code)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return answer


def scripted(*steps: Any) -> Any:
    return http(type("Scripted", (Answers,), {"script": list(steps)}))


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_FIRST_PAUSE", 0.001)


def test_a_broken_connection_is_tried_again() -> None:
    with scripted(broken, status(503), ok) as address:
        assert read(f"{address}/x", end=5) == b"whole"


@pytest.mark.parametrize(
    ("step", "kind", "code", "said"),
    [
        (broken, LostError, 3, "the connection broke"),
        (status(500), LostError, 3, "answered 500"),
        (status(401), BadInputError, 2, "credentials .* were refused"),
        (status(403), BadInputError, 2, "forbids to read"),
        (status(404), AbsentError, 2, "There is no"),
    ],
)
def test_what_a_server_answers_becomes_a_sentence(
    step: Any, kind: type[LrnDeployError], code: int, said: str
) -> None:
    with scripted(step) as address, pytest.raises(kind, match=said) as caught:
        read(f"{address}/x?sig=hush", end=5)
    assert caught.value.exit_code == code
    assert caught.value.hint
    assert "hush" not in str(caught.value)
    assert caught.value.__cause__ is None  # whose text has the whole URL


def test_a_silent_server_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SILENCE_SECONDS", 0.2)
    leave = threading.Event()
    with scripted(lambda _: leave.wait(20)) as address:
        with pytest.raises(MissingError, match="said nothing for"):
            read(f"{address}/x", end=5)
        leave.set()


def test_nobody_listens() -> None:
    with pytest.raises(MissingError, match="cannot be reached") as caught:
        read(f"http://127.0.0.1:{free_ports(1)[0]}/x", end=5)
    assert caught.value.exit_code == 3


def test_a_scheme_that_nobody_knows() -> None:
    with pytest.raises(BadInputError, match="'s4' of 's4://b/x' is no scheme"):
        Remote(Place.read("s4://b/x"))


def test_a_scheme_whose_package_is_not_installed() -> None:
    with pytest.raises(MissingError, match="gcsfs"):
        Remote(Place.read("gs://b/x"))


def test_without_fsspec_it_says_what_to_type(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "fsspec", None)
    with pytest.raises(MissingError, match="need fsspec") as caught:
        Remote(Place.read("s3://b/x"))
    assert "[stores]" in caught.value.hint


def test_files_are_written_and_removed(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"content")
    remote = Remote(Place.read(f"file://{tmp_path}/store/x"), upload=True)
    remote.put(tmp_path / "a", "variants/a.onnx")
    assert (tmp_path / "store/x/variants/a.onnx").read_bytes() == b"content"
    remote.remove("variants/a.onnx")
    remote.remove("variants/a.onnx")  # which is not there any more
    assert not (tmp_path / "store/x/variants/a.onnx").exists()
