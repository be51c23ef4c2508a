"""What makes no sense is refused in a sentence."""

from __future__ import annotations

from typing import Any

import pytest

from lrn_deploy.errors import BadInputError
from lrn_deploy.load.options import LoadOptions
from lrn_deploy.load.workload import address_of


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({}, "needs one of --rate, --concurrency and --ramp, got none"),
        ({"rate": 1.0, "ramp": True}, "got 2"),
        ({"rate": 0.0}, "--rate must be above 0, got 0"),
        ({"rate": -5.0}, "--rate must be above 0, got -5"),
        ({"rate": float("inf")}, "--rate must be above 0, got inf"),
        ({"concurrency": 0}, "--concurrency must be above 0"),
        ({"ramp": True, "duration": 0.0}, "--duration must be above 0"),
        ({"ramp": True, "slo_ms": 0.0}, "--slo-ms must be above 0"),
        ({"ramp": True, "warmup": -1.0}, "--warmup must be 0 or more"),
        ({"ramp": True, "warmup": float("inf")}, "--warmup must be 0 or more"),
        ({"ramp": True, "timeout": 0.0}, "--timeout must be above 0"),
        ({"ramp": True, "batch": 0}, "--batch must be above 0"),
        ({"ramp": True, "connections": 0}, "--connections must be above 0"),
        ({"concurrency": 600}, "--concurrency 600 is more than --connections 512"),
    ],
)
def test_values_that_make_no_sense(values: dict[str, Any], said: str) -> None:
    with pytest.raises(BadInputError, match=said):
        LoadOptions(**values)


@pytest.mark.parametrize(
    "values", [{"concurrency": 512}, {"rate": 1e-9}, {"ramp": True, "warmup": 0.0}]
)
def test_values_that_just_make_sense(values: dict[str, Any]) -> None:
    LoadOptions(**values)


def test_what_holds_where_nothing_is_said() -> None:
    given = LoadOptions(ramp=True)
    assert (given.duration, given.warmup, given.timeout) == (10, 1, 10)
    assert (given.batch, given.connections, given.seed) == (1, 512, 0)
    assert (given.model, given.images, given.protocol, given.slo_ms) == ("", None, None, None)
    assert (given.api_key, given.ca, given.cert, given.key) == ("", None, None, None)


def test_the_mode_is_what_was_chosen() -> None:
    assert LoadOptions(rate=1.0).mode == "open"
    assert LoadOptions(concurrency=1).mode == "closed"
    assert LoadOptions(ramp=True).mode == "ramp"


def test_a_url_may_leave_its_protocol_to_the_option() -> None:
    assert str(address_of("host:8000", LoadOptions(ramp=True))) == "http://host:8000"
    grpc = LoadOptions(ramp=True, protocol="grpc")
    assert str(address_of("host:8001", grpc)) == "grpc://host:8001"
    assert str(address_of("grpc://host:8001", grpc)) == "grpc://host:8001"
    with pytest.raises(BadInputError, match="--protocol grpc contradicts 'http://host:8000'"):
        address_of("http://host:8000", grpc)
