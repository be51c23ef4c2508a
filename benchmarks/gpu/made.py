"""The networks that the later stages run: exported, with their variants, engines and inputs.

Two bundles in the work folder, AlexNet with its He-normal weights and the trained digits network:
the graph, its fp16 variant for CUDA, an engine for this GPU in each precision, and the inputs that
``validate`` takes, with the outputs of PyTorch on the CPU.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from benchmarks.gpu.record import Record, StageOptions, run_stage
from lrn_deploy.backends.torch import TorchBackend
from lrn_deploy.bundle import Bundle
from lrn_deploy.errors import LrnDeployError
from lrn_deploy.export import ExportOptions, export_bundle
from lrn_deploy.precision import TARGETS, EnginePrecision
from lrn_deploy.tensorrt.targets import CURRENT
from lrn_deploy.workflows.build_engine.build_engine import build_bundle_engine
from lrn_deploy.workflows.build_engine.options import EngineOptions
from lrn_deploy.workflows.optimize.optimize import optimize
from lrn_deploy.workflows.optimize.options import OptimizeOptions
from lrn_deploy.workflows.validate.reference import open_reference
from lrn_deploy.workflows.validate.samples import ensure_samples

NETWORKS = ("alexnet", "digits")
ENGINE_PRECISIONS: tuple[EnginePrecision, ...] = ("fp32", "tf32", "fp16", "bf16")
BATCHES = (1, 8, 32)
"""Smallest, best and largest batch of the engines, and the batches that are timed."""
DRY_TARGET = "sm86"
DRY_PRECISIONS: tuple[EnginePrecision, ...] = ("fp32", "fp16")


def stage(options: StageOptions) -> int:
    """Make both bundles at the same time; a network that fails costs only itself."""
    record = Record(options, "made")
    names = networks(options)
    with ProcessPoolExecutor(len(names), mp_context=get_context("spawn")) as pool:
        made = {name: pool.submit(make, name, options) for name in names}
        failed = []
        for name, done in made.items():
            try:
                row, not_made = done.result()
            except (LrnDeployError, BrokenExecutor) as error:
                row, not_made = {}, [str(error)]
            record.add("networks", {"network": name, "not_made": not_made} | row)
            failed += [f"{name}: {reason}" for reason in not_made]
    there = [name for name in names if (options.work / name).is_dir()]
    record.put("headline", f"bundles of {', '.join(there) or 'nothing'}")
    return record.finish(failed)


def make(name: str, options: StageOptions) -> tuple[dict[str, Any], list[str]]:
    """One network with its inputs; see :func:`make_network`."""
    done = make_network(
        name,
        options.work / name,
        precisions=DRY_PRECISIONS if options.dry else ENGINE_PRECISIONS,
        targets=targets(options),
        batch=BATCHES,
    )
    add_inputs(Bundle.open(options.work / name))
    return done


def targets(options: StageOptions) -> tuple[str, ...]:
    """What engines are built for."""
    return (DRY_TARGET,) if options.dry else (CURRENT,)


def networks(options: StageOptions) -> tuple[str, ...]:
    """The networks that are made: on a CPU AlexNet would take minutes."""
    return NETWORKS[-1:] if options.dry else NETWORKS


def make_network(
    name: str,
    path: Path,
    *,
    precisions: Sequence[EnginePrecision],
    targets: tuple[str, ...],
    batch: tuple[int, int, int],
) -> tuple[dict[str, Any], list[str]]:
    """Export a network of the zoo, with its variants for CUDA and its engines.

    Args:
        name: The network.
        path: Where its bundle goes; what is there is replaced.
        precisions: Of the engines.
        targets: What they are built for.
        batch: Their smallest, best and largest batch.

    Returns:
        What was made, with the seconds that it took, and why other engines could not be made.

    Raises:
        LrnDeployError: If the network cannot be exported.
    """
    start = time.perf_counter()
    bundle = export_bundle(ExportOptions(name), path, force=True)
    for precision in TARGETS["cuda"]:
        bundle = optimize(bundle, OptimizeOptions(target="cuda", precision=precision)).bundle
    row: dict[str, Any] = {"export_seconds": round(time.perf_counter() - start, 2)}
    not_made = []
    for precision in precisions:
        # An engine that computes in another precision than asked for is kept, and told.
        request = EngineOptions(
            precision=precision, targets=targets, batch=batch, allow_other_types=True
        )
        try:
            bundle = build_bundle_engine(bundle, request).bundle
        except LrnDeployError as error:
            not_made.append(f"{precision} engine: {error}")
    row["artifacts"] = {
        name: {
            "format": artifact.format,
            "precision": artifact.precision,
            "bytes": artifact.size,
            "engine": artifact.engine and artifact.engine.model_dump(mode="json"),
        }
        for name, artifact in bundle.manifest.artifacts.items()
    }
    return row, not_made


def add_inputs(bundle: Bundle) -> None:
    """Store the inputs that are checked, with the outputs of PyTorch in fp32 on the CPU."""
    with open_reference(bundle.manifest, TorchBackend()) as session:
        ensure_samples(bundle, session, images=None, rows=max(BATCHES))


if __name__ == "__main__":
    sys.exit(run_stage(stage))
