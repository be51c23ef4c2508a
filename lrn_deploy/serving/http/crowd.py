"""How many connections there are, of each peer and in all."""

from __future__ import annotations

import resource
from collections import Counter
from ipaddress import IPv6Address, ip_address

_RESERVE = 128  # descriptors for all that is no connection of HTTP
_FEWEST = 16


class Crowd:
    """Counts connections from when they are accepted until they are closed.

    Args:
        most: That may be open; 0: as many as the process may have descriptors, but for a reserve.
        most_per_peer: Of one peer; 0: any number. The addresses of one IPv6 network, which are all
            a single machine's to choose from (RFC 4291, 2.5.1), are one peer.
    """

    def __init__(self, most: int = 0, most_per_peer: int = 0) -> None:
        self._most = most or _descriptors()
        self._most_per_peer = most_per_peer
        self._peers: Counter[str] = Counter()
        self._count = 0

    @property
    def count(self) -> int:
        """How many are open. There is no length: an empty crowd must not be taken for none."""
        return self._count

    def enter(self, address: str) -> str:
        """Count a connection.

        Args:
            address: Of the peer.

        Returns:
            Why it may not be; empty if it may and was counted.
        """
        peer = _network(address)
        if self._count >= self._most:
            return f"{self._most:,} connections are open, which is the limit."
        if 0 < self._most_per_peer <= self._peers[peer]:
            return (
                f"{self._most_per_peer:,} connections of {peer} are open, which is the limit for "
                "one peer; keep them open and use them again."
            )
        self._count += 1
        self._peers[peer] += 1
        return ""

    def leave(self, address: str) -> None:
        """A connection that was counted is closed."""
        peer = _network(address)
        self._count -= 1
        self._peers[peer] -= 1
        if not self._peers[peer]:
            del self._peers[peer]


def _network(address: str) -> str:
    """The peer that an address belongs to."""
    if ":" not in address:
        return address
    found = ip_address(address)
    if isinstance(found, IPv6Address) and found.ipv4_mapped:
        return str(found.ipv4_mapped)
    return f"{IPv6Address(found.packed[:8] + bytes(8))}/64"


def _descriptors() -> int:
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 2**31 if limit == resource.RLIM_INFINITY else max(_FEWEST, limit - _RESERVE)
