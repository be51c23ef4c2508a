"""The certificate of gRPC's connections: which it is, and that a new one is taken up once."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import grpc
import pytest

from lrn_deploy.serving.grpc.credentials import credentials
from lrn_deploy.serving.security.tls import Pair, Tls


def pair(name: bytes, authorities: bytes | None = None) -> Pair:
    return Pair(name + b" chain", name + b" key", authorities, (), 0.0, 1.0)


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What grpcio is asked for; certificates are shown as their parts."""
    asked: list[Any] = []
    monkeypatch.setattr(
        grpc,
        "ssl_server_certificate_configuration",
        lambda pairs, root_certificates: (pairs, root_certificates),
    )
    monkeypatch.setattr(grpc, "dynamic_ssl_server_credentials", lambda *told: asked.append(told))
    return asked


def test_a_connection_has_the_certificate_of_its_time(made: list[Any]) -> None:
    tls = SimpleNamespace(pair=pair(b"first"))
    credentials(cast(Tls, tls))
    ((first, fetch, required),) = made
    assert first == ([(b"first key", b"first chain")], None)
    assert not required
    assert fetch() is None  # as before
    tls.pair = pair(b"second")
    assert fetch() == ([(b"second key", b"second chain")], None)
    assert fetch() is None


def test_clients_need_one_of_their_own_where_there_is_an_authority(made: list[Any]) -> None:
    credentials(cast(Tls, SimpleNamespace(pair=pair(b"first", b"authority"))))
    ((first, _, required),) = made
    assert first[1] == b"authority"
    assert required
