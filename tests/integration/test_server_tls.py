"""TLS as clients meet it, over HTTP and gRPC: whose certificate is taken, and by whom."""

from __future__ import annotations

import http.client
import shutil
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, cast

import grpc
import pytest
from tritonclient.grpc import service_pb2, service_pb2_grpc

from lrn_deploy.serving.grpc import server as grpc_server
from lrn_deploy.serving.http import accept
from tests.support.certificates import Authority, authority
from tests.support.inside import Inside, inside


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return authority(tmp_path_factory.mktemp("stranger"))


@pytest.fixture(scope="module")
def server(house: Authority) -> Iterator[Inside]:
    chain, key = house.pair("server")
    with inside(tls_cert=str(chain), tls_key=str(key)) as running:
        yield running


@pytest.fixture(scope="module")
def mutual(house: Authority) -> Iterator[Inside]:
    chain, key = house.pair("mutual")
    with inside(
        tls_cert=str(chain),
        tls_key=str(key),
        tls_client_ca=str(house.file),
        access_log="errors",
    ) as running:
        yield running


def over_http(server: Inside, context: ssl.SSLContext) -> str:
    """``served``, or why not; ``dropped`` where the server, which lets no alert out, hung up."""
    connection = server.connect(context)
    try:
        connection.request("GET", "/v2")
        response = connection.getresponse()
        return "served" if response.read().startswith(b'{"name": "lrn-server"') else "wrong"
    except ssl.SSLCertVerificationError as error:
        return error.verify_message
    except (ConnectionError, ssl.SSLEOFError):
        return "dropped"
    finally:
        connection.close()


def over_grpc(server: Inside, trusted: Authority, pair: tuple[Path, Path] | None = None) -> str:
    """``served``, or the status."""
    key, chain = (pair[1].read_bytes(), pair[0].read_bytes()) if pair else (None, None)
    credentials = grpc.ssl_channel_credentials(trusted.file.read_bytes(), key, chain)
    with server.channel(credentials) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        try:
            answer = stub.ServerMetadata(service_pb2.ServerMetadataRequest(), timeout=5)
        except grpc.RpcError as error:
            return str(cast(Any, error).code().name)
        return "served" if answer.name == "lrn-server" else "wrong"


def test_who_trusts_the_authority_is_served(server: Inside, house: Authority) -> None:
    assert over_http(server, house.client()) == "served"
    assert over_grpc(server, house) == "served"


def test_who_trusts_another_authority_goes_no_further(server: Inside, stranger: Authority) -> None:
    assert over_http(server, stranger.client()) == "unable to get local issuer certificate"
    assert over_grpc(server, stranger) == "UNAVAILABLE"


def test_another_hosts_certificate_is_not_taken(house: Authority) -> None:
    chain, key = house.pair("elsewhere", "elsewhere.example")
    with inside(tls_cert=str(chain), tls_key=str(key)) as running:
        assert "IP address mismatch" in over_http(running, house.client())
        assert over_grpc(running, house) == "UNAVAILABLE"


def test_an_expired_certificate_is_told_at_the_start_and_not_taken(house: Authority) -> None:
    chain, key = house.pair("expired", days=-1)
    with inside(tls_cert=str(chain), tls_key=str(key)) as running:
        assert over_http(running, house.client()) == "certificate has expired"
        assert over_grpc(running, house) == "UNAVAILABLE"


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1:DeprecationWarning")
def test_nothing_older_than_tls_1_2_is_spoken(server: Inside, house: Authority) -> None:
    for version, said in (
        (ssl.TLSVersion.TLSv1_1, "dropped"),
        (ssl.TLSVersion.TLSv1_2, "served"),
        (ssl.TLSVersion.TLSv1_3, "served"),
    ):
        context = house.client()
        context.set_ciphers("ALL:@SECLEVEL=0")
        context.minimum_version = context.maximum_version = version
        assert over_http(server, context) == said, version


def test_a_client_needs_a_certificate_of_the_authority_named(
    mutual: Inside,
    house: Authority,
    stranger: Authority,
    capsys: pytest.CaptureFixture[str],
) -> None:
    mine, theirs = house.pair("client", "client.example"), stranger.pair("client")
    assert over_http(mutual, house.client(mine)) == "served"
    assert over_grpc(mutual, house, mine) == "served"
    late = house.pair("late", "client.example", days=-1)
    for pair, said in (
        (None, "the peer has no certificate"),
        (theirs, "unable to get local issuer certificate"),
        (late, "certificate has expired"),
    ):
        assert over_http(mutual, house.client(pair)) == "dropped"
        assert over_grpc(mutual, house, pair) == "UNAVAILABLE"
        assert f"The TLS handshake failed: {said}." in capsys.readouterr().err


def certificate_of(connection: http.client.HTTPConnection) -> str:
    certificate = cast(ssl.SSLSocket, connection.sock).getpeercert() or {}
    return str(certificate["subjectAltName"][-1][1])  # type: ignore[index]  # ssl's pairs are typed as anything


