"""What a session asks of CUDA and TensorRT, on a fake GPU; the real one has its own tests."""

from __future__ import annotations

import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from lrn_deploy.errors import BadInputError, DamagedError, MissingError
from lrn_deploy.tensorrt.device.contexts import cache_file
from lrn_deploy.tensorrt.device.cuda import check, driver_version, find_device
from lrn_deploy.tensorrt.device.run import EngineRunner
from tests.support.engine_graphs import engine_artifact, network
from tests.support.fake_gpu import DEVICE, FakeGpu
from tests.unit.tensorrt.sessions import batch, session, use

FAILED = type("Error", (), {"name": "cudaErrorStreamCaptureInvalidated"})


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
        replayed = ["graph", "in", "run", "out"]
        for expected in (["in", "run", "out"], replayed, replayed):
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


@pytest.mark.parametrize(
    ("quirk", "says"),
    [
        (
            {"no_context": "Unsupported PTX."},
            "cannot prepare to run 'rtx-fp16': Unsupported PTX",
        ),
        ({"refused_setter": "set_input_shape"}, "does not take a batch of 2 for 'rtx-fp16'"),
        ({"refused_setter": "set_tensor_address"}, "does not take a batch of 2 for 'rtx-fp16'"),
    ],
)
def test_a_context_that_cannot_be_had_is_an_error_each_time(
    quirk: dict[str, Any], says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpu = use(FakeGpu(captures_graphs=True, **quirk), monkeypatch)
    with session(gpu) as loaded:
        for ask in (
            lambda: loaded.run({"x": batch(2)}),
            lambda: loaded.run({"x": batch(2)}),
            lambda: loaded.profile_layers(2),
            lambda: loaded.time_on_device(2, 1),
        ):
            with pytest.raises(DamagedError, match=says) as caught:
                ask()
            assert "lrn-deploy build-engine 'my bundles/alexnet'" in caught.value.hint
    assert not gpu.cuda.memory


def test_a_batch_whose_first_run_failed_is_not_warmed_up(gpu: FakeGpu) -> None:
    with session(gpu) as loaded:
        gpu.broken = True
        with pytest.raises(DamagedError):
            loaded.run({"x": batch(2)})
        gpu.broken = False
        gpu.cuda.calls.clear()
        loaded.run({"x": batch(2)})
        assert gpu.cuda.calls == ["in", "run", "out"]


def test_a_capture_that_fails_tells_why(gpu: FakeGpu, monkeypatch: pytest.MonkeyPatch) -> None:
    with session(gpu) as loaded:
        loaded.run({"x": batch(2)})
        gpu.broken = True
        with monkeypatch.context() as patch:
            patch.setattr(gpu.cuda, "cudaStreamEndCapture", lambda _stream: (FAILED, None))
            with pytest.raises(DamagedError, match="Illegal address"):
                loaded.run({"x": batch(2)})
            gpu.broken = False
            with pytest.raises(MissingError, match="cudaErrorStreamCaptureInvalidated"):
                loaded.run({"x": batch(2)})
        gpu.cuda.recording = None
        x = batch(2)
        np.testing.assert_array_equal(loaded.run({"x": x})["y"], 2 * x)


def test_a_closed_session_holds_no_engine_and_none_ever_holds_its_file(gpu: FakeGpu) -> None:
    data = bytes(1000)
    files, engines = sys.getrefcount(data), sys.getrefcount(gpu.engine)
    with closing(EngineRunner(gpu, engine_artifact(data=data), DEVICE, None)) as loaded:  # type: ignore[arg-type]
        assert sys.getrefcount(data) == files
        loaded.run({"x": batch(2)})
        loaded.time_on_device(2, 1)
        held = sys.getrefcount(gpu.engine)
    left = sys.getrefcount(gpu.engine)
    assert left == engines < held


def test_the_fake_runs_any_network(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu = onnxruntime.InferenceSession(network(), providers=["CPUExecutionProvider"])
    gpu = FakeGpu(
        network=lambda feeds: {"logits": cpu.run(["logits"], feeds)[0]},
        tensors=[
            ("input", True, np.float32, (-1, 3, 6, 6)),
            ("logits", False, np.float32, (-1, 4)),
        ],
    )
    with session(use(gpu, monkeypatch)) as loaded:
        for size in (1, 8, 3, 8, 8):
            x = np.random.default_rng(size).normal(size=(size, 3, 6, 6)).astype(np.float32)
            (expected,) = cpu.run(["logits"], {"input": x})
            np.testing.assert_array_equal(loaded.run({"input": x})["logits"], expected)


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
