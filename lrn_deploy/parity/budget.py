"""What a check is held against."""

from __future__ import annotations

import math

from pydantic import BaseModel, ConfigDict

from lrn_deploy.parity.metrics import Metrics


class Budget(BaseModel):
    """The largest errors of a check.

    Attributes:
        relative_l2: Bound on the relative L2 error.
        error_over_signal: Bound on the error over signal; None where it is not judged.
        each_input: Whether relative_l2 binds each input alone instead of all together.
    """

    model_config = ConfigDict(frozen=True)

    relative_l2: float
    error_over_signal: float | None = None
    each_input: bool = False

    def holds(self, metrics: Metrics) -> bool:
        """Whether ``metrics`` stay within the budget; NaN never does."""
        return self.used(metrics) <= 1.0

    def used(self, metrics: Metrics) -> float:
        """The larger of the two errors over its bound: above 1 the budget is exceeded."""
        error = metrics.worst_relative_l2 if self.each_input else metrics.relative_l2
        shares = [_share(error, self.relative_l2)]
        if self.error_over_signal is not None and metrics.error_over_signal is not None:
            shares.append(_share(metrics.error_over_signal, self.error_over_signal))
        return math.nan if any(math.isnan(share) for share in shares) else max(shares)


def _share(error: float, bound: float) -> float:
    return error / bound
