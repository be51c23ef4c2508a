"""How a listening socket stops listening without losing anyone who has connected.

Closing it, or shutting it down, resets the connections that the kernel has completed and nobody has
accepted yet: their requests may be on the way already. So it is first made deaf: a filter drops
packets that would open a connection, while those that are queued are still accepted. A client that
knocks at the deaf socket tries again after a second, finds it closed, and is refused.
"""

from __future__ import annotations

import ctypes
import os
import socket
import struct
from contextlib import suppress

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


def deafen(descriptor: int) -> None:
    """Let no further connection be opened on a listening socket; does nothing but on Linux."""
    program = ctypes.create_string_buffer(_NO_OPENING_PACKETS)
    count = len(_NO_OPENING_PACKETS) // 8
    with _borrowed(descriptor) as listener, suppress(OSError):
        listener.setsockopt(
            socket.SOL_SOCKET,
            _SO_ATTACH_FILTER,
            struct.pack("HP", count, ctypes.addressof(program)),
        )


def shut(descriptor: int) -> None:
    """Refuse new connections, without closing the descriptor, which another still waits on."""
    with _borrowed(descriptor) as listener, suppress(OSError):
        listener.shutdown(socket.SHUT_RD)


def _borrowed(descriptor: int) -> socket.socket:
    return socket.socket(fileno=os.dup(descriptor))
