"""The client and ``load`` against a server with API keys, TLS and mTLS."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lrn_deploy.client import (
    NEVER,
    AsyncClient,
    Client,
    ClientError,
    ForbiddenError,
    LostError,
    UnauthenticatedError,
    UnreachableError,
)
from lrn_deploy.load.load import load
from lrn_deploy.load.options import LoadOptions
from lrn_deploy.serving.repository.repository import Repository
from lrn_deploy.serving.security import keys
from lrn_deploy.serving.settings import ModelSettings
from tests.support.certificates import Authority, authority
from tests.support.image_bundles import colour_bundle
from tests.support.inside import inside

RED = np.zeros((1, 3, 8, 8), np.float32)
RED[0, 0] = 1.0


@dataclass(frozen=True)
class Guarded:
    """A server that lets in who has its key and a certificate of its authority."""

    http: str
    grpc: str
    house: Authority
    key: str
    pair: tuple[Path, Path]

    def options(self, **further: Any) -> dict[str, Any]:
        """What a client needs."""
        cert, key = self.pair
        return {
            "api_key": self.key, "ca": self.house.file, "cert": cert, "key": key, "retry": NEVER,
        } | further  # fmt: skip


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    folder = tmp_path_factory.mktemp("guarded")
    colour_bundle(folder / "colours")
    repository = Repository(ModelSettings(threads=1), drain_seconds=1)
    repository.load(repository.add(folder / "colours", "colours"))
    house = authority(folder / "house")
    chain, secret = house.pair("server")
    text, _ = keys.add(folder / "keys.json", "tester", ("infer", "read"))
    with inside(
        repository,
        tls_cert=str(chain),
        tls_key=str(secret),
        tls_client_ca=str(house.file),
        keys=str(folder / "keys.json"),
        model_control=True,
    ) as running:
        yield Guarded(
            f"https://127.0.0.1:{running.http.port}",
            f"grpcs://127.0.0.1:{running.grpc.port}",
            house,
            text,
            house.pair("client", "tester.example"),
        )


def waiting(url: str, name: str, *arguments: Any, **options: Any) -> Any:
    with Client(url, **options) as client:
        return getattr(client, name)(*arguments)


def awaited(url: str, name: str, *arguments: Any, **options: Any) -> Any:
    async def run() -> Any:
        async with AsyncClient(url, **options) as client:
            return await getattr(client, name)(*arguments)

    return asyncio.run(run())


@pytest.fixture(params=["http", "grpc"])
def url(request: pytest.FixtureRequest, server: Guarded) -> str:
    found: str = getattr(server, request.param)
    return found


@pytest.fixture(params=[waiting, awaited])
def call(request: pytest.FixtureRequest) -> Any:
    return request.param


def test_who_has_key_and_certificate_is_served(call: Any, url: str, server: Guarded) -> None:
    found = call(url, "infer", "colours", {"image": RED}, **server.options())
    np.testing.assert_allclose(found["scores"], [[10, 0, 0]], atol=1e-5)


@pytest.mark.parametrize("key", ["", "lrn_wrong"])
def test_without_the_key_nobody_is(call: Any, url: str, server: Guarded, key: str) -> None:
    with pytest.raises(UnauthenticatedError) as caught:
        call(url, "infer", "colours", {"image": RED}, **server.options(api_key=key))
    assert caught.value.status == 401
    assert server.key not in str(caught.value)


def test_a_key_does_only_what_it_is_for(call: Any, url: str, server: Guarded) -> None:
    with pytest.raises(ForbiddenError):
        call(url, "unload", "colours", **server.options())


def test_a_server_of_another_authority_is_not_trusted(
    call: Any, url: str, server: Guarded, tmp_path: Path
) -> None:
    stranger = authority(tmp_path / "stranger").file
    with pytest.raises(UnreachableError) as caught:
        call(url, "server_metadata", **server.options(ca=stranger))
    if url.startswith("https"):
        assert "is not trusted" in caught.value.message
        assert "ca=" in caught.value.hint


def test_without_a_certificate_of_ones_own_nobody_is_served(
    call: Any, url: str, server: Guarded
) -> None:
    with pytest.raises((UnreachableError, LostError)):
        call(url, "server_metadata", **server.options(cert=None, key=None))


def test_plain_speech_is_not_understood(call: Any, url: str, server: Guarded) -> None:
    plain = url.replace("https", "http").replace("grpcs", "grpc")
    with pytest.raises(ClientError):
        call(plain, "server_metadata", retry=NEVER, api_key=server.key)


@pytest.mark.parametrize("how", [{"rate": 100.0}, {"concurrency": 3}])
def test_load_goes_the_same_way(url: str, server: Guarded, how: dict[str, Any]) -> None:
    cert, key = server.pair
    options = LoadOptions(
        **how, duration=0.4, warmup=0.1, model="colours",
        api_key=server.key, ca=server.house.file, cert=cert, key=key,
    )  # fmt: skip
    (step,) = load(url, options).steps
    assert step.errors == {}
    assert step.answered > 5
