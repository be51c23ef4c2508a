"""How a listening socket stops listening without losing anyone who has connected.

Closing it, or shutting it down, resets the connections that the kernel has completed and nobody has
accepted yet: their requests may be on the way already. So it is first made deaf: a filter drops
packets that would open a connection, while those that are queued are still accepted. A caller that
knocks at the deaf socket tries again after a second, finds it closed, and is refused.
"""

from __future__ import annotations

import ctypes
import socket
import struct
from contextlib import suppress

from lrn_deploy.errors import BadInputError

_SO_ATTACH_FILTER = 26  # Linux, asm-generic/socket.h
_NO_OPENING_PACKETS = b"".join(
    struct.pack("HBBI", *instruction)
    for instruction in (
        (0x30, 0, 0, 13),  # load the byte of the flags, at offset 13 of the TCP header
        (0x45, 1, 0, 0x02),  # is SYN set?
        (0x06, 0, 0, 0xFFFFFFFF),  # no: let it pass
        (0x06, 0, 0, 0),  # yes: drop it
    )
)
"""A classic BPF program (Linux, networking/filter.rst), four instructions."""


def bind(host: str, port: int) -> socket.socket:
    """A socket on an address, not listening yet.

    Args:
        host: Address or name.
        port: The port; 0 for any that is free.

    Raises:
        BadInputError: If it cannot be bound.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, address = found[0]
        bound = socket.socket(family, kind, protocol)
    except (OSError, OverflowError) as error:
        raise _unusable(host, port, error) from error
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
    except (OSError, OverflowError) as error:
        bound.close()
        raise _unusable(host, port, error) from error
    return bound


def check_port(host: str, port: int) -> int:
    """Make sure that a port is free, or find a free one.

    Args:
        host: Address or name.
        port: The port; 0 for any.

    Raises:
        BadInputError: If it cannot be bound.
    """
    with bind(host, port) as probe:
        return int(probe.getsockname()[1])


def address_of(host: str) -> str:
    """The address that a server on ``host`` is bound to; ``host`` itself if it has none."""
    try:
        found = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError):
        return host
    return str(found[0][4][0])


def deafen(listening: socket.socket) -> None:
    """Let no further connection be opened on a listening socket; does nothing but on Linux."""
    program = ctypes.create_string_buffer(_NO_OPENING_PACKETS)
    count = len(_NO_OPENING_PACKETS) // 8
    with suppress(OSError):
        listening.setsockopt(
            socket.SOL_SOCKET,
            _SO_ATTACH_FILTER,
            struct.pack("HP", count, ctypes.addressof(program)),
        )


def _unusable(host: str, port: int, error: Exception) -> BadInputError:
    reason = getattr(error, "strerror", None) or str(error)
    return BadInputError(
        f"Cannot listen on {host}:{port}: {reason}.",
        "Stop what listens there, or choose another address or port.",
    )
