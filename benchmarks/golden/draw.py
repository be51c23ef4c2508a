"""The figures of ``results/trained.json`` as docs/import.md has them."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.harness import RESULTS
from benchmarks.runtimes.draw import between

RESULT = RESULTS / "trained.json"
PAGE = Path(__file__).parents[2] / "docs" / "import.md"

Result = Mapping[str, Any]


def main() -> int:
    """Draw the recorded result into the page."""
    result = json.loads(RESULT.read_text(encoding="utf-8"))
    PAGE.write_text(redraw(PAGE.read_text(encoding="utf-8"), result), encoding="utf-8")
    return 0


def redraw(page: str, result: Result) -> str:
    """A page with the table where ``<!-- trained:begin -->`` stands."""
    content = table(result)
    if "openface" in result:
        content += f"\n\n{openface(result['openface'])}"
    if "layers" in result:
        content += f"\n\n{layers(result['layers'])}"
    return between(page, "trained", content)


def openface(result: Result) -> str:
    """What was found of OpenFace, in words."""
    worst = max(result["relative_l2"].values())
    return (
        f"OpenFace's `nn4_small2`, with the weights of its file of Torch under Torch's names, is "
        f"within\n{worst:.1e} of OpenCV {result['opencv']} on the same photographs."
    )


def layers(result: Result) -> str:
    """What was found of Caffe's layers, in words."""
    errors = result["errors"]
    return (
        f"Of Caffe's layers with random weights, {len(errors)} where OpenCV keeps to Caffe's rules "
        f"are within\n{max(errors.values()):.1e} of OpenCV {result['opencv']}."
    )


def table(result: Result) -> str:
    """Each figure with a column for each network."""
    nets = result["networks"]
    rows: dict[str, list[str]] = {"": list(nets)}

    def add(what: str, values: Iterable[str]) -> None:
        rows[what] = list(values)

    each = list(nets.values())
    add(
        f"`fc8` against OpenCV {each[0]['opencv']}, relative L2, at most",
        (f"{net['answers']['worst_fc8_relative_l2']:.1e}" for net in each),
    )
    add(
        "the zoo's network with these weights, against the import, at most",
        (f"{max(net['zoo_relative_l2'].values()):.1e}" for net in each),
    )
    for layer in each[0]["denominators"]["face"]:
        add(
            f"{layer} divides by: median, 99th percentile, most",
            (_denominators(net, layer) for net in each),
        )
    for fault in dict.fromkeys(row["fault"] for row in each[0]["faults"][1:]):
        add(f"`fc8` moves by, with {fault}", (_moved(net, fault) for net in each))
    add("faults planted, and caught on photographs alone", (_caught(net) for net in each))
    for row in each[0]["precisions"]:
        name, backend = row["artifact"], row["backend"]
        add(f"{name} on {backend}: relative L2, same class", (_cost(net, row) for net in each))
    if all("tune" in net for net in each):
        add("import: seconds, memory over the file's size", (_import(net) for net in each))
        allowed = each[0]["tune"]["max_error"]
        add(f"`tune` within {allowed:g}: choice, ms", (_tuned(net["tune"]) for net in each))
    head, *body = ([what, *values] for what, values in rows.items())
    lines = [head, ["---"] * len(head), *body]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _denominators(net: Result, layer: str) -> str:
    """The ranges over the photographs."""
    found = [layers[layer] for layers in net["denominators"].values()]
    return ", ".join(_range([one[key] for one in found]) for key in ("median", "p99", "max"))


def _moved(net: Result, fault: str) -> str:
    """The range over the photographs, with the fault in every LRN."""
    rows = [row for row in net["faults"][1:] if row["fault"] == fault]
    everywhere = max(rows, key=lambda row: len(row["in"]))
    return _range(list(everywhere["logits_relative_l2"].values()))


def _caught(net: Result) -> str:
    rows = net["faults"][1:]
    seen = [row for row in rows if any(name.startswith("outputs on") for name in row["caught_by"])]
    return f"{len(seen)} of {len(rows)}"


def _cost(net: Result, like: Result) -> str:
    for row in net["precisions"]:
        if (row["artifact"], row["backend"]) == (like["artifact"], like["backend"]):
            return f"{row['relative_l2']:.1e}, {row['top1_agreement']:.1%}"
    return ""


def _import(net: Result) -> str:
    seconds, memory = (net["import"][key] for key in ("seconds_median", "memory_risen_over_size"))
    return f"{seconds:.2f}, {memory:.1f}"


def _tuned(tune: Result) -> str:
    plain = ", ".join(
        f"{milliseconds:.1f} on {backend}"
        for backend, milliseconds in tune["model_milliseconds"].items()
    )
    busy = tune.get("foreign_cores") or 0.0
    noise = f"; {busy:.1f} cores were busy with other work" if busy > 0.1 else ""
    return f"{tune['choice']}: {tune['milliseconds']:.1f} (as imported {plain}{noise})"


def _range(values: list[float]) -> str:
    low, high = f"{min(values):.2f}", f"{max(values):.2f}"
    return low if low == high else f"{low} to {high}"


if __name__ == "__main__":
    sys.exit(main())
