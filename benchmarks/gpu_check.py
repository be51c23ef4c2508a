"""Check and measure everything that needs an NVIDIA GPU, in stages that cannot harm each other.

    python -m benchmarks.gpu_check --out FOLDER --seconds 440

Each stage is a process of its own with a limit of its own; its result, FOLDER/NAME.json, is there
and valid at every moment, and ``FOLDER/summary.json`` is written again after each. Nothing is
installed: what the interpreter has is what is tested. docs/gpu.md tells how to run it on a machine
that is lent for a quarter of an hour.

Exit codes: 0, 1 if a stage failed or no engine ran, 2 for wrong usage, 3 if there is no GPU, 5 if
the results cannot be written.
"""

from __future__ import annotations

import argparse
import datetime
import shutil
import subprocess
import sys
import tarfile
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.gpu.files import read_json, write_json
from benchmarks.gpu.stages import Outcome, Stage, run_stages
from lrn_deploy.errors import BAD_INPUT, CANNOT_WRITE, CHECK_FAILED, DONE, INTERRUPTED, MISSING

ROOT = Path(__file__).parent.parent
DEFAULT_SECONDS = 600.0

# Name, module, limit in seconds, and what more to say of it; in the order of what is worth most.
_TABLE: tuple[tuple[str, str, float, dict[str, Any]], ...] = (
    ("smoke", "smoke.stage", 150, {}),
    ("imports", "imports", 60, {"after": ("smoke",)}),
    ("kernels_right", "kernels.right", 150, {"background": True, "after": ("imports",)}),
    ("made", "made", 120, {"after": ("imports",)}),
    ("forms", "forms", 90, {"background": True, "after": ("made",)}),
    ("server", "server", 75, {"after": ("made",)}),
    ("parity", "parity", 170, {"after": ("made",)}),
    ("latency", "latency", 190, {"after": ("made", "forms", "kernels_right")}),
    ("kernels_fast", "kernels.fast", 120, {"after": ("kernels_right",)}),
    ("tests", "tests", 75, {}),
    ("verdicts", "verdicts", 120, {"after": ("made",)}),
    ("kernels_tiles", "kernels.tiles", 90, {"after": ("kernels_right",)}),
)
_MORE: tuple[tuple[str, str, float, dict[str, Any]], ...] = (("zoo", "zoo", 3600, {}),)
"""Run only when named with ``--only``."""
ENGINE_STAGES = frozenset({"smoke", "parity", "latency", "server", "verdicts", "zoo"})
"""Stages that say how many engines ran, under ``engines_run``."""


def stages(names: Sequence[str], options: Sequence[str]) -> list[Stage]:
    """The stages with these names, in the table's order.

    Args:
        names: Which.
        options: Arguments that each of them gets.
    """
    return [
        Stage(name, (sys.executable, "-m", f"benchmarks.gpu.{module}", *options), limit, **more)
        for name, module, limit, more in (*_TABLE, *_MORE)
        if name in names
    ]


class Summary:
    """``summary.json``, and the archive if one is wanted."""

    def __init__(self, out: Path, archive: Path | None, gpus: Sequence[str], *, dry: bool) -> None:
        self._out, self._archive = out, archive
        self._start = time.monotonic()
        self.content: dict[str, Any] = {
            "date": datetime.datetime.now(tz=datetime.UTC).date().isoformat(),
            "dry": dry,
            "gpus": list(gpus),
            "finished": False,
            "stages": {},
        }
        self.trouble = ""

    def add(self, outcome: Outcome) -> None:
        """Take in how a stage ended, and tell it in a line."""
        result = read_json(self._out / f"{outcome.name}.json")
        row = asdict(outcome) | {"seconds": round(outcome.seconds, 1)}
        row |= {key: result[key] for key in ("headline", "engines_run", "failed") if key in result}
        self.content["stages"][outcome.name] = row
        said = outcome.reason or row.get("headline", "")
        print(f"{outcome.name:<14} {outcome.state:<9} {outcome.seconds:6.1f} s  {said}", flush=True)
        self.write()

    def write(self, **more: Any) -> None:
        """Write what there is; a folder that is full is told, once, and the stages go on."""
        self.content |= more | {"seconds": round(time.monotonic() - self._start, 1)}
        try:
            write_json(self._out / "summary.json", self.content)
            if self._archive is not None:
                self._pack(self._archive)
        except OSError as error:
            if not self.trouble:
                self.trouble = f"Cannot write the results: {error.strerror or error}."
                print(self.trouble, file=sys.stderr, flush=True)

    def _pack(self, archive: Path) -> None:
        """All results and logs in one file, for machines that hand back few files."""
        temporary = archive.with_name(f".{archive.name}.part")
        with tarfile.open(temporary, "w:gz") as packed:
            for pattern in ("*.json", "logs/*.log"):
                for file in sorted(self._out.glob(pattern)):
                    packed.add(file, file.relative_to(self._out))
        temporary.replace(archive)


