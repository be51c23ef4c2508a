"""What to size for: what the command line can choose."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Literal

from lrn_deploy.errors import BadInputError
from lrn_deploy.options import REQUIRED, explained, option

Send = Literal["fp32", "uint8", "jpeg"]


@explained
@dataclass(frozen=True)
class SizeOptions:
    """What is asked of the servers, and of what machines they are made."""

    rate: float = option(REQUIRED, "Requests a second, at random times (Poisson).", metavar="R")
    slo_ms: float = option(
        REQUIRED, "The objective: most milliseconds from arrival to answer.", metavar="MS"
    )
    quantile: float = option(99.0, "Per cent of the requests that must keep it.", metavar="PERCENT")
    images: int = option(1, "Images in a request.", metavar="N")
    profile: tuple[Path, ...] = option(
        (),
        "Plan for the machine of this profile instead of the bundle's own: another's "
        "``reports/latency.json``, or the ``latency.json`` of a GPU record; may be repeated.",
        metavar="FILE",
    )
    run: str = option(
        "",
        "What is to run, as the profile calls it, ``model on onnxruntime:cpu`` for instance; else "
        "what the server would run.",
        metavar="NAME",
    )
    max_batch_size: int | None = option(
        None,
        "Images that run together at most, as the server's option; else the measured size that "
        "bears the highest rate.",
        metavar="N",
    )
    replicas: int | None = option(
        None,
        "Replicas on a machine; else one for each GPU, or as many as its cores have threads for.",
        flag="replicas-per-machine",
        metavar="N",
    )
    send: Send | None = option(
        None, "How images are sent; else as tensors of the bundle's own input type."
    )
    link_gbps: float = option(10.0, "Speed of a machine's network card in Gbit/s.", metavar="GBPS")
    price: tuple[float, ...] = option(
        (), "What an hour of a machine costs; once for each profile, in their order.", metavar="P"
    )

    def __post_init__(self) -> None:
        for name, value in (
            ("rate", self.rate),
            ("slo-ms", self.slo_ms),
            ("images", self.images),
            ("max-batch-size", self.max_batch_size),
            ("replicas-per-machine", self.replicas),
            ("link-gbps", self.link_gbps),
        ):
            if value is not None and not (value > 0 and isfinite(value)):
                raise BadInputError(
                    f"--{name} must be above 0, got {value:g}.", "Give a number such as 10."
                )
        if not 0 < self.quantile < 100:
            raise BadInputError(
                f"--quantile must be between 0 and 100, got {self.quantile:g}.",
                "99 is the latency that 99 % of the requests have at most.",
            )
        machines = max(1, len(self.profile))
        if self.price and len(self.price) != machines:
            raise BadInputError(
                f"--price was given {len(self.price)} times for {machines} machines.",
                "Give it once for each --profile, in their order.",
            )
        for price in self.price:
            if not (price >= 0 and isfinite(price)):
                raise BadInputError(f"--price must be 0 or more, got {price:g}.")
