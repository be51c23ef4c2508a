"""Who is faster at the same error: pure functions from what was measured to verdicts.

There are two classes of error. In each, ours is one choice, and every peer is judged against it;
a peer above the error that the class allows is listed but beats nobody.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from benchmarks.runtimes.candidates import (
    EAGER,
    NNCF,
    NNCF_BF16,
    NNCF_WHOLE,
    NNCF_WHOLE_BF16,
    OPENVINO_BF16,
    ORT_DYNAMO,
    Side,
)
from lrn_deploy.latency.statistics import Interval, pooled, ratio_interval, ratio_of_medians
from lrn_deploy.parity.budgets import TABLE

LEVEL = 0.05
"""Ratios this close to 1 are level."""
REDUCED_ERROR = 3e-2
REDUCED_AGREEMENT = 0.99

Class = Literal["fp32", "reduced"]
Verdict = Literal["ahead", "level", "behind", "over the error"]
CLASSES: tuple[Class, ...] = ("fp32", "reduced")


@dataclass(frozen=True)
class Measured:
    """A candidate at one batch size.

    Attributes:
        name: Its name.
        side: Whether it is ours.
        runtime: Whose code computes it.
        relative_l2: Its error against PyTorch in fp32, on all held-out inputs together.
        agreement: Share of them with the same best class.
        rounds: Seconds of each timed run, by round.
    """

    name: str
    side: Side
    runtime: str
    relative_l2: float
    agreement: float
    rounds: Sequence[Sequence[float]]

    @property
    def seconds(self) -> float:
        """The median of a run."""
        return float(np.median(pooled(self.rounds)))


def allowed(network: str, class_: Class) -> dict[str, float]:
    """What a class allows: ``max_error`` of relative L2, or ``min_agreement`` of the best class.

    Only the weights of the digit networks are trained, so only there the best class means much.
    """
    if class_ == "fp32":
        limit = TABLE["fp32"]["ordinary"]
        assert limit is not None
        return {"max_error": limit}
    if network.startswith("digits"):
        return {"min_agreement": REDUCED_AGREEMENT}
    return {"max_error": REDUCED_ERROR}


def within(candidate: Measured, limits: Mapping[str, float]) -> bool:
    """Whether a candidate's errors are within what a class allows."""
    return candidate.relative_l2 <= limits.get(
        "max_error", np.inf
    ) and candidate.agreement >= limits.get("min_agreement", 0.0)


def fastest(candidates: Iterable[Measured], limits: Mapping[str, float]) -> Measured | None:
    """The candidate of the lowest median within the error; None if there is none."""
    fitting = [item for item in candidates if within(item, limits)]
    return min(fitting, key=lambda item: item.seconds, default=None)


def judge(speedup: Interval) -> Verdict:
    """Whether ours is faster, given the peer's time over ours."""
    close = 1 / (1 + LEVEL) <= speedup.estimate <= 1 + LEVEL
    if close or speedup.low <= 1 <= speedup.high:
        return "level"
    return "ahead" if speedup.estimate > 1 else "behind"


def verdicts(
    candidates: Sequence[Measured], choice: Measured, limits: Mapping[str, float]
) -> list[dict[str, Any]]:
    """Our choice against each peer.

    Returns:
        For each peer ``speedup``, the peer's median time over ours with its interval;
        ``by_round``, the median of the rounds' ratios with its own; the ``verdict`` by the first;
        and whether ours ``is_within_5_percent`` with all of either interval.
    """
    rows = []
    for peer in (item for item in candidates if item.side == "peer"):
        speedup = ratio_of_medians(peer.rounds, choice.rounds)
        by_round = ratio_interval(peer.rounds, choice.rounds)
        lowest = min(speedup.low, by_round.low)
        counts = within(peer, limits)
        rows.append(
            {
                "peer": peer.name,
                "speedup": asdict(speedup),
                "by_round": asdict(by_round),
                "verdict": judge(speedup) if counts else "over the error",
                "is_within_5_percent": not counts or 1 / lowest <= 1 + LEVEL,
            }
        )
    return rows


