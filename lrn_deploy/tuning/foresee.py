"""Whether a variant could still be the answer, foreseen from those that were measured.

Pure functions. Each rule is a bound, or an expectation with a margin that stands here, and gives
its reason in words; what no rule speaks against is made.

- Errors add up. A variant that rounds all that another rounds, and more, is no more accurate; and
  the same rounding, made for another runtime, gives nearly the same numbers.
- Another quantizer puts the same operators at the same places: only its accuracy could be better.
- What a precision gains in one runtime it gains in another on the same kind of device, roughly.
- No precision is more than :data:`MOST_GAIN` times as fast as fp32.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from lrn_deploy.parity.metrics import Metrics
from lrn_deploy.precision import PRECISIONS, QUANTIZERS
from lrn_deploy.tuning.decide import refusal
from lrn_deploy.tuning.demand import Demand

BEYOND = 1.25
"""Errors this many times the demand's are out of reach for whoever rounds as much."""
FAR = 1.4
"""What is foreseen to take this many times as long as the fastest is not made: the gains of one
precision in ONNX Runtime and OpenVINO were seen to differ by 1.3."""
MOST_GAIN = 8.0
"""4-bit weights are an eighth of the bytes, int8 products a quarter of the work."""

_PARTS = {"int8-bf16": ("int8", "bf16"), "int8-w8": ("w8",), "int8-w4": ("w4",)}
"""The precisions that each rounds all of, and more."""
_OWN = QUANTIZERS[0]


@dataclass(frozen=True)
class Plan:
    """A variant that could be made.

    Attributes:
        name: Name of its artifact.
        target: What it is for.
        precision: What it would compute in.
        quantizer: What would make its int8.
        device: Kind of the device that it would run on, ``cpu`` or ``cuda``.
    """

    name: str
    target: str
    precision: str
    quantizer: str
    device: str

    @property
    def words(self) -> str:
        """Target, precision and quantizer, for reasons."""
        made = "" if self.quantizer == _OWN else f" by {self.quantizer}"
        return f"{self.precision}{made} for {self.target}"


@dataclass(frozen=True)
class Seen:
    """What is known of a variant that was tried on its own runtime.

    Attributes:
        metrics: Its errors; None if it could not run.
        seconds: The shortest run of an item; None if it could not run.
        within: Whether it is within the demand and failed no check.
        reason: Why it could not run; empty if it could.
    """

    metrics: Metrics | None
    seconds: float | None
    within: bool
    reason: str = ""


def hopeless(plan: Plan, seen: Mapping[Plan, Seen], demand: Demand, *, timed: bool = True) -> str:
    """Why a variant cannot be the answer any more; empty if it could.

    Args:
        plan: The variant.
        seen: What was tried, the fp32 variants first of all.
        demand: What is asked for.
        timed: Whether the times can be trusted; if not, none is given up for its time.
    """
    reason = _too_coarse(plan, seen, demand) or _needless(plan, seen)
    return reason or (_too_slow(plan, seen, _fastest(seen)) if timed else "")


def rank(plan: Plan, seen: Mapping[Plan, Seen]) -> tuple[bool, float]:
    """Sorts what is expected to be fast first, and what another quantizer makes last.

    What nothing is known of is expected to take as long as fp32; the order of such plans is kept.
    """
    base = _fp32(plan.target, seen)
    if base is None:
        return plan.quantizer != _OWN, float("inf")
    return plan.quantizer != _OWN, min(_expectations(plan, base, seen), default=base)


def _too_coarse(plan: Plan, seen: Mapping[Plan, Seen], demand: Demand) -> str:
    loose = _loosened(demand)
    for other, found in seen.items():
        part = other.precision in _PARTS.get(plan.precision, ())
        same = other.precision == plan.precision and other.target != plan.target
        quantizer = plan.quantizer if PRECISIONS[other.precision].int8 else _OWN
        if other.quantizer != quantizer or other.device != plan.device or not (part or same):
            continue
        if part and found.metrics is None and other.target == plan.target:
            return f"{other.words}, a part of it, cannot run here: {found.reason}"
        if found.metrics is not None and (said := refusal(found.metrics, loose)):
            return f"{other.words} rounds no more and is far out: {said}"
    return ""


def _loosened(demand: Demand) -> Demand:
    agreement = demand.min_agreement
    return demand.model_copy(
        update={
            "max_error": None if demand.max_error is None else BEYOND * demand.max_error,
            "min_agreement": None if agreement is None else 1 - BEYOND * (1 - agreement),
        }
    )


def _needless(plan: Plan, seen: Mapping[Plan, Seen]) -> str:
    for other, found in seen.items():
        if other.target != plan.target or not found.within:
            continue
        same = other.precision == plan.precision and other.quantizer == _OWN
        if same and plan.quantizer != _OWN:
            return f"{other.words} does the same work and is accurate enough"
    return ""


def _too_slow(plan: Plan, seen: Mapping[Plan, Seen], fastest: float | None) -> str:
    base = _fp32(plan.target, seen)
    if base is None or fastest is None:
        return ""
    if base > MOST_GAIN * fastest:
        return (
            f"fp32 for {plan.target} takes {base / fastest:.3g} times as long as the fastest, "
            "more than a precision could gain"
        )
    expected = min(_expectations(plan, base, seen), default=0.0)
    if expected <= FAR * fastest:
        return ""
    return (
        f"expected to take {expected / fastest:.3g} times as long as the fastest, by what "
        f"{plan.precision} gains elsewhere"
    )


def _expectations(plan: Plan, base: float, seen: Mapping[Plan, Seen]) -> Iterator[float]:
    """Seconds of an item, by the gain of the same precision in each other runtime."""
    for other, found in seen.items():
        if other.target == plan.target or other.device != plan.device:
            continue
        theirs = _fp32(other.target, seen)
        if other.precision == plan.precision and found.seconds is not None and theirs is not None:
            yield base * found.seconds / theirs


def _fp32(target: str, seen: Mapping[Plan, Seen]) -> float | None:
    """Seconds of an item in fp32 in the runtime of a target."""
    times = [
        found.seconds
        for plan, found in seen.items()
        if plan.target == target and plan.precision == "fp32" and found.seconds is not None
    ]
    return min(times, default=None)


def _fastest(seen: Mapping[Plan, Seen]) -> float | None:
    times = [
        judged.seconds for judged in seen.values() if judged.within and judged.seconds is not None
    ]
    return min(times, default=None)
