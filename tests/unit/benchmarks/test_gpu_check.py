"""The stages of the GPU check: one that fails, hangs or crashes costs only itself."""

from __future__ import annotations

import json
import re
import resource
import runpy
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path
from typing import Any

import pytest

from benchmarks import gpu_check
from benchmarks.gpu import stages as gpu_stages
from benchmarks.gpu.record import Record, StageOptions
from benchmarks.gpu.stages import Outcome, Stage, run_stages
from lrn_deploy.errors import (
    BAD_INPUT,
    CANNOT_WRITE,
    CHECK_FAILED,
    DONE,
    INTERRUPTED,
    MISSING,
    CannotWriteError,
)

ROOT = Path(gpu_check.ROOT)


def python(code: str) -> tuple[str, ...]:
    return (sys.executable, "-c", code)


def run(stages: list[Stage], folder: Path, seconds: float = 60) -> dict[str, Outcome]:
    found: dict[str, Outcome] = {}
    run_stages(stages, seconds, folder, folder, lambda item: found.update({item.name: item}))
    return found


def test_a_stage_that_fails_hangs_or_crashes_costs_only_itself(tmp_path: Path) -> None:
    crash = "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"
    found = run(
        [
            Stage("fails", python("print('seen'); raise SystemExit('no such thing')"), 30),
            Stage("hangs", python("import time; time.sleep(60)"), 0.5),
            Stage("crashes", python(crash), 30),
            Stage("absent", ("/no/such/program",), 30),
            Stage("passes", python("print('well')"), 30),
        ],
        tmp_path,
    )
    assert {name: (item.state, item.reason) for name, item in found.items()} == {
        "fails": ("failed", "no such thing"),
        "hangs": ("timed out", "it was killed at its limit of 0 s"),
        "crashes": ("crashed", "it crashed: SIGSEGV"),
        "absent": ("not run", "it could not be started: No such file or directory"),
        "passes": ("passed", ""),
    }
    assert found["crashes"].exit_code == -signal.SIGSEGV
    assert (tmp_path / "passes.log").read_text() == "well\n"


def test_what_a_stage_has_started_ends_with_it(tmp_path: Path) -> None:
    child = (
        "import subprocess, time; p = subprocess.Popen(['sleep', '60']); print(p.pid, flush=True)"
    )
    run([Stage("hangs", python(child + "; time.sleep(60)"), 2)], tmp_path)
    pid = int((tmp_path / "hangs.log").read_text())
    until = time.monotonic() + 10
    while alive(pid) and time.monotonic() < until:
        time.sleep(0.05)
    assert not alive(pid)


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def test_stages_keep_their_order_and_those_in_the_background_run_beside(tmp_path: Path) -> None:
    stamp = "import time; print(time.monotonic()); time.sleep(0.4); print(time.monotonic())"
    run(
        [
            Stage("first", python(stamp), 30),
            Stage("beside", python(stamp), 30, background=True, after=("first",)),
            Stage("second", python(stamp), 30),
            Stage("last", python(stamp), 30, after=("beside",)),
        ],
        tmp_path,
    )
    times = {
        name: [float(line) for line in (tmp_path / f"{name}.log").read_text().split()]
        for name in ("first", "beside", "second", "last")
    }
    assert times["beside"][0] > times["first"][1]
    assert times["second"][0] > times["first"][1]
    assert times["second"][0] < times["beside"][1]  # at the same time
    assert times["last"][0] > max(times["beside"][1], times["second"][1])


