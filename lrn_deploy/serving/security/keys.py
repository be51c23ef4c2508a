"""API keys: how one is made, and the file that an operator keeps them in.

A key is 256 random bits. Only its SHA-256 is kept, which is right for it and would be wrong for a
password: salt and a slow hash (scrypt, Argon2) are there because passwords can be guessed and come
twice. Nobody guesses 256 random bits however fast a guess is, and a slow hash would make each
request dear.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from lrn_deploy.errors import BadInputError, CannotWriteError
from lrn_deploy.serving.security.scopes import SCOPES, Scope

PREFIX = "lrn_"
"""What every key begins with, so that scanners for leaked secrets know one."""
_RANDOM_BYTES = 32
_MAX_BYTES = 2**20  # of the file


class Key(BaseModel):
    """What is kept of a key.

    Attributes:
        name: Whose it is, or what for.
        sha256: Of the key, in hexadecimal.
        scopes: What it allows.
        limit: Requests a second, and at once; None: any number.
        created: When it was made.
        revoked: Since when it is no longer taken; None: it is.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    scopes: Annotated[tuple[Scope, ...], Field(min_length=1)]
    limit: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    created: AwareDatetime
    revoked: AwareDatetime | None = None


class _File(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = 1
    keys: tuple[Key, ...] = ()


def digest(text: str) -> bytes:
    """The SHA-256 of a key, 32 bytes."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


def read(path: Path) -> tuple[Key, ...]:
    """The keys of a file, revoked ones too.

    Raises:
        BadInputError: If it cannot be read, or is no file of keys.
    """
    hint = "Make one with: lrn-deploy keys add FILE NAME"
    try:
        with path.open("rb") as file:
            text = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise BadInputError(
            f"The keys in '{path}' cannot be read: {error.strerror}.", hint
        ) from error
    if len(text) > _MAX_BYTES:
        raise BadInputError(f"The file of keys '{path}' has more than {_MAX_BYTES:,} bytes.")
    try:
        keys = _File.model_validate_json(text).keys
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise BadInputError(
            f"'{path}' is no file of keys: {f'{place}: ' if place else ''}{first['msg']}.", hint
        ) from error
    live = [key.name for key in keys if key.revoked is None]
    twins = sorted({name for name in live if live.count(name) > 1})
    if twins:
        raise BadInputError(f"'{path}' has two keys called '{twins[0]}'.", "Revoke one of them.")
    return keys


def add(
    path: Path, name: str, scopes: tuple[Scope, ...], limit: float | None = None
) -> tuple[str, Key]:
    """Make a key and write it to a file, which is made if it is not there.

    Args:
        path: The file.
        name: Whose the key is; no other that is in use may have it.
        scopes: What it allows.
        limit: Requests a second; None: any number.

    Returns:
        The key itself, which stands nowhere else, and what is kept of it.

    Raises:
        BadInputError: If there is such a key, or the file is none of keys.
        CannotWriteError: If the file cannot be written; it is then as it was.
    """
    text = PREFIX + secrets.token_urlsafe(_RANDOM_BYTES)
    try:
        key = Key(
            name=name,
            sha256=digest(text).hex(),
            scopes=tuple(scope for scope in SCOPES if scope in scopes),
            limit=limit,
            created=_now(),
        )
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise BadInputError(
            f"A key cannot have the {first['loc'][0]} {first['input']!r}.",
            "Names are of up to 64 letters, digits, dots, hyphens and underscores; there is at "
            "least one scope; a limit is above 0.",
        ) from error
    with _locked(path):
        keys = read(path) if path.exists() else ()
        if any(other.name == name and other.revoked is None for other in keys):
            raise BadInputError(
                f"'{path}' has a key called '{name}'.",
                "Take another name, or revoke that key first.",
            )
        _write(path, (*keys, key))
    return text, key


def revoke(path: Path, name: str) -> Key:
    """Mark the key of a name as revoked; it stays in the file, to be told from one never seen.

    Raises:
        BadInputError: If no key in use has this name, or the file is none of keys.
        CannotWriteError: If the file cannot be written; it is then as it was.
    """
    with _locked(path):
        keys = read(path)
        live = [key.name for key in keys if key.revoked is None]
        if name not in live:
            known = ", ".join(f"'{other}'" for other in live) or "none"
            raise BadInputError(
                f"'{path}' has no key '{name}' in use; there is {known}.",
                f"'lrn-deploy keys list {path}' shows all of them.",
            )
        changed = tuple(
            key.model_copy(update={"revoked": _now()})
            if key.name == name and key.revoked is None
            else key
            for key in keys
        )
        _write(path, changed)
    return next(key for key in reversed(changed) if key.name == name and key.revoked)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Keep two commands from losing each other's change; the lock is the folder's."""
    try:
        folder = os.open(path.absolute().parent, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise CannotWriteError(f"Cannot write '{path}': {error.strerror}.") from error
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def _write(path: Path, keys: tuple[Key, ...]) -> None:
    """Replace the file by one that its owner alone may read; a link stays one."""
    target = path.resolve()
    temporary = ""
    try:
        handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{path.name}.")  # 0600
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(_File(keys=keys).model_dump_json(indent=2) + "\n")
            file.flush()
            os.fsync(file.fileno())  # a revocation must not come back with the power
        Path(temporary).replace(target)
    except OSError as error:
        with suppress(OSError):
            Path(temporary).unlink()
        raise CannotWriteError(
            f"Cannot write '{path}': {error.strerror}.", "The file is as it was."
        ) from error


def _now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)
