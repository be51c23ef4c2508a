"""How far ONNX Runtime is from PyTorch for every network of the zoo, as validate measures it."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from benchmarks.harness import write_result
from lrn_deploy.export import ExportOptions, export_bundle
from lrn_deploy.models import ZOO
from lrn_deploy.parity.schema import Check, ParityReport
from lrn_deploy.workflows.validate.validate import validate


def main() -> None:
    """Measure, print and write ``results/zoo_parity.json``."""
    networks = {name: measure(name) for name in ZOO}
    file = write_result(
        "zoo_parity",
        {
            "what": "relative L2 error of ONNX Runtime on the CPU against PyTorch, fp32: the worst "
            "over batch sizes, by kind of inputs; verdicts of the LRN layers alone",
            "networks": networks,
        },
    )
    for name, row in networks.items():
        worst = ", ".join(f"{kind} {value:.1e}" for kind, value in row["relative_l2"].items())
        print(f"{name:<20} {row['verdict']}: {worst}; nodes {row['nodes']}")
    print(f"wrote {file.relative_to(Path.cwd()) if file.is_relative_to(Path.cwd()) else file}")


def measure(name: str) -> dict[str, Any]:
    """Export and validate one network."""
    with tempfile.TemporaryDirectory() as folder:
        bundle = export_bundle(ExportOptions(name), Path(folder) / name)
        report = validate(bundle).report
        checks = [check for check in report.checks if check.backend == "onnxruntime:cpu"]
        return {
            "verdict": report.verdict,
            "nodes": _nodes(bundle.path / "model.onnx"),
            "relative_l2": _worst(checks),
            "lrn_alone": {
                verdict: sum(c.kind == "probe" and c.verdict == verdict for c in checks)
                for verdict in ("pass", "limited", "fail")
            },
            "seconds": report.seconds,
            "checks": _raw(report),
        }


def _nodes(model: Path) -> int:
    import onnx

    return len(onnx.load(model).graph.node)


def _worst(checks: list[Check]) -> dict[str, float]:
    worst: dict[str, float] = {}
    for check in checks:
        if check.kind == "outputs" and check.metrics is not None:
            error = check.metrics.relative_l2
            worst[check.inputs] = max(error, worst.get(check.inputs, 0.0))
    return worst


def _raw(report: ParityReport) -> list[dict[str, Any]]:
    """Every check that ran, without what is the same for all."""
    fields = {"kind", "backend", "subject", "inputs", "batch", "metrics", "verdict"}
    return [
        check.model_dump(mode="json", include=fields)
        for check in report.checks
        if check.artifact and check.metrics is not None
    ]


if __name__ == "__main__":
    main()
