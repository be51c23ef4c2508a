"""A fixed workload that is timed beside the artifacts, to tell a slower machine from slower code.

Runs at different times cannot be interleaved. Each stores the times of this workload, taken in the
same rounds as its artifacts', and two runs are compared by their ratios to it.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

VERSION = 1
"""Raised when the workload changes: times of different versions are not comparable."""
NAME = "calibration"
_ROWS = 384
_VALUES = 4 << 20


def workload() -> Callable[[], object]:
    """A matrix product of 384 rows (57 million multiply-adds) and a read of 16 MiB, in float32.

    Like a network it is part arithmetic and part memory, on as many threads as numpy's BLAS takes.
    """
    rng = np.random.default_rng(0)
    matrix = rng.standard_normal((_ROWS, _ROWS), np.float32)
    values = rng.standard_normal(_VALUES, np.float32)
    out = np.empty_like(matrix)

    def run() -> None:
        np.matmul(matrix, matrix, out=out)
        values.max()

    return run
