"""How long an import takes, and how much memory: to be run in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

STATUS = Path("/proc/self/status")
CLEAR = Path("/proc/self/clear_refs")


def main() -> None:
    """Import the files that the arguments name, and print seconds and peak memory as JSON."""
    prototxt, caffemodel, target = map(Path, sys.argv[1:])
    import lrn_deploy

    lrn_deploy.import_model  # noqa: B018 - what it imports is not the import's time
    CLEAR.write_text("5", encoding="utf-8")  # the peak begins anew
    before = _peak()
    started = time.perf_counter()
    lrn_deploy.import_model((prototxt, caffemodel), target)
    seconds = time.perf_counter() - started
    print(json.dumps({"seconds": seconds, "peak": _peak(), "peak_before": before}))


def measured(prototxt: Path, caffemodel: Path, folder: Path, *, runs: int = 5) -> dict[str, Any]:
    """Seconds and bytes of several imports, each in a new process."""
    words = [sys.executable, "-m", "benchmarks.golden.importing", str(prototxt), str(caffemodel)]
    samples = []
    for run in range(runs):
        done = subprocess.run(
            [*words, str(folder / f"run-{run}")], check=True, capture_output=True, text=True
        )
        samples.append(json.loads(done.stdout))
    size = caffemodel.stat().st_size
    risen = median(sample["peak"] - sample["peak_before"] for sample in samples)
    return {
        "caffemodel_bytes": size,
        "seconds_median": median(sample["seconds"] for sample in samples),
        "memory_risen_over_size": risen / size,
        "samples": samples,
    }


def _peak() -> int:
    """The most memory that this process has held, in bytes.

    What ``getrusage`` tells begins with the parent's.
    """
    (line,) = (line for line in STATUS.read_text().splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


if __name__ == "__main__":
    main()
