"""Ask a server for everything, and write ``results/contract.json``."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.harness import write_result
from benchmarks.peers.ours import lrn_server
from tests.support.image_bundles import colour_bundle

_CONFIG = Path(__file__).with_name("schemathesis.toml")


def main() -> int:
    """Ask, print and write; returns 1 if anything was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=200, help="of each operation, at most")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        colour_bundle(Path(name) / "colours")
        switched_on = ("--shared-memory", "--embed", "--threads", "1", "--access-log", "none")
        with lrn_server(Path(name) / "colours", *switched_on) as server:
            told = ask(f"http://{server.http}", options.cases, options.seed)
    file = write_result("contract", {"schemathesis": version("schemathesis"), **told})
    print(f"{told['requests']} requests, {len(told['failures'])} failures; wrote {file}")
    for failure in told["failures"]:
        print(f"  {failure}")
    return 1 if told["failures"] else 0


def ask(
    url: str,
    cases: int,
    seed: int,
    phases: str = "examples,coverage,fuzzing,stateful",
    paths: str = ".",
) -> dict[str, Any]:
    """Let schemathesis ask a server whose one model is called ``colours``.

    Args:
        url: Of the server.
        cases: Requests of each operation and phase, at most.
        seed: Of what it makes up.
        phases: Its ways to make up requests.
        paths: Regular expression of those that are asked.

    Returns:
        How many operations and requests, and each failure in words.

    Raises:
        RuntimeError: If it could not ask.
    """
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        done = subprocess.run(
            [
                *(str(Path(sys.executable).with_name("st")), "--config-file", str(_CONFIG)),
                *("run", f"{url}/openapi.json", "--no-color", "--warnings", "off"),
                *("--seed", str(seed), "-n", str(cases), "--phases", phases),
                *("--include-path-regex", paths),
                *("--report", "json", "--report-json-path", str(report)),
            ],
            capture_output=True,
            text=True,
            check=False,
            cwd=folder,
        )
        if done.returncode not in (0, 1) or not report.exists():
            raise RuntimeError(f"schemathesis could not ask:\n{done.stdout}{done.stderr}")
        told = json.loads(report.read_text())
    failures = [
        f"{failure['title']}: {', '.join(failure['operations'])}" for failure in told["failures"]
    ]
    return {
        "operations": told["operations"]["tested"],
        "requests": told["test_cases"]["generated"],
        "phases": {name: phase["status"] for name, phase in told["phases"].items()},
        "seconds": round(told["running_time"], 1),
        "failures": failures + [str(error) for error in told["errors"]],
    }


if __name__ == "__main__":
    raise SystemExit(main())
