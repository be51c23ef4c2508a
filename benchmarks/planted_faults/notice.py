"""A private copy of the checkout, faults planted in it, and the tests that notice them."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.planted_faults import failures, forks
from benchmarks.planted_faults.faults import Fault

HEAVY = (
    "onnx.reference",
    "onnx_ir",
    "onnxscript",
    "onnxruntime",
    "PIL.Image",
    "pydantic",
    "hypothesis.strategies",
    "_hypothesis_pytestplugin",
    "pytest_cov.plugin",
    "xdist.plugin",
    "torch.onnx",
    "torch._dynamo",
    "torch.export",
    "rich.console",
)
"""What tests import that takes long; nothing of the package, for that is what changes."""
_OWN = Path(__file__).parents[2]
_TEST_SECONDS = 120
_SECONDS = 600
"""Of one run; what has not failed by then has not noticed anything: a test that hangs fails."""


class Tree:
    """A copy of a checkout that faults can be planted in.

    Args:
        top: Where it is to lie.
        checkout: Where it comes from: all that git does not ignore.
        heavy: What to import once for all runs of tests.
    """

    def __init__(self, top: Path, checkout: Path, heavy: Sequence[str] = HEAVY) -> None:
        self.top = top
        self._heavy = heavy
        self._forks: subprocess.Popen[str] | None = None
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=checkout,
            check=True,
            capture_output=True,
        ).stdout.decode()
        for name in filter(None, listed.split("\0")):
            source, target = checkout / name, top / name
            if source.is_symlink() or source.is_file():
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(source, target, follow_symlinks=False)

    def notice(self, fault: Fault, tests: Sequence[str]) -> str | None:
        """Plant a fault, run files of tests, and take it out again.

        Returns:
            The first test that fails, also because it does not end; None if all pass.
        """
        file = self.top / fault.path
        source = file.read_bytes()
        try:
            _write(file, fault.plant(source))
            return self.first_failure(tests)
        finally:
            _write(file, source)

    def first_failure(self, tests: Sequence[str]) -> str | None:
        """Which test fails first in the tree as it is; None if none does.

        Args:
            tests: Files of tests, or names of single ones.
        """
        notes = self.top / ".planted_notes.txt"
        notes.write_text("")
        if self._forks is None:
            self._forks = self._start(notes)
        assert self._forks.stdin is not None
        assert self._forks.stdout is not None
        command = ["-q", "-x", "-p", "no:cacheprovider", "-p", failures.__name__]
        command += [f"--timeout={_TEST_SECONDS}", "-m", "not gpu and not browser", *tests]
        self._forks.stdin.write(json.dumps([command, _SECONDS]) + "\n")
        self._forks.stdin.flush()
        code = int(self._forks.stdout.readline())
        if code in (0, -1):
            return None
        return (notes.read_text().split("\n")[0]) or f"pytest ended with {code}"

    def close(self) -> None:
        """End the process that runs the tests."""
        if self._forks is not None:
            self._forks.kill()
            self._forks.wait()

    def _start(self, notes: Path) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", forks.__name__, "pytest", *self._heavy],
            cwd=self.top,
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join([str(self.top), str(_OWN)]),
                "OMP_NUM_THREADS": "1",
                "CI": "1",  # the same examples of each property every time
                failures.NOTES: str(notes),
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )


def _write(file: Path, content: bytes) -> None:
    """Write a module, and forget what was compiled of it: times are told to the second only."""
    file.write_bytes(content)
    Path(importlib.util.cache_from_source(str(file))).unlink(missing_ok=True)
