"""The certificate before anyone connects: what is refused, told, taken up and kept."""

from __future__ import annotations

import shutil
import ssl
import time
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from lrn_deploy.errors import BadInputError
from lrn_deploy.serving.security.guards import Guards
from lrn_deploy.serving.security.tls import Tls
from lrn_deploy.serving.settings import ServerSettings
from tests.support.certificates import Authority, authority


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return authority(tmp_path_factory.mktemp("authority"))


def test_the_certificate_is_told_with_its_hosts_and_its_end(house: Authority) -> None:
    said: list[str] = []
    tls = Tls(*house.pair("right", "a.example", "10.0.0.1", days=100), None, said.append)
    assert said == [f"TLS: certificate for a.example, 10.0.0.1, valid until {said[0][-21:-1]}."]
    assert tls.pair.names == ("a.example", "10.0.0.1")
    assert 99.9 * 86400 < tls.pair.ends - tls.pair.begins - 86400 < 100.1 * 86400
    assert tls.context.minimum_version == ssl.TLSVersion.TLSv1_2
    assert tls.context.verify_mode == ssl.CERT_NONE


def test_clients_must_have_a_certificate_where_there_is_an_authority(house: Authority) -> None:
    tls = Tls(*house.pair("right"), house.file, lambda _: None)
    assert tls.context.verify_mode == ssl.CERT_REQUIRED
    assert tls.pair.authorities == house.file.read_bytes()


def test_certificate_and_key_may_be_in_one_file(house: Authority, tmp_path: Path) -> None:
    both = tmp_path / "both.pem"
    both.write_bytes(b"".join(path.read_bytes() for path in reversed(house.pair("right"))))
    both.chmod(0o600)
    assert Tls(both, None, None, lambda _: None).pair.names == ("127.0.0.1", "localhost")


@pytest.mark.parametrize(
    ("days", "warned"),
    [
        (-0.01, "it has expired on"),
        (13.9, "it expires on"),
        (14.1, ""),
    ],
)
def test_an_end_that_has_come_or_is_near_is_told(
    house: Authority, days: float, warned: str
) -> None:
    said: list[str] = []
    Tls(*house.pair("ending", days=days), None, said.append)
    assert [warned in line for line in said[1:]] == ([True] if warned else [])


def test_a_key_that_all_can_read_is_told(house: Authority) -> None:
    said: list[str] = []
    chain, key = house.pair("open")
    key.chmod(0o640)
    Tls(chain, key, None, said.append)
    assert len(said) == 1
    key.chmod(0o644)
    Tls(chain, key, None, said.append)
    assert said[-1] == f"Warning: every user of this machine can read the key '{key}'."


def test_what_cannot_be_used_is_refused_with_the_reason(house: Authority, tmp_path: Path) -> None:
    chain, key = house.pair("one")
    _, other = house.pair("other")
    nothing, text = tmp_path / "empty.pem", tmp_path / "text.pem"
    nothing.touch()
    text.write_text("no certificate")
    for files, said in {
        (chain, other, None): f"The key '{other}' is not that of the certificate '{chain}'",
        (chain, tmp_path / "none", None): "No such file",
        (nothing, key, None): "is empty",
        (text, key, None): "no certificate and key in PEM",
        (chain, text, None): "no certificate and key in PEM",
        (key, chain, None): "no certificate and key in PEM",
        (chain, None, None): "no certificate and key in PEM",  # the key is not in the same file
        (chain, key, text): "has no certificates in PEM",
        (chain, key, key): "has no certificates in PEM",
    }.items():
        with pytest.raises(BadInputError) as caught:
            Tls(*files, print)
        assert said in str(caught.value), files


def test_a_certificate_of_no_server_is_refused_in_words(tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a client")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), 7)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=30))
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=True)
        .sign(key, hashes.SHA256())
    )
    plain = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    file = tmp_path / "client.pem"
    file.write_bytes(plain + made.public_bytes(Encoding.PEM))
    with pytest.raises(BadInputError) as caught:
        Tls(file, None, None, print)
    assert caught.value.message == (
        f"No client would take the certificate '{file}': unsuitable certificate purpose."
    )


def test_an_encrypted_key_is_refused_and_nobody_is_asked(house: Authority, tmp_path: Path) -> None:
    from cryptography.hazmat.primitives import serialization

    chain, key = house.pair("one")
    plain = serialization.load_pem_private_key(key.read_bytes(), None)
    locked = tmp_path / "locked.key"
    locked.write_bytes(
        plain.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )
    with pytest.raises(BadInputError, match="is encrypted"):
        Tls(chain, locked, None, print)


def test_settings_without_a_certificate_are_refused(house: Authority) -> None:
    for settings in (
        ServerSettings(tls_key=str(house.pair("one")[1])),
        ServerSettings(tls_client_ca=str(house.file)),
    ):
        with pytest.raises(BadInputError, match="no certificate"):
            Guards(settings, print)
    assert not Guards(ServerSettings(), print)
    assert Guards(ServerSettings(), print).context is None


