"""How much error is allowed: one table, by precision and by the regime of the inputs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from lrn_deploy.errors import BadInputError
from lrn_deploy.options import explained, option

if TYPE_CHECKING:
    from lrn_deploy.parity.budget import Budget

Regime = Literal["ordinary", "synthetic", "active", "extreme", "probe"]
"""What kind of inputs a check ran on.

``ordinary`` inputs are what the network is made for; ``synthetic`` ones look like them only in
size. ``active`` ones are scaled until LRN acts, where LRN's gradient and the cancellation behind it
enlarge rounding errors. ``extreme`` ones lie at or beyond the edge of what a network meets, each
judged alone because their sizes differ by orders of magnitude. ``probe`` inputs go to one LRN layer
alone.
"""

SIGNAL_FACTOR = 5.0
"""How much larger than relative L2 the error over signal may be."""

_WEIGHTS_8: dict[Regime, float | None] = {
    "ordinary": 3e-2,
    "synthetic": None,
    "active": None,
    "extreme": None,
    "probe": 2e-3,
}
_WEIGHTS_4: dict[Regime, float | None] = _WEIGHTS_8 | {"ordinary": 1e-1}

TABLE: dict[str, dict[Regime, float | None]] = {
    # A fault in the graph reads 1e-2 and more in at least one regime, and products in TF32 7e-4;
    # tests/integration/test_mutations.py holds the table to that. Rounding in fp32 reads 3e-7 to
    # 2.4e-6 against float64, by the order in which a processor's kernels add up (AVX2 rounds more
    # often than AVX-512), and two runtimes lie as far apart as their errors together.
    "fp32": {
        "ordinary": 1e-5,
        "synthetic": 1e-5,
        "active": 2e-5,
        "extreme": 2e-5,
        "probe": 1e-6,
    },
    "tf32": {
        "ordinary": 2e-3,
        "synthetic": 2e-3,
        "active": 1e-2,
        "extreme": 1e-2,
        "probe": 1e-6,
    },
    # The extreme inputs reach from 1e-30 to 1e4, and fp16 from 6e-8 to 65504.
    "fp16": {
        "ordinary": 5e-3,
        "synthetic": 5e-3,
        "active": 2e-2,
        "extreme": None,
        "probe": 2e-3,
    },
    "bf16": {
        "ordinary": 2e-2,
        "synthetic": 2e-2,
        "active": 5e-2,
        "extreme": 5e-2,
        "probe": 1e-2,
    },
    # int8 saturates outside what it was calibrated on, by design: only what looks like the
    # calibration images binds. LRN stays in float, so its probe keeps the budget of floats.
    "int8": {
        "ordinary": 3e-2,
        "synthetic": None,
        "active": None,
        "extreme": None,
        "probe": 2e-3,
    },
    "int8-bf16": {
        "ordinary": 3e-2,
        "synthetic": None,
        "active": None,
        "extreme": None,
        "probe": 1e-2,
    },
    # Activations are rounded to int8 block by block, in steps that follow their size, but 4 bits of
    # weights are coarse: AlexNet reads 8e-3 and 5e-2.
    "w8": _WEIGHTS_8 | {"synthetic": 3e-2, "active": 5e-2, "extreme": 5e-2},
    "w4": _WEIGHTS_4,
    "int8-w8": _WEIGHTS_8,
    "int8-w4": _WEIGHTS_4,
}
"""Largest relative L2 error, by precision and regime; None where a precision is not judged."""


@explained
@dataclass(frozen=True)
class Budgets:
    """The table with what the user asked for instead.

    Raises:
        BadInputError: If one of them is not a positive number.
    """

    max_error: float | None = option(
        None,
        "Relative L2 on ordinary and extreme inputs; None takes the table's.",
        line="Budget of the relative L2 error.",
    )
    max_active_error: float | None = option(
        None,
        "Relative L2 on active inputs; None takes the table's.",
        line="The same on inputs that make LRN act.",
    )
    max_probe_error: float | None = option(
        None,
        "Relative L2 of an LRN layer alone; None takes the table's.",
        line="The same of one LRN layer alone.",
    )

    def __post_init__(self) -> None:
        for name in ("max_error", "max_active_error", "max_probe_error"):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value > 0):
                raise BadInputError(
                    f"A budget must be a positive number, got {value!r} as {name}.",
                    "It bounds the relative L2 error: 1e-5 for instance.",
                )

    def budget(self, precision: str, regime: Regime) -> Budget | None:
        """The budget of an artifact of ``precision`` on inputs of ``regime``; None judges nothing.

        Raises:
            BadInputError: If the table has no such precision and the user gave no budget.
        """
        from lrn_deploy.parity.budget import Budget  # pydantic would make ``--help`` wait

        given = {
            "ordinary": self.max_error,
            "synthetic": self.max_error,
            "extreme": self.max_error,
            "active": self.max_active_error,
            "probe": self.max_probe_error,
        }[regime]
        row = TABLE.get(precision)
        if row is not None and row[regime] is None:
            return None
        if given is None:
            if row is None:
                raise BadInputError(
                    f"There is no error budget for the precision '{precision}'; "
                    f"the table has {', '.join(TABLE)}.",
                    "Give one with --max-error, --max-active-error and --max-probe-error.",
                )
            given = row[regime]
            assert given is not None
        # Inputs as far apart as the extreme ones have no common signal to speak of.
        signal = None if regime == "extreme" else SIGNAL_FACTOR * given
        return Budget(relative_l2=given, error_over_signal=signal, each_input=regime == "extreme")
