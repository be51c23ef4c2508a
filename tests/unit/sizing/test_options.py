"""What is sized for where nothing is said, and which numbers just make sense."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lrn_deploy.errors import BadInputError
from lrn_deploy.sizing.options import SizeOptions


def test_what_holds_where_nothing_is_said() -> None:
    asked = SizeOptions(100.0, 50.0)
    assert (asked.rate, asked.slo_ms, asked.quantile, asked.images) == (100, 50, 99, 1)
    assert (asked.profile, asked.run, asked.price) == ((), "", ())
    assert (asked.max_batch_size, asked.replicas, asked.send) == (None, None, None)
    assert asked.link_gbps == 10


@pytest.mark.parametrize(
    "just",
    [
        {"quantile": 0.1},
        {"quantile": 99.99},
        {"images": 1, "max_batch_size": 1, "replicas": 1, "link_gbps": 0.01},
        {"price": (0.0,)},
        {"profile": (Path("a"),), "price": (1.0,)},
        {"profile": (Path("a"), Path("b")), "price": (0.0, 2.0)},
        {"profile": (Path("a"), Path("b"))},
    ],
)
def test_what_just_makes_sense_is_taken(just: dict[str, Any]) -> None:
    SizeOptions(0.1, 0.1, **just)


@pytest.mark.parametrize(
    ("beyond", "said"),
    [
        ({"quantile": 0.0}, "--quantile must be between"),
        ({"max_batch_size": 0}, "--max-batch-size must be above 0"),
        ({"replicas": 0}, "--replicas-per-machine must be above 0"),
        ({"link_gbps": float("inf")}, "--link-gbps must be above 0"),
        ({"price": (float("nan"),)}, "--price must be 0 or more"),
        ({"profile": (Path("a"), Path("b")), "price": (1.0,)}, "1 times for 2 machines"),
    ],
)
def test_what_makes_none_is_refused(beyond: dict[str, Any], said: str) -> None:
    with pytest.raises(BadInputError, match=said):
        SizeOptions(1.0, 1.0, **beyond)
