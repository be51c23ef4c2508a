"""The server's certificate: checked before it is used, and read anew when its files change.

What was checked is what is used: the files are read once, and OpenSSL and gRPC get these bytes.
"""

from __future__ import annotations

import os
import re
import ssl
import stat
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lrn_deploy.errors import BadInputError
from lrn_deploy.serving.security.changes import Changes

_PEM = re.compile(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)
_NO_CHECK_TIME = 0x200000  # X509_V_FLAG_NO_CHECK_TIME, openssl/x509_vfy.h, not in Python's ssl
_SOON_DAYS = 14
_DAY = 86_400
Say = Callable[[str], None]


@dataclass(frozen=True)
class Pair:
    """A certificate that was checked, with its key.

    Attributes:
        chain: The certificate and those that lead to its authority, PEM.
        key: Its private key, PEM.
        authorities: Whose certificates clients must have, PEM; None: none are asked for.
        names: The hosts that it is for.
        begins: When it begins to be valid, in seconds since 1970.
        ends: When it ceases to be.
    """

    chain: bytes
    key: bytes
    authorities: bytes | None
    names: tuple[str, ...]
    begins: float
    ends: float

    @property
    def told(self) -> str:
        """Whose it is and how long, in words."""
        names = ", ".join(self.names) or "no host"
        return f"certificate for {names}, valid until {_day(self.ends)}"

    def fault(self, now: float) -> str:
        """Why clients refuse it, or soon will; empty if nothing is wrong."""
        if now >= self.ends:
            return f"it has expired on {_day(self.ends)}; clients will refuse it"
        if now < self.begins:
            return f"it is valid only from {_day(self.begins)} on; clients will refuse it"
        if self.ends - now < _SOON_DAYS * _DAY:
            return f"it expires on {_day(self.ends)}"
        return ""


class Tls:
    """What HTTP and gRPC encrypt with.

    Args:
        chain: PEM file of the certificate and those that lead to its authority.
        key: PEM file of its private key; None: in the same file.
        authorities: PEM file with the authorities that clients' certificates must be of; None:
            clients need none.
        say: Told what is doubtful, and what became of files that have changed.

    Attributes:
        pair: What is used now.
        context: The same, for new connections of HTTP.

    Raises:
        BadInputError: If a file cannot be read, or the key is not the certificate's.
    """

    def __init__(self, chain: Path, key: Path | None, authorities: Path | None, say: Say) -> None:
        self._paths = (chain, key or chain, authorities)
        self._say = say
        self._changes = Changes([path for path in self._paths if path is not None])
        self._settling = False
        self.pair, self.context = self._read()
        say(f"TLS: {self.pair.told}.")
        if fault := self.pair.fault(time.time()):
            say(f"Warning: the certificate '{chain}': {fault}.")
        if self._paths[1].stat().st_mode & stat.S_IROTH:
            say(f"Warning: every user of this machine can read the key '{self._paths[1]}'.")

    def look(self) -> None:
        """Take up changed files once they have settled; keep what there is if they are no good.

        Certificate and key are two files, which nobody replaces at the same time.
        """
        if self._changes.found():
            self._settling = True
            return
        if not self._settling:
            return
        self._settling = False
        try:
            pair, context = self._read()
        except BadInputError as error:
            self._say(f"Warning: TLS goes on with the {self.pair.told}: {error}")
            return
        now = time.time()
        if not pair.begins <= now < pair.ends and self.pair.begins <= now < self.pair.ends:
            self._say(
                f"Warning: TLS goes on with the {self.pair.told}: of the new, {pair.fault(now)}."
            )
            return
        self.pair, self.context = pair, context
        self._say(f"TLS was read anew: {pair.told}.")

    def _read(self) -> tuple[Pair, ssl.SSLContext]:
        paths = self._paths
        chain, key = _bytes(paths[0]), _bytes(paths[1])
        authorities = None if paths[2] is None else _bytes(paths[2])
        begins, ends, names = _facts(_context(chain, key, paths), chain, paths[0])
        pair = Pair(chain, key, authorities, names, begins, ends)
        return pair, _context(chain, key, paths, authorities)


def _bytes(path: Path) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise BadInputError(f"'{path}' cannot be read: {error.strerror}.") from error
    if not content.strip():
        raise BadInputError(f"'{path}' is empty.", "A PEM file is expected.")
    return content


def _context(
    chain: bytes,
    key: bytes,
    paths: tuple[Path, Path, Path | None],
    authorities: bytes | None = None,
) -> ssl.SSLContext:
    """A context that has the certificate, and asks clients for theirs if there are authorities."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    context.options |= ssl.OP_NO_RENEGOTIATION
    try:
        with _file(chain) as certificate, _file(key) as private:
            context.load_cert_chain(certificate, private, password=_no_password)
    except _EncryptedError as error:
        raise BadInputError(
            f"The key '{paths[1]}' is encrypted, and nobody is there to type its password.",
            "Write it without one: openssl pkey -in KEY -out PLAIN",
        ) from error
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise BadInputError(
                f"The key '{paths[1]}' is not that of the certificate '{paths[0]}'.",
                "The server's own certificate comes first in its file.",
            ) from error
        raise BadInputError(
            f"'{paths[0]}' and '{paths[1]}' are no certificate and key in PEM: "
            f"{error.reason or error}."
        ) from error
    if authorities is not None:
        try:
            context.load_verify_locations(cadata=authorities.decode("ascii"))
        except (ssl.SSLError, ValueError) as error:
            raise BadInputError(f"'{paths[2]}' has no certificates in PEM: {error}.") from error
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def _facts(
    server: ssl.SSLContext, chain: bytes, path: Path
) -> tuple[float, float, tuple[str, ...]]:
    """From when until when a certificate is valid, and for which hosts.

    Python reads certificates only while it shakes hands, so the server does that with itself; a
    certificate that is for no server fails there, too.
    """
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN | _NO_CHECK_TIME
    found = _PEM.search(chain.decode("latin-1"))
    assert found is not None  # OpenSSL has read it
    client.load_verify_locations(cadata=found[0])
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    asking = client.wrap_bio(back, there)
    answering = server.wrap_bio(there, back, server_side=True)
    try:
        for _ in range(4):
            for side in (asking, answering):
                with suppress(ssl.SSLWantReadError):
                    side.do_handshake()
        certificate: Mapping[str, Any] = asking.getpeercert() or {}
        begins, ends = (
            ssl.cert_time_to_seconds(certificate[end]) for end in ("notBefore", "notAfter")
        )
    except (ssl.SSLError, ValueError, KeyError) as error:
        reason = getattr(error, "verify_message", "") or str(error)
        raise BadInputError(f"No client would take the certificate '{path}': {reason}.") from error
    names = tuple(name for _, name in certificate.get("subjectAltName", ()))
    return begins, ends, names


@contextmanager
def _file(content: bytes) -> Iterator[str]:
    """A path to content that is in memory only, for OpenSSL, which takes nothing else."""
    handle = os.memfd_create("pem", os.MFD_CLOEXEC)
    try:
        with open(handle, "wb", closefd=False) as file:
            file.write(content)
        yield f"/proc/self/fd/{handle}"
    finally:
        os.close(handle)


class _EncryptedError(Exception):
    """A key wants a password."""


def _no_password() -> str:
    raise _EncryptedError


def _day(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(seconds))
