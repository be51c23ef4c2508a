"""A soak of a second, of a sound server and of one with planted leaks; ``make soak`` has more."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.soak.__main__ import soak

pytestmark = pytest.mark.usefixtures("unmeasured")


def short(leak: str) -> dict[str, Any]:
    return soak(0.8, leak=leak, every=0.01, block=8, ramp=(2,), ramp_seconds=0.2, warm=True)


def test_planted_leaks_are_caught_and_none_is_seen_where_there_is_none() -> None:
    leaky, sound = short("memory=20000+files=5+threads=5"), short("")
    for result in (leaky, sound):  # nobody who asks would notice the leaks
        assert result["faults"] == {}
        assert result["exit_code"] == 0
        assert set(result["asked"]["http"]) == {"200", "400", "404", "413"}
        assert set(result["asked"]["grpc"]) == {"OK", "NOT_FOUND"}
        assert result["asked"]["left_half_way"] > 3
        assert len(result["samples"]["files"]) > 20
    assert not leaky["kept"]
    assert {told["verdict"] for told in leaky["slopes"].values()} == {"leaks"}
    for quantity, told in sound["slopes"].items():
        assert told["high"] < leaky["slopes"][quantity]["low"], quantity
