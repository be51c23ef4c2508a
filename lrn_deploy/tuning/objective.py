"""What the way to run a network is chosen by."""

from __future__ import annotations

from typing import Literal

Objective = Literal["latency", "throughput"]
"""The shortest run of a given batch, or the most items in a second at any batch."""
