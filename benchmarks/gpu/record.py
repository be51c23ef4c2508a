"""One stage's result file, valid at every moment, and the options that all stages share."""

from __future__ import annotations

import argparse
import datetime
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.harness import machine
from lrn_deploy import environment
from lrn_deploy.bundle import write_atomic
from lrn_deploy.doctor import installed_version
from lrn_deploy.errors import CHECK_FAILED, DONE, LrnDeployError

MORE_VERSIONS = (
    "triton",
    "cuda-bindings",
    "cuda-python",
    "nvidia-cudnn-cu13",
    "onnxscript",
    "pydantic",
    "pytest",
)


@dataclass(frozen=True)
class StageOptions:
    """What every stage is told.

    Attributes:
        out: Folder of the results.
        work: Folder of what stages hand to each other: bundles, inputs, logs.
        dry: Go through all of it on the CPU and the fake GPU, with few and small inputs.
    """

    out: Path
    work: Path
    dry: bool


class Record:
    """``OUT/NAME.json``: written whole again with each change, under another name first.

    Args:
        options: Where to write.
        name: The stage's name.

    Raises:
        CannotWriteError: Here and from each method, if the file cannot be written.
    """

    def __init__(self, options: StageOptions, name: str) -> None:
        self.file = options.out / f"{name}.json"
        more = {key: version for key in MORE_VERSIONS if (version := installed_version(key))}
        self.content: dict[str, Any] = {
            "stage": name,
            "date": datetime.datetime.now(tz=datetime.UTC).date().isoformat(),
            "dry": options.dry,
            "finished": False,
            "machine": machine(),
            "versions": environment.versions() | more,
        }
        self._write()

    def put(self, key: str, value: Any) -> None:
        """Set one entry, of JSON's types."""
        self.content[key] = value
        self._write()

    def add(self, key: str, row: Any) -> None:
        """Append a row to the list under ``key``."""
        self.content.setdefault(key, []).append(row)
        self._write()

    def finish(self, failed: list[str]) -> int:
        """Say that the stage came to its end and what failed, a sentence each; its exit code."""
        self.content |= {"finished": True, "failed": failed}
        self._write()
        for sentence in failed:
            print(f"FAILED {sentence}", flush=True)
        return CHECK_FAILED if failed else DONE

    def _write(self) -> None:
        write_atomic(self.file, (json.dumps(self.content, indent=1) + "\n").encode())


def run_stage(stage: Callable[[StageOptions], int]) -> int:
    """Read a stage's options from the command line, run it, and tell an error in a sentence."""
    parser = argparse.ArgumentParser(description=sys.modules[stage.__module__].__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder of the results")
    parser.add_argument("--work", type=Path, help="folder of what stages share; default OUT/work")
    parser.add_argument("--dry", action="store_true", help="on the CPU and the fake GPU")
    told = parser.parse_args()
    options = StageOptions(told.out, told.work or told.out / "work", told.dry)
    try:
        options.out.mkdir(parents=True, exist_ok=True)
        options.work.mkdir(parents=True, exist_ok=True)
        return stage(options)
    except LrnDeployError as error:
        print(error, file=sys.stderr, flush=True)
        return error.exit_code
