"""Does the installed TensorRT for RTX run on this GPU at all, in which targets and precisions.

    python -m benchmarks.gpu.smoke.stage --out FOLDER

It is the first question on a GPU, and is asked with nothing but the standard library, NumPy,
``tensorrt_rtx`` and ``cuda.bindings``, so that a bare machine answers it. Convolution, ReLU, LRN,
max pool and a matrix product, with a dynamic batch, become an engine for each row of :data:`ROWS`,
in a process of its own (:mod:`benchmarks.gpu.smoke.row`): a crash, a hang or a refusal costs one
row. Each engine runs with and without TensorRT's own CUDA graphs at several batch sizes, against
NumPy in float64. Rows follow each other, as their times would disturb each other.

``FOLDER/smoke.json`` is written again after each row. Exit codes: 0 if at least one engine gave
right results, 1 if none did, 3 if there is no GPU or no ``tensorrt_rtx``, 5 if the results cannot
be written. With ``--dry`` engines are built where ``tensorrt_rtx`` is installed, which takes no
GPU, and nothing is run.
"""

from __future__ import annotations

import argparse
import csv
import datetime
import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from benchmarks.gpu.files import read_json, write_json
from benchmarks.gpu.smoke.row import BATCHES, GRAPHS
from benchmarks.gpu.stages import Outcome, Stage, run_stages
from lrn_deploy import environment
from lrn_deploy.errors import CANNOT_WRITE, CHECK_FAILED, DONE, MISSING

ROOT = Path(__file__).parents[3]
ROWS = (
    ("none", "fp32"),
    ("current", "fp32"),
    ("sm80", "fp32"),
    ("current", "fp16"),
    ("current", "bf16"),
    ("current", "tf32"),
)
"""Target and precision. ``none`` names no target to the builder, ``sm80`` is another GPU's."""
ROW_SECONDS = 40.0
_SPARE_SECONDS = 60.0
"""Beyond a row's limit, so that this limit is what ends it."""
LIMITS = {"fp32": 1e-5, "tf32": 5e-3, "fp16": 1e-2, "bf16": 1e-2}
"""Largest error, relative to the length of the right output."""

_OUTPUT_CHARACTERS = 2000
_NOT_RUN = "not run: no GPU"
_SMI_FIELDS = ("name", "driver_version", "compute_cap", "memory.total")
_COMMANDS = (
    "nvidia-smi",
    "nvidia-smi --query-gpu=clocks.sm,clocks.max.sm,clocks.mem,clocks.max.mem,power.limit,"
    "temperature.gpu,ecc.mode.current,mig.mode.current --format=csv",
    "uname -srvm",
    "nproc",
    "gcc --version",
    "nvcc --version",
)
_PACKAGES = (
    *("click", "cuda", "grpcio", "httptools", "hypothesis", "ml", "numpy", "nvidia", "onnx"),
    *("onnxruntime", "onnxscript", "pillow", "protobuf", "pydantic", "pytest", "rich"),
    *("safetensors", "scikit", "tensorrt", "torch", "triton", "tritonclient", "typing"),
)
"""First words of the names of packages whose versions are recorded."""


def row_command(target: str, precision: str, file: Path, *, dry: bool) -> tuple[str, ...]:
    """What runs one row."""
    more = ("--dry",) if dry else ()
    python = (sys.executable, "-X", "faulthandler", "-m", "benchmarks.gpu.smoke.row")
    return (*python, target, precision, "--file", str(file), *more)


def judge(row: dict[str, Any]) -> dict[str, Any]:
    """Whether a row's engine works, how many of its runs were right, and why not all."""
    limit = LIMITS[row["precision"]]
    wanted = len(GRAPHS) * len(BATCHES)
    right, reasons = 0, []
    for run in row.get("runs", []):
        where = f"batch {run['batch']}, graphs {run['graphs']}"
        if run["why"]:
            reasons.append(f"{where}: {run['why']}")
        elif run["error"] is None or run["error"] > limit:
            reasons.append(f"{where}: error {run['error']}, limit {limit:g}")
        else:
            right += 1
    if row["ended"]:
        reasons.append(row["ended"])
    if right < wanted and not reasons:
        reasons.append(f"only {right} of {wanted} runs are there")
    return {"works": right == wanted and not reasons, "right": right, "why": "; ".join(reasons)}