def test_a_new_certificate_is_for_new_connections_and_breaks_none(
    house: Authority, tmp_path: Path
) -> None:
    chain, key = tmp_path / "used.pem", tmp_path / "used.key"

    def put(pair: tuple[Path, Path]) -> None:
        for source, target in zip(pair, (chain, key), strict=True):
            shutil.copy(source, target)

    put(house.pair("first", "127.0.0.1", "first.example"))
    with inside(tls_cert=str(chain), tls_key=str(key)) as running:
        old = running.connect(house.client())
        old.request("GET", "/v2")
        assert (old.getresponse().read()[:8], certificate_of(old)) == (
            b'{"name":',
            "first.example",
        )
        root = house.file.read_bytes()
        with running.channel(grpc.ssl_channel_credentials(root)) as channel:
            stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
            stub.ServerLive(service_pb2.ServerLiveRequest(), timeout=5)
            put(house.pair("second", "127.0.0.1", "second.example"))
            for _ in range(2):
                running.guards.look()
            new = running.connect(house.client())
            new.request("GET", "/v2")
            new.getresponse().read()
            assert certificate_of(new) == "second.example"
            stub.ServerLive(service_pb2.ServerLiveRequest(), timeout=5)
        assert ssl_name(running.grpc.port, house) == "second.example"
        sock = old.sock
        old.request("GET", "/v2")
        assert old.getresponse().status == 200
        assert (old.sock, certificate_of(old)) == (sock, "first.example")  # the same connection
        old.close()
        new.close()


@contextmanager
def encrypted(port: int, context: ssl.SSLContext) -> Iterator[ssl.SSLSocket]:
    """A connection after its handshake."""
    plain = socket.create_connection(("127.0.0.1", port), 5)
    with context.wrap_socket(plain, server_hostname="127.0.0.1") as wrapped:
        yield wrapped


def ssl_name(port: int, house: Authority) -> str:
    """The last name of the certificate that a port shows."""
    context = house.client()
    context.set_alpn_protocols(["h2"])
    with encrypted(port, context) as connection:
        names = (connection.getpeercert() or {})["subjectAltName"]
        return str(names[-1][1])  # type: ignore[index]  # ssl's pairs are typed as anything


def test_a_large_body_and_a_large_answer_come_whole(server: Inside, house: Authority) -> None:
    connection = server.connect(house.client())
    body = b"[" + b" " * 3_000_000 + b"]"
    for _ in range(2):  # on the same connection
        connection.request("POST", "/v2/repository/index", body)
        response = connection.getresponse()
        assert (response.status, b"must be a JSON object" in response.read()) == (400, True)
    connection.close()


def test_a_body_over_the_limit_is_refused_and_the_refusal_is_read(
    server: Inside, house: Authority
) -> None:
    with encrypted(server.http.port, house.client()) as connection:
        connection.sendall(
            b"POST /v1/classify HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999\r\n\r\n"
            + bytes(10_000)
        )
        answer = b"".join(iter(lambda: connection.recv(65536), b""))  # to a clean end
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"more than the limit" in answer


def test_a_peer_that_says_nothing_is_dropped(
    house: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accept, "HANDSHAKE_SECONDS", 0.1)
    chain, key = house.pair("server")
    with inside(tls_cert=str(chain), tls_key=str(key)) as running:
        with socket.create_connection(("127.0.0.1", running.http.port), 5) as silent:
            assert silent.recv(1) == b""
        assert over_http(running, house.client()) == "served"
        limit = time.monotonic() + 5
        while running.http.shared.crowd.count:  # the one that was dropped is not counted
            assert time.monotonic() < limit
            time.sleep(0.005)


def test_a_peer_that_says_nothing_over_grpc_is_dropped_too(
    house: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grpc_server, "_HANDSHAKE_MS", 200)
    chain, key = house.pair("server")
    for settings in ({}, {"tls_cert": str(chain), "tls_key": str(key)}):
        with (
            inside(**settings) as running,
            socket.create_connection(("127.0.0.1", running.grpc.port), 5) as silent,
        ):
            while silent.recv(100):  # without TLS, it says its HTTP/2 settings first
                pass


def test_who_does_not_read_its_answers_is_dropped_in_time(house: Authority) -> None:
    chain, key = house.pair("server")
    with inside(tls_cert=str(chain), tls_key=str(key), answer_seconds=0.1) as running:
        with encrypted(running.http.port, house.client()) as greedy:
            greedy.settimeout(0.2)
            many = b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n" * 200
            with suppress(OSError):
                while True:  # until the server reads no more either, or has dropped us
                    greedy.sendall(many)
            limit = time.monotonic() + 5
            while running.http.shared.crowd.count:
                assert time.monotonic() < limit
                time.sleep(0.005)
        assert over_http(running, house.client()) == "served"


def test_plain_http_at_an_encrypted_port_is_dropped_and_harms_nobody(
    server: Inside, house: Authority
) -> None:
    with socket.create_connection(("127.0.0.1", server.http.port), 5) as plain:
        plain.sendall(b"GET /v2 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        with suppress(ConnectionResetError):
            assert b"200 OK" not in plain.recv(65536)
    assert over_http(server, house.client()) == "served"
