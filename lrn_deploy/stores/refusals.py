"""Why a store did not give or take a file: one sentence, what to do, and the exit code.

The libraries below say it in their own classes, often one within another, so what is looked for is
the code of the store's answer, the status of HTTP or the name of a class anywhere in the chain.
"""

from __future__ import annotations

import errno
import os
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from lrn_deploy.errors import BadInputError, LrnDeployError, MissingError
from lrn_deploy.stores.place import Place

SILENCE_SECONDS = 30.0
"""After so long without a byte a store is given up; how long all of it takes does not matter."""

CONNECT_SECONDS = 10.0


class AbsentError(BadInputError):
    """There is no such file in the store, as far as it tells."""


class LostError(MissingError):
    """The connection broke, or the store asked for patience: trying again may help."""


_CREDENTIALS = (
    "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE; for a store that is not "
    "Amazon's AWS_ENDPOINT_URL, too. A public bucket is read with FSSPEC_S3_ANON=true."
)
_NO_CREDENTIALS = {
    "NoCredentialsError",
    "PartialCredentialsError",
    "CredentialRetrievalError",
    "ProfileNotFound",
    "TokenRetrievalError",
    "NoAuthTokenError",
    "SSOTokenLoadError",
    "UnauthorizedSSOTokenError",
}
_WRONG_CREDENTIALS = {
    "InvalidAccessKeyId": "the store knows no such access key",
    "SignatureDoesNotMatch": "the secret key is not that of the access key",
    "AuthorizationHeaderMalformed": "the region, or the access key, is not the store's",
    "InvalidToken": "the session token is not valid",
    "ExpiredToken": "the session token has expired",
    "ExpiredTokenException": "the session token has expired",
    "TokenRefreshRequired": "the session token has expired",
    "RequestTimeTooSkewed": "this machine's clock is not the store's",
    "InvalidClientTokenId": "the store knows no such access key",
    "401": "the store wants other ones",
}
_SILENT = {
    "ReadTimeoutError",
    "AioReadTimeoutError",
    "TimeoutError",
    "FSTimeoutError",
    "ServerTimeoutError",
    "SocketTimeoutError",
    "RequestTimeout",
}
_UNREACHABLE = {
    "EndpointConnectionError",
    "ConnectTimeoutError",
    "ConnectionTimeoutError",
    "ProxyConnectionError",
    "ClientConnectorError",
    "ClientConnectorDNSError",
    "ConnectionRefusedError",
    "gaierror",
}
_LOST = {
    "ConnectionClosedError",
    "ConnectionResetError",
    "ResponseStreamingError",
    "IncompleteRead",
    "IncompleteReadError",
    "ClientPayloadError",
    "ServerDisconnectedError",
    "ClientOSError",
    "HTTPClientError",
    "ResponseParserError",
}
_BUSY = {"SlowDown", "ServiceUnavailable", "InternalError", "OperationAborted", "TooManyRequests"}
_NETWORK = {errno.ENETUNREACH, errno.EHOSTUNREACH}


@dataclass(frozen=True)
class Said:
    """What the errors of a chain say together."""

    names: frozenset[str]
    codes: frozenset[str]
    errors: tuple[BaseException, ...]

    @classmethod
    def by(cls, error: BaseException) -> Said:
        """Everything in an error, in what it came from and in what that came from."""
        chain = tuple(_chain(error))
        names = frozenset(kind.__name__ for one in chain for kind in type(one).__mro__)
        return cls(names, frozenset(code for one in chain for code in _codes(one)), chain)


def refusal(error: BaseException, place: Place, doing: str = "read") -> LrnDeployError:
    """What an error of the libraries below means.

    Args:
        error: As they raised it.
        place: What was asked for.
        doing: What was to be done there: ``read``, ``write``.
    """
    where, said = place.shown, Said.by(error)
    hint = _CREDENTIALS if place.scheme in ("s3", "s3a") else ""
    if said.names & _NO_CREDENTIALS:
        return MissingError(f"There are no credentials for '{where}'.", hint)
    for code in said.codes & _WRONG_CREDENTIALS.keys():
        return BadInputError(
            f"The credentials for '{where}' were refused: {_WRONG_CREDENTIALS[code]} ({code}).",
            hint or "Ask whoever keeps the store for access.",
        )
    bucket = place.url.partition("://")[2].partition("/")[0]
    if "ParamValidationError" in said.names and "bucket" in str(error):
        return BadInputError(
            f"'{bucket}' of '{where}' cannot be the name of a bucket.",
            "Letters, digits, dots and dashes make one.",
        )
    if "NoSuchBucket" in said.codes:
        return BadInputError(
            f"There is no bucket '{bucket}' for '{where}'.",
            "Look for a slip in its name, and whether AWS_ENDPOINT_URL is that of its store.",
        )
    if "PermissionError" in said.names or "403" in said.codes:
        return BadInputError(
            f"The store forbids to {doing} '{where}'.",
            "Ask whoever keeps it for access; S3 also says so of what is not there, to those who "
            "may not list the bucket.",
        )
    if "FileNotFoundError" in said.names or "404" in said.codes:
        return AbsentError(f"There is no '{where}'.", "Look for a slip in the URL.")
    return _of_the_way(error, said, place)


def _of_the_way(error: BaseException, said: Said, place: Place) -> LrnDeployError:
    """What went wrong between here and there."""
    where = place.shown
    certificate = said.names & {"SSLError", "SSLCertVerificationError", "ClientSSLError"}
    if certificate or any(isinstance(one, ssl.SSLError) for one in said.errors):
        return MissingError(
            f"No secure connection to the store of '{where}' could be made.",
            "AWS_CA_BUNDLE names the certificates of a store's own authority.",
        )
    numbers = {one.errno for one in said.errors if isinstance(one, OSError)}
    if said.names & _UNREACHABLE or numbers & _NETWORK:
        return MissingError(
            f"The store of '{where}' cannot be reached.",
            "Is the host right (for S3: AWS_ENDPOINT_URL), and does anything listen there?",
        )
    if said.names & _SILENT or "RequestTimeout" in said.codes:
        return MissingError(
            f"The store of '{where}' said nothing for {SILENCE_SECONDS:g} s.",
            "Run it again: what has come already is kept.",
        )
    busy = said.codes & _BUSY or {code for code in said.codes if code in ("429", "500", "503")}
    if busy or said.names & _LOST:
        why = f"it answered {min(busy)}" if busy else "the connection broke"
        return LostError(
            f"The store of '{where}' could not be read to the end: {why}.",
            "Run it again: what has come already is kept.",
        )
    return BadInputError(
        f"'{where}' cannot be used: {type(error).__name__}: {_scrubbed(str(error), place)}.",
        "Look for a slip in the URL; the store's own settings are those of fsspec.",
    )


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        current = current.__cause__ or current.__context__


def _codes(error: BaseException) -> Iterator[str]:
    """Codes of S3's answers, and statuses of HTTP's."""
    response: Any = getattr(error, "response", None)
    if isinstance(response, dict):
        code = response.get("Error", {}).get("Code")
        status = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
        yield from (str(value) for value in (code, status) if value)
    status = getattr(error, "status", None)
    if isinstance(status, int):
        yield str(status)


def _scrubbed(text: str, place: Place) -> str:
    """A library's own words in one line, without what is secret."""
    secrets = [*place.secrets]
    secrets += [os.environ.get(name, "") for name in ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")]
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        text = text.replace(secret, "…")
    return " ".join(text.split()).rstrip(".") or "no reason was given"
