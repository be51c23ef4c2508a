"""Run the GPU tests and the GPU benchmarks with the interpreter at hand, and record what happened.

``make gpu-check PYTHON=/path/to/python`` on a machine with an NVIDIA GPU. It makes no environment
and installs nothing: what the interpreter has is what is tested, and its versions are recorded.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

from lrn_deploy.errors import CHECK_FAILED, DONE, MISSING

ROOT = Path(__file__).parent.parent
BENCHMARKS = ("gpu", "plugins_gpu")
"""Modules of this package that measure on a GPU; those that are there are run."""

# The options of pyproject.toml name plugins that this interpreter may lack.
PYTEST = ("-m", "pytest", "-m", "gpu", "-ra", "-o", "addopts=--import-mode=importlib")


def main() -> int:
    """Run everything; returns 0, 1 if something failed or no test ran, 3 if there is no GPU."""
    try:
        import pytest  # noqa: F401 - only to know early that it is there

        from benchmarks.harness import write_result
        from lrn_deploy.doctor import find_gpus, installed_version
    except ModuleNotFoundError as error:
        print(f"{sys.executable} lacks {error.name}: install it, or choose another PYTHON.")
        return MISSING
    gpus = find_gpus()
    if not gpus:
        print("There is no NVIDIA GPU here (nvidia-smi lists none), so nothing was checked.")
        return MISSING
    tests = run_tests()
    benchmarks = [run_benchmark(name) for name in BENCHMARKS if _module(name).is_file()]
    failed = tests["exit_code"] != 0 or any(item["exit_code"] for item in benchmarks)
    passed = not failed and "passed" in tests["outcomes"]  # skipping everything shows nothing
    more = {
        name: installed_version(name) for name in ("triton", "cuda-python", "onnxscript", "pytest")
    }
    slug = re.sub(r"[^a-z0-9]+", "-", gpus[0].name.lower()).strip("-")
    file = write_result(
        f"gpu/{slug}",
        {"passed": passed, "tests": tests, "benchmarks": benchmarks, "more_versions": more},
    )
    counts = ", ".join(f"{len(names)} {state}" for state, names in tests["outcomes"].items())
    print(f"{gpus[0].name}: {counts or 'no GPU test ran'}; wrote {file.name}")
    return DONE if passed else CHECK_FAILED


def run_tests() -> dict[str, Any]:
    """``pytest -m gpu``: its exit code, seconds, and the names of the tests by outcome."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        start = time.perf_counter()
        done = subprocess.run(
            [sys.executable, *PYTEST, "--continue-on-collection-errors", f"--junitxml={report}"],
            cwd=ROOT,
            check=False,
        )
        seconds = time.perf_counter() - start
        outcomes = read_outcomes(report) if report.is_file() else {}
    return {"exit_code": done.returncode, "seconds": round(seconds, 1), "outcomes": outcomes}


def read_outcomes(report: Path) -> dict[str, list[str]]:
    """Names of the tests in a JUnit report by outcome: passed, skipped, failure or error."""
    outcomes: dict[str, list[str]] = {}
    for case in ElementTree.parse(report).iter("testcase"):
        kinds = [child.tag for child in case if child.tag in ("skipped", "failure", "error")]
        outcome = kinds[0] if kinds else "passed"
        name = f"{case.get('classname', '')}.{case.get('name', '')}".strip(".")
        outcomes.setdefault(outcome, []).append(name)
    return outcomes


def run_benchmark(name: str) -> dict[str, Any]:
    """Run one module of this package; it writes its own result."""
    done = subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], cwd=ROOT, check=False)
    return {"name": name, "exit_code": done.returncode}


def _module(name: str) -> Path:
    return Path(__file__).parent / f"{name}.py"


if __name__ == "__main__":
    sys.exit(main())