def ask(target: str, precision: str, folder: Path, *, dry: bool) -> dict[str, Any]:
    """What a row's process has found out, however it ended."""
    name = f"{target}-{precision}"
    file = folder / f"{name}.json"
    file.unlink(missing_ok=True)  # of an earlier run
    stage = Stage(name, row_command(target, precision, file, dry=dry), ROW_SECONDS)
    outcomes: list[Outcome] = []
    run_stages([stage], ROW_SECONDS + _SPARE_SECONDS, folder, ROOT, outcomes.append)
    (outcome,) = outcomes
    found = read_json(file)
    stopped = outcome.state == "failed" and found.get("stopped")
    ending = {"ended": stopped or outcome.reason, "seconds": round(outcome.seconds, 1)}
    return found | ending | {"output": output_in(folder / f"{name}.log")}


def output_in(log: Path) -> str:
    """The end of what a row's process printed: after a crash, where Python was."""
    try:
        return log.read_text(encoding="utf-8", errors="replace")[-_OUTPUT_CHARACTERS:]
    except OSError:
        return ""


class Result:
    """``smoke.json``, with the first keys of every stage's result."""

    def __init__(self, out: Path, gpus: Sequence[dict[str, Any]], *, dry: bool) -> None:
        self.file = out / "smoke.json"
        self.content: dict[str, Any] = {
            "stage": "smoke",
            "date": datetime.datetime.now(tz=datetime.UTC).date().isoformat(),
            "dry": dry,
            "finished": False,
            "machine": machine(gpus),
            "versions": environment.versions() | package_versions(),
            "facts": {command: answer_of(command) for command in _COMMANDS},
            "rows": [],
            "works": {},
            "engines_run": 0,
            "failed": [],
        }
        self.write()

    def write(self) -> None:
        """Write all of it again."""
        write_json(self.file, self.content)

    def add(self, row: dict[str, Any]) -> None:
        """Take in a row, and tell it in a line."""
        self.content["rows"].append(row)
        if self.content["dry"]:
            row["run"] = _NOT_RUN
        else:
            row |= judge(row)
            self.content["works"].setdefault(row["target"], {})[row["precision"]] = row["works"]
            self.content["engines_run"] += bool(row["right"])
        self.write()
        print(told(row), flush=True)

    def finish(self, failed: Sequence[str], headline: str) -> None:
        """Say that the stage came to its end."""
        self.content |= {"finished": True, "failed": list(failed), "headline": headline}
        self.write()
        for sentence in failed:
            print(f"FAILED {sentence}", flush=True)
        print(headline, flush=True)


def told(row: dict[str, Any]) -> str:
    """A row in a line."""
    name = f"{row['target']}/{row['precision']}"
    if "works" not in row:
        return f"{name:<13} {row['run']}; built: {row.get('plan_bytes', 0)} bytes {row['ended']}"
    errors = [run["error"] for run in row.get("runs", []) if run["error"] is not None]
    times = [min(run["ms"]) for run in row.get("runs", []) if "ms" in run]
    numbers = f"largest error {max(errors):.1e}, fastest run {min(times):.3f} ms" if errors else ""
    verdict = "works" if row["works"] else f"{row['right']} runs right"
    return f"{name:<13} {verdict:<13} {row['seconds']:5.1f} s  {numbers}  {row['why'][:400]}"


def machine(gpus: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The machine, as the other stages tell it."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        **environment.machine(),
        "memory_gib": round(memory / 2**30, 1),
        "gpus": list(gpus),
    }


