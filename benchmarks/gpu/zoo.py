"""On a GPU: every network of the zoo in every precision, on TensorRT and ONNX Runtime CUDA.

For each network and precision: export, make the variants for CUDA and TensorRT, build the engine
for this GPU, and let ``validate`` compare all of them with PyTorch at batch 1, 3 and the maximum.
Then every LRN of the zoo alone on TensorRT, at all amplitudes, against float64. What fails is a row
with its reason. It takes a quarter of an hour and more, so it runs only when it is asked for.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.gpu.lrn_alone import check_lrn, on_cpu, on_tensorrt
from benchmarks.gpu.made import DRY_TARGET, make_network
from benchmarks.gpu.record import Record, StageOptions, run_stage
from lrn_deploy.bundle import Bundle
from lrn_deploy.errors import LrnDeployError
from lrn_deploy.models import ZOO
from lrn_deploy.precision import EnginePrecision
from lrn_deploy.tensorrt.targets import CURRENT
from lrn_deploy.workflows.validate.options import ValidateOptions
from lrn_deploy.workflows.validate.validate import validate

ENGINE_PRECISIONS: tuple[EnginePrecision, ...] = ("fp32", "tf32", "fp16", "bf16", "int8")
BATCHES = (1, 3, 32)


def stage(options: StageOptions) -> int:
    """Check every network and every LRN; a network that cannot be made costs only itself."""
    record = Record(options, "zoo")
    failed = []
    ran: set[tuple[str, str]] = set()
    for name in ("digits",) if options.dry else tuple(ZOO):
        try:
            if options.dry:
                row = check_network(name, targets=(DRY_TARGET,), devices=("cpu",), batches=(1, 3))
            else:
                row = check_network(name)
        except LrnDeployError as error:
            row = {"verdict": "fail", "not_made": [str(error)], "checks": []}
        record.add("networks", {"network": name} | row)
        failed += [f"{name}: {reason}" for reason in row["not_made"]]
        if row["verdict"] == "fail":
            failed.append(f"{name} is not what PyTorch computes")
        ran |= {
            (name, check["artifact"])
            for check in row["checks"]
            if check["backend"].startswith("tensorrt") and check["metrics"]
        }
    load = on_cpu if options.dry else on_tensorrt
    for spec in sorted({spec for entry in ZOO.values() for spec in entry.lrn}, key=str):
        probe = check_lrn(spec, load)
        record.add("lrn_alone", probe)
        if probe["verdict"] == "fail":
            failed.append(f"{spec} alone is not its definition")
    record.put("engines_run", len(ran))
    return record.finish(failed)


def check_network(
    name: str,
    *,
    precisions: tuple[EnginePrecision, ...] = ENGINE_PRECISIONS,
    targets: tuple[str, ...] = (CURRENT,),
    devices: tuple[str, ...] | None = None,
    batches: tuple[int, ...] = BATCHES,
) -> dict[str, Any]:
    """One network on every backend: the verdict, what could not be made, and every check."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        batch = (1, min(8, max(batches)), max(batches))
        _, not_made = make_network(name, path, precisions=precisions, targets=targets, batch=batch)
        report = validate(
            Bundle.open(path), ValidateOptions(batches=batches, devices=devices)
        ).report
    return {
        "verdict": report.verdict,
        "not_made": not_made,
        "checks": [check.model_dump(mode="json") for check in report.checks],
    }


if __name__ == "__main__":
    sys.exit(run_stage(stage))
