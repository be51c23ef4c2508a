"""The tables in the documentation, as Markdown that is drawn from the result and nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from lrn_deploy.report.markup import short

Cell = Mapping[str, Any]
UNMEASURED = "Not measured yet: `python -m benchmarks.runtimes` does."


def summary(result: Cell | None, chart: str) -> str:
    """The choices against the best peer at the same error, the chart, and every loss.

    Args:
        result: What ``runtimes.json`` holds; None if there is none.
        chart: Path of the chart from the page.
    """
    if result is None:
        return UNMEASURED
    rows = [
        _summary_row(network, batch, class_)
        for network in result["networks"]
        for batch in network["batches"]
        for class_ in batch["classes"]
    ]
    titles = (
        "network",
        "batch",
        "error allowed",
        "lrn-deploy's choice",
        "ms per image",
        "best peer within the error",
        "ms per image",
        "times as fast (95 %)",
        "",
    )
    picture = f"![Milliseconds per image of AlexNet, ours and every peer]({chart})"
    parts = [
        _where(result),
        _table(titles, rows),
        picture,
        _close(result),
        _losses(result["losses"]),
    ]
    return "\n\n".join(parts)


def details(result: Cell | None) -> str:
    """The aims, and every candidate of every network with its error."""
    if result is None:
        return UNMEASURED
    parts = []
    if result["aims"]:
        titles = ("network", "error", "batch", "ours", "against", "times as fast (95 %)", "aim", "")
        parts.append(_table(titles, [_aim_row(aim) for aim in result["aims"]]))
    for network in result["networks"]:
        parts.append(f"### {network['network']}")
        parts.append(
            f"Weights: {network['weights']}. Errors on {network['judged_on']}; int8 calibrated on "
            f"{network['calibration']}."
        )
        names: tuple[str, ...] = (
            "candidate",
            "relative L2 error",
            "same best class",
            *(f"ms per image, batch {item['batch']}" for item in network["batches"]),
        )
        parts.append(_table(names, [_row(network, item) for item in network["candidates"]]))
    return "\n\n".join(parts)


def _summary_row(network: Cell, batch: Cell, class_: Cell) -> tuple[str, ...]:
    start: tuple[str, ...] = (network["network"], str(batch["batch"]), _allowed(class_["allowed"]))
    times = _medians(batch)
    if "verdicts" not in class_:
        return (*start, "none", "", "", "", "", "")
    own = class_["ours"]
    peer = class_["best_peer"]
    row = next((item for item in class_["verdicts"] if item["peer"] == peer), None)
    if row is None:
        return (*start, own, _ms(times[own]), "none", "", "", "")
    verdict = _strong(row["verdict"]) + ("" if batch["quiet"] else ", not quiet")
    return (*start, own, _ms(times[own]), peer, _ms(times[peer]), _times(row["speedup"]), verdict)


def _aim_row(aim: Cell) -> tuple[str, ...]:
    at_least = aim["aim"] if isinstance(aim["aim"], str) else f"at least {aim['aim']:g}"
    return (
        aim["network"],
        aim["class"],
        str(aim["batch"]),
        aim["ours"],
        aim["peer"],
        _times(aim["speedup"]),
        at_least,
        "met" if aim["met"] else "**missed**",
    )


def _row(network: Cell, candidate: Cell) -> tuple[str, ...]:
    name = f"lrn-deploy: {candidate['name']}" if candidate["side"] == "ours" else candidate["name"]
    if "reason" in candidate:
        return (name, f"did not run: {candidate['reason']}", "", *("" for _ in network["batches"]))
    error = candidate["error"]
    times = [_medians(batch).get(candidate["name"]) for batch in network["batches"]]
    return (
        name,
        short(error["relative_l2"]),
        f"{error['top1_agreement']:.1%}",
        *("" if time is None else _ms(time) for time in times),
    )


def _where(result: Cell) -> str:
    machine, versions = result["machine"], result["versions"]
    load = result["load"]
    tools = (
        ("PyTorch", "torch"),
        ("ONNX Runtime", "onnxruntime"),
        ("OpenVINO", "openvino"),
        ("NNCF", "nncf"),
    )
    named = ", ".join(f"{title} {versions[key]}" for title, key in tools if key in versions)
    return (
        f"{machine['processor']}, {machine['cores']} cores, {machine['memory_gib']:g} GiB, no GPU "
        f"used, 2 threads; {named}; {result['date']}. Medians of one interleaved run, of which "
        f"{load['quiet_runs']} of {load['runs']} parts were quiet; the last columns are the "
        "peer's median time over ours, with its 95 % interval."
    )


def _close(result: Cell) -> str:
    """How many choices are as fast as every peer, and whose runtime won."""
    places = [
        (f"{network['network']}, batch {batch['batch']}", class_)
        for network in result["networks"]
        for batch in network["batches"]
        for class_ in batch["classes"]
        if "verdicts" in class_
    ]
    judged = [class_ for _, class_ in places]
    wide = [
        f"{place}: {_times(row['speedup'])}, round by round {_times(row['by_round'])}, against "
        f"{row['peer']}"
        for place, class_ in places
        for row in class_["verdicts"]
        if row["verdict"] != "over the error" and not row["is_within_5_percent"]
    ]
    short = f" The interval reaches further in {'; '.join(wide)}." if wide else ""
    close = sum(class_["is_within_5_percent_of_all"] for class_ in judged)
    own = sum(class_["winner_side"] == "ours" for class_ in judged)
    runtimes = sorted({class_["winner_runtime"] for class_ in judged if class_["winner_runtime"]})
    won = ", ".join(
        f"{name} in {sum(class_['winner_runtime'] == name for class_ in judged)}"
        for name in runtimes
    )
    return (
        f"{close} of {len(judged)} choices are, with all of the interval, within 5 % of every peer "
        "at the same error, whether by the ratio of medians or by the median of the rounds' "
        f"ratios; {own} are the fastest of all.{short} "
        f"Whose kernels were fastest: {won}."
    )


def _losses(losses: Sequence[Cell]) -> str:
    if not losses:
        return "Behind a peer at the same error: never."
    lines = [
        f"- {item['network']}, batch {item['batch']}, {item['class']}: {item['ours']} is "
        f"{_times(item['speedup'])} times as fast as {item['peer']}"
        for item in losses
    ]
    return "\n".join(["Behind a peer at the same error:", "", *lines])


def _allowed(limits: Cell) -> str:
    if "max_error" in limits:
        return f"{limits['max_error']:g}"
    return f"{limits['min_agreement']:.0%} same class"


def _medians(batch: Cell) -> dict[str, float]:
    return {item["candidate"]: item["ms_per_image"]["median"] for item in batch["timings"]}


def _ms(value: float) -> str:
    return f"{value:.3g}"


def _times(speedup: Cell) -> str:
    return f"{speedup['estimate']:.2f} ({speedup['low']:.2f} to {speedup['high']:.2f})"


def _strong(verdict: str) -> str:
    return f"**{verdict}**" if verdict == "behind" else verdict


def _table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join(_lines(titles, rows))


def _lines(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(titles)} |"
    yield f"|{'---|' * len(titles)}"
    for row in rows:
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |"
