"""Who a request comes from, and how many requests one caller may send."""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from dataclasses import dataclass

from lrn_deploy.serving.errors import TooManyError

_MAX_CALLERS = 10_000


def caller_name(address: str, claimed: str | None) -> str:
    """What tells one caller from another.

    Args:
        address: Of the peer, with a port that changes with each connection: ``127.0.0.1:4711``,
            or as gRPC has it, ``ipv4:127.0.0.1:4711`` or ``ipv6:%5B::1%5D:4711``.
        claimed: Value of the header that is configured to name callers; None if there is none.
    """
    if claimed:
        return claimed
    host = address.removeprefix("ipv4:").removeprefix("ipv6:")
    if host.count(":") == 1 or "]" in host or "%5D" in host:
        host = host.rpartition(":")[0]
    return host.removeprefix("%5B").removesuffix("%5D").strip("[]")


@dataclass
class _Bucket:
    tokens: float
    filled: float


class RateLimiter:
    """A token bucket for each caller: ``rate`` requests a second, and a second's worth at once.

    It remembers the 10,000 callers that came last. Thread-safe.

    Args:
        rate: Requests per second and caller; 0: any number.
        who: What a caller is called.
    """

    def __init__(self, rate: float, who: str = "a client") -> None:
        self._who = who
        self._rate = rate
        self._burst = max(1.0, rate)
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()
        self._lock = threading.Lock()
        self.refused = 0

    def take(self, caller: str, now: float) -> None:
        """Count a request of ``caller`` at ``now``, in seconds of any clock that only goes forward.

        Raises:
            TooManyError: If it has sent too many; says when the next is welcome.
        """
        if not self._rate:
            return
        with self._lock:
            wait = self._wait(caller, now)
            self.refused += wait > 0
        if wait:
            raise TooManyError(
                f"Too many requests: {self._who} may send {self._rate:g} a second. "
                f"Try again in {wait:.3g} s.",
                retry_after=math.ceil(wait),
            )

    def _wait(self, caller: str, now: float) -> float:
        """Seconds until the caller's next request is welcome; 0, and counted, if it is now."""
        bucket = self._buckets.pop(caller, None) or _Bucket(self._burst, now)
        self._buckets[caller] = bucket
        if len(self._buckets) > _MAX_CALLERS:
            self._buckets.popitem(last=False)
        bucket.tokens = min(self._burst, bucket.tokens + (now - bucket.filled) * self._rate)
        bucket.filled = now
        if bucket.tokens < 1:
            return (1 - bucket.tokens) / self._rate
        bucket.tokens -= 1
        return 0.0
