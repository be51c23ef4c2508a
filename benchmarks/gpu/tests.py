"""The tests that need a GPU, by pytest, in the files that have any.

Only these files are named: collecting all of the suite would import what a bare machine lacks.
"""

from __future__ import annotations

import os
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

from benchmarks.gpu.record import Record, StageOptions, run_stage

ROOT = Path(__file__).parent.parent.parent
FILES = (
    "tests/unit/backends/test_tensorrt.py",
    "tests/unit/backends/test_torch.py",
    "tests/integration/test_gpu_benchmark.py",
    "tests/integration/test_plugins_gpu.py",
)
# The options of pyproject.toml name plugins that this interpreter may lack.
PYTEST = ("-m", "pytest", "-m", "gpu", "-ra", "-o", "addopts=--import-mode=importlib")


def stage(options: StageOptions) -> int:
    """Run them; skipping all of them shows nothing, so without a GPU that is no pass either."""
    record = Record(options, "tests")
    report = options.work / "tests.xml"
    # What the stage of the kernels has compiled is not compiled again.
    env = os.environ | {"TRITON_CACHE_DIR": str(options.work / "triton")}
    done = subprocess.run(
        [sys.executable, *PYTEST, f"--junitxml={report}", *FILES], cwd=ROOT, env=env, check=False
    )
    outcomes = read_outcomes(report) if report.is_file() else {}
    record.put("exit_code", done.returncode)
    record.put("outcomes", outcomes)
    counts = ", ".join(f"{len(names)} {state}" for state, names in outcomes.items())
    record.put("headline", counts or "no test ran")
    failed = [
        f"{name} {state}" for state in ("failure", "error") for name in outcomes.get(state, [])
    ]
    if done.returncode and not failed:
        failed.append(f"pytest ended with {done.returncode}")
    if "passed" not in outcomes and not options.dry:
        failed.append("no GPU test passed")
    return record.finish(failed)


def read_outcomes(report: Path) -> dict[str, list[str]]:
    """Names of the tests in a JUnit report by outcome: passed, skipped, failure or error."""
    outcomes: dict[str, list[str]] = {}
    for case in ElementTree.parse(report).iter("testcase"):
        kinds = [child.tag for child in case if child.tag in ("skipped", "failure", "error")]
        outcome = kinds[0] if kinds else "passed"
        name = f"{case.get('classname', '')}.{case.get('name', '')}".strip(".")
        outcomes.setdefault(outcome, []).append(name)
    return outcomes


if __name__ == "__main__":
    sys.exit(run_stage(stage))
