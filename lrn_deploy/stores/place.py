"""A place as a user writes it: a folder, or a URL with what its manifest must be."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import quote, urlsplit, urlunsplit

from lrn_deploy.errors import BadInputError

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_PIN = "#sha256="
_QUERIED = ("http", "https")  # in whose URLs a query may be the key to what they name


def is_url(text: str) -> bool:
    """Whether a place is a URL; everything else is a folder of this machine."""
    return bool(_URL.match(text))


def shown(text: str) -> str:
    """A place for messages and logs: a URL without what may be secret, user, password, query."""
    if not is_url(text):
        return text
    scheme, rest = text.split("://", 1)
    host, slash, path = rest.partition("/")
    host = host.rpartition("@")[2]
    if scheme.lower() in _QUERIED:
        path, query, pin = _without_query(path)
        host = host.partition("?")[0]
        path = f"{path}{'?…' if query else ''}{pin}"
    return f"{scheme}://{host}{slash}{path}"


@dataclass(frozen=True)
class Place:
    """A bundle's URL.

    Attributes:
        url: As the store takes it, without the pin.
        pin: SHA-256 that its manifest must have; empty if any will do.
    """

    url: str
    pin: str = ""

    @classmethod
    def read(cls, text: str) -> Place:
        """The place that a user wrote.

        Raises:
            BadInputError: If its pin is no SHA-256.
        """
        url, pinned, pin = text.partition(_PIN)
        if pinned and not re.fullmatch(r"[0-9a-fA-F]{64}", pin):
            raise BadInputError(
                f"'{shown(text)}' ends with '{_PIN}{pin}', which is no SHA-256.",
                "Write the 64 hexadecimal digits that 'lrn-deploy push' printed, or leave it out.",
            )
        return cls(url, pin.lower())

    @property
    def scheme(self) -> str:
        """What stands before ``://``."""
        return self.url.partition("://")[0].lower()

    @property
    def shown(self) -> str:
        """For messages: without secrets."""
        return shown(self.url)

    @property
    def secrets(self) -> tuple[str, ...]:
        """What in the URL no message may repeat."""
        user = self.url.partition("://")[2].partition("/")[0].rpartition("@")[0]
        query = urlsplit(self.url).query if self.scheme in _QUERIED else ""
        return tuple(
            word for word in (user, *user.split(":"), query, *re.split("[&=]", query)) if word
        )

    def file(self, base: str, name: str) -> str:
        """The path of one of its files, as the file system of its scheme takes it.

        Args:
            base: The path of the bundle, as that file system has it.
            name: The file's, relative to the bundle.
        """
        if self.scheme not in _QUERIED:
            return f"{base.rstrip('/')}/{name}"
        parts = urlsplit(base)
        return urlunsplit(parts._replace(path=f"{parts.path.rstrip('/')}/{quote(name)}"))


def split_served(text: str) -> tuple[str, str, str]:
    """``NAME=URL:ARTIFACT`` in its parts; the name and the artifact may be left out.

    A colon counts only after the last slash, so that of a port does not; a pin stands before it.
    """
    name, equals, url = text.partition("=")
    if not (equals and is_url(url) and not is_url(name)):
        name, url = "", text
    head, slash, last = url.rpartition("/")
    last, colon, artifact = last.rpartition(":")
    if colon and last and artifact and not artifact.isdecimal():
        return name, f"{head}{slash}{last}", artifact
    return name, url, ""


def _without_query(path: str) -> tuple[str, str, str]:
    """A path, its query and its pin."""
    path, pinned, pin = path.partition(_PIN)
    path, _, query = path.partition("?")
    return path, query, f"{pinned}{pin}"
