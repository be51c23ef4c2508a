"""W3C Trace Context, with the examples of the standard."""

from __future__ import annotations

import re

import pytest

from lrn_deploy.serving.trace import trace_of

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.mark.parametrize(
    ("header", "sampled"),
    [
        (f"00-{TRACE}-{PARENT}-01", True),
        (f"00-{TRACE}-{PARENT}-00", False),
        (f" 00-{TRACE}-{PARENT}-03 ", True),  # a flag of level 2
        (f"cc-{TRACE}-{PARENT}-01-what-the-future-brings", True),
    ],
)
def test_a_trace_goes_on_with_a_span_of_ours(header: str, sampled: bool) -> None:
    trace = trace_of(header, 0)
    assert trace is not None
    assert (trace.trace, trace.parent, trace.sampled) == (TRACE, PARENT, sampled)
    assert re.fullmatch(rf"00-{TRACE}-[0-9a-f]{{16}}-0{int(sampled)}", trace.header)
    assert trace.span != PARENT


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        f"ff-{TRACE}-{PARENT}-01",
        f"00-{TRACE}-{PARENT}-01-more",
        f"00-{'0' * 32}-{PARENT}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{PARENT}-01",
        f"00-{TRACE}-{PARENT}",
        f"cc-{TRACE}-{PARENT}-01.what",
    ],
)
def test_a_malformed_header_counts_as_none(header: str | None) -> None:
    assert trace_of(header, 0) is None
    new = trace_of(header, 1)
    assert new is not None
    assert (new.parent, new.sampled) == ("", True)
    assert new.trace != TRACE
    assert re.fullmatch("[0-9a-f]{32}", new.trace)


def test_part_of_the_requests_begins_a_trace() -> None:
    begun = sum(trace_of(None, 0.3) is not None for _ in range(10_000))
    assert 2500 < begun < 3500
