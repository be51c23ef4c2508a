"""The inference server on the GPU: ready, right under load, and its memory given back.

AlexNet behind ``lrn-server --device cuda``, which takes the fp32 engine; if that cannot be served,
the graph on ONNX Runtime in its place. Eight clients ask over HTTP; every answer is compared with
PyTorch's. Then the model is unloaded, loaded and unloaded again, and the GPU's memory is read each
time.
"""

from __future__ import annotations

import http.client
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.gpu.made import networks
from benchmarks.gpu.record import Record, StageOptions, run_stage
from benchmarks.load import drive, infer, only_right
from benchmarks.peers.ours import lrn_server
from lrn_deploy.bundle import Bundle
from lrn_deploy.workflows.validate.samples import read_samples

CLIENTS, MAX_BATCH = 8, 8
LEAST_ANSWERS, DRY_LEAST_ANSWERS = 300, CLIENTS
SECONDS, DRY_SECONDS = 4.0, 1.0
TOLERANCE = 1e-3
"""Of an answer's L2 distance from PyTorch's."""
INPUTS = "random"
SHARE = 0.8
"""Of the weights' bytes that unloading must give back at least."""


def stage(options: StageOptions) -> int:
    """Serve the engine, or else the graph."""
    record = Record(options, "server")
    path = options.work / networks(options)[0]
    tried = []
    for what in ("engine", "graph"):
        served = path if what == "engine" else without_engines(path, options.work / "served")
        try:
            row = serve(served, options)
        except RuntimeError as error:  # it did not start; the error holds what it said
            tried.append(f"the {what} could not be served: {str(error)[-600:]}")
            record.put("tried", tried)
            continue
        record.put("served", {"what": what} | row)
        failed = tried + judge(row, dry=options.dry)
        record.put("engines_run", int(row["artifact_is_engine"]))
        record.put(
            "headline",
            f"{row['artifact']}: {row['statuses'].get('200', 0)} answers, {row['wrong']} wrong, "
            f"{row['per_second']:.0f}/s, p99 {1e3 * row['p99_s']:.1f} ms",
        )
        return record.finish(failed)
    return record.finish(tried)


def without_engines(path: Path, copy: Path) -> Path:
    """A copy of a bundle that has graphs only."""
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(path, copy)
    bundle = Bundle.open(copy)
    artifacts = {
        name: item for name, item in bundle.manifest.artifacts.items() if item.engine is None
    }
    bundle.update(artifacts=artifacts)
    return copy


def serve(path: Path, options: StageOptions) -> dict[str, Any]:
    """Start the server, ask it, and see what it gives back.

    Raises:
        RuntimeError: If it does not become ready.
    """
    bundle = Bundle.open(path)
    name = bundle.manifest.model.name
    sample = next(item for item in read_samples(bundle) if item.name == INPUTS)
    ((feed, rows),) = sample.feeds.items()
    (expected,) = sample.outputs.values()
    requests = [infer(name, feed, row[None]) for row in rows]
    right = only_right(expected, TOLERANCE)
    device = "cpu" if options.dry else "cuda"
    before = gpu_memory()
    start = time.monotonic()
    with lrn_server(
        path,
        *("--device", device, "--max-batch-size", str(MAX_BATCH)),
        *("--access-log", "none", "--model-control"),
    ) as server:
        ready = time.monotonic() - start
        memory = {"before": before, "loaded": gpu_memory()}
        load = drive(
            server.http_port,
            requests,
            connections=CLIENTS,
            seconds=DRY_SECONDS if options.dry else SECONDS,
            right=right,
        )
        config = json.loads(ask(server.http_port, "GET", f"/v2/models/{name}/config"))
        for turn in ("first", "second"):
            ask(server.http_port, "POST", f"/v2/repository/models/{name}/unload")
            memory[f"unloaded, {turn}"] = gpu_memory()
            if turn == "first":
                ask(server.http_port, "POST", f"/v2/repository/models/{name}/load")
                memory["loaded again"] = gpu_memory()
    memory["ended"] = gpu_memory()
    served = next(
        key
        for key, item in bundle.manifest.artifacts.items()
        if item.file == config["default_model_filename"]
    )
    return {
        "artifact": served,
        "artifact_is_engine": bundle.manifest.artifact(served).engine is not None,
        "platform": config["platform"],
        "ready_s": ready,
        "statuses": {str(key): count for key, count in load.statuses.items()},
        "wrong": load.wrong,
        "per_second": load.per_second,
        "p50_s": load.quantile(50),
        "p99_s": load.quantile(99),
        "latencies_s": [round(value, 6) for value in load.latencies[:2000]],
        "gpu_memory_mib": memory,
        "weights_mib": bundle.manifest.artifact("model").size / 2**20,
    }


def judge(row: dict[str, Any], *, dry: bool) -> list[str]:
    """What is wrong with what was seen."""
    failed = []
    answers = row["statuses"].get("200", 0)
    least = DRY_LEAST_ANSWERS if dry else LEAST_ANSWERS
    if answers < least:
        failed.append(f"only {answers} answers, not {least}")
    if row["wrong"]:
        failed.append(f"{row['wrong']} answers are wrong")
    if len(row["statuses"]) > 1:
        failed.append(f"not only answers: {row['statuses']}")
    memory = row["gpu_memory_mib"]
    if not dry and None not in memory.values():
        freed = memory["loaded"] - memory["unloaded, first"]
        if freed < SHARE * row["weights_mib"]:
            failed.append(f"unloading gave back {freed} MiB of the GPU's memory")
        grown = memory["unloaded, second"] - memory["unloaded, first"]
        if grown > 0.1 * row["weights_mib"]:
            failed.append(f"loading and unloading again kept {grown} MiB")
    return failed


def ask(port: int, method: str, path: str) -> str:
    """The body of an answer.

    Raises:
        RuntimeError: If it is an error.
    """
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request(method, path, body=b"" if method == "POST" else None)
        reply = connection.getresponse()
        body = reply.read().decode()
        if reply.status != 200:
            raise RuntimeError(f"{method} {path} gave {reply.status}: {body}")
        return body
    finally:
        connection.close()


def gpu_memory() -> int | None:
    """MiB of the GPU's memory that are in use, by whomever; None without a GPU."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return None
    query = ["--query-gpu=memory.used", "--format=csv,noheader,nounits"]
    done = subprocess.run([program, *query], capture_output=True, text=True, timeout=30)
    first = done.stdout.split("\n")[0].strip()
    return int(first) if first.isdigit() else None


if __name__ == "__main__":
    sys.exit(run_stage(stage))
