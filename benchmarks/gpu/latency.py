"""How long a run takes on the device, beside the other ways to run the same network there.

Every contender is a process; the candidates of all of them take turns, batch by batch. ``device``
is the time between two events on the contender's stream with 20 runs between them, ``end to end``
that from arrays in host memory to arrays in host memory by the host's clock. The floor of a batch
of one is the time to read the weights once at the bandwidth of a copy on the same device, which is
timed in turn with the rest.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from contextlib import ExitStack
from typing import Any

from benchmarks.gpu.contenders import COMPILED, COMPILED_KINDS, ENGINES, FORMS, GRAPHS
from benchmarks.gpu.contenders.device import COPIED
from benchmarks.gpu.contenders.worker import CALLS, PREPARE_SECONDS, Contender, What
from benchmarks.gpu.made import BATCHES, networks
from benchmarks.gpu.record import Record, StageOptions, run_stage
from benchmarks.harness import spread
from lrn_deploy.bundle import Bundle

ROUNDS, WARMUP, DRY_ROUNDS = 20, 3, 1
END_TO_END_ROUNDS = 10
PATIENCE = 30.0
"""Seconds beyond the contenders' own limit in which one must say that it is ready."""
COPY = "copy of 1 GiB"
OURS = "rtx "
"""How the names of our engines begin; ``tensorrt `` is the other TensorRT's."""
OUR_WORK = ("fused", "LRN by")
"""In the names of those that run our kernels or our form of LRN elsewhere: no peers."""
FLOOR_TARGET = 2.0
"""An fp16 engine at a batch of one may take so many times as long as reading its weights."""

Key = tuple[Contender, str, int]


def stage(options: StageOptions) -> int:
    """Start the contenders, let them take turns, and tell what is fast."""
    record = Record(options, "latency")
    record.put("clocks_before", clocks())
    record.put("calls_between_events", CALLS)
    with ExitStack() as stack:
        contenders = start(options, stack)
        until = time.monotonic() + PREPARE_SECONDS + PATIENCE
        for contender in contenders:
            contender.wait_ready(until)
            record.put("not_run", collect(contenders, "not_run"))
            record.put("facts", collect(contenders, "facts"))
        rounds = DRY_ROUNDS if options.dry else ROUNDS
        for batch in BATCHES:
            record.add("device", measure(contenders, batch, "device", rounds))
            record.put("clocks_after", clocks())
        for batch in BATCHES:
            some = min(rounds, END_TO_END_ROUNDS)
            record.add("end_to_end", measure(contenders, batch, "end to end", some))
        for contender in contenders:
            if contender.trouble:
                record.add("troubles", contender.trouble)
    rows = record.content["device"]
    engines = {name for row in rows for name in row["medians_s"] if name.startswith(_ENGINES)}
    record.put("engines_run", len(engines))
    found = findings(rows, weight_bytes(options))
    record.put("findings", found)
    failed = [] if any(row["medians_s"] for row in rows) else ["nothing could be timed"]
    if not engines:
        failed.append("no engine was timed")
    record.put("headline", headline(rows, found))
    return record.finish(failed)


_ENGINES = (OURS, "tensorrt ")


def start(options: StageOptions, stack: ExitStack) -> list[Contender]:
    """Every contender's process, which ends with ``stack``; kernels are compiled anew."""
    cache = options.work / "compiled-kernels"
    shutil.rmtree(cache, ignore_errors=True)
    arguments = ["--out", str(options.out), "--work", str(options.work)]
    arguments += ["--dry"] if options.dry else []
    kinds = COMPILED_KINDS[:1] if options.dry else COMPILED_KINDS
    asked: list[tuple[str, dict[str, str]]] = [
        ("tensorrt", {"XDG_CACHE_HOME": str(cache)}),
        ("tensorrt", {"XDG_CACHE_HOME": str(cache / "forms"), ENGINES: FORMS}),
        ("onnxruntime", {}),
        ("onnxruntime", {GRAPHS: FORMS}),
        ("torch", {}),
        *(("compiled", {COMPILED: kind, "TORCHINDUCTOR_COMPILE_THREADS": "3"}) for kind in kinds),
    ]
    contenders = []
    for module, env in asked:
        contender = Contender(module, arguments, env)
        stack.callback(contender.close)
        contenders.append(contender)
    return contenders


