from __future__ import annotations

import pytest

from lrn_deploy.backends.onnxruntime import OnnxRuntimeBackend
from lrn_deploy.backends.openvino import OpenVinoBackend
from lrn_deploy.backends.registry import (
    artifact_backends,
    is_emulated,
    is_home,
    is_worth_trying,
    place,
    runs,
    runtimes,
    torch_backends,
)
from lrn_deploy.backends.tensorrt import TensorRtBackend
from lrn_deploy.bundle import Artifact, ArtifactData
from lrn_deploy.errors import BadInputError
from lrn_deploy.placement import Placement


def test_every_backend_on_every_device() -> None:
    found = {(item.name, item.device) for item in (*artifact_backends(), *torch_backends())}
    assert found >= {
        ("onnxruntime", "cpu"),
        ("onnxruntime", "cuda"),
        ("openvino", "cpu"),
        ("torch", "cpu"),
        ("torch", "cuda"),
    }


def test_runtimes_choose_their_threads_and_take_all_memory_if_nobody_says() -> None:
    for backend in (*artifact_backends(["cpu"]), OnnxRuntimeBackend(), OpenVinoBackend()):
        assert isinstance(backend, OnnxRuntimeBackend | OpenVinoBackend)
        assert (backend.device, backend.threads) == ("cpu", 0)
    ort, engines = artifact_backends(["cuda"])
    assert isinstance(ort, OnnxRuntimeBackend)
    assert isinstance(engines, TensorRtBackend)
    assert (ort.gpu_memory, engines.memory_limit) == (None, None)
    assert place("model", ort) == Placement("model", "onnxruntime", "cuda", 0)
    assert place("model", ort, 3).threads == 3


@pytest.mark.parametrize("device", ["gpu", "cuda:", "cuda:x", "cpu:0", ""])
def test_what_names_no_device(device: str) -> None:
    with pytest.raises(BadInputError, match="no device"):
        artifact_backends([device])
    with pytest.raises(BadInputError, match="no device"):
        torch_backends([device])


def test_a_gpu_by_its_number() -> None:
    assert {item.device for item in artifact_backends(["cuda:1"])} == {"cuda:1"}


def test_a_limit_of_gpu_memory_reaches_every_backend_of_a_gpu() -> None:
    cpu, cuda, _openvino, engines = artifact_backends(["cpu", "cuda:1"], gpu_memory=2**31)
    assert isinstance(cuda, OnnxRuntimeBackend)
    assert isinstance(engines, TensorRtBackend)
    assert (cpu.device, cuda.device, engines.device) == ("cpu", "cuda:1", "cuda:1")
    assert cuda.gpu_memory == engines.memory_limit == 2**31


@pytest.mark.parametrize(
    ("kind", "target", "expected"),
    [
        ("onnx", "any", {"onnxruntime:cpu", "onnxruntime:cuda", "openvino:cpu"}),
        ("onnx", "cpu", {"onnxruntime:cpu", "onnxruntime:cuda", "openvino:cpu"}),
        ("onnx", "openvino", {"openvino:cpu"}),
        ("onnx", "cuda", {"onnxruntime:cpu", "onnxruntime:cuda"}),
        ("onnx", "tensorrt", {"onnxruntime:cpu", "onnxruntime:cuda"}),
        ("tensorrt", "sm90", {"tensorrt:cuda"}),
    ],
)
def test_what_runs_where(kind: str, target: str, expected: set[str]) -> None:
    backends = (
        OnnxRuntimeBackend("cpu"),
        OnnxRuntimeBackend("cuda"),
        OpenVinoBackend(),
        TensorRtBackend("cuda"),
    )
    artifact = ArtifactData("a", kind, b"", target=target)
    assert {f"{b.name}:{b.device}" for b in backends if runs(b, artifact)} == expected


@pytest.mark.parametrize(
    ("where", "homes"),
    [
        ("onnxruntime:cpu", {"cpu"}),
        ("onnxruntime:cuda", {"cuda"}),
        ("onnxruntime:cuda:1", {"cuda"}),
        ("openvino:cpu", {"openvino"}),
        ("tensorrt:cuda", {"tensorrt"}),
    ],
)
def test_each_target_stands_for_one_runtime(where: str, homes: set[str]) -> None:
    placement = Placement.read("a", where)
    targets = ("cpu", "cuda", "openvino", "tensorrt")
    assert {target for target in targets if is_home(placement, target)} == homes
    assert all((placement.backend, placement.kind) in runtimes(target) for target in homes)


def test_what_is_written_for_onnx_runtime_is_not_tried_on_openvino() -> None:
    lowered, plain = (artifact(target) for target in ("cpu", "any"))
    assert is_worth_trying(OnnxRuntimeBackend("cpu"), lowered)
    assert not is_worth_trying(OpenVinoBackend(), lowered)
    assert is_worth_trying(OpenVinoBackend(), plain)


def test_bf16_is_imitated_by_onnx_runtime_on_the_cpu_only() -> None:
    half = artifact("tensorrt", "bf16")
    assert is_emulated(OnnxRuntimeBackend("cpu"), half)
    assert not is_emulated(OnnxRuntimeBackend("cuda"), half)
    assert not is_emulated(OnnxRuntimeBackend("cpu"), artifact("tensorrt", "fp16"))


def artifact(target: str, precision: str = "fp32") -> Artifact:
    return Artifact(
        file="a.onnx", sha256="", size=0, format="onnx", target=target, precision=precision
    )


@pytest.mark.parametrize(
    ("where", "device", "on"),
    [
        ("onnxruntime:cpu", "cpu", True),
        ("onnxruntime:cpu, bf16 emulated", "cpu", True),
        ("onnxruntime:cuda", "cpu", False),
        ("tensorrt:cuda:1", "cuda:1", True),
        ("tensorrt:cuda:1", "cuda", False),
        ("openvino:cpu", "", True),
        ("", "cpu", False),
    ],
)
def test_on_which_device_a_place_in_a_report_is(where: str, device: str, on: bool) -> None:
    assert Placement.read("model", where).on(device) is on
