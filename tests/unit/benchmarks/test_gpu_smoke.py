"""The smoke stage: a row that crashes, hangs or is refused costs itself, and nothing else."""

from __future__ import annotations

import ctypes
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from benchmarks.gpu.smoke import row as smoke_row
from benchmarks.gpu.smoke import stage as smoke
from lrn_deploy.errors import CANNOT_WRITE, CHECK_FAILED, DONE, MISSING

ROOT = Path(__file__).parent.parent.parent.parent
GPU = {
    "name": "NVIDIA Test",
    "driver": "580.1",
    "compute_capability": "9.0",
    "memory_mib": 81559,
}
SUCCESS = SimpleNamespace(name="cudaSuccess")


def write(file: Path, content: dict[str, Any]) -> tuple[str, ...]:
    """A command that writes what a row's process would."""
    text = json.dumps(content)
    return (
        sys.executable,
        "-c",
        f"import pathlib; pathlib.Path({str(file)!r}).write_text({text!r})",
    )


def runs(error: float | None) -> dict[str, Any]:
    return {
        "plan_bytes": 5,
        "runs": [
            {"graphs": graphs, "batch": batch, "error": error, "why": "", "ms": [0.3, 0.1]}
            for graphs in ("DISABLED", "WHOLE_GRAPH_CAPTURE")
            for batch in (1, 3, 32)
        ],
    }


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with a GPU and with everything installed."""
    monkeypatch.setattr(smoke, "find_gpus", lambda: [GPU])
    monkeypatch.setattr(smoke.importlib.util, "find_spec", lambda _name: object())


def outcome(folder: Path, *more: str) -> tuple[int, dict[str, Any]]:
    code = smoke.main(["--out", str(folder), *more])
    return code, json.loads((folder / "smoke.json").read_text())


# ---- the network ----


@pytest.mark.parametrize("batch", [1, 3])
def test_the_truth_is_what_torch_computes_in_float64(batch: int) -> None:
    torch = pytest.importorskip("torch")
    functional = torch.nn.functional
    weights, x = smoke_row.make_weights(), smoke_row.make_input(batch)
    y = torch.from_numpy(x).double()
    y = functional.conv2d(y, torch.from_numpy(weights.convolution).double(), padding=1)
    y = functional.local_response_norm(functional.relu(y), 5, alpha=0.1, beta=0.75, k=2.0)
    y = functional.max_pool2d(y, 3, stride=2).flatten(1)
    wanted = torch.matmul(y, torch.from_numpy(weights.product).double()).numpy()
    assert wanted.shape == (batch, 10)
    np.testing.assert_allclose(smoke_row.truth(x, weights), wanted, rtol=1e-12, atol=1e-13)


def test_lrn_matters_to_the_output() -> None:
    weights, x = smoke_row.make_weights(), smoke_row.make_input(3)
    with_lrn = smoke_row.truth(x, weights)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(smoke_row, "LRN_ALPHA", 0.0)
        without = smoke_row.truth(x, weights)
    difference = np.linalg.norm(with_lrn - without) / np.linalg.norm(with_lrn)
    assert difference > 2 * max(smoke.LIMITS.values())  # no precision's limit hides a missing LRN


# ---- rows that run, on a GPU made of host memory ----


class FakeCuda:
    cudaStreamNonBlocking = 1  # noqa: N815 - CUDA's names
    cudaMemcpyKind = SimpleNamespace(  # noqa: N815
        cudaMemcpyHostToDevice="in", cudaMemcpyDeviceToHost="out"
    )

    def __init__(self) -> None:
        self.blocks: list[Any] = []
        self.fail_at: int | None = None
        self.waits = 0

    def cudaStreamCreateWithFlags(self, _flags: int) -> tuple[Any, int]:  # noqa: N802
        return SUCCESS, 7

    def cudaMalloc(self, size: int) -> tuple[Any, int]:  # noqa: N802
        self.blocks.append((ctypes.c_byte * size)())
        return SUCCESS, ctypes.addressof(self.blocks[-1])

    def cudaMemcpy(self, to: int, source: int, size: int, _kind: str) -> tuple[Any]:  # noqa: N802
        ctypes.memmove(to, source, size)
        return (SUCCESS,)

    def cudaStreamSynchronize(self, _stream: int) -> tuple[Any]:  # noqa: N802
        self.waits += 1
        if self.waits == self.fail_at:
            return (SimpleNamespace(name="cudaErrorIllegalAddress"),)
        return (SUCCESS,)


class FakeContext:
    def __init__(self) -> None:
        self.address: dict[str, int] = {}
        self.batch = 0

    def set_device_memory(self, pointer: int, size: int) -> None:
        assert pointer
        assert size == 1000

    def set_input_shape(self, _name: str, shape: tuple[int, ...]) -> bool:
        self.batch = shape[0]
        return True

    def set_tensor_address(self, name: str, pointer: int) -> bool:
        self.address[name] = pointer
        return True

    def execute_async_v3(self, stream: int) -> bool:
        assert stream == 7
        x = np.ctypeslib.as_array(
            (ctypes.c_float * (self.batch * 512)).from_address(self.address["x"])
        ).reshape(self.batch, 8, 8, 8)
        y = smoke_row.truth(x, smoke_row.make_weights()).astype(np.float32)
        ctypes.memmove(self.address["y"], y.ctypes.data, y.nbytes)
        return True

    def is_stream_capturable(self, _stream: int) -> bool:
        raise TypeError("incompatible function arguments")


class FakeEngine:
    device_memory_size_v2 = 1000

    def __init__(self) -> None:
        self.loaded: list[tuple[str, bytes]] = []
        self.refused_contexts: set[int] = set()
        self.contexts = 0

    def create_runtime_config(self) -> Any:
        config = SimpleNamespace(cuda_graph_strategy="")

        def load(kernels: bytes) -> bool:
            self.loaded.append((config.cuda_graph_strategy, kernels))
            return True

        config.set_execution_context_allocation_strategy = lambda _strategy: None
        config.create_runtime_cache = lambda: SimpleNamespace(
            serialize=lambda: b"kernels", deserialize=load
        )
        config.set_runtime_cache = lambda _cache: True
        return config

    def create_execution_context(self, _config: Any) -> FakeContext | None:
        self.contexts += 1
        return None if self.contexts in self.refused_contexts else FakeContext()


TRT = SimpleNamespace(
    ExecutionContextAllocationStrategy=SimpleNamespace(USER_MANAGED=1),
    CudaGraphStrategy=SimpleNamespace(DISABLED="off", WHOLE_GRAPH_CAPTURE="graphs"),
    DynamicShapesKernelSpecializationStrategy=SimpleNamespace(EAGER=1),
)


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> FakeCuda:
    fake = FakeCuda()
    monkeypatch.setitem(sys.modules, "cuda.bindings.runtime", fake)
    return fake


@pytest.fixture
def row(tmp_path: Path) -> smoke_row.Row:
    content = {"target": "current", "precision": "fp32", "ended": ""}
    return smoke_row.Row(tmp_path / "row.json", content)


def test_each_batch_runs_without_and_with_graphs_and_is_compared(
    cuda: FakeCuda, row: smoke_row.Row
) -> None:
    engine = FakeEngine()
    smoke_row.run_engine(TRT, engine, row)
    found = json.loads(row.file.read_text())
    assert [(run["graphs"], run["batch"]) for run in found["runs"]] == [
        ("DISABLED", 1),
        ("DISABLED", 3),
        ("DISABLED", 32),
        ("WHOLE_GRAPH_CAPTURE", 1),
        ("WHOLE_GRAPH_CAPTURE", 3),
        ("WHOLE_GRAPH_CAPTURE", 32),
    ]
    assert all(0 < run["error"] < 1e-7 for run in found["runs"])  # of rounding to fp32, no more
    assert all(len(run["ms"]) == 5 for run in found["runs"])
    assert found["runs"][0]["capturable"] == "TypeError: incompatible function arguments"
    assert engine.loaded == [("graphs", b"kernels")]
    assert found["cache_bytes"] == 7
    assert cuda.waits == 30
    assert smoke.judge(found) == {"works": True, "right": 6, "why": ""}


def test_a_context_that_is_refused_costs_its_batch(cuda: FakeCuda, row: smoke_row.Row) -> None:
    del cuda
    engine = FakeEngine()
    engine.refused_contexts = {2}
    row.messages += ["ERROR no kernel image", "INFO later"]
    smoke_row.run_engine(TRT, engine, row)
    verdict = smoke.judge(row.content)
    assert verdict["right"] == 5
    assert not verdict["works"]
    assert verdict["why"] == "batch 3, graphs DISABLED: no context: ERROR no kernel image"


def test_an_error_of_cuda_ends_the_row_with_its_name_and_keeps_what_ran(
    cuda: FakeCuda, row: smoke_row.Row
) -> None:
    cuda.fail_at = 12  # in the third batch
    with pytest.raises(smoke_row.RowError, match=r"cudaStreamSynchronize: cudaErrorIllegalAddress"):
        smoke_row.run_engine(TRT, FakeEngine(), row)
    assert [run["batch"] for run in json.loads(row.file.read_text())["runs"]] == [1, 3]


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_an_engine_is_built_without_a_gpu(tmp_path: Path, precision: str) -> None:
    pytest.importorskip("tensorrt_rtx")
    file = tmp_path / "row.json"
    command = smoke.row_command("current", precision, file, dry=True)
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    found = json.loads(file.read_text())
    assert done.returncode == DONE, done.stderr
    assert found["built_for"] == "sm86"
    assert found["set_target"] is True
    assert found["plan_bytes"] > 10_000
    assert "stopped" not in found


def test_a_target_that_this_tensorrt_does_not_know_is_told(tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx")
    file = tmp_path / "row.json"
    command = smoke.row_command("sm33", "fp32", file, dry=True)
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == CHECK_FAILED
    assert json.loads(file.read_text())["stopped"].startswith("AttributeError: ")


# ---- the stage ----


@pytest.mark.usefixtures("gpu")
def test_a_crash_costs_its_row_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def command(target: str, precision: str, file: Path, *, dry: bool) -> tuple[str, ...]:
        assert not dry
        if (target, precision) == ("current", "fp32"):
            crash = "import ctypes; ctypes.string_at(0)"
            return (sys.executable, "-X", "faulthandler", "-c", crash)
        return write(file, runs(1e-7))

    monkeypatch.setattr(smoke, "row_command", command)
    code, found = outcome(tmp_path)
    assert code == DONE
    assert found["finished"] is True
    assert found["machine"]["gpus"] == [GPU]
    assert found["works"] == {
        "none": {"fp32": True},
        "current": {"fp32": False, "fp16": True, "bf16": True, "tf32": True},
        "sm80": {"fp32": True},
    }
    assert found["engines_run"] == 5
    assert found["rows"][1]["why"] == "it crashed: SIGSEGV"
    assert "Fatal Python error: Segmentation fault" in found["rows"][1]["output"]


@pytest.mark.usefixtures("gpu")
def test_a_hang_is_ended_at_its_limit_and_keeps_what_it_had_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def command(target: str, _precision: str, file: Path, *, dry: bool) -> tuple[str, ...]:
        del dry
        quick = write(file, runs(1e-7) if target == "none" else {"plan_bytes": 5})
        if target == "none":
            return quick
        return (*quick[:2], f"{quick[2]}; import time; time.sleep(600)")

    monkeypatch.setattr(smoke, "row_command", command)
    monkeypatch.setattr(smoke, "ROWS", (("sm80", "fp32"), ("none", "fp32")))
    monkeypatch.setattr(smoke, "ROW_SECONDS", 1.0)
    code, found = outcome(tmp_path)
    assert code == DONE
    hung, right = found["rows"]
    assert hung["plan_bytes"] == 5
    assert "killed at its limit" in hung["why"]
    assert right["works"]
    assert found["works"] == {"sm80": {"fp32": False}, "none": {"fp32": True}}


@pytest.mark.usefixtures("gpu")
def test_without_one_right_result_the_stage_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def command(_target: str, _precision: str, file: Path, *, dry: bool) -> tuple[str, ...]:
        del dry
        return write(file, runs(0.5))

    monkeypatch.setattr(smoke, "row_command", command)
    code, found = outcome(tmp_path)
    assert code == CHECK_FAILED
    assert found["engines_run"] == 0
    assert found["failed"][0].startswith("No engine gave right results here: batch 1")
    assert capsys.readouterr().out.splitlines()[-1] == "0 of 6 engines gave right results"


@pytest.mark.parametrize(
    ("precision", "error", "right"),
    [
        ("fp32", 1e-5, True),
        ("fp32", 1.1e-5, False),
        ("tf32", 5e-3, True),
        ("tf32", 5.1e-3, False),
        ("fp16", 1e-2, True),
        ("bf16", 1.1e-2, False),
        ("bf16", None, False),  # not a number, or infinite
    ],
)
def test_each_precision_has_its_limit(precision: str, error: float | None, right: bool) -> None:
    verdict = smoke.judge({"precision": precision, "ended": "", **runs(error)})
    assert verdict["works"] is right
    assert verdict["right"] == (6 if right else 0)


def test_an_engine_that_only_runs_without_graphs_ran_but_does_not_work() -> None:
    row = {"precision": "fp32", "ended": "it crashed: SIGABRT", **runs(0.0)}
    row["runs"] = row["runs"][:3]
    assert smoke.judge(row) == {"works": False, "right": 3, "why": "it crashed: SIGABRT"}


def test_dry_runs_nothing_and_passes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def command(_target: str, _precision: str, file: Path, *, dry: bool) -> tuple[str, ...]:
        assert dry
        return write(file, {"plan_bytes": 5})

    monkeypatch.setattr(smoke, "find_gpus", list)
    monkeypatch.setattr(smoke, "what_is_missing", lambda _gpus, *, dry: "" if dry else "a GPU")
    monkeypatch.setattr(smoke, "row_command", command)
    code, found = outcome(tmp_path, "--dry")
    assert code == DONE
    assert found["dry"] is True
    assert [row["run"] for row in found["rows"]] == ["not run: no GPU"] * 6
    assert found["headline"] == "dry: 6 of 6 engines built, none run"


def test_dry_fails_where_an_engine_that_could_be_built_was_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def command(target: str, _precision: str, file: Path, *, dry: bool) -> tuple[str, ...]:
        assert dry
        return write(file, {} if target == "sm80" else {"plan_bytes": 5})

    monkeypatch.setattr(smoke, "find_gpus", list)
    monkeypatch.setattr(smoke, "what_is_missing", lambda _gpus, *, dry: "" if dry else "a GPU")
    monkeypatch.setattr(smoke, "row_command", command)
    code, found = outcome(tmp_path, "--dry")
    assert code == CHECK_FAILED
    assert [sentence.split(":")[0] for sentence in found["failed"]] == ["sm80/fp32 not built"]


def test_dry_without_tensorrt_says_so_in_each_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(smoke.importlib.util, "find_spec", lambda _name: None)
    code, found = outcome(tmp_path, "--dry")
    assert code == DONE
    assert all("has no tensorrt-rtx" in row["ended"] for row in found["rows"])


def test_without_a_gpu_a_sentence_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(smoke, "find_gpus", list)
    code, found = outcome(tmp_path)
    assert code == MISSING
    assert found["failed"] == [
        "There is no NVIDIA GPU here (nvidia-smi lists none), so no engine was run."
    ]
    assert found["failed"][0] in capsys.readouterr().out


@pytest.mark.usefixtures("gpu")
def test_without_tensorrt_a_sentence_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(smoke.importlib.util, "find_spec", lambda _name: None)
    code, found = outcome(tmp_path)
    assert code == MISSING
    assert found["failed"] == [f"{sys.executable} has no tensorrt-rtx, so no engine was built."]


def test_a_folder_that_cannot_be_written_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    assert smoke.main(["--out", str(tmp_path / "file" / "out"), "--dry"]) == CANNOT_WRITE
    assert "Cannot write to " in capsys.readouterr().err


def test_gpus_are_read_from_nvidia_smi(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = "NVIDIA H100 80GB HBM3, 580.105.08, 9.0, 81559\nNVIDIA Other, 580.1, 8.9, [N/A]"
    monkeypatch.setattr(smoke, "answer_of", lambda _command: answer)
    assert smoke.find_gpus() == [
        {
            "name": "NVIDIA H100 80GB HBM3",
            "driver": "580.105.08",
            "compute_capability": "9.0",
            "memory_mib": 81559,
        },
        {
            "name": "NVIDIA Other",
            "driver": "580.1",
            "compute_capability": "8.9",
            "memory_mib": None,
        },
    ]


@pytest.mark.parametrize("answer", ["not installed", "a driver, that, cannot be, reached"])
def test_a_failing_nvidia_smi_is_no_gpu(monkeypatch: pytest.MonkeyPatch, answer: str) -> None:
    monkeypatch.setattr(smoke, "answer_of", lambda _command: answer)
    assert smoke.find_gpus() == []


def test_it_needs_nothing_but_numpy() -> None:
    code = (
        "import sys; before = set(sys.modules)\n"
        "import benchmarks.gpu.smoke.stage\n"
        "names = {name.split('.')[0] for name in set(sys.modules) - before}\n"
        "print(*sorted(names - sys.stdlib_module_names))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["benchmarks", "lrn_deploy", "numpy"]
