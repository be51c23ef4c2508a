"""What ``make gpu-check`` does, as far as a machine without a GPU can do it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from benchmarks.gpu import made
from benchmarks.gpu.lrn_alone import LrnAlone, check_lrn, on_cpu, on_tensorrt, probe_bundle
from benchmarks.gpu.zoo import check_network
from lrn_deploy.backends.onnxruntime import OnnxRuntimeBackend
from lrn_deploy.bundle import Bundle
from lrn_deploy.errors import MissingError
from lrn_deploy.export import ExportOptions
from lrn_deploy.lrn import LrnSpec, reference
from lrn_deploy.parity import graph
from lrn_deploy.tensorrt.device.cuda import find_device
from lrn_deploy.workflows.build_engine.build_engine import EngineOptions, build_bundle_engine
from tests.support.engine_builds import build_in_this_process
from tests.support.exported import exported

pytestmark = [pytest.mark.tensorrt, pytest.mark.usefixtures("unmeasured")]
pytest.importorskip("tensorrt_rtx", reason="builds its engines with tensorrt-rtx")

SPEC = LrnSpec(5, 1e-4, 0.75, 2.0)


def test_a_network_in_every_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    def copied(options: ExportOptions, path: Path, *, force: bool) -> Bundle:
        assert (options, force) == (ExportOptions("digits"), True)
        return exported("digits", path)

    monkeypatch.setattr(made, "export_bundle", copied)
    build_in_this_process(monkeypatch)
    found = check_network("digits", targets=("sm86",), batches=(1, 3))
    assert found["verdict"] == "pass"
    assert found["not_made"] == []
    artifacts = {check["artifact"] for check in found["checks"]}
    engines = {f"rtx-{precision}-sm86" for precision in ("fp32", "tf32", "fp16", "bf16", "int8")}
    assert engines | {"model", "cuda-fp16", "trt-fp16", "trt-bf16", "trt-int8"} <= artifacts


SHAPE = (32, 3, 3)


def test_a_probe_becomes_a_bundle_whose_engine_can_be_built(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build_in_this_process(monkeypatch)
    bundle = probe_bundle(graph.single_lrn(SPEC).SerializeToString(), tmp_path / "probe", SHAPE)
    x = np.random.default_rng(0).normal(size=(2, *SHAPE)).astype(np.float32)
    with OnnxRuntimeBackend().load(bundle.load("model")) as session:
        np.testing.assert_allclose(session.run({"x": x})["y"], reference(x, SPEC), rtol=1e-5)
    built = build_bundle_engine(bundle, EngineOptions(targets=("sm86",), batch=(1, 8, 64)))
    assert built.name in built.bundle.manifest.artifacts


def test_lrn_alone_is_probed_at_all_amplitudes() -> None:
    found = check_lrn(SPEC, on_cpu)
    assert found["verdict"] == "pass", found
    assert len(found["amplitudes"]) > 3
    assert all(row["metrics"]["relative_l2"] < 1e-4 for row in found["amplitudes"])


def test_another_lrn_is_found() -> None:
    other = LrnSpec(5, 1e-4, 0.7, 2.0)

    graphs = [graph.single_lrn(spec).SerializeToString() for spec in (other, SPEC)]

    @contextmanager
    def wrong(_data: bytes) -> Iterator[LrnAlone]:  # what comes second is the clean node
        yield LrnAlone(graphs.pop(0), on_gpu=False)

    assert check_lrn(SPEC, wrong)["verdict"] == "fail"


@pytest.mark.gpu
def test_lrn_alone_on_tensorrt_equals_its_definition() -> None:
    try:
        find_device()
    except MissingError as error:
        pytest.skip(str(error))
    x = np.random.default_rng(0).normal(size=(2, *SHAPE)).astype(np.float32)
    with on_tensorrt(graph.single_lrn(SPEC).SerializeToString()) as session:
        np.testing.assert_allclose(session.run({"x": x})["y"], reference(x, SPEC), rtol=1e-5)
