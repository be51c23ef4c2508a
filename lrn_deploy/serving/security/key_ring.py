"""The keys that a running server takes: looked up for each request, read anew when they change."""

from __future__ import annotations

import hmac
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from lrn_deploy.errors import BadInputError
from lrn_deploy.serving.errors import ScopeError, UnauthorizedError
from lrn_deploy.serving.rate_limit import RateLimiter
from lrn_deploy.serving.security.changes import Changes
from lrn_deploy.serving.security.keys import Key, digest, read
from lrn_deploy.serving.security.scopes import Scope

HEADER = "authorization"
"""Of HTTP, and the name of gRPC's metadata."""
Say = Callable[[str], None]


@dataclass(frozen=True)
class _Held:
    """A key and what is left of its limit."""

    key: Key
    digest: bytes
    limiter: RateLimiter


class KeyRing:
    """The keys of a file. Thread-safe: what is read anew replaces the old in one step.

    Args:
        path: The file.
        say: Told what became of a file that has changed.

    Attributes:
        refused: Requests that were over their key's limit.

    Raises:
        BadInputError: If the file cannot be read, or holds no keys.
    """

    def __init__(self, path: Path, say: Say) -> None:
        self._path = path
        self._say = say
        self._changes = Changes([path])
        self._held = self._read()

    @property
    def refused(self) -> int:
        """Requests that were over the limit of their key."""
        return sum(held.limiter.refused for held in self._held)

    def admit(self, headers: Mapping[str, str], scope: Scope) -> Key:
        """Let a request in, and count it for its key.

        Args:
            headers: Its headers or metadata, names in lower case.
            scope: What it needs.

        Raises:
            UnauthorizedError: If it has no key, or a wrong or revoked one.
            ScopeError: If its key does not allow it.
            TooManyError: If its key has been used too often.
        """
        held = self._find(headers, scope)
        held.limiter.take(held.key.name, time.monotonic())
        return held.key

    def allows(self, headers: Mapping[str, str], scope: Scope) -> bool:
        """Whether a request would be let in, without counting it."""
        try:
            self._find(headers, scope)
        except (UnauthorizedError, ScopeError):
            return False
        return True

    def look(self) -> None:
        """Take up what has changed in the file; keep what is known if that is no file of keys."""
        if not self._changes.found():
            return
        try:
            self._held = self._read()
        except BadInputError as error:
            self._say(f"Warning: the keys stay as they were: {error}")
        else:
            live = sum(held.key.revoked is None for held in self._held)
            self._say(f"The keys were read anew: {live} in use.")

    def _read(self) -> tuple[_Held, ...]:
        known = {held.digest: held for held in getattr(self, "_held", ())}
        ring = []
        for key in read(self._path):
            mark = bytes.fromhex(key.sha256)
            before = known.get(mark)
            same = before is not None and before.key.limit == key.limit
            limiter = (
                before.limiter if before and same else RateLimiter(key.limit or 0.0, "this key")
            )
            ring.append(_Held(key, mark, limiter))
        return tuple(ring)

    def _find(self, headers: Mapping[str, str], scope: Scope) -> _Held:
        sent = headers.get(HEADER)
        if sent is None:
            raise UnauthorizedError(
                "This needs an API key; send it as 'Authorization: Bearer KEY'.", scope
            )
        kind, _, text = sent.partition(" ")
        if kind.lower() != "bearer" or not text.strip():
            raise UnauthorizedError(
                "The Authorization is none of the form 'Bearer KEY'.", scope, sent=True
            )
        # All are compared, in a time that does not tell how much of a digest fits, nor whose it is.
        mark = digest(text.strip())
        found = None
        for held in self._held:
            if hmac.compare_digest(held.digest, mark):
                found = held
        if found is None:
            raise UnauthorizedError(
                "The server does not know this API key; ask its operator for one.", scope, sent=True
            )
        key = found.key
        if key.revoked is not None:
            raise UnauthorizedError(
                f"The API key '{key.name}' was revoked on {key.revoked:%Y-%m-%d}; ask the server's "
                "operator for another.",
                scope,
                sent=True,
            )
        if scope not in key.scopes:
            raise ScopeError(
                f"This needs a key with the scope '{scope}'; '{key.name}' has "
                f"{' and '.join(key.scopes)}.",
                scope,
            )
        return found
