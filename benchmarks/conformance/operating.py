"""Calls that operate a server: statistics, metrics, queue limits, load and unload."""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from typing import Any
from urllib.request import urlopen

import numpy as np
from tritonclient.utils import InferenceServerException

from benchmarks.conformance.calls import call, http_only
from benchmarks.conformance.client import Client, body_of
from benchmarks.conformance.describing import index
from benchmarks.conformance.inference import DIGITS
from benchmarks.conformance.networks import PREFERRED, QUEUE_SIZE

_REQUESTS = 3


def _statistics(client: Client) -> Any:
    told = client.plain(client.raw.get_inference_statistics, "digits", "1")
    return told["model_stats"][0]


def _counts(entry: Any) -> Counter[str]:
    counts = {key: int(entry.get(key, 0)) for key in ("inference_count", "execution_count")}
    counts |= {key: int(value.get("count", 0)) for key, value in entry["inference_stats"].items()}
    for batch in entry["batch_stats"]:
        for key in ("compute_input", "compute_infer", "compute_output"):
            counts[f"batches of {batch['batch_size']}: {key}"] = int(batch[key]["count"])
    return Counter(counts)


@call("statistics: their members, and counts after three requests of four rows")
def _statistics_row(client: Client) -> Any:
    before = _statistics(client)
    for _ in range(_REQUESTS):
        client.infer("digits", [client.tensor("input", DIGITS)])
    after = _settled(client, before)
    grown = _counts(after)
    grown.subtract(_counts(before))
    infer = after["inference_stats"]
    return {
        "members": sorted(set(after) - {"response_stats", "memory_usage"}),
        "durations": sorted(infer),
        "batches": sorted(after["batch_stats"][0]),
        "grown": dict(sorted(grown.items())),
        "times": int(after["last_inference"]) > int(before.get("last_inference", 0)) > 0,
        "adds up": int(infer["success"]["ns"])
        >= sum(int(infer[key]["ns"]) for key in ("queue", "compute_infer")),
    }


def _settled(client: Client, before: Any) -> Any:
    """The statistics once they have counted; Triton counts after it has answered."""
    for _ in range(50):
        after = _statistics(client)
        if _counts(after)["success"] - _counts(before)["success"] >= _REQUESTS:
            break
        time.sleep(0.02)
    return after


@call("statistics of all models")
def _all_statistics(client: Client) -> Any:
    told = client.plain(client.raw.get_inference_statistics)
    return sorted((one["name"], one["version"]) for one in told["model_stats"])


_METRICS = (
    "nv_inference_request_success",
    "nv_inference_count",
    "nv_inference_exec_count",
    "nv_inference_request_duration_us",
    "nv_inference_queue_duration_us",
    "nv_inference_compute_input_duration_us",
    "nv_inference_compute_infer_duration_us",
    "nv_inference_compute_output_duration_us",
    "nv_inference_pending_request_count",
    "nv_inference_request_failure",
)


@http_only("metrics: their names, labels and types, and counts after three requests")
def _metrics(client: Client) -> Any:
    before, _ = _scrape(client)
    started = _statistics(client)
    for _ in range(_REQUESTS):
        client.infer("digits", [client.tensor("input", DIGITS)])
    _settled(client, started)
    after, types = _scrape(client)
    counted = [name for name in after if "_count" in name or "success" in name]
    return {
        "types": {name: types.get(name) for name in _METRICS},
        "series": sorted(name for name in after if 'model="digits"' in name),
        "grown": {name: after[name] - before.get(name, 0) for name in sorted(counted)},
    }


def _scrape(client: Client) -> tuple[dict[str, float], dict[str, str]]:
    with urlopen(f"http://127.0.0.1:{client.server.metrics_port}/metrics") as reply:
        text = reply.read().decode()
    types = dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.M))
    series = {}
    for name, labels, value in re.findall(r"^(nv_inference_\w+)\{(.*)\} (\S+)$", text, re.M):
        if name in _METRICS and 'model="digits"' in labels:
            series[f"{name}{{{','.join(sorted(labels.split(',')))}}}"] = float(value)
    return series, types


