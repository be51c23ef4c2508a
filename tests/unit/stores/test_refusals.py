"""Errors of botocore and aiohttp, as they raise them, each in a sentence with its exit code."""

from __future__ import annotations

import errno
import socket
import ssl

import aiohttp
import pytest
from botocore import exceptions as boto

from lrn_deploy.errors import BadInputError, LrnDeployError, MissingError
from lrn_deploy.stores.place import Place
from lrn_deploy.stores.refusals import AbsentError, LostError, refusal

PLACE = Place.read("s3://models/alexnet")


def answer(code: str, status: int) -> boto.ClientError:
    content = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return boto.ClientError(content, "GetObject")  # type: ignore[arg-type] # a plain dict


def within(outer: Exception, inner: Exception) -> Exception:
    """As s3fs has it: an error of Python's, caused by one of botocore's."""
    outer.__cause__ = inner
    return outer


CASES: list[tuple[Exception, type[LrnDeployError], str]] = [
    (boto.NoCredentialsError(), MissingError, "no credentials"),
    (boto.ProfileNotFound(profile="p"), MissingError, "no credentials"),
    (boto.PartialCredentialsError(provider="env", cred_var="x"), MissingError, "no credentials"),
    (
        within(PermissionError("x"), answer("InvalidAccessKeyId", 403)),
        BadInputError,
        "refused: the store knows no such access key",
    ),
    (
        within(PermissionError("x"), answer("SignatureDoesNotMatch", 403)),
        BadInputError,
        "refused: the secret key is not that",
    ),
    (within(PermissionError("x"), answer("ExpiredToken", 400)), BadInputError, "has expired"),
    (within(PermissionError("x"), answer("AccessDenied", 403)), BadInputError, "forbids to read"),
    (
        within(FileNotFoundError("x"), answer("NoSuchBucket", 404)),
        BadInputError,
        "There is no bucket 'models'",
    ),
    (within(FileNotFoundError("x"), answer("NoSuchKey", 404)), AbsentError, "There is no 's3"),
    (within(OSError(errno.EBUSY, "x"), answer("SlowDown", 503)), LostError, "answered"),
    (boto.EndpointConnectionError(endpoint_url="http://h"), MissingError, "cannot be reached"),
    (boto.ConnectTimeoutError(endpoint_url="http://h"), MissingError, "cannot be reached"),
    (socket.gaierror(-2, "Name or service not known"), MissingError, "cannot be reached"),
    (OSError(errno.ENETUNREACH, "x"), MissingError, "cannot be reached"),
    (boto.ReadTimeoutError(endpoint_url="http://h"), MissingError, "said nothing for 30 s"),
    (TimeoutError(), MissingError, "said nothing for 30 s"),
    (aiohttp.ServerTimeoutError(), MissingError, "said nothing for 30 s"),
    (boto.ConnectionClosedError(endpoint_url="http://h"), LostError, "the connection broke"),
    (aiohttp.ClientPayloadError(), LostError, "the connection broke"),
    (boto.SSLError(endpoint_url="https://h", error="x"), MissingError, "No secure connection"),
    (RuntimeError("odd"), BadInputError, "cannot be used: RuntimeError: odd."),
    (
        boto.ParamValidationError(report='Invalid bucket name "models"'),
        BadInputError,
        "'models' of 's3://models/alexnet' cannot be the name of a bucket",
    ),
]


@pytest.mark.parametrize(("error", "kind", "said"), CASES, ids=lambda value: str(value)[:40])
def test_each_has_its_sentence(error: Exception, kind: type[LrnDeployError], said: str) -> None:
    told = refusal(error, PLACE)
    assert type(told) is kind
    assert said in told.message
    assert told.message.endswith(".")
    assert told.hint


class Answered(Exception):  # noqa: N818 - as aiohttp's ClientResponseError, which takes much more
    """An answer of HTTP's, by its status."""

    def __init__(self, status: object) -> None:
        super().__init__("refused")
        self.status = status


@pytest.mark.parametrize(
    ("error", "kind", "said"),
    [
        (Answered(401), BadInputError, "refused: the store wants other ones (401)."),
        (Answered(403), BadInputError, "The store forbids to write 'https://h/x'."),
        (Answered(404), AbsentError, "There is no 'https://h/x'."),
        (Answered(429), LostError, "to the end: it answered 429."),
        (Answered(500), LostError, "to the end: it answered 500."),
        (Answered("no number"), BadInputError, "cannot be used: Answered: refused."),
        (answer("RequestTimeout", 400), MissingError, "said nothing for 30 s."),
        (answer("SlowDown", 503), LostError, "to the end: it answered SlowDown."),
        (OSError(errno.EHOSTUNREACH, "x"), MissingError, "cannot be reached."),
        (OSError(errno.EIO, "x"), BadInputError, "cannot be used: OSError: [Errno 5] x."),
        (ssl.SSLError("x"), MissingError, "No secure connection to the store of 'https://h/x'"),
        (RuntimeError(""), BadInputError, "RuntimeError: no reason was given."),
        (boto.ParamValidationError(report="odd"), BadInputError, "cannot be used: ParamV"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_http_answers_has_its_sentence(
    error: Exception, kind: type[LrnDeployError], said: str
) -> None:
    told = refusal(error, Place.read("https://h/x"), "write")
    assert type(told) is kind
    assert said in told.message
    assert "AWS_ACCESS_KEY_ID" not in told.hint


def test_whom_to_ask_depends_on_the_store() -> None:
    hints = [refusal(Answered(401), Place.read(url)).hint for url in ("https://h/x", "s3a://b/x")]
    assert hints[0] == "Ask whoever keeps the store for access."
    assert "AWS_ACCESS_KEY_ID" in hints[1]


def test_errors_that_came_from_each_other_are_looked_at_once() -> None:
    first, second = RuntimeError("one"), Answered(404)
    first.__context__, second.__context__ = second, first
    assert isinstance(refusal(first, PLACE), AbsentError)


def test_secrets_are_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hush")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "hush-hush")
    assert "token … and …" in refusal(RuntimeError("token hush-hush and hush"), PLACE).message
    place = Place.read("https://me:word@h/x?sig=abcdef")
    told = refusal(RuntimeError("hush: https://me:word@h/x?sig=abcdef failed\nbadly"), place)
    assert told.message == (
        "'https://h/x?…' cannot be used: RuntimeError: …: https://…@h/x?… failed badly."
    )