def measure(contenders: list[Contender], batch: int, what: What, rounds: int) -> dict[str, Any]:
    """Samples in seconds of every candidate at one batch size, in turns whose order rotates."""
    keys: list[Key] = [
        (contender, item["name"], item["batch"])
        for contender in contenders
        for item in contender.ready.get("ready", [])
        if item["batch"] in (batch, 0) and (what == "device" or item["end_to_end"])
    ]
    samples: dict[str, list[float]] = {name: [] for _, name, _ in keys}
    warmup = min(WARMUP, rounds)
    for turn in range(warmup + rounds):
        at = turn % max(1, len(keys))
        for contender, name, size in keys[at:] + keys[:at]:
            seconds = contender.ask(name, size, what)
            if seconds is not None and turn >= warmup:
                samples[name].append(seconds)
    whole = {name: values for name, values in samples.items() if len(values) == rounds}
    return {
        "batch": batch,
        "medians_s": {name: spread(values)["median"] for name, values in whole.items()},
        "samples_s": samples,
    }


def findings(rows: list[dict[str, Any]], weights: dict[str, int]) -> list[dict[str, Any]]:
    """What was asked of our engines, and whether it is so: figures, not failures.

    Args:
        rows: One for each batch size, with ``medians_s``.
        weights: Bytes of each precision's graph.
    """
    found = []
    for row in rows:
        medians = dict(row["medians_s"])
        copy = medians.pop(COPY, None)
        ours = {name: value for name, value in medians.items() if name.startswith(_ENGINES)}
        peers = {
            name: value
            for name, value in medians.items()
            if name not in ours and not any(mark in name for mark in OUR_WORK)
        }
        fp16 = {name: value for name, value in ours.items() if " fp16" in name}
        if not fp16:
            continue
        best = min(fp16, key=fp16.__getitem__)
        if row["batch"] == 1 and copy is not None and "fp16" in weights:
            floor = weights["fp16"] / (2 * COPIED / copy)
            times = fp16[best] / floor
            found.append(
                {
                    "asked": f"fp16 at batch 1 within {FLOOR_TARGET:g} times reading its weights",
                    "ours": best,
                    "floor_s": floor,
                    "times": times,
                    "met": times <= FLOOR_TARGET,
                }
            )
        if peers:
            peer = min(peers, key=peers.__getitem__)
            found.append(
                {
                    "asked": f"batch {row['batch']}: fp16 ahead of every peer",
                    "ours": best,
                    "peer": peer,
                    "times": peers[peer] / fp16[best],
                    "met": fp16[best] < peers[peer],
                }
            )
    return found


def headline(rows: list[dict[str, Any]], found: list[dict[str, Any]]) -> str:
    """The figures that matter most, in one line."""
    first = rows[0]["medians_s"] if rows else {}
    best = sorted((value, name) for name, value in first.items() if name != COPY)[:2]
    fastest = "; ".join(f"{name} {1e6 * value:.0f} us" for value, name in best)
    met = sum(bool(item["met"]) for item in found)
    return f"batch 1: {fastest or 'nothing'}; {met} of {len(found)} aims met"


def weight_bytes(options: StageOptions) -> dict[str, int]:
    """Bytes of the weights that a run must read, by precision."""
    artifacts = Bundle.open(options.work / networks(options)[0]).manifest.artifacts
    names = {"fp32": "model", "fp16": "cuda-fp16"}
    return {key: artifacts[name].size for key, name in names.items() if name in artifacts}


def collect(contenders: list[Contender], key: str) -> dict[str, Any]:
    """What the contenders tell under ``key``, together."""
    return {name: value for one in contenders for name, value in one.ready.get(key, {}).items()}


def clocks() -> str:
    """What nvidia-smi tells of clocks, temperature and power; empty without it."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return ""
    fields = "clocks.sm,clocks.max.sm,clocks.mem,temperature.gpu,power.draw"
    try:
        done = subprocess.run(
            [program, f"--query-gpu={fields}", "--format=csv,noheader"],
            capture_output=True,
            text=True,
            timeout=20,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return f"{fields}: {done.stdout.strip()}"


if __name__ == "__main__":
    sys.exit(run_stage(stage))
