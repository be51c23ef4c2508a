"""The chart in the documentation: milliseconds per image of AlexNet, ours and every peer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lrn_deploy.report.charts.scales import Linear
from lrn_deploy.report.markup import Markup, el, short

NETWORK = "alexnet"
BATCHES = (1, 8)
WIDTH = 940.0
LEFT, RIGHT = 410.0, 165.0
ROW, BAR = 22.0, 14.0
HEAD, GROUP = 64.0, 40.0

# The card has its own background, since a page may be dark where the system is light.
STYLE = """
.card { fill: #ffffff; stroke: #d0d7de; }
text { fill: #1f2328; font: 13px system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
.title { font-weight: 600; font-size: 15px; }
.soft { fill: #59636e; font-size: 12px; font-weight: 400; }
.ours { font-weight: 600; }
rect.peer { fill: #b3bcc6; }
rect.ours { fill: #0b6bcb; }
@media (prefers-color-scheme: dark) {
  .card { fill: #14171a; stroke: #32393f; }
  text { fill: #e6e9ec; }
  .soft { fill: #9aa5b0; }
  rect.peer { fill: #59636e; }
  rect.ours { fill: #6cb6ff; }
}
"""


def chart(result: Mapping[str, Any]) -> str:
    """The chart as an SVG file; empty if the result has nothing of AlexNet to draw."""
    network = next((item for item in result["networks"] if item["network"] == NETWORK), None)
    if network is None:
        return ""
    cells = [batch for batch in network["batches"] if batch["batch"] in BATCHES]
    groups = [_rows(network, batch) for batch in cells]
    times = [row["ms"] for group in groups for row in group]
    scale = Linear(0.0, max(times, default=1.0), LEFT, WIDTH - RIGHT)
    parts = [
        el("style", Markup(STYLE)),
        el("rect", class_="card", x=0.5, y=0.5, width=WIDTH - 1, height=_height(groups) - 1, rx=8),
        el("text", "AlexNet, ms per image: less is better", class_="title", x=16.0, y=28.0),
        el("text", _where(result), class_="soft", x=16.0, y=48.0),
    ]
    top = HEAD
    for batch, group in zip(cells, groups, strict=True):
        quiet = "" if batch["quiet"] else " (the machine was not quiet)"
        parts.append(
            el("text", f"batch {batch['batch']}{quiet}", class_="title", x=16.0, y=top + 22)
        )
        top += GROUP - 8
        for row in group:
            parts.append(_bar(row, scale, top))
            top += ROW
        top += 8
    label = f"AlexNet: milliseconds per image at batches of {' and '.join(map(str, BATCHES))}"
    view = f"0 0 {WIDTH:g} {_height(groups):g}"
    return (
        el(
            "svg",
            *parts,
            xmlns="http://www.w3.org/2000/svg",
            viewBox=view,
            width=WIDTH,
            height=_height(groups),
            role="img",
            aria_label=label,
        )
        + "\n"
    )


def _rows(network: Mapping[str, Any], batch: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Every peer and our choices, the fastest first."""
    about = {item["name"]: item for item in network["candidates"]}
    chosen = {item["ours"]: item["class"] for item in reversed(batch["classes"]) if item["ours"]}
    rows = []
    for timing in batch["timings"]:
        name = timing["candidate"]
        own = about[name]["side"] == "ours"
        if own and name not in chosen:
            continue
        rows.append(
            {
                "label": f"lrn-deploy: {name}" if own else name,
                "class": "ours" if own else "peer",
                "ms": timing["ms_per_image"]["median"],
                "error": about[name]["error"]["relative_l2"],
            }
        )
    return sorted(rows, key=lambda row: float(row["ms"]))


def _bar(row: Mapping[str, Any], scale: Linear, top: float) -> Markup:
    end, middle = scale(row["ms"]), top + ROW / 2 + 4
    note = f"{row['ms']:.3g} ms"
    error = "exact" if row["error"] == 0 else f"error {short(row['error'])}"
    return el(
        "g",
        el("title", f"{row['label']}: {note} per image, relative L2 error {short(row['error'])}"),
        el("text", row["label"], class_=row["class"], x=LEFT - 8, y=middle, text_anchor="end"),
        el(
            "rect",
            class_=row["class"],
            x=LEFT,
            y=top + (ROW - BAR) / 2,
            width=max(end - LEFT, 1.0),
            height=BAR,
            rx=2,
        ),
        el(
            "text",
            note,
            el("tspan", error, class_="soft", dx=10),
            class_=row["class"],
            x=end + 6,
            y=middle,
        ),
    )


def _height(groups: list[list[dict[str, Any]]]) -> float:
    return HEAD + sum(GROUP + ROW * len(group) for group in groups) + 8


def _where(result: Mapping[str, Any]) -> str:
    machine = result["machine"]
    return (
        f"{machine['processor']}, {machine['cores']} cores, 2 threads; medians of one interleaved "
        "run; relative L2 error against PyTorch in fp32"
    )