def judge(outcomes: dict[str, dict[str, Any]], *, dry: bool) -> list[str]:
    """Why the check as a whole did not pass, a sentence for each reason; empty if it did."""
    failures = [
        f"{name} {row['state']}: {row['reason']}"
        for name, row in outcomes.items()
        if row["state"] != "passed"
    ]
    with_engines = ENGINE_STAGES & outcomes.keys() - ({"smoke"} if dry else set())
    if with_engines and not sum(outcomes[name].get("engines_run", 0) for name in with_engines):
        failures.append("no engine ran")
    return failures


def find_gpus() -> list[str]:
    """What ``nvidia-smi -L`` lists; empty without a GPU or a driver."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    try:
        done = subprocess.run([program, "-L"], capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.SubprocessError):
        return []
    return [line.split(" (UUID")[0] for line in done.stdout.splitlines() if line.startswith("GPU ")]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the stages; returns the exit code."""
    known = [name for name, *_ in (*_TABLE, *_MORE)]
    parser = argparse.ArgumentParser(
        prog="benchmarks.gpu_check", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of the results")
    parser.add_argument(
        "--seconds", type=float, default=DEFAULT_SECONDS, help="time for all; default %(default)s"
    )
    parser.add_argument("--only", help=f"stages, with commas between: {', '.join(known)}")
    parser.add_argument("--pack", type=Path, help="keep all results in this .tar.gz as well")
    parser.add_argument(
        "--dry", action="store_true", help="without a GPU: on the CPU and a fake, small inputs"
    )
    told = parser.parse_args(arguments)
    names = told.only.split(",") if told.only else [name for name, *_ in _TABLE]
    unknown = [name for name in names if name not in known]
    if unknown or told.seconds <= 0:
        what = f"There is no stage '{unknown[0]}'" if unknown else "--seconds must be positive"
        print(f"{what}. Stages: {', '.join(known)}.", file=sys.stderr)
        return BAD_INPUT
    gpus = find_gpus()
    if not gpus and not told.dry:
        print(
            "There is no NVIDIA GPU here (nvidia-smi lists none), so nothing was checked. "
            "Look at the driver, or add --dry to go through the stages without one.",
            file=sys.stderr,
        )
        return MISSING
    out = told.out.resolve()
    try:
        (out / "logs").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        print(f"Cannot write to '{out}': {error.strerror}.", file=sys.stderr)
        return CANNOT_WRITE
    for name in names:  # what an earlier run has left must not pass for this one's
        (out / f"{name}.json").unlink(missing_ok=True)
    summary = Summary(out, told.pack, gpus, dry=told.dry)
    options = ["--out", str(out), *(["--dry"] if told.dry else [])]
    try:
        run_stages(stages(names, options), told.seconds, out / "logs", ROOT, summary.add)
    except KeyboardInterrupt:
        summary.write()
        print("Interrupted; what was finished is there.", file=sys.stderr)
        return INTERRUPTED
    failures = judge(summary.content["stages"], dry=told.dry)
    summary.write(finished=True, passed=not failures, failures=failures)
    print(*(f"NOT PASSED: {failure}" for failure in failures), sep="\n", end="\n" * bool(failures))
    print(f"{'; '.join(gpus) or 'no GPU, dry'}: results in {told.out}", flush=True)
    if summary.trouble:
        return CANNOT_WRITE
    return CHECK_FAILED if failures else DONE


if __name__ == "__main__":
    sys.exit(main())
