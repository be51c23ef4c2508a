"""What stands before a server, what is doubtful of it, when a certificate deserves a warning."""

from __future__ import annotations

from pathlib import Path

import pytest

from lrn_deploy.serving.security import keys
from lrn_deploy.serving.security.changes import Changes
from lrn_deploy.serving.security.guards import Guards
from lrn_deploy.serving.security.tls import Pair
from lrn_deploy.serving.settings import ServerSettings
from tests.support.certificates import authority

DAY = 86_400.0


@pytest.fixture
def file(tmp_path: Path) -> Path:
    keys.add(tmp_path / "keys.json", "a", ("infer",))
    return tmp_path / "keys.json"


@pytest.mark.parametrize(
    ("host", "warned"),
    [
        ("127.0.0.1", False),
        ("localhost", False),
        ("::1", False),
        ("0.0.0.0", True),
        ("::", True),
        ("192.0.2.1", True),
        ("no-such-host.invalid", True),
    ],
)
def test_keys_that_others_could_read_on_their_way_are_told(
    file: Path, host: str, warned: bool
) -> None:
    said: list[str] = []
    guards = Guards(ServerSettings(host=host, keys=str(file)), said.append)
    assert guards
    assert (guards.tls, guards.context) == (None, None)
    assert len(said) == warned
    assert all(f"between {host} and its clients" in line for line in said)


def test_keys_that_are_encrypted_on_their_way_are_not(file: Path, tmp_path: Path) -> None:
    chain, key = authority(tmp_path / "house").pair("right")
    said: list[str] = []
    paths = {"tls_cert": str(chain), "tls_key": str(key)}
    guards = Guards(ServerSettings(host="0.0.0.0", keys=str(file), **paths), said.append)
    assert [line[:5] for line in said] == ["TLS: "]
    assert guards.keys is not None
    assert guards.tls is not None
    assert guards.context is not None
    assert guards.context() is guards.tls.context
    bare = Guards(ServerSettings(**paths), said.append)  # without keys nothing is to be read
    assert bare
    assert bare.keys is None


def test_both_are_looked_after(file: Path, tmp_path: Path) -> None:
    house = authority(tmp_path / "house")
    chain, key = house.pair("right")
    said: list[str] = []
    guards = Guards(
        ServerSettings(keys=str(file), tls_cert=str(chain), tls_key=str(key)), said.append
    )
    said.clear()
    guards.look()
    assert said == []
    keys.add(file, "b", ("infer",))
    other, its_key = house.pair("other", "other.example")
    other.replace(chain)
    its_key.replace(key)
    for _ in range(2):  # a certificate is taken up once its files have settled
        guards.look()
    assert [line.partition(":")[0] for line in said] == [
        "The keys were read anew", "TLS was read anew",
    ]  # fmt: skip


def test_a_certificate_is_doubtful_from_a_fortnight_before_its_end_and_before_its_beginning() -> (
    None
):
    pair = Pair(b"", b"", None, (), 100 * DAY, 200 * DAY)
    for now, said in (
        (99.9, "it is valid only from 1970-04-11 00:00 UTC on; clients will refuse it"),
        (100, ""),
        (186, ""),
        (186.1, "it expires on 1970-07-20 00:00 UTC"),
        (199.9, "it expires on 1970-07-20 00:00 UTC"),
        (200, "it has expired on 1970-07-20 00:00 UTC; clients will refuse it"),
        (201, "it has expired on 1970-07-20 00:00 UTC; clients will refuse it"),
    ):
        assert pair.fault(now * DAY) == said
    assert pair.told == "certificate for no host, valid until 1970-07-20 00:00 UTC"


def test_a_change_is_found_once_whatever_has_changed(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    one.write_text("a")
    changes = Changes([one, other])
    assert not changes.found()
    other.write_text("b")
    assert [changes.found(), changes.found()] == [True, False]
    one.write_text("longer")
    assert [changes.found(), changes.found()] == [True, False]
    one.unlink()
    assert [changes.found(), changes.found()] == [True, False]
