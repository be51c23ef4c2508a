"""Benchmarks: what they use of the package, other tests measure for coverage."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True, scope="module")
def _unmeasured(unmeasured: None) -> None:
    """No test here is traced, nor are its processes."""