def judge_class(
    candidates: Sequence[Measured], choice: str | None, network: str, class_: Class
) -> dict[str, Any]:
    """One class at one batch size: what is allowed, our choice, who won, and every verdict."""
    limits = allowed(network, class_)
    result: dict[str, Any] = {"class": class_, "allowed": limits, "ours": choice}
    chosen = next((item for item in candidates if item.name == choice), None)
    if chosen is None:
        return result
    peers = [item for item in candidates if item.side == "peer"]
    best, winner = fastest(peers, limits), fastest([*peers, chosen], limits)
    rows = verdicts(candidates, chosen, limits)
    return result | {
        "ours_runtime": chosen.runtime,
        "ours_within": within(chosen, limits),
        "best_peer": best.name if best else None,
        "winner": winner.name if winner else None,
        "winner_side": winner.side if winner else None,
        "winner_runtime": winner.runtime if winner else None,
        "is_within_5_percent_of_all": all(row["is_within_5_percent"] for row in rows),
        "verdicts": rows,
    }


@dataclass(frozen=True)
class Aim:
    """What the comparison must show of one network.

    Attributes:
        class_: The class of error.
        batch: Items in a run.
        peers: Names of peers, of which the fastest within the error counts, or of all if none is;
            empty for all within the error.
        at_least: How many times as fast as it ours must be; None for level or ahead.
    """

    class_: Class
    batch: int
    peers: tuple[str, ...]
    at_least: float | None


AIMED = "alexnet"
_INT8 = (NNCF, NNCF_BF16, NNCF_WHOLE, NNCF_WHOLE_BF16)
AIMS = (
    Aim("fp32", 1, (ORT_DYNAMO,), 1.3),
    *(Aim("fp32", batch, (), None) for batch in (1, 8, 32)),
    *(Aim("reduced", batch, (EAGER,), 5.0) for batch in (1, 8)),
    *(Aim("reduced", batch, (OPENVINO_BF16,), 1.6) for batch in (1, 8)),
    *(Aim("reduced", batch, _INT8, None) for batch in (1, 8)),
)


def aims(networks: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Each aim with what was measured, for those that were.

    Args:
        networks: The results, as ``runtimes.json`` holds them.
    """
    rows = []
    for aim in AIMS:
        for network in networks:
            for batch in network["batches"]:
                for class_ in batch["classes"]:
                    at = (network["network"], batch["batch"], class_["class"])
                    if at == (AIMED, aim.batch, aim.class_) and "verdicts" in class_:
                        rows += _aim(aim, class_)
    return rows


def _aim(aim: Aim, class_: Mapping[str, Any]) -> list[dict[str, Any]]:
    named = [
        row
        for row in class_["verdicts"]
        if (row["peer"] in aim.peers if aim.peers else row["verdict"] != "over the error")
    ]
    if not named:
        return []
    counting = [row for row in named if row["verdict"] != "over the error"] or named
    # The fastest peer is the one that ours is the fewest times as fast as.
    row = min(counting, key=lambda item: float(item["speedup"]["estimate"]))
    speedup = Interval(**row["speedup"])
    enough = -np.inf if aim.at_least is None else aim.at_least
    met = speedup.estimate >= enough and judge(speedup) != "behind"
    return [
        {
            "network": AIMED,
            "class": aim.class_,
            "batch": aim.batch,
            "ours": class_["ours"],
            "ours_runtime": class_["ours_runtime"],
            "peer": row["peer"],
            "speedup": row["speedup"],
            "aim": "level or ahead" if aim.at_least is None else aim.at_least,
            "met": bool(met and class_["ours_within"]),
        }
    ]


def losses(networks: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Every peer within the error that our choice is behind."""
    return [
        {"network": network["network"], "batch": batch["batch"], "class": class_["class"]}
        | {"ours": class_["ours"], "peer": row["peer"], "speedup": row["speedup"]}
        for network in networks
        for batch in network["batches"]
        for class_ in batch["classes"]
        for row in class_.get("verdicts", ())
        if row["verdict"] == "behind"
    ]
