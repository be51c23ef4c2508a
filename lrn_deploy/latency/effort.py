"""How long to measure."""

from __future__ import annotations

from dataclasses import dataclass

from lrn_deploy.options import explained, option


@explained
@dataclass(frozen=True)
class Effort:
    """How long to measure; warm-up comes on top."""

    rounds: int = option(30, "Rounds at each batch size; all run in each.", flag="repeats")
    seconds: float = option(
        20.0,
        "Begin no further round at a batch size after so long, whatever ``rounds`` says.",
        line="Begin no further round at a batch size after so long (but measure 5 at least).",
    )
    min_rounds: int = option(5, "Rounds that are measured at any rate.", flag=None)
