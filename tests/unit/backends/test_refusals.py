"""Whether a backend's refusal speaks of the machine or of the graph, and what reaches a backend."""

from __future__ import annotations

import pytest

from lrn_deploy.backends.onnxruntime import OnnxRuntimeBackend
from lrn_deploy.backends.openvino import OpenVinoBackend
from lrn_deploy.backends.registry import artifact_backends, cannot_run_here
from lrn_deploy.backends.tensorrt import TensorRtBackend
from lrn_deploy.bundle import Artifact
from lrn_deploy.errors import DamagedError, LrnDeployError, MissingError, NoKernelError


def artifact(target: str) -> Artifact:
    return Artifact(file="a.onnx", sha256="", size=0, format="onnx", target=target)


CPU, CUDA = OnnxRuntimeBackend("cpu"), OnnxRuntimeBackend("cuda:1")
VINO = OpenVinoBackend()
DAMAGED, MISSING, NO_KERNEL = DamagedError("x"), MissingError("x"), NoKernelError("x")


@pytest.mark.parametrize(
    ("target", "source", "backend", "error", "machine"),
    [
        # The canonical graph must run: there it is the graph that is wrong,
        ("any", None, CPU, NO_KERNEL, False),
        ("any", None, CPU, MISSING, False),
        # except in OpenVINO, which need not take what was not made for it.
        ("any", None, VINO, DAMAGED, True),
        ("openvino", "model", VINO, DAMAGED, False),
        ("openvino", "model", VINO, MISSING, True),
        # A variant may ask for what a runtime has no kernel for, but not where it was made for it.
        ("tensorrt", "model", CPU, NO_KERNEL, True),
        ("cpu", "model", CPU, NO_KERNEL, False),
        ("cuda", "model", CUDA, NO_KERNEL, False),
        ("cuda", "model", CPU, NO_KERNEL, True),
        ("cpu", "model", CPU, MISSING, True),
        ("cpu", "model", CPU, DAMAGED, False),
    ],
)
def test_whether_a_refusal_speaks_of_the_machine_or_of_the_graph(
    target: str,
    source: str | None,
    backend: OnnxRuntimeBackend | OpenVinoBackend,
    error: LrnDeployError,
    machine: bool,
) -> None:
    made = artifact(target).model_copy(update={"source": source})
    assert cannot_run_here(made, backend, error) is machine


def test_an_engine_that_does_not_load_is_of_another_gpu() -> None:
    engine = artifact("sm90").model_copy(update={"engine": object(), "source": "model"})
    assert cannot_run_here(engine, TensorRtBackend("cuda"), DAMAGED)


def test_threads_reach_what_runs_on_the_cpu() -> None:
    ort, vino = artifact_backends(["cpu"], threads=3)
    assert isinstance(ort, OnnxRuntimeBackend)
    assert isinstance(vino, OpenVinoBackend)
    assert (ort.threads, vino.threads) == (3, 3)
    assert [item.name for item in artifact_backends(["cuda"])] == ["onnxruntime", "tensorrt"]
