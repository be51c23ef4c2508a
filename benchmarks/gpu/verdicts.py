"""The verdicts of ``validate`` on this GPU, on copies of the bundles of the stage ``made``."""

from __future__ import annotations

import shutil
import sys

from benchmarks.gpu.made import networks
from benchmarks.gpu.parity_parts import BATCHES
from benchmarks.gpu.record import Record, StageOptions, run_stage
from lrn_deploy.bundle import Bundle
from lrn_deploy.errors import LrnDeployError
from lrn_deploy.workflows.validate.options import ValidateOptions
from lrn_deploy.workflows.validate.validate import validate


def stage(options: StageOptions) -> int:
    """Validate both bundles; the failed checks are kept whole, of the others their number."""
    record = Record(options, "verdicts")
    devices = ("cpu",) if options.dry else ("cuda",)
    failed, verdicts = [], []
    ran: set[tuple[str, str]] = set()
    for name in networks(options):
        copy = options.work / "validated" / name
        shutil.rmtree(copy, ignore_errors=True)
        try:
            shutil.copytree(Bundle.open(options.work / name).path, copy)
            report = validate(
                Bundle.open(copy), ValidateOptions(batches=BATCHES, devices=devices)
            ).report
        except LrnDeployError as error:
            record.add("networks", {"network": name, "reason": str(error)})
            failed.append(f"{name} was not validated: {error}")
            continue
        wrong = [check for check in report.checks if check.verdict == "fail"]
        record.add(
            "networks",
            {
                "network": name,
                "verdict": report.verdict,
                "checks": len(report.checks),
                "failed": [check.model_dump(mode="json") for check in wrong],
                "warnings": list(report.warnings),
            },
        )
        verdicts.append(f"{name} {report.verdict}")
        failed += [
            f"{name}: {artifact} on {backend} failed"
            for artifact, backend in dict.fromkeys(
                (check.artifact, check.backend) for check in wrong
            )
        ]
        ran |= {
            (name, check.artifact)
            for check in report.checks
            if check.backend.startswith("tensorrt") and check.metrics is not None
        }
    record.put("engines_run", len(ran))
    record.put("headline", ", ".join(verdicts) or "nothing was validated")
    return record.finish(failed)


if __name__ == "__main__":
    sys.exit(run_stage(stage))