class Files:
    """A pair in use, which the next one is copied over."""

    def __init__(self, house: Authority, folder: Path) -> None:
        self.house = house
        self.chain, self.key = folder / "used.pem", folder / "used.key"
        self.said: list[str] = []
        self.copy(house.pair("first", "first.example"))
        self.tls = Tls(self.chain, self.key, None, self.said.append)
        self.said.clear()

    def copy(self, pair: tuple[Path, Path]) -> None:
        for source, target in zip(pair, (self.chain, self.key), strict=True):
            self.replace(source, target)

    def replace(self, source: Path, target: Path) -> None:
        beside = target.with_suffix(".new")
        shutil.copy(source, beside)
        beside.replace(target)

    def look(self) -> tuple[str, ...]:
        """Twice: the second look finds that the files have settled."""
        self.tls.look()
        self.tls.look()
        return self.tls.pair.names


def test_a_new_pair_is_taken_up_once_both_files_are_there(house: Authority, tmp_path: Path) -> None:
    files = Files(house, tmp_path)
    before = files.tls.context
    second = house.pair("second", "second.example")
    files.replace(second[0], files.chain)
    files.tls.look()  # between the two
    assert files.tls.pair.names == ("first.example",)
    files.replace(second[1], files.key)
    files.tls.look()
    assert files.said == []
    assert files.look() == ("second.example",)
    assert files.tls.context is not before
    assert files.said == [f"TLS was read anew: {files.tls.pair.told}."]
    assert files.look() == ("second.example",)
    assert len(files.said) == 1


def test_a_pair_that_cannot_be_used_leaves_the_old_one(house: Authority, tmp_path: Path) -> None:
    files = Files(house, tmp_path)
    context = files.tls.context
    second = house.pair("second", "second.example")
    files.replace(second[0], files.chain)
    assert files.look() == ("first.example",)
    files.chain.write_text("half a cert")
    assert files.look() == ("first.example",)
    files.chain.unlink()
    assert files.look() == ("first.example",)
    files.copy(house.pair("expired", "expired.example", days=-1))
    assert files.look() == ("first.example",)
    assert files.tls.context is context
    assert [
        reason in line
        for reason, line in zip(
            ("is not that of", "no certificate and key", "No such file", "it has expired on"),
            files.said,
            strict=True,
        )
    ] == [True] * 4
    assert all("TLS goes on with the certificate for first.example" in line for line in files.said)
    files.copy(second)
    assert files.look() == ("second.example",)


def test_an_expired_pair_replaces_one_that_has_expired_too(
    house: Authority, tmp_path: Path
) -> None:
    files = Files(house, tmp_path)
    files.copy(house.pair("expired", "a.example", days=-1))
    files.tls = Tls(files.chain, files.key, None, files.said.append)
    files.copy(house.pair("other", "b.example", days=-0.5))
    assert files.look() == ("b.example",)


@pytest.mark.parametrize(
    ("second", "old", "taken"),
    [
        (-1, (-9, 9), False),  # the new one is not valid yet
        (0, (-9, 9), True),
        (-1, (-9, -1), True),  # nor is the old one any more
        (-1, (-1, 9), False),
        (-1, (0, 9), True),  # nor yet
    ],
)
def test_a_pair_that_is_not_valid_yet_does_not_replace_one_that_is(
    house: Authority,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    second: int,
    old: tuple[int, int],
    taken: bool,
) -> None:
    """Times are seconds from when the new one begins."""
    files = Files(house, tmp_path)
    pair = house.pair("second", "second.example")
    begins = Tls(*pair, None, lambda _: None).pair.begins
    files.tls.pair = replace(files.tls.pair, begins=begins + old[0], ends=begins + old[1])
    monkeypatch.setattr(time, "time", lambda: begins + second)
    files.copy(pair)
    assert files.look() == (("second.example",) if taken else ("first.example",))
    assert ("it is valid only from" in files.said[0]) != taken


def test_what_is_spoken_over_tls_is_http_1_1_and_is_agreed_on_once(house: Authority) -> None:
    context = Tls(*house.pair("right"), None, lambda _: None).context
    assert context.options & ssl.OP_NO_RENEGOTIATION
    offers = house.client()
    offers.set_alpn_protocols(["h2", "http/1.1"])
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    asking = offers.wrap_bio(back, there, server_hostname="localhost")
    answering = context.wrap_bio(there, back, server_side=True)
    for _ in range(3):
        for side in (asking, answering):
            with suppress(ssl.SSLWantReadError):
                side.do_handshake()
    assert asking.selected_alpn_protocol() == "http/1.1"


def test_files_that_were_read_are_closed(house: Authority) -> None:
    def open_files() -> int:
        return sum(1 for _ in Path("/proc/self/fd").iterdir())

    pair = house.pair("right")
    before = open_files()
    Tls(*pair, house.file, lambda _: None)
    assert open_files() <= before
