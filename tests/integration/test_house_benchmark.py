"""The comparison of two checkouts: it measures both, in turns, and would show a slower one."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from benchmarks.house import Checkout, _processor_seconds, judged, measured

pytestmark = pytest.mark.usefixtures("unmeasured")

ROOT = Path(__file__).parents[2]


def test_a_checkout_against_itself() -> None:
    samples = measured(ROOT, ROOT, {"serve": 0.0, "import": 0.0}, burst=0.03)
    networks = [f"serve nothing-{size} x{at}" for size in ("155k", "618k") for at in (1, 4, 16)]
    names = [f"{name}, processor s" for name in networks]
    assert samples.keys() == {*names, "import, wall s", "import, processor s"}
    assert all(len(values) == 5 for sides in samples.values() for values in sides.values())
    assert all(1e-5 < value < 1e-1 for name in names for value in samples[name]["after"])
    assert {one["rounds"] for one in judged(samples).values()} == {5}


def test_other_code_than_the_checkouts_is_not_measured(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="AssertionError"):
        Checkout("after", tmp_path).check(tmp_path)
    package = tmp_path / "copy" / "lrn_deploy"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    Checkout("after", tmp_path / "copy").check(tmp_path)


def test_a_slower_one_shows(tmp_path: Path) -> None:
    for side, code in (("fast", ""), ("slow", "import time; time.sleep(0.2)")):
        package = tmp_path / side / "lrn_deploy"
        package.mkdir(parents=True)
        (package / "__init__.py").write_text(code)
    samples = measured(tmp_path / "fast", tmp_path / "slow", {"import": 0.0})
    told = judged(samples)["import, wall s"]
    assert told["answer"] == "regression"
    assert told["after"] - told["before"] > 0.1


def test_processor_time_is_that_of_the_process() -> None:
    before, own = _processor_seconds(os.getpid()), time.process_time()
    sum(range(10**6))
    used = _processor_seconds(os.getpid()) - before
    assert used == pytest.approx(time.process_time() - own, rel=0.1)
