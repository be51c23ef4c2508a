"""What a session asks of CUDA and TensorRT, on a fake GPU; the real one has its own tests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lrn_deploy.errors import BadInputError, DamagedError, MissingError
from lrn_deploy.tensorrt import cuda
from lrn_deploy.tensorrt.cuda import check, driver_version, find_device
from lrn_deploy.tensorrt.run import EngineRunner, cache_file
from tests.engine_graphs import engine_artifact
from tests.fake_gpu import DEVICE, FEATURES, FakeGpu


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> FakeGpu:
    return use(FakeGpu(), monkeypatch)


def use(gpu: FakeGpu, monkeypatch: pytest.MonkeyPatch) -> FakeGpu:
    monkeypatch.setattr(cuda, "runtime", lambda: gpu.cuda)
    return gpu


@contextmanager
def session(gpu: Any, data: bytes = b"plan", limit: int | None = None) -> Iterator[EngineRunner]:
    with closing(EngineRunner(gpu, engine_artifact(data=data), DEVICE, limit)) as runner:
        yield runner


def batch(size: int) -> np.ndarray[Any, Any]:
    return np.random.default_rng(size).normal(size=(size, FEATURES)).astype(np.float32)


def test_any_batch_of_the_profile_runs_and_results_stay(gpu: FakeGpu) -> None:
    with session(gpu) as loaded:
        assert [spec.shape for spec in (*loaded.inputs, *loaded.outputs)] == [("batch", 3)] * 2
        kept = []
        for size in (1, 8, 3, 1, 8, 3, 1):
            x = batch(size)
            kept.append((x, loaded.run({"x": x})["y"]))
    for x, y in kept:
        np.testing.assert_array_equal(y, 2 * x)


def test_a_batch_is_warmed_up_then_captured_then_replayed(gpu: FakeGpu) -> None:
    with session(gpu) as loaded:
        for expected in (["in", "out"], ["graph", "in", "out"], ["graph", "in", "out"]):
            gpu.cuda.calls.clear()
            loaded.run({"x": batch(2)})
            assert gpu.cuda.calls == expected
        assert gpu.cuda.graphs == 1
        loaded.run({"x": batch(5)})
        loaded.run({"x": batch(5)})
        assert (gpu.cuda.graphs, gpu.contexts_made) == (2, 2)


def test_tensorrt_for_rtx_captures_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = use(FakeGpu(captures_graphs=True), monkeypatch)
    with session(gpu) as loaded:
        for _ in range(3):
            loaded.run({"x": batch(2)})
        assert gpu.cuda.graphs == 0
        assert gpu.contexts_made == 1


def test_nothing_is_left_on_the_gpu(gpu: FakeGpu) -> None:
    with session(gpu) as loaded:
        for _ in range(100):
            loaded.run({"x": batch(4)})
        assert len(gpu.cuda.memory) == 5  # scratch, and two buffers for each of two tensors
    loaded.close()  # a second time
    assert not gpu.cuda.memory
    assert (gpu.cuda.graphs, gpu.cuda.streams) == (0, 0)


@pytest.mark.parametrize("size", [0, 9])
def test_a_batch_outside_the_profile(gpu: FakeGpu, size: int) -> None:
    with session(gpu) as loaded, pytest.raises(BadInputError, match="batches of 1 to 8"):
        loaded.run({"x": batch(size)})


def test_an_engine_that_tensorrt_refuses(gpu: FakeGpu) -> None:
    with (
        pytest.raises(DamagedError, match="refuses the engine 'rtx-fp16': Magic tag") as caught,
        session(gpu, b"bad"),
    ):
        pass
    assert "lrn-deploy build-engine 'my bundles/alexnet'" in caught.value.hint


def test_a_run_that_fails(gpu: FakeGpu) -> None:
    with session(gpu) as loaded:
        gpu.broken = True
        with pytest.raises(DamagedError, match="failed to run 'rtx-fp16': Illegal address"):
            loaded.run({"x": batch(1)})


@pytest.mark.parametrize("limit", [3, 100])  # below the engine; below engine, scratch and buffers
def test_the_memory_limit_is_checked_before_anything_is_allocated(gpu: FakeGpu, limit: int) -> None:
    with pytest.raises(DamagedError, match="allowed for"), session(gpu, limit=limit):
        pass
    assert not gpu.cuda.memory


def test_failed_allocation_frees_what_was_allocated(
    gpu: FakeGpu, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = type("Error", (), {"name": "cudaErrorMemoryAllocation"})
    monkeypatch.setattr(gpu.cuda, "cudaMallocHost", lambda _size: (failed, None))
    with pytest.raises(MissingError, match="not enough free memory"), session(gpu):
        pass
    assert not gpu.cuda.memory
    assert gpu.cuda.streams == 0


def test_layers_are_timed_on_a_context_of_their_own(gpu: FakeGpu) -> None:
    with session(gpu) as loaded:
        loaded.run({"x": batch(2)})
        assert loaded.profile_layers(2) == {"layer": 0.25}
        with pytest.raises(BadInputError):
            loaded.profile_layers(9)


def test_compiled_kernels_are_kept_for_this_gpu_outside_the_bundle(
    monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    gpu = use(FakeGpu(captures_graphs=True), monkeypatch)
    with session(gpu) as loaded:
        assert gpu.kernels == b""
        loaded.run({"x": batch(2)})
    (file,) = (path for path in cache.rglob("*") if path.is_file())
    assert file == cache_file(gpu, DEVICE, engine_artifact())  # type: ignore[arg-type]
    assert file.parent.name == "Fake-RTX-sm89-580-65-06"
    assert file.parent.parent.name == "tensorrt-rtx-1.7.1"
    with session(gpu):
        assert gpu.kernels == b"compiled"


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.104.05  Sat Aug 19", "535.104.05"),
        ("NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.65.06  Rel", "580.65.06"),
        ("nothing", None),
    ],
)
def test_driver_version(tmp_path: Path, text: str, version: str | None) -> None:
    file = tmp_path / "version"
    file.write_text(text)
    assert driver_version(file) == version
    assert driver_version(tmp_path / "none") is None


def test_cuda_python_is_missed_with_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "cuda.bindings", None)
    with pytest.raises(MissingError, match="cuda-python is not installed"):
        find_device()


def test_a_failed_cuda_call() -> None:
    with pytest.raises(MissingError, match="cudaErrorIllegalAddress"):
        check((type("Error", (), {"name": "cudaErrorIllegalAddress"}),))
