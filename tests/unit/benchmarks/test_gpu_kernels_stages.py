"""The stages that check and time the kernels: wrong kernels, missing memory, crashed children."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from benchmarks.gpu.kernels import fast, right, rivals
from benchmarks.gpu.kernels.cases import Case, fusion_called
from benchmarks.gpu.kernels.device import Device, Run
from benchmarks.gpu.kernels.dry import DryCpu
from benchmarks.gpu.kernels.timing import Candidates, copy_samples, measure
from benchmarks.gpu.record import StageOptions, run_stage
from lrn_deploy.errors import CHECK_FAILED, DONE, MISSING
from lrn_deploy.plugins import gpu
from lrn_deploy.plugins.fusion import Fusion
from lrn_deploy.plugins.launch import Tile

PLANE = (96, 55, 55)
BANDWIDTH = 3e12


@pytest.mark.parametrize(("count", "calls"), [(1, 20), (7, 21), (11, 22), (20, 20), (21, 21)])
def test_each_input_is_used_as_often_as_the_others(count: int, calls: int) -> None:
    device = DryCpu()
    device.calls = 20
    assert device.calls_through([torch.zeros(1)] * count) == calls


def test_candidates_take_turns_whose_order_rotates() -> None:
    device, order = DryCpu(), list[str]()
    device.rounds = 3

    def run(name: str) -> Run:
        return Run(lambda: order.append(name), 1, "host", [], [])

    samples = measure(device, {name: run(name) for name in ("a", "b")})
    assert "".join(order) == "abbaabbaabba"
    assert {name: len(values) for name, values in samples.items()} == {"a": 3, "b": 3}


def test_a_copy_s_bandwidth_counts_reading_and_writing() -> None:
    device = DryCpu()
    device.seconds = lambda _run: 0.5  # type: ignore[method-assign] # a clock whose answer is known
    assert copy_samples(device) == [4.0 * device.copied] * 5


def test_a_candidate_that_cannot_run_leaves_its_reason() -> None:
    def fails() -> Run:
        raise torch.cuda.OutOfMemoryError("no memory\nand more")

    found = Candidates(DryCpu())
    found.add("one", fails)
    found.add("two", lambda: Run(lambda: None, 1, "host", [], []))
    assert found.not_run == {"one": "OutOfMemoryError: no memory"}
    assert list(found.runs) == ["two"]


class Broken(DryCpu):
    """A device whose kernel is wrong for one fusion, in some way, and raises for another."""

    freed = 0

    def __init__(self, *, wrong: str = "", raising: str = "", how: str = "value") -> None:
        super().__init__()
        self.wrong, self.raising, self.how = wrong, raising, how

    def fused(self, x: Tensor, fusion: Fusion, tile: Tile | None = None) -> Tensor:
        if fusion.name == self.raising:
            raise torch.cuda.OutOfMemoryError("out of memory")
        if fusion.name != self.wrong:
            return super().fused(x, fusion, tile)
        if self.how == "value":
            return super().fused(x, fusion, tile) * 1.01
        right = super().fused(x, fusion, tile)
        y = gpu.empty_output(x, fusion, channels_last=gpu.check_tensor(x, fusion))
        if y.storage_offset() == 0:  # not poisoned: what is there is often right by chance
            return right
        if self.how == "gap":
            right.view(-1)[7] = y.view(-1)[7]
        else:
            y.as_strided((1,), (1,), y.storage_offset() + y.numel()).fill_(1.0)
        return right

    def free(self) -> None:
        self.freed += 1


@pytest.mark.parametrize(
    ("how", "sentence"),
    [
        ("value", "an error of 0.01"),
        ("gap", "another result in memory that was full of NaN"),
        ("beside", "it writes beside its output"),
    ],
)
def test_a_wrong_result_is_seen(how: str, sentence: str) -> None:
    row = right.check_case(Broken(wrong="lrn", how=how), "lrn", "float32", "channels first", 1.0)
    assert row["verdict"] == "fail"
    assert row["reason"].startswith(sentence)


def right_stage(
    device: DryCpu, folder: Path, patch: pytest.MonkeyPatch
) -> tuple[int, dict[str, Any]]:
    patch.setenv("TRITON_CACHE_DIR", str(folder / "triton"))
    patch.setattr(right, "choose_device", lambda **_: device)
    patch.setattr(right, "compile_all", lambda *_: {})
    code = right.stage(StageOptions(folder, folder, dry=True))
    return code, read(folder / "kernels_right.json")


def read(file: Path) -> dict[str, Any]:
    def refuse(name: str) -> None:
        raise ValueError(f"{name} is no JSON")

    content: dict[str, Any] = json.loads(file.read_text(), parse_constant=refuse)
    assert content["finished"]
    return content


def test_a_wrong_kernel_fails_the_check_and_one_that_raises_costs_only_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = Broken(wrong="lrn", raising="maxpool_lrn")
    code, found = right_stage(device, tmp_path, monkeypatch)
    assert code == CHECK_FAILED
    verdicts = {(row["fusion"], row["verdict"]) for row in found["equality"]}
    passing = set(right.NAMES) - {"lrn", "maxpool_lrn"}
    assert verdicts == {(name, "pass") for name in passing} | {
        ("lrn", "fail"),
        ("maxpool_lrn", "fail"),
    }
    assert len(found["equality"]) == 72
    assert found["failed"] == [
        "lrn: 12 of 12 wrong, float32, channels first: an error of 0.01, allowed are 2e-06",
        "maxpool_lrn: 12 of 12 wrong, float32, channels first: OutOfMemoryError: out of memory",
    ]
    assert device.freed == 24


def test_a_network_that_differs_fails_the_check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = DryCpu()
    monkeypatch.setattr(device, "compiled", lambda network: lambda x: network(x) + 1)
    code, found = right_stage(device, tmp_path, monkeypatch)
    assert code == CHECK_FAILED
    assert [row["verdict"] for row in found["networks"]] == ["pass", "fail"]
    assert found["failed"][0].startswith("digits compiled: 1 of 1 wrong")


def test_a_timed_kernel_that_is_wrong_or_does_not_run_fails_its_case_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    device = Broken(wrong="relu_lrn", raising="relu_maxpool_lrn")
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(fast, "choose_device", lambda **_: device)
    monkeypatch.setattr(rivals, "RIVALS", {"onnxruntime": "no_such_module"})
    assert fast.stage(StageOptions(tmp_path, tmp_path, dry=True)) == CHECK_FAILED
    found = read(tmp_path / "kernels_fast.json")
    assert len(found["timings"]) == 8
    wrong = {row["fusion"]: row["wrong"] for row in found["timings"]}
    assert wrong["lrn"] == []
    assert wrong["relu_maxpool_lrn"] == ["fused did not run: OutOfMemoryError: out of memory"]
    assert wrong["relu_lrn"][0].startswith("fused has an error of 0.01")
    assert found["rivals"] == [
        {"rival": "onnxruntime", "not_run": "no_such_module is not installed"}
    ]
    assert "FAILED relu_lrn first float32 batch 2: fused has an error" in capsys.readouterr().out


def test_no_memory_for_a_case_s_inputs_costs_only_that_case() -> None:
    device = Broken()

    def inputs(*_: object) -> list[Tensor]:
        raise torch.cuda.OutOfMemoryError("out of memory")

    one = Case(fusion_called("lrn"), "first", "float16", (32, *PLANE), closely=True)
    device.inputs = inputs  # type: ignore[method-assign] # a device without memory
    row = fast.attempt(device, one, BANDWIDTH)
    assert row["wrong"] == ["not measured: OutOfMemoryError: out of memory"]
    assert row["shape"] == [32, *PLANE]
    assert device.freed == 1


def test_a_missed_target_is_a_finding_and_no_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    device = DryCpu()
    device.planes, device.batches, device.kinds = {"first": (6, 7, 7)}, (32,), ("float32",)
    device.seconds = lambda _run: 1e-3  # type: ignore[method-assign] # all are equally fast
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(fast, "choose_device", lambda **_: device)
    monkeypatch.setattr(rivals, "RIVALS", {})
    assert fast.stage(StageOptions(tmp_path, tmp_path, dry=True)) == DONE
    missed = read(tmp_path / "kernels_fast.json")["missed"]
    assert "relu_lrn_maxpool first float32 batch 32: 1.00 times unfused pair, not 1.5" in missed
    assert "missed: 1.00 times torch eager, not 5" in capsys.readouterr().out


def test_a_crashed_or_slow_rival_is_a_row_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rivals, "ROOT", Path("/"))  # where its module is not found
    (row,) = rivals.ask(DryCpu(), "rtx", 60.0)
    assert row["not_run"].startswith("its process ended with 1: ")
    (row,) = rivals.ask(DryCpu(), "rtx", 0.001)
    assert row["not_run"] == "it took longer than 0.001 seconds"


def test_a_rival_that_did_not_compute_is_not_timed() -> None:
    def idle(_device: Device, inputs: list[Tensor]) -> Run:
        return Run(lambda: None, 1, "host", inputs, [torch.zeros_like(x) for x in inputs])

    device = DryCpu()
    (one,) = rivals.cases(device)
    with pytest.raises(RuntimeError, match="its result has an error of 1"):
        rivals.measure_beside(device, one, "idle", idle)


def test_what_a_rival_said_before_it_crashed_is_read() -> None:
    said = b'a warning\n3\n{"case": "lrn first", "row": {"speedup": 2.0}}\n{"case": "lrn sec'
    assert rivals.read_rows(said) == {"lrn first": {"speedup": 2.0}}


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
@pytest.mark.parametrize("module", [right, fast])
def test_without_a_gpu_it_says_so(
    module: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["stage", "--out", str(tmp_path)])
    assert run_stage(module.stage) == MISSING
    assert capsys.readouterr().err.count("\n") == 1
