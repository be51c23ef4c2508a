"""Which web pages may use the server, and under which names it may be asked.

A browser sends a request of any page to any address, also to one that only this machine reaches,
and only hides the answer from the page. So a request that comes from a page of another origin is
refused wherever it would change or cost something, unless that origin is allowed. What the browser
says of a request (``Origin``, and ``Sec-Fetch-Site`` of Fetch Metadata) no page can change; other
programs send neither, and are not asked. A page whose own name was made to lead here (DNS
rebinding) counts as the same origin; it shows in ``Host``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from ipaddress import IPv6Address, ip_address

from lrn_deploy.errors import BadInputError
from lrn_deploy.serving.errors import ForbiddenError
from lrn_deploy.serving.http.message import Response
from lrn_deploy.serving.listener import address_of
from lrn_deploy.serving.request import Request
from lrn_deploy.serving.settings import ServerSettings

_ANY = "*"
_ORIGIN = re.compile(r"null|[a-z][a-z0-9+.-]*://[^\s/?#@]+", re.IGNORECASE)
_HOST_NAME = re.compile(r"[^\s/?#@:\[\]]+")
_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[^:\[\]]+)(?::[0-9]*)?", re.IGNORECASE)
_HEADER_NAMES = re.compile(r"[\w!#$%&'*+.^`|~, -]{1,2000}", re.ASCII)
_MANY_HOSTS = 128  # that are remembered with the verdict
_PREFLIGHT_SECONDS = 600  # for which a browser need not ask again
_READABLE = (
    "access-control-expose-headers",
    "inference-header-content-length, retry-after, traceresponse, x-lrn-layer, x-lrn-model, "
    "x-lrn-shape, x-request-id",
)

Headers = tuple[tuple[str, str], ...]


class Origins:
    """Lets requests of programs and of allowed pages pass, and answers CORS (the Fetch standard).

    Args:
        settings: Where the server listens, and which origins and hosts are allowed.

    Attributes:
        shared: Whether pages of any other origin are allowed, so that answers must say so.

    Raises:
        BadInputError: If an allowed origin or host is none.
    """

    def __init__(self, settings: ServerSettings) -> None:
        for origin in settings.allow_origin:
            if origin != _ANY and not _ORIGIN.fullmatch(origin):
                raise BadInputError(
                    f"'{origin}' is no origin of web pages.",
                    "Give scheme, host and port without a path: --allow-origin "
                    "https://shop.example, or '*' for any.",
                )
        for host in settings.allow_host:
            if not _HOST_NAME.fullmatch(host):
                raise BadInputError(
                    f"'{host}' is no host name.",
                    "Give the name alone, without scheme and port: --allow-host gpu.example",
                )
        self.shared = bool(settings.allow_origin)
        self._any = _ANY in settings.allow_origin
        self._origins = {origin.lower() for origin in settings.allow_origin}
        self._names = {"localhost", settings.host.lower()}
        self._names.update(host.lower() for host in settings.allow_host)
        self._closed = _is_loopback(address_of(settings.host))
        self._knows = lru_cache(_MANY_HOSTS)(self._is_own)

    def check_host(self, host: str | None) -> None:
        """Refuse a request that was sent to another name, if only this machine can send any.

        Args:
            host: Its ``Host``; None or empty if it has none, which no browser sends.

        Raises:
            ForbiddenError: If the name is not the server's.
        """
        if host and not self._knows(host):
            name = host.rpartition(":")[0] or host
            raise ForbiddenError(
                f"'{host[:200]}' is not this server, which listens on this machine only; "
                f"if it is, start the server with --allow-host {name[:200]}."
            )

    def check_page(self, headers: Mapping[str, str]) -> None:
        """Refuse a request that a page of another origin has sent.

        Args:
            headers: Those of the request, names in lower case.

        Raises:
            ForbiddenError: If that origin is not allowed.
        """
        if "origin" not in headers and "sec-fetch-site" not in headers:
            return
        origin = headers.get("origin", "")
        site = headers.get("sec-fetch-site")
        # The browser's own word comes first: a proxy may have changed Host, which Origin is else
        # compared with. Browsers that are too old to say it send Origin with all but plain reads.
        own = site in ("same-origin", "none") if site else _same(origin, headers.get("host", ""))
        if not own and not self._allows(origin):
            whose = f"'{origin[:200]}'" if origin else "another origin"
            raise ForbiddenError(
                f"A web page of {whose} may not ask for this; to let it, start the server with "
                f"--allow-origin {origin[:200] or 'ORIGIN'}."
            )

    def answer_headers(self, headers: Mapping[str, str]) -> Headers:
        """What lets a page of an allowed origin read the answer to a request with ``headers``."""
        if self._any:
            return (("access-control-allow-origin", _ANY), _READABLE)
        origin = headers.get("origin", "")
        vary = ("vary", "origin")  # caches must not give one origin's answer to another
        if self._allows(origin):
            return (("access-control-allow-origin", origin), _READABLE, vary)
        return (vary,)

    def preflight(self, request: Request, methods: tuple[str, ...]) -> Response:
        """The answer to a browser that asks whether a page may send a request.

        Args:
            request: Its question, of method ``OPTIONS``.
            methods: What the path takes.

        Raises:
            ForbiddenError: If it may not.
        """
        origin = request.headers.get("origin", "")
        if origin and not self._allows(origin):
            self.check_page({"origin": origin})
        answer = [("allow", ", ".join(methods))]
        if origin:
            answer.append(("access-control-allow-methods", ", ".join(methods)))
            answer.append(("access-control-max-age", str(_PREFLIGHT_SECONDS)))
            wanted = request.headers.get("access-control-request-headers", "")
            if _HEADER_NAMES.fullmatch(wanted):
                answer.append(("access-control-allow-headers", wanted))
            if request.headers.get("access-control-request-private-network") == "true":
                answer.append(("access-control-allow-private-network", "true"))
        return Response(200, tuple(answer))

    def _allows(self, origin: str) -> bool:
        return self._any or origin.lower() in self._origins

    def _is_own(self, host: str) -> bool:
        if not self._closed:
            return True
        found = _HOST.fullmatch(host)
        if found is None:
            return False
        name = found[1].lower().removesuffix(".")
        return name in self._names or _is_loopback(name.strip("[]"))


def _same(origin: str, host: str) -> bool:
    """Whether an origin is that of the server itself; https if a proxy in front speaks it."""
    scheme, _, rest = origin.lower().partition("://")
    return scheme in ("http", "https") and rest == host.lower()


def _is_loopback(address: str) -> bool:
    try:
        found = ip_address(address)
    except ValueError:
        return False
    if isinstance(found, IPv6Address) and found.ipv4_mapped:
        found = found.ipv4_mapped
    return found.is_loopback
