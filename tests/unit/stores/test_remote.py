"""Reading a store in pieces: their sizes, servers without ranges, broken and silent connections."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lrn_deploy.errors import BadInputError, LrnDeployError, MissingError
from lrn_deploy.stores import remote as module
from lrn_deploy.stores.place import Place
from lrn_deploy.stores.refusals import AbsentError, LostError
from lrn_deploy.stores.remote import Remote
from tests.support.free_ports import free_ports
from tests.support.sleepless import sleepless

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


def test_the_first_piece_comes_alone_and_then_four_are_on_their_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kib = 1024
    asked: list[tuple[int, int]] = []

    def ask(_self: Remote, _path: str, start: int, end: int) -> Future[tuple[bytes, float]]:
        asked.append((start // kib, end // kib))
        answer: Future[tuple[bytes, float]] = Future()
        answer.set_result((bytes(end - start), 0.1))
        return answer

    monkeypatch.setattr(Remote, "_ask", ask)
    seen = []
    for piece in Remote(Place.read("memory://x")).pieces("f", 0, 5000 * kib):
        seen.append((len(piece) // kib, len(asked)))
    # Each came quickly, so those that are asked for then are twice as large: 256 KiB, four of 512,
    # one of 1024, and what is left.
    assert asked == [
        (0, 256), (256, 768), (768, 1280), (1280, 1792), (1792, 2304), (2304, 3328), (3328, 5000),
    ]  # fmt: skip
    assert seen == [(256, 1), (512, 5), (512, 6), (512, 7), (512, 7), (1024, 7), (1672, 7)]


def test_pieces_that_nobody_waits_for_any_more_are_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answers: list[Future[tuple[bytes, float]]] = []

    def ask(_self: Remote, _path: str, start: int, end: int) -> Future[tuple[bytes, float]]:
        answers.append(Future())
        if len(answers) < 3:
            answers[-1].set_result((bytes(end - start), 1.0))
        return answers[-1]

    monkeypatch.setattr(Remote, "_ask", ask)
    pieces = Remote(Place.read("memory://x")).pieces("f", 0, 2**24)
    assert len(next(pieces)) == len(next(pieces)) == 2**18
    pieces.close()  # type: ignore[attr-defined]  # it is a generator
    assert [answer.cancelled() for answer in answers] == [False] * 2 + [True] * 3


@pytest.mark.parametrize(
    ("url", "retries", "hint"),
    [("s3://b/x", 1, "[stores]"), ("https://h/x", 5, "[stores]"), ("file:///x", 5, "environment")],
)
def test_a_file_system_is_asked_for_once_and_tries_once(
    url: str, retries: int, hint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Trying again is done here, where broken and silent are two things."""
    asked: list[tuple[str, dict[str, Any]]] = []
    system = SimpleNamespace(retries=5)

    def opened(given: str, **told: Any) -> tuple[Any, str]:
        asked.append((given, told))
        return system, "base"

    monkeypatch.setattr("fsspec.core.url_to_fs", opened)
    remote = Remote(Place.read(url))
    assert (remote._system, remote._base, system.retries) == (system, "base", retries)
    ((given, told),) = asked
    assert given == url
    assert told.pop("skip_instance_cache") is True
    assert told == {} if url.startswith("file") else len(told) == 1

    def lacking(*_: Any, **__: Any) -> Any:
        raise ImportError("no s3fs")

    monkeypatch.setattr("fsspec.core.url_to_fs", lacking)
    with pytest.raises(MissingError, match="needs a package that is not installed: no s3fs") as why:
        Remote(Place.read(url))
    assert hint in why.value.hint


@pytest.mark.parametrize(("upload", "silence"), [(False, 30.0), (True, 300.0)])
def test_how_long_a_store_may_be_silent(
    upload: bool, silence: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[float] = []
    monkeypatch.setattr(module, "_open", lambda _place, seconds: (asked.append(seconds), ""))
    Remote(Place.read("s3://b/x"), upload=upload)
    assert asked == [silence]


def test_what_limits_waiting_can_be_configured_for_s3(monkeypatch: pytest.MonkeyPatch) -> None:
    from fsspec.config import conf

    ours = {"connect_timeout": 10, "read_timeout": 7, "retries": {"total_max_attempts": 1}}
    for scheme in ("s3", "s3a"):
        assert module._settings(scheme, 7.0) == {"config_kwargs": ours}
    monkeypatch.setitem(conf, "s3", {"config_kwargs": {"read_timeout": 99, "max_pool": 3}})
    assert module._settings("s3", 7.0) == {
        "config_kwargs": ours | {"read_timeout": 99, "max_pool": 3}
    }
    for scheme in ("http", "https"):
        told = module._settings(scheme, 7.0)["client_kwargs"]
        limit = told["timeout"]
        assert (limit.total, limit.sock_connect, limit.sock_read) == (None, 10, 7)
        assert told["headers"] == {"Accept-Encoding": "identity"}
    assert module._settings("file", 7.0) == {}


@pytest.mark.parametrize(
    ("url", "done"),
    [
        ("s3://b/x", [("put", "b/x/v/a", {"chunksize": 2**23})]),
        ("gs://b/x", [("put", "b/x/v/a", {})]),
        ("sftp://h/x", [("makedirs", "b/x/v", {"exist_ok": True}), ("put", "b/x/v/a", {})]),
    ],
)
def test_a_bucket_has_no_folders_to_be_made(
    url: str, done: list[tuple[str, str, object]], monkeypatch: pytest.MonkeyPatch
) -> None:
    did: list[tuple[str, str, object]] = []

    class System:
        def makedirs(self, path: str, **options: object) -> None:
            did.append(("makedirs", path, options))

        def put_file(self, _file: str, path: str, **options: object) -> None:
            did.append(("put", path, options))

    monkeypatch.setattr(module, "_open", lambda *_: (System(), "b/x"))
    Remote(Place.read(url)).put(Path("a"), "v/a")
    assert did == done


def test_pieces_grow_while_they_come_quickly_and_shrink_when_slow() -> None:
    assert module._next_size(2**18, 0.1) == 2**19
    assert module._next_size(2**24, 0.1) == 2**24
    assert module._next_size(2**20, 1.0) == 2**20
    assert module._next_size(2**20, 0.5) == module._next_size(2**20, 2.0) == 2**20
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


FIRST_PAUSE = module._FIRST_PAUSE


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_FIRST_PAUSE", 0.001)


def test_a_broken_connection_is_tried_again() -> None:
    with scripted(broken, status(503), ok) as address:
        assert read(f"{address}/x", end=5) == b"whole"


def test_it_is_tried_three_times_after_longer_and_longer_pauses(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pauses = sleepless(monkeypatch, module)
    monkeypatch.setattr(module, "_FIRST_PAUSE", FIRST_PAUSE)
    with scripted(status(503)) as address, pytest.raises(LostError):
        read(f"{address}/x", end=5)
    assert pauses == pytest.approx([0.2, 0.8])


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
