"""API keys on a real server: what its operator and its clients see."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import grpc
import pytest
from tritonclient.grpc import service_pb2, service_pb2_grpc

from lrn_deploy.cli import run
from lrn_deploy.serving.server import _LOOK_SECONDS
from tests.support.image_bundles import colour_bundle, picture
from tests.support.servers import Running, ended, serving


def new_key(file: Path, capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert run(["keys", "add", str(file), *words]) == 0
    return capsys.readouterr().out.strip()


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("keys") / "keys.json"


@pytest.fixture(scope="module")
def server(file: Path) -> Iterator[Running]:
    colour_bundle(file.parent / "colours")
    run(["keys", "add", str(file), "first"])
    with serving(
        file.parent / "colours", "--threads", "1", "--keys", file, "--access-log", "all"
    ) as running:
        yield running


def bearer(text: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {text}"}


def until(server: Running, text: str, status: int) -> None:
    """Wait until a key is answered so."""
    started = time.monotonic()
    while server.call("GET", "/v2", **bearer(text)).status != status:
        assert time.monotonic() - started < 20
        time.sleep(0.02)


def test_a_key_is_taken_and_revoked_within_a_second(
    server: Running, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = new_key(file, capsys, "shop")
    assert _LOOK_SECONDS < 1
    until(server, text, 200)
    reply = server.call("POST", "/v1/classify", picture((255, 0, 0)), **bearer(text))
    assert (reply.status, reply.content["results"][0]["predictions"][0]["label"]) == (200, "red")
    refused = server.call("POST", "/v2/repository/models/colours/unload", **bearer(text))
    assert (refused.status, refused.content["error"]) == (
        403,
        "This needs a key with the scope 'control'; 'shop' has infer and read.",
    )
    assert refused.headers["www-authenticate"].endswith('scope="control"')
    assert run(["keys", "revoke", str(file), "shop"]) == 0
    until(server, text, 401)
    again = server.call("GET", "/v2", **bearer(text))
    assert "'shop' was revoked on" in again.content["error"]
    assert again.content["request_id"] == again.headers["x-request-id"]


def test_without_a_key_there_is_health_alone(server: Running) -> None:
    for path in ("/v2/health/live", "/v2/health/ready"):
        assert server.call("GET", path).status == 200
    for path in ("/v2", "/metrics", "/v1/stats", "/v2/models/colours/ready"):
        reply = server.call("GET", path)
        assert (reply.status, reply.headers["www-authenticate"]) == (
            401,
            'Bearer realm="lrn-server", scope="read"',
        )
    body = picture((0, 255, 0))
    for headers in ({}, bearer("lrn_" + "A" * 43), {"Authorization": "Basic YTpi"}):
        assert server.call("POST", "/v1/classify", body, **headers).status == 401


def test_over_grpc_the_key_is_metadata(
    server: Running, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = new_key(file, capsys, "rpc", "--scope", "read")
    until(server, text, 200)
    with grpc.insecure_channel(server.grpc) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        metadata = (("authorization", f"Bearer {text}"),)
        asked = service_pb2.ServerMetadataRequest()
        assert stub.ServerMetadata(asked, metadata=metadata, timeout=5).name == "lrn-server"
        for method, sent, code, said in (
            ("ServerMetadata", (), "UNAUTHENTICATED", "This needs an API key"),
            ("ModelInfer", metadata, "PERMISSION_DENIED", "the scope 'infer'; 'rpc' has read"),
        ):
            message = getattr(service_pb2, f"{method}Request")()
            with pytest.raises(grpc.RpcError) as caught:
                getattr(stub, method)(message, metadata=sent, timeout=5)
            error = cast(Any, caught.value)
            assert (error.code().name, said in error.details()) == (code, True)


def test_the_log_names_the_key_and_never_holds_it(
    server: Running, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = new_key(file, capsys, "logged")
    until(server, text, 200)
    server.call("GET", "/v2", X_Request_Id="seen", **bearer(text))
    lines = [json.loads(line) for line in server.said().splitlines() if line.startswith("{")]
    assert [line["key"] for line in lines if line["id"] == "seen"] == ["logged"]
    assert text not in server.said()
    assert text.removeprefix("lrn_") not in server.said()


def test_a_server_does_not_start_with_a_broken_file(tmp_path: Path) -> None:
    broken = tmp_path / "keys.json"
    broken.write_text('{"keys": [{}]}')
    done = ended(tmp_path, "--keys", broken)
    assert done.returncode == 2
    assert "is no file of keys: keys.0.name: Field required" in done.stderr
