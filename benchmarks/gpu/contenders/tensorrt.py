"""The engines of the bundle, with and without CUDA graphs, and how long their first runs take."""

from __future__ import annotations

import sys
import time
from contextlib import ExitStack
from functools import partial
from typing import Any

import numpy as np

from benchmarks.gpu.contenders.worker import CALLS, Candidate, Ready, answer
from benchmarks.gpu.engines import engine_names, open_engine
from benchmarks.gpu.made import BATCHES, networks
from benchmarks.gpu.record import StageOptions, run_stage
from lrn_deploy.backends.tensorrt import TensorRtSession
from lrn_deploy.bundle import Bundle
from lrn_deploy.errors import LrnDeployError


def prepare(options: StageOptions, stack: ExitStack) -> Ready:
    """Every engine at every batch size."""
    ready = Ready()
    bundle = Bundle.open(options.work / networks(options)[0])
    (spec,) = bundle.manifest.inputs
    rng = np.random.default_rng(0)
    feeds = {
        batch: {spec.name: rng.normal(size=spec.at_batch(batch)).astype(spec.dtype)}
        for batch in BATCHES
    }
    sessions: dict[str, TensorRtSession] = {}
    for artifact in engine_names(bundle):
        record = bundle.manifest.artifact(artifact).engine
        assert record is not None
        name = f"{record.flavor} {record.precision}"
        try:
            ready.facts[name] = {
                "first, nothing cached": first_run(bundle, artifact, feeds[1], options),
                "first, kernels cached": first_run(bundle, artifact, feeds[1], options),
            }
            session = stack.enter_context(open_engine(bundle, artifact, dry=options.dry))
            session.run(feeds[1])
            ready.facts[name]["layers_ms"] = session.profile_layers(1)
        except LrnDeployError as error:
            ready.not_run[name] = str(error)
        else:
            sessions[name] = session
    for batch in BATCHES:
        for name, session in sessions.items():
            for graphs in (True, False):
                label = f"{name}, CUDA graph" if graphs else name
                precision = name.split()[1]
                make = partial(candidate, label, precision, session, feeds[batch], graphs)
                ready.add(label, batch, make)
    return ready


def candidate(
    name: str, precision: str, session: TensorRtSession, feeds: dict[str, Any], graphs: bool
) -> Candidate:
    """An engine at one batch size."""
    batch = len(next(iter(feeds.values())))
    session.run(feeds)
    timed = partial(session.time_on_device, batch, CALLS, graphs=graphs)
    return Candidate(name, precision, batch, timed, partial(session.run, feeds) if graphs else None)


def first_run(
    bundle: Bundle, artifact: str, feeds: dict[str, Any], options: StageOptions
) -> dict[str, float]:
    """Seconds to load an engine and to run it for the first time."""
    start = time.perf_counter()
    with open_engine(bundle, artifact, dry=options.dry) as session:
        loaded = time.perf_counter()
        session.run(feeds)
        return {"load_s": loaded - start, "run_s": time.perf_counter() - loaded}


def main(options: StageOptions) -> int:
    """Keep the engines open while questions are answered."""
    with ExitStack() as stack:
        return answer(lambda given: prepare(given, stack), options)


if __name__ == "__main__":
    sys.exit(run_stage(main))
