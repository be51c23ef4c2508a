"""Engines, with and without CUDA graphs, how long their first runs take, and how exact they are.

Those of the bundle, or, if ``LRN_ENGINES`` is ``forms``, those of the stage ``forms``.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from typing import Any

import numpy as np

from benchmarks.gpu.contenders import ENGINES, FORMS
from benchmarks.gpu.contenders.worker import CALLS, Candidate, Ready, answer
from benchmarks.gpu.engines import engine_names, open_engine
from benchmarks.gpu.made import BATCHES, networks
from benchmarks.gpu.record import StageOptions, run_stage
from lrn_deploy.backends.tensorrt import TensorRtSession
from lrn_deploy.bundle import Bundle
from lrn_deploy.errors import LrnDeployError
from lrn_deploy.parity.metrics import compare
from lrn_deploy.workflows.validate.checks import run_in_batches
from lrn_deploy.workflows.validate.samples import read_samples

ERROR_ON = "random"
"""The set of inputs on which the error is told."""


def engines(options: StageOptions) -> Iterator[tuple[str, str, Bundle, str]]:
    """What to call an engine, its precision, its bundle and its name there."""
    first = networks(options)[0]
    if os.environ.get(ENGINES) == FORMS:
        for path in sorted((options.work / FORMS).iterdir()):
            bundle = Bundle.open(path)
            for artifact in engine_names(bundle):
                yield f"rtx fp16, {path.name}", "fp16", bundle, artifact
        return
    bundle = Bundle.open(options.work / first)
    for artifact in engine_names(bundle):
        record = bundle.manifest.artifact(artifact).engine
        assert record is not None
        yield f"{record.flavor} {record.precision}", record.precision, bundle, artifact


def prepare(options: StageOptions, stack: ExitStack) -> Ready:
    """Every engine at every batch size."""
    ready = Ready()
    rng = np.random.default_rng(0)
    sessions: dict[str, tuple[str, TensorRtSession, tuple[int, int, int]]] = {}
    for name, precision, bundle, artifact in engines(options):
        record = bundle.manifest.artifact(artifact).engine
        assert record is not None
        try:
            facts, session = open_first(bundle, artifact, options, stack)
        except LrnDeployError as error:
            ready.not_run[name] = str(error)
            continue
        ready.facts[name] = facts
        sessions[name] = (precision, session, record.batch)
    for batch in BATCHES:
        for name, (precision, session, (low, _, high)) in sessions.items():
            if not low <= batch <= high:
                continue
            (spec,) = session.inputs
            feeds = {spec.name: rng.normal(size=spec.at_batch(batch)).astype(spec.dtype)}
            for graphs in (True, False):
                label = f"{name}, CUDA graph" if graphs else name
                make = partial(candidate, label, precision, session, feeds, graphs)
                ready.add(label, batch, make)
    return ready


def open_first(
    bundle: Bundle, artifact: str, options: StageOptions, stack: ExitStack
) -> tuple[dict[str, Any], TensorRtSession]:
    """An engine's session, and how long its first runs took and how exact it is."""
    sample = next(item for item in read_samples(bundle) if item.name == ERROR_ON)
    record = bundle.manifest.artifact(artifact).engine
    assert record is not None
    one = {name: rows[:1] for name, rows in sample.feeds.items()}
    facts: dict[str, Any] = {"first, nothing cached": first_run(bundle, artifact, one, options)}
    if os.environ.get(ENGINES) != FORMS:
        facts["first, kernels cached"] = first_run(bundle, artifact, one, options)
    session = stack.enter_context(open_engine(bundle, artifact, dry=options.dry))
    ((name, expected),) = sample.outputs.items()
    found = run_in_batches(session, sample.feeds, min(record.batch[2], sample.rows))[name]
    facts["error_against_pytorch_fp32"] = compare(found, expected).relative_l2
    session.run(one)
    facts["layers_ms"] = session.profile_layers(1)
    facts["bytes"] = bundle.manifest.artifact(artifact).size
    return facts, session


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