@call("queue: a request that times out there", "time|expired")
def _timeout(client: Client) -> Any:
    return client.infer("digits", [client.tensor("input", DIGITS[:1])], timeout=20_000)


@call("queue: requests that wait for company run together")
def _together(client: Client) -> Any:
    before = _counts(_statistics(client))
    outcomes = _at_once(client, QUEUE_SIZE)
    for _ in range(50):
        grown = _counts(_statistics(client))
        grown.subtract(before)
        if grown["success"] >= QUEUE_SIZE:
            break
        time.sleep(0.02)
    return outcomes | {"executions": grown["execution_count"], "rows": grown["inference_count"]}


@call("queue: more requests than it holds")
def _full(client: Client) -> Any:
    return _at_once(client, QUEUE_SIZE + 5)


def _at_once(client: Client, many: int) -> Any:
    """Ask so many times at once, a row each; how each ended, and whether answers are right."""
    expected = client.raw.infer("digits", [client.tensor("input", DIGITS)]).as_numpy("output")
    calls: list[Any] = []
    landed: list[Any] = []
    for number in range(many):
        row = number % PREFERRED
        inputs = [client.tensor("input", DIGITS[row : row + 1])]
        if client.transport == "http":
            calls.append((row, client.raw.async_infer("digits", inputs)))
        else:
            client.raw.async_infer(
                "digits",
                inputs,
                lambda result, error, row=row: landed.append((row, result, error)),
            )
    for row, one in calls:
        try:
            landed.append((row, one.get_result(), None))
        except InferenceServerException as error:
            landed.append((row, None, error))
    until = time.monotonic() + 30
    while len(landed) < many and time.monotonic() < until:
        time.sleep(0.01)
    errors = [error for _, _, error in landed if error]
    statuses = Counter(str(error.status()).removeprefix("StatusCode.") for error in errors)
    return {
        "answered": len(landed) - len(errors),
        "refused": dict(statuses),
        "says": sorted({"Exceeds maximum queue size" in error.message() for error in errors}),
        "right": all(
            np.allclose(result.as_numpy("output")[0], expected[row], rtol=1e-5, atol=1e-4)
            for row, result, error in landed
            if error is None
        ),
    }


@call("unload: what asking then says", "picture")
def _unloaded(client: Client) -> Any:
    _unload(client)
    try:
        return client.plain(client.raw.get_model_metadata, "picture")
    finally:
        client.raw.load_model("picture")


@call("unload and load: the index, and whether it is ready")
def _load(client: Client) -> Any:
    _unload(client)
    told = [index(client), client.raw.is_model_ready("picture")]
    client.raw.load_model("picture")
    return [*told, index(client), client.raw.is_model_ready("picture")]


def _unload(client: Client) -> None:
    """Unload, and wait for it; Triton answers before it has."""
    client.raw.unload_model("picture")
    for _ in range(100):
        if "UNAVAILABLE" in {entry["state"] for entry in index(client)}:
            return
        time.sleep(0.05)
    raise RuntimeError("the model is not unloaded")


@call("load: a model that is loaded")
def _reload(client: Client) -> Any:
    client.raw.load_model("digits")
    return client.raw.is_model_ready("digits")


@call("load: an unknown model", "nothing")
def _load_unknown(client: Client) -> Any:
    client.raw.load_model("nothing")


@call("unload: an unknown model", "nothing")
def _unload_unknown(client: Client) -> Any:
    client.raw.unload_model("nothing")
    return "done"


@call("load: with a configuration of one's own")
def _override(client: Client) -> Any:
    told = client.plain(client.raw.get_model_config, "digits")
    client.raw.load_model("digits", config=json.dumps(told.get("config", told)))
    return "done"


for _path in ("systemsharedmemory/status", "cudasharedmemory/status", "trace/setting", "logging"):

    @http_only(f"not advertised: {_path}")
    def _missing(client: Client, path: str = _path) -> Any:
        reply = client.send("GET", f"/v2/{path}")
        return "answered" if reply[0] == 200 else body_of(reply)
