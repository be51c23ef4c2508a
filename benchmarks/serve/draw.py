"""Draw the server's figures in the documentation again from what was recorded."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from benchmarks.harness import RESULTS
from benchmarks.runtimes.draw import ROOT, between
from lrn_deploy.latency.statistics import median_interval, ratio_interval

DETAILS = ROOT / "docs" / "serving.md"
SUMMARY = ROOT / "README.md"
SERVERS = {
    "lrn-server": "lrn-server",
    "tritonserver": "tritonserver",
    "litserve": "LitServe",
    "bentoml": "BentoML",
}
ON_OPENVINO = "lrn-server on OpenVINO"
_SMALL = {
    "nothing, uint8, 154,587 bytes": "nothing, 154,587 bytes",
    "nothing, float32, 618,348 bytes": "nothing, 618,348 bytes",
    "digits": "`digits`",
}
Result = Mapping[str, Any]


def main() -> int:
    """Draw both pages again."""
    served, overloaded = (results(name) for name in ("serve", "overload"))
    for page, name, content in (
        (DETAILS, "servers", details(served, overloaded)),
        (SUMMARY, "servers", summary(served, overloaded)),
    ):
        text = page.read_text(encoding="utf-8")
        page.write_text(between(text, name, content), encoding="utf-8")
    return 0


def results(name: str) -> Result:
    """A recorded result."""
    found: Result = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
    return found


def details(served: Result, overloaded: Result) -> str:
    """Every figure, as a table and a paragraph for each part."""
    machine = served["machine"]
    lines = [
        f"{machine['processor']}, {machine['cores']} cores, the client on the same; "
        f"{served['date']}; the machine was {'' if served['quiet']['quiet'] else 'NOT '}quiet. "
        "The server's processor time in ms for each request, and requests per second:",
        "",
        f"| | at a time | {' | '.join(SERVERS.values())} |",
        "|---" * (2 + len(SERVERS)) + "|",
    ]
    for what, called in _SMALL.items():
        bursts = served["small"][what]
        for at_a_time in sorted({one["connections"] for one in bursts}):
            cells = []
            for server in SERVERS:
                own = _of(bursts, server, at_a_time)
                spent, rate = _median(own, "server_cpu_ms"), _median(own, "per_second")
                cells.append(f"{spent:.2f}, {rate:.0f}")
            lines.append(f"| {called} | {at_a_time} | {' | '.join(cells)} |")
            called = ""
    parts = served["saturation"]
    shares = [
        f"{np.median(part['share_of_offline']):.1%} in {precision}, "
        f"{without_client(part)} without the client's processor time"
        for precision, part in parts.items()
    ]
    more = [
        f"{(part['memory_bytes']['lrn-server'] - part['memory_bytes']['bare']) / 2**20:.0f}"
        for part in parts.values()
    ]
    p99 = [
        f"{called} {_p99(served, server):.0f}"
        for server, called in {**SERVERS, ON_OPENVINO: ON_OPENVINO}.items()
    ]
    start = served["start"]
    lines += [
        "",
        f"AlexNet at saturation, rows per second over ONNX Runtime alone: {'; '.join(shares)}. "
        f"Memory after load over a bare session after the same largest batch: "
        f"{' and '.join(more)} MiB. At half load, p99 in ms, the median of its bursts: "
        f"{', '.join(p99)}; {_p99_by_round(served)}. All serve the same file, the last on the "
        "runtime that `tune` chooses for AlexNet here, the others on ONNX Runtime. Ready after "
        f"{np.median(start['lrn-server_s']):.2f} s, {np.median(start['ratios']):.2f} times what a "
        "process takes that hashes the graph, loads it and runs the same warm-ups.",
        "",
        _overload(overloaded),
    ]
    return "\n".join(lines)


def summary(served: Result, overloaded: Result) -> str:
    """The figures in a few sentences."""
    small = served["small"]
    nothing = [bursts for what, bursts in small.items() if what != "digits"]
    both = ("lrn-server", "tritonserver")
    ranges = [_range(nothing, server) for server in both]
    digits = [_range([small["digits"]], server) for server in both]
    fp32, int8 = (served["saturation"][precision] for precision in ("fp32", "int8"))
    others = [_p99(served, server) for server in SERVERS if server != "lrn-server"]
    start = served["start"]
    return (
        "The server, beside the real tritonserver, LitServe and BentoML with the same ONNX file "
        "([serve.json](benchmarks/results/serve.json)): with a network that does nothing it takes "
        f"{ranges[0]} ms of processor time a request where tritonserver takes {ranges[1]} ms; with "
        f"the small `digits` network {digits[0]} against {digits[1]} ms. AlexNet at saturation "
        f"gets {np.median(fp32['share_of_offline']):.0%} of what ONNX Runtime does offline in fp32 "
        f"and {np.median(int8['share_without_clients_cpu']):.0%} in int8 without the client's "
        f"share of the machine; at half load its p99 is {_p99(served, 'lrn-server'):.0f} ms where "
        f"the others have {min(others):.0f} to {max(others):.0f}, all on ONNX Runtime, and "
        f"{_p99(served, ON_OPENVINO):.0f} ms on OpenVINO, the runtime that `tune` chooses for "
        "AlexNet here. It is ready after "
        f"{np.median(start['lrn-server_s']):.1f} s. {_overload(overloaded)}"
    )


def _overload(result: Result) -> str:
    most = max(result["maximum_per_second"].values())
    grown = next(value["measured"] for name, value in result["checks"].items() if "memory" in name)
    wrong = result["checks"]["every answer right"]["measured"]
    return (
        f"Asked for three times what it can do for {result['overload_seconds']:.0f} s, it gave "
        f"{result['goodput_per_second'] / most:.1%} as many answers as at its best, "
        f"{wrong or 'none'} of them wrong, refused {result['statuses']['503']:,} requests with a "
        f"clean 503, grew by {grown / 2**20:.1f} MiB, and answered the next client within "
        f"{result['recovery_s']:.2f} s."
    )


def without_client(part: Result) -> str:
    """Median of the share of what the runtime does alone, less the client, and its interval.

    Args:
        part: A precision's part of ``saturation``, of at least five turns.
    """
    share = median_interval([[one] for one in part["share_without_clients_cpu"]])
    return f"{share.estimate:.1%} (95 %: {share.low:.1%} to {share.high:.1%})"


def _p99(served: Result, server: str) -> float:
    bursts = _of(served["half load"]["bursts"], server)
    return float(np.median([one["latency_ms"]["99"] for one in bursts]))


def _p99_by_round(served: Result) -> str:
    """How it compares with the best of the others, with the spread of the rounds."""
    best = min((one for one in SERVERS if one != "lrn-server"), key=partial(_p99, served))
    theirs = _p99_rounds(served, best)
    ratios = [
        ratio_interval(_p99_rounds(served, ours), theirs) for ours in ("lrn-server", ON_OPENVINO)
    ]
    told = [f"{one.estimate:.2f} (95 %: {one.low:.2f} to {one.high:.2f})" for one in ratios]
    return (
        f"round by round lrn-server's is {told[0]} times that of {SERVERS[best]}, and on OpenVINO "
        f"{told[1]}"
    )


def _p99_rounds(served: Result, server: str) -> list[list[float]]:
    return [[one["latency_ms"]["99"]] for one in _of(served["half load"]["bursts"], server)]


def _range(parts: Sequence[Sequence[Result]], server: str) -> str:
    """Least and most processor time of a server, over parts and numbers of clients."""
    values = [
        _median(_of(bursts, server, at_a_time), "server_cpu_ms")
        for bursts in parts
        for at_a_time in {one["connections"] for one in bursts}
    ]
    return f"{min(values):.2f} to {max(values):.2f}"


def _of(bursts: Sequence[Result], server: str, at_a_time: int = 0) -> list[Result]:
    return [
        one for one in bursts if one["server"] == server and at_a_time in (0, one["connections"])
    ]


def _median(bursts: Sequence[Result], key: str) -> float:
    return float(np.median([one[key] for one in bursts]))


if __name__ == "__main__":
    sys.exit(main())
