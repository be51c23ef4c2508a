"""On a GPU: every network of the zoo in every precision, on TensorRT and ONNX Runtime CUDA.

For each network and precision: export, make the variants for CUDA and TensorRT, build the engine
for this GPU, and let ``validate`` compare all of them with PyTorch at batch 1, 3 and the maximum.
Then every LRN of the zoo alone on TensorRT, at all amplitudes, against float64. What fails is a row
with its reason; the raw checks go into ``results/gpu/parity.json``.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import onnx

from benchmarks.harness import write_result
from lrn_deploy.backends.tensorrt import TensorRtBackend
from lrn_deploy.bundle import (
    MANIFEST,
    Artifact,
    Bundle,
    LrnLayer,
    Manifest,
    ModelSource,
    TensorSpec,
    Weights,
    dump,
    new_bundle,
    sha256,
    write_atomic,
)
from lrn_deploy.errors import CHECK_FAILED, DONE, LrnDeployError
from lrn_deploy.export import ExportRequest, export_bundle
from lrn_deploy.models import ZOO
from lrn_deploy.parity import graph
from lrn_deploy.parity.budgets import Budgets
from lrn_deploy.parity.probe import Runner, probe_layer
from lrn_deploy.workflows.build_engine import EngineRequest, Precision, build_bundle_engine
from lrn_deploy.workflows.optimize import optimize
from lrn_deploy.workflows.options import ValidateOptions
from lrn_deploy.workflows.precisions import PRECISIONS
from lrn_deploy.workflows.validate import validate

ENGINE_PRECISIONS: tuple[Precision, ...] = ("fp32", "tf32", "fp16", "bf16", "int8")
BATCHES = (1, 3, 32)
PROBE_ROWS = 64
"""Largest batch of a probe's engine; a probe feeds two rows for each amplitude."""
PROBE_SIDE = 3
TARGETS = ("current",)


def main() -> int:
    """Measure everything and write the result; returns 1 if a check failed."""
    networks = {name: check_network(name) for name in ZOO}
    specs = sorted({spec for entry in ZOO.values() for spec in entry.lrn}, key=str)
    probes = [
        check_lrn(LrnLayer(name="lrn", spec=spec, form="kept", input="x", output="y", shape=SHAPE))
        for spec in specs
    ]
    write_result("gpu/parity", {"batches": BATCHES, "networks": networks, "lrn_alone": probes})
    verdicts = [row["verdict"] for row in [*networks.values(), *probes]]
    for name, row in networks.items():
        print(f"{name:<20} {row['verdict']} {'; '.join(row['not_made'])}")
    return CHECK_FAILED if "fail" in verdicts else DONE


def check_network(
    name: str,
    *,
    precisions: tuple[Precision, ...] = ENGINE_PRECISIONS,
    targets: tuple[str, ...] = TARGETS,
    devices: tuple[str, ...] | None = None,
    batches: tuple[int, ...] = BATCHES,
) -> dict[str, Any]:
    """One network on every backend: the verdict, what could not be made, and every check."""
    not_made: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        bundle = export_bundle(ExportRequest(name), Path(folder) / name)
        for precision in PRECISIONS["cuda"]:
            bundle = optimize(bundle, target="cuda", precision=precision)
        for precision in precisions:
            request = EngineRequest(
                precision=precision, targets=targets, batch=(1, min(8, max(batches)), max(batches))
            )
            try:
                bundle = build_bundle_engine(bundle, request).bundle
            except LrnDeployError as error:
                not_made.append(f"{precision} engine: {error}")
        report = validate(bundle, ValidateOptions(batches=batches, devices=devices))
    return {
        "verdict": report.verdict,
        "not_made": not_made,
        "checks": [check.model_dump(mode="json") for check in report.checks],
    }


SHAPE = ("batch", 32, PROBE_SIDE, PROBE_SIDE)


def check_lrn(layer: LrnLayer) -> dict[str, Any]:
    """One LRN alone on TensorRT at all amplitudes."""
    budget = Budgets().budget("fp32", "probe")
    assert budget is not None
    row: dict[str, Any] = {"spec": str(layer.spec)}
    try:
        results = probe_layer(graph.single_lrn(layer.spec), layer, on_tensorrt, budget)
    except LrnDeployError as error:
        return row | {"verdict": "skipped", "reason": str(error), "amplitudes": []}
    failed = any(result.verdict == "fail" for result in results)
    amplitudes = [
        {
            "amplitude": result.amplitude,
            "verdict": result.verdict,
            "metrics": result.metrics.model_dump(mode="json") if result.metrics else None,
        }
        for result in results
    ]
    return row | {"verdict": "fail" if failed else "pass", "amplitudes": amplitudes}


@contextmanager
def on_tensorrt(data: bytes) -> Iterator[Runner]:
    """Run a probe's graph as an engine built for this GPU."""
    with tempfile.TemporaryDirectory() as folder:
        bundle = probe_bundle(data, Path(folder) / "probe")
        request = EngineRequest(targets=TARGETS, batch=(1, 8, PROBE_ROWS))
        built = build_bundle_engine(bundle, request)
        with TensorRtBackend().load(built.bundle.load(built.name)) as session:
            yield session


def probe_bundle(data: bytes, path: Path) -> Bundle:
    """A bundle that holds a probe's graph, with its free axes fixed but for the batch."""
    model = onnx.load_from_string(data)
    for value in (*model.graph.input, *model.graph.output):
        for axis, size in zip(value.type.tensor_type.shape.dim, SHAPE, strict=True):
            if isinstance(size, int):
                axis.dim_value = size
    data = model.SerializeToString()
    artifact = Artifact(file="model.onnx", sha256=sha256(data), size=len(data), format="onnx")
    x, y = (
        TensorSpec(name=values[0].name, dtype="float32", shape=SHAPE)
        for values in (model.graph.input, model.graph.output)
    )
    source = ModelSource(
        name="probe",
        factory="probe",
        origin="factory",
        input_shape=SHAPE[1:],
        weights=Weights(kind="factory"),
    )
    with new_bundle(path, force=False) as folder:
        write_atomic(folder / "model.onnx", data)
        manifest = Manifest(model=source, inputs=(x,), outputs=(y,), artifacts={"model": artifact})
        write_atomic(folder / MANIFEST, dump(manifest))
    return Bundle.open(path)


if __name__ == "__main__":
    sys.exit(main())
