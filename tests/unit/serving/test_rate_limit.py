"""Who a request comes from, and the rate at which one client may ask."""

from __future__ import annotations

import pytest

from lrn_deploy.serving.errors import TooManyError
from lrn_deploy.serving.rate_limit import RateLimiter, caller_name


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("127.0.0.1:4711", "127.0.0.1"),
        ("127.0.0.1", "127.0.0.1"),
        ("[::1]:4711", "::1"),
        ("2001:db8::2", "2001:db8::2"),
        ("ipv4:10.0.0.7:50123", "10.0.0.7"),
        ("ipv6:%5B::1%5D:50123", "::1"),
        ("unix:/run/lrn.sock", "unix"),
    ],
)
def test_a_peer_is_known_by_its_address_without_the_port(address: str, name: str) -> None:
    assert caller_name(address, None) == name
    assert caller_name(address, "team-a") == "team-a"


def test_a_second_s_worth_may_come_at_once_and_then_it_drips() -> None:
    limiter = RateLimiter(2)
    limiter.take("a", 100.0)
    limiter.take("a", 100.0)
    with pytest.raises(TooManyError, match=r"2 a second\. Try again in 0\.5 s") as caught:
        limiter.take("a", 100.0)
    assert caught.value.retry_after == 1
    limiter.take("b", 100.0)  # nobody else pays for it
    with pytest.raises(TooManyError):
        limiter.take("a", 100.49)
    limiter.take("a", 100.5)
    assert limiter.refused == 2


def test_less_than_one_a_second() -> None:
    limiter = RateLimiter(0.1)
    limiter.take("a", 0.0)
    with pytest.raises(TooManyError) as caught:
        limiter.take("a", 3.0)
    assert caught.value.retry_after == 7
    limiter.take("a", 10.0)


def test_no_limit_and_many_clients() -> None:
    free = RateLimiter(0)
    for _ in range(100):
        free.take("a", 0.0)
    limiter = RateLimiter(1)
    for index in range(30_000):
        limiter.take(str(index), 0.0)
    assert len(limiter._buckets) == 10_000
    with pytest.raises(TooManyError):
        limiter.take("29999", 0.0)
