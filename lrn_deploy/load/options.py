"""How to load a server: what the command line and other callers can choose."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from lrn_deploy.errors import BadInputError
from lrn_deploy.options import explained, option

Mode = Literal["open", "closed", "ramp"]


@explained
@dataclass(frozen=True)
class LoadOptions:
    """How to load a server; one of ``rate``, ``concurrency`` and ``ramp`` says in which way."""

    rate: float | None = option(
        None,
        "Open loop: so many requests a second at random (Poisson), whatever becomes of them.",
        metavar="R",
    )
    concurrency: int | None = option(
        None,
        "Closed loop: so many requests at a time, each followed by the next when it is answered.",
        metavar="N",
    )
    ramp: bool = option(
        False, "Find the knee: the highest rate of an open loop with which the server keeps up."
    )
    duration: float = option(
        10.0, "Seconds that are measured, with a ramp at each rate.", metavar="SECONDS"
    )
    warmup: float = option(1.0, "Seconds before that, which do not count.", metavar="SECONDS")
    model: str = option("", "The model; it can be left out where the server has one.")
    images: Path | None = option(
        None,
        "Folder of images that are classified (``/v1/classify``), in turn; else tensors of the "
        "model's own shape are sent, of random numbers.",
        path="any",
    )
    batch: int = option(1, "Rows of each tensor.", metavar="N")
    protocol: Literal["http", "grpc"] | None = option(
        None, "For a URL without http:// or grpc:// before it."
    )
    slo_ms: float | None = option(
        None, "Most milliseconds that p99 may have; exits with 1 if it has more.", metavar="MS"
    )
    timeout: float = option(
        10.0, "Seconds after which an answer is not waited for any more.", metavar="SECONDS"
    )
    connections: int = option(
        512, "Most requests under way at the same time; others wait until one has ended."
    )
    seed: int = option(0, "Of the random arrivals and numbers.")
    api_key: str = option(
        "",
        "Sent as ``Authorization: Bearer KEY``.",
        line="Sent as Authorization: Bearer KEY; better in the variable LRN_API_KEY.",
        metavar="KEY",
    )
    ca: Path | None = option(None, "PEM file with the certificates that may vouch for the server.")
    cert: Path | None = option(None, "PEM file with a certificate of one's own, for mTLS.")
    key: Path | None = option(None, "PEM file with its private key.")

    def __post_init__(self) -> None:
        chosen = [self.rate is not None, self.concurrency is not None, self.ramp]
        if sum(chosen) != 1:
            raise BadInputError(
                "The load needs one of --rate, --concurrency and --ramp, got "
                f"{sum(chosen) or 'none'}.",
                "Begin with --concurrency 1, or look for the knee with --ramp.",
            )
        for name in (
            "rate",
            "concurrency",
            "duration",
            "timeout",
            "batch",
            "connections",
            "slo_ms",
        ):
            value = getattr(self, name)
            if value is not None and not 0 < value < float("inf"):
                raise BadInputError(
                    f"--{name.replace('_', '-')} must be above 0, got {value:g}.",
                    "Give a number such as 10.",
                )
        if not 0 <= self.warmup < float("inf"):
            raise BadInputError(f"--warmup must be 0 or more, got {self.warmup:g}.")
        if self.concurrency is not None and self.concurrency > self.connections:
            raise BadInputError(
                f"--concurrency {self.concurrency} is more than --connections {self.connections}.",
                "Raise --connections as well.",
            )

    @property
    def mode(self) -> Mode:
        """How it is loaded."""
        if self.ramp:
            return "ramp"
        return "closed" if self.rate is None else "open"
