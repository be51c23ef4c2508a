"""Three ways to the same numbers: PyTorch, ONNX Runtime and TensorRT against float64 on the GPU.

The truth is each network in float64. Every side is a process of its own, so a runtime that
crashes costs its own rows only. On inputs that a network is made for, fp32 may be off by a relative
L2 of 1e-5, lower precisions by their budget; where LRN is made to act, and on extreme inputs, the
budgets' table binds. PyTorch's own precisions are told and not judged: they are not ours.
"""

from __future__ import annotations

import subprocess
import sys
from itertools import combinations
from pathlib import Path
from typing import Any

from safetensors.numpy import load_file

from benchmarks.gpu.files import read_json
from benchmarks.gpu.made import networks
from benchmarks.gpu.parity_parts import PARTS
from benchmarks.gpu.record import Record, StageOptions, run_stage
from lrn_deploy.parity.metrics import compare

SECONDS = {"torch": 60, "onnxruntime": 60, "tensorrt": 90, "probes": 60}
FULL = {"torch": "fp32", "onnxruntime": "model", "tensorrt": "-fp32-"}
"""What is fp32 on each side: a part of its rows' names."""
ORDINARY = "random"
"""The set of inputs on which the sides are compared with each other."""


def stage(options: StageOptions) -> int:
    """Run the sides, the truth first, then put together what they found."""
    record = Record(options, "parity")
    failed = run_parts(options, ["torch"])
    failed += run_parts(options, [name for name in PARTS if name != "torch"])
    rows = {name: read_rows(options.work / "parity" / f"{name}.json") for name in PARTS}
    for name, found in rows.items():
        record.put(name, found)
        if not found:
            failed.append(f"{name} found nothing")
    sides = [row for name in networks(options) for row in side_by_side(options, name)]
    record.put("side_by_side", sides)
    failed += judge(rows)
    engines = {
        (row["network"], row["what"])
        for row in rows["tensorrt"]
        if row.get("check", {}).get("metrics")
    }
    record.put("engines_run", len(engines))
    worst = worst_by_precision(rows["tensorrt"])
    said = ", ".join(f"{precision} {error:.1e}" for precision, error in worst.items())
    record.put("headline", f"{len(engines)} engines, worst on ordinary inputs: {said or 'none'}")
    return record.finish(failed)


def run_parts(options: StageOptions, names: list[str]) -> list[str]:
    """Run parts side by side; why some did not end well, a sentence each."""
    arguments = ["--out", str(options.out), "--work", str(options.work)]
    arguments += ["--dry"] if options.dry else []
    processes = {
        name: subprocess.Popen(
            [sys.executable, "-m", "benchmarks.gpu.parity_parts", name, *arguments]
        )
        for name in names
    }
    failed = []
    for name, process in processes.items():
        try:
            code = process.wait(SECONDS[name])
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            failed.append(f"{name} was killed after {SECONDS[name]} s")
            continue
        if code:
            failed.append(f"{name} ended with {code}")
    return failed


def read_rows(file: Path) -> list[dict[str, Any]]:
    """What a part has written."""
    return list(read_json(file).get("rows", []))


def judge(rows: dict[str, list[dict[str, Any]]]) -> list[str]:
    """What is wrong: a side of ours over its limit, or that did not run."""
    failed = []
    for name in ("onnxruntime", "tensorrt"):
        for row in rows[name]:
            check = row.get("check")
            where = f"{row['network']} {row['what']}"
            if "reason" in row:
                failed.append(f"{where} did not run: {row['reason']}")
            elif check and check["verdict"] == "fail":
                error = check["metrics"] and f"{check['metrics']['relative_l2']}"
                failed.append(
                    f"{where} on {check['inputs']}, batch {check['batch']}: "
                    f"{check['reason']} ({error})"
                )
    for row in rows["probes"]:
        if row["verdict"] != "pass":
            failed.append(f"{row['spec']} alone, {row['what']}: {row['verdict']}")
    return failed


def side_by_side(options: StageOptions, network: str) -> list[dict[str, Any]]:
    """How far the sides' fp32 outputs are from float64 and from each other."""
    folder = options.work / "parity"
    outputs = {}
    for side, mark in FULL.items():
        for file in sorted(folder.glob(f"{network}.{side}.*.safetensors")):
            if mark in file.name.split(".", 2)[2] and "fused" not in file.name:
                outputs[side] = load_file(file)
                break
    truth = folder / f"{network}.safetensors"
    if truth.is_file():
        outputs["float64"] = load_file(truth)
    found = []
    for one, other in combinations(outputs, 2):
        for key in sorted(outputs[one].keys() & outputs[other].keys()):
            if key.startswith(ORDINARY):
                metrics = compare(outputs[one][key], outputs[other][key])
                row = {"network": network, "one": one, "other": other, "inputs": key}
                found.append(row | {"metrics": metrics.model_dump(mode="json")})
    return found


def worst_by_precision(rows: list[dict[str, Any]]) -> dict[str, float]:
    """The largest relative L2 error of each precision on what the networks are made for."""
    worst: dict[str, float] = {}
    for row in rows:
        check = row.get("check")
        if check and check["metrics"] and not check["inputs"].startswith(("active", "extreme")):
            error = float(check["metrics"]["relative_l2"])
            worst[row["precision"]] = max(error, worst.get(row["precision"], 0.0))
    return worst


if __name__ == "__main__":
    sys.exit(run_stage(stage))