def test_when_the_time_is_over_nothing_more_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpu_stages, "_LEAST_SECONDS", 0.5)
    start = time.monotonic()
    found = run(
        [Stage("long", python("import time; time.sleep(60)"), 60), Stage("next", python(""), 60)],
        tmp_path,
        seconds=1,
    )
    assert time.monotonic() - start < 20
    assert found["long"].state == "timed out"
    assert (found["next"].state, found["next"].reason) == ("not run", "no time was left")


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Puts commands in the place of the stages."""

    def put(*stages: Stage) -> None:
        rows = tuple((stage.name, "", stage.limit, {}) for stage in stages)
        monkeypatch.setattr(gpu_check, "_TABLE", rows)
        monkeypatch.setattr(gpu_check, "stages", lambda _names, _options: list(stages))

    return put


def test_the_summary_and_the_archive_are_whole(
    table: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = {"headline": "2 engines", "engines_run": 2, "failed": []}
    write = f"import json; json.dump({result!r}, open('{tmp_path}/out/parity.json', 'w'))"
    table(Stage("parity", python(write), 30), Stage("bad", python("raise SystemExit('why')"), 30))
    archive = tmp_path / "all.tar.gz"
    code = gpu_check.main(["--dry", "--out", str(tmp_path / "out"), "--pack", str(archive)])
    assert code == CHECK_FAILED
    summary = json.loads((tmp_path / "out/summary.json").read_text())
    assert summary["finished"]
    assert not summary["passed"]
    assert summary["failures"] == ["bad failed: why"]
    assert summary["stages"]["parity"]["engines_run"] == 2
    with tarfile.open(archive) as packed:
        assert set(packed.getnames()) == {
            "parity.json",
            "summary.json",
            "logs/parity.log",
            "logs/bad.log",
        }
    assert "2 engines" in capsys.readouterr().out


def test_a_check_in_which_no_engine_ran_has_not_passed(table: Any, tmp_path: Path) -> None:
    table(Stage("parity", python(""), 30))
    assert gpu_check.main(["--dry", "--out", str(tmp_path)]) == CHECK_FAILED
    assert json.loads((tmp_path / "summary.json").read_text())["failures"] == ["no engine ran"]
    table(Stage("kernels_right", python(""), 30))  # this one has no engines
    assert gpu_check.main(["--dry", "--out", str(tmp_path)]) == DONE


def test_the_page_lists_the_stages_with_their_limits() -> None:
    page = (ROOT / "docs/gpu.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| `(\w+)` \| (\d+) s \|", page, flags=re.MULTILINE)
    every = gpu_check.stages(
        [name for name, *_ in (*gpu_check._TABLE, *gpu_check._MORE)], options=()
    )
    assert [(name, float(limit)) for name, limit in listed] == [
        (stage.name, stage.limit) for stage in every
    ]


@pytest.mark.filterwarnings("ignore:.*found in sys.modules:RuntimeWarning")
def test_every_stage_is_a_module_that_can_be_asked_for_help(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    every = [name for name, *_ in (*gpu_check._TABLE, *gpu_check._MORE)]
    for stage in gpu_check.stages(every, options=["--help"]):
        python, dash_m, module, *words = stage.command
        assert (python, dash_m) == (sys.executable, "-m")
        monkeypatch.setattr(sys, "argv", [module, *words])
        with pytest.raises(SystemExit) as ended:
            runpy.run_module(module, run_name="__main__", alter_sys=True)
        assert not ended.value.code
        assert "--out" in capsys.readouterr().out


def test_without_a_gpu_nothing_is_checked(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(gpu_check, "find_gpus", list)
    assert gpu_check.main(["--out", str(tmp_path / "out")]) == MISSING
    assert "There is no NVIDIA GPU here" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_wrong_usage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = ["--out", str(tmp_path)]
    assert gpu_check.main([*out, "--only", "parity,party"]) == BAD_INPUT
    assert "There is no stage 'party'. Stages: smoke, imports" in capsys.readouterr().err
    assert gpu_check.main([*out, "--seconds", "0"]) == BAD_INPUT
    (tmp_path / "file").write_text("")
    assert gpu_check.main(["--dry", "--out", str(tmp_path / "file" / "x")]) == CANNOT_WRITE
    assert "Cannot write to" in capsys.readouterr().err


def test_what_an_earlier_run_has_left_does_not_pass_for_this_one_s(
    table: Any, tmp_path: Path
) -> None:
    (tmp_path / "parity.json").write_text('{"engines_run": 4}')
    table(Stage("parity", python(""), 30))
    assert gpu_check.main(["--dry", "--out", str(tmp_path)]) == CHECK_FAILED


def test_told_to_end_in_the_middle_it_leaves_what_was_finished(tmp_path: Path) -> None:
    """The real program with two real stages: the first is whole, the second dies with it."""
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "benchmarks.gpu_check", "--dry"),
            *("--out", str(tmp_path), "--only", "smoke,tests"),
        ],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line.startswith("smoke          passed")
    while not (tmp_path / "tests.json").exists():
        time.sleep(0.05)
    process.terminate()
    process.communicate()
    assert process.returncode == INTERRUPTED
    assert json.loads((tmp_path / "smoke.json").read_text())["finished"]
    assert not json.loads((tmp_path / "tests.json").read_text())["finished"]
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert list(summary["stages"]) == ["smoke"]
    assert not summary["finished"]


def test_a_record_is_valid_at_every_moment(tmp_path: Path) -> None:
    record = Record(StageOptions(tmp_path, tmp_path / "work", dry=True), "stage")
    seen = [json.loads(record.file.read_text())]
    record.add("rows", {"a": 1})
    seen.append(json.loads(record.file.read_text()))
    record.add("rows", {"a": 2})
    assert record.finish(["a row is wrong"]) == CHECK_FAILED
    seen.append(json.loads(record.file.read_text()))
    assert [content["finished"] for content in seen] == [False, False, True]
    assert seen[-1]["rows"] == [{"a": 1}, {"a": 2}]
    assert seen[-1]["failed"] == ["a row is wrong"]
    assert seen[-1]["versions"]["python"]
    assert [path.name for path in tmp_path.iterdir()] == ["stage.json"]


def test_a_full_folder_is_told_in_a_sentence(tmp_path: Path) -> None:
    """A limit on the size of files stands in for a disk without space."""
    record = Record(StageOptions(tmp_path, tmp_path / "work", dry=True), "stage")
    before = record.file.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        with pytest.raises(CannotWriteError, match="Cannot write"):
            record.put("big", "x" * 10_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert record.file.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["stage.json"]


def test_a_summary_that_cannot_be_written_stops_no_stage(
    table: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    remove = f"import shutil; shutil.rmtree('{tmp_path}/out'); open('{tmp_path}/out', 'w').close()"
    table(Stage("first", python(remove), 30), Stage("second", python(""), 30))
    assert gpu_check.main(["--dry", "--out", str(tmp_path / "out")]) == CANNOT_WRITE
    said = capsys.readouterr()
    assert said.err.count("Cannot write the results: ") == 1
    assert "second         not run" in said.out