def find_gpus() -> list[dict[str, Any]]:
    """The GPUs that ``nvidia-smi`` lists."""
    query = f"nvidia-smi --query-gpu={','.join(_SMI_FIELDS)} --format=csv,noheader,nounits"
    answer = answer_of(query)
    rows = ([cell.strip() for cell in row] for row in csv.reader(answer.splitlines()))
    return [
        {
            "name": name,
            "driver": driver,
            "compute_capability": capability,
            "memory_mib": int(memory) if memory.isdigit() else None,
        }
        for name, driver, capability, memory in (row for row in rows if len(row) == 4)
        if capability.replace(".", "").isdigit()  # else it is a sentence about the driver
    ]


def answer_of(command: str) -> str:
    """What a command prints, or in a word why it does not."""
    program, *arguments = command.split()
    found = shutil.which(program)
    if found is None:
        return "not installed"
    try:
        done = subprocess.run(
            [found, *arguments],
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=20,
            check=False,
        )
    except (OSError, subprocess.SubprocessError) as error:
        return f"{type(error).__name__}: {error}"
    return (done.stdout + done.stderr).strip()


def package_versions() -> dict[str, str]:
    """Versions of the packages that may matter, by name."""
    found = {}
    for item in metadata.distributions():
        name = (item.metadata["Name"] or "").lower().replace("_", "-")
        if name.split("-")[0] in _PACKAGES:
            found[name] = item.version
    return dict(sorted(found.items()))


def what_is_missing(gpus: Sequence[dict[str, Any]], *, dry: bool) -> str:
    """What this machine lacks to run an engine, in a sentence; empty if nothing."""
    if not gpus and not dry:
        return "There is no NVIDIA GPU here (nvidia-smi lists none), so no engine was run."
    for module, package in (("tensorrt_rtx", "tensorrt-rtx"), ("cuda.bindings", "cuda-bindings")):
        try:
            found = importlib.util.find_spec(module)
        except ModuleNotFoundError:  # not even its parent
            found = None
        if found is None:
            return f"{sys.executable} has no {package}, so no engine was built."
    return ""


def run(out: Path, work: Path, *, dry: bool) -> int:
    """Every row; the exit code.

    Raises:
        OSError: If results cannot be written.
    """
    gpus = find_gpus()
    result = Result(out, gpus, dry=dry)
    missing = what_is_missing(gpus, dry=dry)
    if missing and not dry:
        result.finish([missing], "nothing was run")
        return MISSING
    folder = work / "smoke"
    folder.mkdir(parents=True, exist_ok=True)
    for target, precision in ROWS:
        row: dict[str, Any] = {"target": target, "precision": precision}
        row |= {"ended": missing} if missing else ask(target, precision, folder, dry=dry)
        result.add(row)
    return conclude(result, can_build=not missing)


def conclude(result: Result, *, can_build: bool) -> int:
    """The verdict over all rows, in a line for each target.

    Args:
        result: The rows.
        can_build: Whether engines can be built here, which a dry run then must have done.
    """
    rows = result.content["rows"]
    if result.content["dry"]:
        absent = [row for row in rows if "plan_bytes" not in row] if can_build else []
        failed = [f"{row['target']}/{row['precision']} not built: {row['ended']}" for row in absent]
        built = sum("plan_bytes" in row for row in rows)
        result.finish(failed, f"dry: {built} of {len(rows)} engines built, none run")
        return CHECK_FAILED if failed else DONE
    for target, precisions in result.content["works"].items():
        print(f"works on {target}: {precisions}", flush=True)
    count = result.content["engines_run"]
    headline = f"{count} of {len(rows)} engines gave right results"
    failed = [] if count else [f"No engine gave right results here: {rows[0]['why'][:300]}"]
    result.finish(failed, headline)
    return DONE if count else CHECK_FAILED


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the options, and go through all rows; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="benchmarks.gpu.smoke.stage", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of the results")
    parser.add_argument("--work", type=Path, help="folder of what stages share; default OUT/work")
    parser.add_argument("--dry", action="store_true", help="build, but run nothing")
    options = parser.parse_args(arguments)
    out = options.out.absolute()
    try:
        return run(out, (options.work or out / "work").absolute(), dry=options.dry)
    except OSError as error:
        print(f"Cannot write to '{out}': {error.strerror or error}.", file=sys.stderr)
        return CANNOT_WRITE


if __name__ == "__main__":
    sys.exit(main())
