"""Telling systemd how the server is: a datagram to the socket that it names, as sd_notify(3) says.

It knows then when the server is ready, and starts it again if it stops saying that it is alive.
"""

from __future__ import annotations

import os
import socket
from contextlib import suppress

READY = "READY=1"
STOPPING = "STOPPING=1"
ALIVE = "WATCHDOG=1"


def tell(news: str) -> None:
    """Send one of the words above, if systemd wants it; that it does not hear is its own matter."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address or (news == ALIVE and "WATCHDOG_USEC" not in os.environ):
        return
    if address.startswith("@"):  # a name of Linux's own, which is in no folder
        address = f"\0{address[1:]}"
    with (
        suppress(OSError),
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as line,
    ):
        line.sendto(news.encode(), address)
