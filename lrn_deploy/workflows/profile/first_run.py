"""What the first answer costs: an artifact is loaded and run in a process of its own.

Only a fresh process shows what importing a runtime costs and how much memory one artifact takes,
and a runtime that dies on an artifact takes no more than that process with it. The child is
``python -m lrn_deploy.workflows.profile.first_run``; it reads its task as JSON from stdin.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from lrn_deploy.backends.protocol import Backend
from lrn_deploy.bundle import Bundle
from lrn_deploy.errors import LrnDeployError
from lrn_deploy.latency.machine import peak_memory
from lrn_deploy.latency.schema import FirstRun

TIMEOUT = 600.0
"""Seconds after which a first run is given up."""


def measure_first_run(
    bundle: Path, artifact: str, backend: Backend, *, threads: int, largest: int
) -> FirstRun:
    """Load and run an artifact in a new process; what goes wrong there is the result's error.

    Args:
        bundle: The bundle's folder.
        artifact: The artifact's name.
        backend: On what to run it.
        threads: Threads of one run; 0 lets the runtime choose.
        largest: Batch of the second run, which the peak memory includes.
    """
    task = {
        "bundle": str(bundle),
        "artifact": artifact,
        "backend": backend.name,
        "device": backend.device,
        "threads": threads,
        "largest": largest,
    }
    try:
        child = subprocess.run(
            [sys.executable, "-m", "lrn_deploy.workflows.profile.first_run"],
            input=json.dumps(task),
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return FirstRun(error=f"it took longer than {TIMEOUT:.0f} s")
    if child.returncode != 0:
        last = child.stderr.strip().splitlines()[-1:] or ["it said nothing"]
        return FirstRun(error=f"the process ended with {child.returncode}: {last[0]}")
    return FirstRun.model_validate_json(child.stdout.strip().splitlines()[-1])


def run_task(task: dict[str, Any]) -> FirstRun:
    """What the child does: load, run a batch of 1, run the largest batch, and tell the cost."""
    from lrn_deploy.backends.registry import artifact_backends
    from lrn_deploy.parity.inputs import random_set
    from lrn_deploy.workflows.validate.checks import fitting_batches

    bundle = Bundle.open(Path(task["bundle"]))
    name = task["artifact"]
    backend = next(
        candidate
        for candidate in artifact_backends([task["device"]], threads=task["threads"])
        if candidate.name == task["backend"]
    )
    try:
        base = peak_memory()
        data = bundle.load(name)
        started = time.perf_counter()
        with backend.load(data) as session:
            loaded = time.perf_counter()
            del data
            artifact = bundle.manifest.artifact(name)
            batches = fitting_batches(artifact, session, sorted({1, task["largest"]}))
            values = {spec.name: spec.values for spec in bundle.manifest.inputs}
            specs = [
                spec.model_copy(update={"values": values.get(spec.name)}) for spec in session.inputs
            ]
            feeds = random_set(specs, None, max(batches)).feeds
            took = []
            for batch in batches:
                rows = {key: value[:batch] for key, value in feeds.items()}
                before = time.perf_counter()
                session.run(rows)
                took.append(time.perf_counter() - before)
    except LrnDeployError as error:
        return FirstRun(error=error.message)
    return FirstRun(
        load=loaded - started, first=took[0], peak_memory=peak_memory(), base_memory=base
    )


if __name__ == "__main__":
    # Runtimes print what they like to stdout; the answer is the last line.
    answer = run_task(json.load(sys.stdin))
    sys.stdout.write("\n" + answer.model_dump_json() + "\n")
