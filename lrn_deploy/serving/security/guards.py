"""What stands before a server: its keys and its certificate, as the settings name them."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path

from lrn_deploy.errors import BadInputError
from lrn_deploy.serving.listener import address_of
from lrn_deploy.serving.security.key_ring import KeyRing, Say
from lrn_deploy.serving.security.tls import Tls
from lrn_deploy.serving.settings import ServerSettings


class Guards:
    """The keys and the certificate of one server. False if it has neither.

    Args:
        settings: Where they are.
        say: Told what is doubtful, and what becomes of files that change.

    Attributes:
        keys: Who is let in; None: everyone.
        tls: What connections are encrypted with; None: nothing is.

    Raises:
        BadInputError: If a file is missing or wrong.
    """

    def __init__(self, settings: ServerSettings, say: Say) -> None:
        chain, key, authorities = settings.tls_cert, settings.tls_key, settings.tls_client_ca
        if (key or authorities) and not chain:
            raise BadInputError(
                "There is a key or an authority for TLS, but no certificate.",
                "Give the server's own with --tls-cert FILE.",
            )
        self.keys = KeyRing(Path(settings.keys), say) if settings.keys else None
        self.tls = (
            Tls(
                Path(chain),
                Path(key) if key else None,
                Path(authorities) if authorities else None,
                say,
            )
            if chain
            else None
        )
        if self.keys and not self.tls and _reaches_others(settings.host):
            say(
                f"Warning: whoever listens between {settings.host} and its clients can read their "
                "keys; encrypt with --tls-cert, or by a gateway in front."
            )

    def __bool__(self) -> bool:
        return self.keys is not None or self.tls is not None

    @property
    def context(self) -> Callable[[], ssl.SSLContext] | None:
        """Gives what a new connection is encrypted with; None: nothing is."""
        tls = self.tls
        return None if tls is None else lambda: tls.context

    def look(self) -> None:
        """Take up what has changed in the files."""
        if self.keys is not None:
            self.keys.look()
        if self.tls is not None:
            self.tls.look()


def _reaches_others(host: str) -> bool:
    """Whether other machines can connect to an address."""
    try:
        return not ip_address(address_of(host)).is_loopback
    except ValueError:
        return True
