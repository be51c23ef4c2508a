"""How long a run takes, from the stage ``latency``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from benchmarks.gpu.draw.runs import Card, Row
from benchmarks.gpu.draw.words import error, micro, paragraphs, table, times

COPY = "copy of "
GRAPH = ", CUDA graph"
ERROR = "error_against_pytorch_fp32"
LRN = "local_response_norm"
"""In the names of layers that TensorRT made of an LRN node."""


def section(card: Card) -> str:
    """Everything about time."""
    found = card.newest("latency", "device")
    if found is None:
        return ""
    run, content = found
    return paragraphs(
        f"#### Time of AlexNet ({run.name})",
        "Medians in microseconds. *Device* is the time between two events around "
        f"{content.get('calls_between_events', 20)} runs, *end to end* that from arrays in host "
        "memory to arrays in host memory by the host's clock; *fused* runs our kernels in PyTorch."
        f"{copy_sentence(content)}",
        timings(content),
        _not_run(content.get("not_run", {})),
        aims(content.get("findings", ())),
        first_runs(content.get("facts", {})),
        layers(content.get("facts", {})),
    )


def timings(content: Row) -> str:
    """Every candidate, the fastest at the smallest batch first."""
    device = {row["batch"]: row["medians_s"] for row in content["device"]}
    host = {row["batch"]: row["medians_s"] for row in content.get("end_to_end", ())}
    smallest = min(device)
    names = dict.fromkeys(name for medians in device.values() for name in medians)
    ordered = sorted(names, key=lambda name: device[smallest].get(name, float("inf")))
    rows = [
        (
            name.removesuffix(GRAPH),
            "yes" if name.endswith(GRAPH) else "",
            *(micro(medians.get(name)) for medians in device.values()),
            *(micro(medians.get(name)) for medians in host.values()),
        )
        for name in ordered
        if not name.startswith(COPY)
    ]
    titles = [f"device, batch {batch}" for batch in device]
    titles += [f"end to end, batch {batch}" for batch in host]
    return table(("", "CUDA graph", *titles), rows)


def copied(content: Row) -> tuple[str, float] | None:
    """The name of the copy that was timed, and the bytes that it read and wrote in a second."""
    for row in content.get("device", ()):
        for name, seconds in row["medians_s"].items():
            if name.startswith(COPY) and name.endswith(" GiB"):
                return name, 2 * float(name.split()[2]) * 2**30 / seconds
    return None


def copy_sentence(content: Row) -> str:
    """How fast the copy was, which gives the floor."""
    found = copied(content)
    return f" A {found[0]} on the device moves {found[1] / 1e12:.2f} TB/s." if found else ""


def aim(item: Row) -> str:
    """What was measured for one aim."""
    if "peer" in item:
        return f"is {times(item['times'])} times as fast as {item['peer']}"
    if "floor_s" in item:
        return f"takes {times(item['times'])} times the floor of {micro(item['floor_s'])} µs"
    return f"{times(item['times'])} times"


def aims(findings: Sequence[Row]) -> str:
    """What was asked of the engines, and whether it is so."""
    if not findings:
        return ""
    rows = [
        (item["asked"], item["ours"], aim(item), "met" if item["met"] else "**missed**")
        for item in findings
    ]
    met = sum(bool(item["met"]) for item in findings)
    return paragraphs(
        f"Aims for the engines, {met} of {len(findings)} met:",
        table(("aim", "the fastest engine that it is for", "measured", ""), rows),
    )


def first_runs(facts: Mapping[str, Row]) -> str:
    """Seconds until the first answer, with and without compiled kernels."""
    kinds = dict.fromkeys(
        kind
        for fact in facts.values()
        for kind, value in fact.items()
        if isinstance(value, Mapping) and "run_s" in value
    )
    rows = [
        [name, *(_first(fact.get(kind)) for kind in kinds)]
        for name, fact in facts.items()
        if any(kind in fact for kind in kinds)
    ]
    if not rows:
        return ""
    titles = ["engine", *kinds]
    if any(ERROR in fact for fact in facts.values()):
        titles.append("relative L2 against PyTorch fp32")
        for row in rows:
            row.append(error(facts[row[0]][ERROR]) if ERROR in facts[row[0]] else "")
    return paragraphs(
        "Seconds to load an engine, and for its first run, in which TensorRT compiles its kernels "
        "for the card:",
        table(titles, rows),
    )


def _first(value: Row | None) -> str:
    return "" if value is None else f"{value['load_s']:.2f} + {value['run_s']:.2f}"


def lrn_layers(layers_ms: Mapping[str, float]) -> tuple[float, float]:
    """Milliseconds of what TensorRT made of LRN nodes: its poolings, and all of the nodes.

    The pooling over channels carries the node's name; a layer right before it that multiplies and
    one right after it that takes a power are the rest of the node. Both are 0 without poolings,
    as where LRN was written out in operators before.
    """
    names, values = list(layers_ms), list(layers_ms.values())
    poolings = [
        place for place, name in enumerate(names) if LRN in name and "pooling" in name.lower()
    ]
    rest = {place - 1 for place in poolings if place and "Mul" in names[place - 1]}
    rest |= {place + 1 for place in poolings if "Pow" in "".join(names[place + 1 : place + 2])}
    alone = sum(values[place] for place in poolings)
    return alone, alone + sum(values[place] for place in rest - set(poolings))


def layers(facts: Mapping[str, Row]) -> str:
    """The share of LRN at a batch of one, by TensorRT's own profile."""
    rows = []
    for name, fact in facts.items():
        profile = fact.get("layers_ms")
        if not profile:
            continue
        total = sum(profile.values())
        poolings, whole = lrn_layers(profile)
        told = (micro(poolings / 1e3), micro(whole / 1e3), f"{whole / total:.0%}")
        rows.append((name, micro(total / 1e3), *(told if poolings else ("none", "", ""))))
    if not rows:
        return ""
    titles = ("engine", "all layers", "LRN's poolings", "with squares and powers", "share")
    return paragraphs(
        "Time of the layers at batch 1 by TensorRT's profile, in microseconds. TensorRT for RTX "
        "runs an LRN node as a multiplication, a pooling over channels, and a power; where LRN was "
        "written out in operators there is no such pooling:",
        table(titles, rows),
    )


def _not_run(reasons: Mapping[str, str]) -> str:
    return "\n".join(f"- {name} did not run: {reason}" for name, reason in reasons.items())
