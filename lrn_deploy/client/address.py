"""Where a server is and how to be let in: the URL, TLS, and an API key."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from lrn_deploy.client.errors import UnreachableError
from lrn_deploy.errors import BadInputError

_HINT = "Write http://HOST:8000 or grpc://HOST:8001 for instance; https and grpcs are with TLS."
_PORTS = {"http": 80, "https": 443, "grpc": 8001, "grpcs": 8001}
Protocol = Literal["http", "grpc"]


@dataclass(frozen=True)
class Address:
    """A server.

    Attributes:
        protocol: What it speaks.
        host: Its name or IP address, without brackets.
        port: Its port.
        secure: Whether by TLS.
        prefix: What stands before the paths of the protocol, behind a gateway; HTTP only.
    """

    protocol: Protocol
    host: str
    port: int
    secure: bool = False
    prefix: str = ""

    @classmethod
    def of(cls, url: str) -> Address:
        """Read a URL; the ports are 80, 443 and, of gRPC, 8001 where it has none.

        Raises:
            BadInputError: If it is none that a server could have.
        """
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as error:
            raise BadInputError(f"'{url}' is no URL: {error}.", _HINT) from error
        if parts.scheme not in _PORTS or not parts.hostname:
            raise BadInputError(f"'{url}' is no URL of a server.", _HINT)
        if parts.username is not None or parts.query or parts.fragment:
            raise BadInputError(
                f"'{url}' has more than a server's address.",
                "Leave out names, passwords, '?' and '#'; keys are given with api_key.",
            )
        protocol: Protocol = "http" if parts.scheme in ("http", "https") else "grpc"
        prefix = parts.path.rstrip("/")
        if prefix and protocol == "grpc":
            raise BadInputError(f"'{url}' has a path, which gRPC does not know.", _HINT)
        secure = parts.scheme.endswith("s")
        return cls(protocol, parts.hostname, port or _PORTS[parts.scheme], secure, prefix)

    @property
    def authority(self) -> str:
        """Host and port, as ``Host`` and gRPC's target have them."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    def __str__(self) -> str:
        """The URL."""
        return f"{self.protocol}{'s' * self.secure}://{self.authority}{self.prefix}"


@dataclass(frozen=True)
class Credentials:
    """How to be let in, and whom to trust.

    Attributes:
        api_key: Sent as ``Authorization: Bearer KEY``, over gRPC as metadata.
        ca: PEM file with the certificates that may vouch for the server; None: the system's.
        cert: PEM file with the client's own certificate, for mTLS.
        key: PEM file with its private key; None if ``cert`` has it.
        headers: Further headers of each request, over gRPC metadata.
    """

    api_key: str = ""
    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.key is not None and self.cert is None:
            raise BadInputError("A private key is given without its certificate.", "Give cert=.")
        for name, value in self.sent().items():
            if not (name and value.isascii() and value.isprintable() and name.isascii()):
                raise BadInputError(
                    f"The header '{name}' cannot be sent: it has characters that HTTP does not "
                    "allow.",
                    "Check for line ends at the end of the key.",
                )

    @classmethod
    def of(
        cls,
        api_key: str = "",
        ca: str | Path | None = None,
        cert: str | Path | None = None,
        key: str | Path | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Credentials:
        """The same of paths as strings."""
        one, two, three = (None if file is None else Path(file) for file in (ca, cert, key))
        return cls(api_key, one, two, three, headers or {})

    def sent(self) -> dict[str, str]:
        """The headers of each request, their names in lower case."""
        headers = {name.lower(): value for name, value in self.headers.items()}
        if self.api_key:
            headers["authorization"] = f"Bearer {self.api_key}"
        return headers

    def tls(self) -> ssl.SSLContext:
        """TLS as these files have it.

        Raises:
            BadInputError: If a file cannot be used.
        """
        try:
            context = ssl.create_default_context(cafile=self.ca)
            if self.cert is not None:
                context.load_cert_chain(self.cert, self.key)
        except (OSError, ssl.SSLError) as error:
            raise BadInputError(
                f"The certificates cannot be used: {error}.",
                "ca, cert and key are PEM files; check their paths and that cert and key fit.",
            ) from error
        return context

    def pem(self) -> tuple[bytes | None, bytes | None, bytes | None]:
        """Contents of ``ca``, ``key`` and ``cert``, as grpcio takes them.

        Raises:
            BadInputError: If a file cannot be read.
        """
        try:
            ca, key, cert = (
                None if file is None else file.read_bytes()
                for file in (self.ca, self.key or self.cert, self.cert)
            )
        except OSError as error:
            raise BadInputError(
                f"'{error.filename}' cannot be read: {error.strerror}.", "Check the path."
            ) from error
        return ca, key, cert


def unreachable(address: Address, error: BaseException) -> UnreachableError:
    """The error for a connection that could not be opened."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return UnreachableError(
            f"{address} is not trusted: {error.verify_message}.",
            "Give the certificate that vouches for it with ca=, or the name that it is for.",
        )
    if isinstance(error, ssl.SSLError):
        return UnreachableError(
            f"{address} agrees to no TLS: {error.reason or error}.",
            "Check that it speaks TLS, and whether it asks for a certificate (cert=, key=).",
        )
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return UnreachableError(
        f"Nobody answers at {address}: {reason}.", "Check host and port, and that it has started."
    )
