"""Ray itself: found, started or joined, and left as it was."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

from lrn_deploy.errors import BadInputError, MissingError
from lrn_deploy.extras import install

_LOOPBACK = ("127.", "localhost", "[::1]")
_CONNECT_SECONDS = 5.0
_OURS = {"serve": ("httptools", "multipart"), "data": ("fsspec", "pyarrow")}


def need(part: Literal["serve", "data"]) -> None:
    """Make sure that a part of Ray can be imported, with what of ours is used there.

    Args:
        part: Ray Serve or Ray Data.

    Raises:
        MissingError: If something is not installed.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nobody is told of what runs here
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    import importlib

    try:
        for module in ("ray", f"ray.{part}", *_OURS[part]):
            importlib.import_module(module)
    except ImportError as error:
        extras = ("ray", "serve") if part == "serve" else ("ray",)
        raise MissingError(
            f"--engine ray needs {error.name or 'more'}, which is not installed.",
            f"Install it with: {install(*extras)}",
        ) from error


def stay_on_loopback() -> None:
    """Let Ray, here and in the processes that it starts, take 127.0.0.1 for this machine's address.

    On Linux it else makes another one of it, at which the whole network reaches it.
    """
    os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
    from ray._private import ray_constants

    ray_constants.ENABLE_RAY_CLUSTER = False  # as the variable says, had it been read later


@contextmanager
def joined(address: str, *, cpus: float = 0) -> Iterator[bool]:
    """A Ray cluster for as long as the block runs.

    Args:
        address: Of a cluster that is there, ``auto`` for the one of this machine; empty starts one
            here, which only this machine reaches and which ends with the block.
        cpus: For a cluster of our own: the CPUs that it must have to offer, so that nothing waits
            for ever on a small machine.

    Yields:
        Whether the cluster is ours. One that this process has joined already is neither started
        nor left.

    Raises:
        BadInputError: If there is no cluster at the address.
    """
    import ray

    if ray.is_initialized():
        yield False
        return
    if not address or address.startswith(_LOOPBACK):
        stay_on_loopback()
    told: dict[str, Any] = {"logging_level": "ERROR", "log_to_driver": True}
    if address:
        told |= {"address": address}
    else:
        told |= {
            "address": "local",
            "include_dashboard": False,
            "num_cpus": max(os.cpu_count() or 1, -int(-cpus // 1)),
        }
    _check_answers(address)
    try:
        ray.init(**told)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise _unreached(address, str(error)) from error
    try:
        yield not address
    finally:
        ray.shutdown()


def cause(error: BaseException, kind: type[Exception]) -> Any:
    """The error of a class that another process raised, within what Ray made of it; None if none.

    Args:
        error: What Ray raised here.
        kind: The class.
    """
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, kind):
            return seen
        seen = getattr(seen, "cause", None) or seen.__cause__
    return None


def _check_answers(address: str) -> None:
    """Ray itself would try for minutes.

    Raises:
        BadInputError: If nothing listens at the host and port of an address.
    """
    host, colon, port = address.rpartition(":")
    if not colon or "://" in address or not port.isdecimal():
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), _CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise _unreached(address, getattr(error, "strerror", None) or str(error)) from error


def _unreached(address: str, why: str) -> BadInputError:
    first = (why.strip().splitlines() or ["it does not say why"])[0].rstrip(".")
    if not address:
        return BadInputError(f"Ray cannot be started on this machine: {first}.")
    return BadInputError(
        f"No Ray cluster can be reached at '{address}': {first}.",
        "Start one with 'ray start --head', or leave --ray-address out to start one here.",
    )
