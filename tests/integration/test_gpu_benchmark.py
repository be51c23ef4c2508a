"""What ``make gpu-check`` does, as far as a machine without a GPU can do it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.gpu.zoo import SHAPE, check_network, on_tensorrt, probe_bundle
from lrn_deploy.backends.onnxruntime import OnnxRuntimeBackend
from lrn_deploy.errors import MissingError
from lrn_deploy.lrn import LrnSpec, reference
from lrn_deploy.parity import graph
from lrn_deploy.tensorrt.cuda import find_device
from lrn_deploy.workflows.build_engine import EngineRequest, build_bundle_engine

pytestmark = pytest.mark.tensorrt
pytest.importorskip("tensorrt_rtx", reason="builds its engines with tensorrt-rtx")

SPEC = LrnSpec(5, 1e-4, 0.75, 2.0)


def test_a_network_in_every_precision() -> None:
    found = check_network("digits", targets=("sm86",), batches=(1, 3))
    assert found["verdict"] == "pass"
    assert found["not_made"] == []
    made = {check["artifact"] for check in found["checks"]}
    engines = {f"rtx-{precision}-sm86" for precision in ("fp32", "tf32", "fp16", "bf16", "int8")}
    assert engines | {"model", "cuda-fp16", "trt-fp16", "trt-bf16", "trt-int8"} <= made


def test_a_probe_becomes_a_bundle_whose_engine_can_be_built(tmp_path: Path) -> None:
    bundle = probe_bundle(graph.single_lrn(SPEC).SerializeToString(), tmp_path / "probe")
    x = np.random.default_rng(0).normal(size=(2, *(int(n) for n in SHAPE[1:]))).astype(np.float32)
    with OnnxRuntimeBackend().load(bundle.load("model")) as session:
        np.testing.assert_allclose(session.run({"x": x})["y"], reference(x, SPEC), rtol=1e-5)
    built = build_bundle_engine(bundle, EngineRequest(targets=("sm86",), batch=(1, 8, 64)))
    assert built.name in built.bundle.manifest.artifacts


@pytest.mark.gpu
def test_lrn_alone_on_tensorrt_equals_its_definition() -> None:
    try:
        find_device()
    except MissingError as error:
        pytest.skip(str(error))
    x = np.random.default_rng(0).normal(size=(2, *(int(n) for n in SHAPE[1:]))).astype(np.float32)
    with on_tensorrt(graph.single_lrn(SPEC).SerializeToString()) as session:
        np.testing.assert_allclose(session.run({"x": x})["y"], reference(x, SPEC), rtol=1e-5)
