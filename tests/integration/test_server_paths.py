"""No path of a request leads to a file: names that try, with everything switched on."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import grpc
import pytest
from tritonclient.grpc import service_pb2, service_pb2_grpc

from lrn_deploy.serving.repository.repository import Repository
from lrn_deploy.serving.settings import ModelSettings
from tests.support.image_bundles import colour_bundle
from tests.support.inside import Inside, inside

NAMES = [
    "..",
    "../colours",
    "../../etc/passwd",
    "..%2f..%2fetc%2fpasswd",
    "%2e%2e/%2e%2e/etc/passwd",
    "%2e%2e%2fcolours",
    "%252e%252e%252fcolours",
    "/etc/passwd",
    "%2fetc%2fpasswd",
    "colours/../../colours",
    "colours%00",
    "colours%00.json",
    "file:%2f%2f%2fetc%2fpasswd",
    "..\\..\\etc\\passwd",
    "%c0%ae%c0%ae%c0%afetc",
    "~",
    ".",
]
_opened: list[str] | None = None


def _hear(event: str, arguments: Any) -> None:
    if _opened is not None and event in ("open", "os.listdir", "os.scandir", "os.remove"):
        _opened.append(str(arguments[0]))


sys.addaudithook(_hear)


@contextmanager
def opened() -> Iterator[list[str]]:
    """The paths that any thread of this process opens meanwhile."""
    global _opened
    _opened = []
    try:
        yield _opened
    finally:
        _opened = None


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Inside]:
    folder = tmp_path_factory.mktemp("served") / "colours"
    colour_bundle(folder)
    repository = Repository(ModelSettings(threads=1), drain_seconds=1)
    repository.load(repository.add(folder, "colours"))
    with inside(repository, model_control=True, shared_memory=True) as running:
        get(running, "GET", "/page/style.css")  # the page's files are read at the first one
        get(running, "GET", "/openapi.json")
        get(running, "GET", "/v1/models/colours/card")  # and modules at the first of theirs
        yield running
    repository.close(5)


def get(server: Inside, method: str, target: str, body: bytes = b"") -> tuple[int, bytes]:
    """A request that no library has tidied up."""
    with socket.create_connection(("127.0.0.1", server.http.port), 5) as connection:
        connection.sendall(
            f"{method} {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
            f"Content-Length: {len(body)}\r\n\r\n".encode("latin-1")
            + body
        )
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    head, _, content = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), content


TARGETS = [
    ("GET", "/v2/models/{}"),
    ("GET", "/v2/models/{}/config"),
    ("GET", "/v1/models/{}/card"),
    ("GET", "/v1/models/{}/report"),
    ("GET", "/page/{}"),
    ("POST", "/v2/repository/models/{}/load"),
    ("POST", "/v2/repository/models/{}/unload"),
    ("POST", "/v2/models/{}/infer"),
    ("POST", "/v1/classify?model={}"),
    ("GET", "/v2/systemsharedmemory/region/{}/status"),
    ("GET", "/{}"),
]


@pytest.mark.parametrize(("method", "target"), TARGETS)
def test_a_name_over_http_opens_nothing(server: Inside, method: str, target: str) -> None:
    for name in NAMES:
        with opened() as files:
            status, content = get(server, method, target.format(name.replace(" ", "%20")))
        assert status in (400, 404, 405), (name, content)
        assert b"root:" not in content
        assert files == [], name
    assert get(server, "GET", "/v2/models/colours/ready")[0] == 200


def test_the_check_sees_a_file_that_is_opened(server: Inside, tmp_path: Path) -> None:
    with opened() as files:
        assert get(server, "POST", "/v2/repository/models/colours/load")[0] == 200
    assert any(path.endswith("manifest.json") for path in files)
    with opened() as files:
        (tmp_path / "a").write_text("")
    assert files == [str(tmp_path / "a")]


def test_a_name_over_grpc_opens_nothing(server: Inside) -> None:
    plain = [name.replace("%2f", "/").replace("%2e", ".").replace("%00", "\0") for name in NAMES]
    with server.channel() as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        for name in {*NAMES, *plain}:
            for method, message in {
                "ModelMetadata": service_pb2.ModelMetadataRequest(name=name),
                "ModelConfig": service_pb2.ModelConfigRequest(name=name),
                "ModelInfer": service_pb2.ModelInferRequest(model_name=name),
                "RepositoryModelLoad": service_pb2.RepositoryModelLoadRequest(model_name=name),
                "RepositoryModelUnload": service_pb2.RepositoryModelUnloadRequest(model_name=name),
            }.items():
                with opened() as files, pytest.raises(grpc.RpcError) as caught:
                    getattr(stub, method)(message, timeout=5)
                assert cast(Any, caught.value).code() == grpc.StatusCode.NOT_FOUND, (name, method)
                assert files == [], (name, method)


def test_shared_memory_stays_in_its_folder(server: Inside, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(bytes(64))
    link = Path("/dev/shm") / f"lrn-link-{secret.stat().st_ino}"
    link.symlink_to(secret)
    names = ["../etc/passwd", "/../etc/passwd", "//etc/passwd", "..", ".", "", "/", "a/b", "a\0b"]
    try:
        with server.channel() as channel:
            stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
            for key in (*names, str(secret), link.name, f"/{link.name}"):
                message = service_pb2.SystemSharedMemoryRegisterRequest(
                    name="r", key=key, byte_size=8
                )
                with opened() as files, pytest.raises(grpc.RpcError) as caught:
                    stub.SystemSharedMemoryRegister(message, timeout=5)
                code = cast(Any, caught.value).code()
                assert code == grpc.StatusCode.INVALID_ARGUMENT, key
                assert [path for path in files if not path.startswith("/dev/shm/lrn-link-")] == []
                body = b'{"key": "%b", "byte_size": 8}' % key.replace("\0", "\\u0000").encode()
                status, _ = get(server, "POST", "/v2/systemsharedmemory/region/r/register", body)
                assert status == 400, key
    finally:
        link.unlink()
