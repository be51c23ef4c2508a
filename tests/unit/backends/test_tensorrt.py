"""The TensorRT backend: what it says without a GPU, what it checks, and what it does with one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from lrn_deploy.backends import tensorrt as module
from lrn_deploy.backends.tensorrt import TensorRtBackend, TensorRtSession
from lrn_deploy.bundle import Bundle
from lrn_deploy.errors import BadInputError, DamagedError, MissingError
from lrn_deploy.extras import install
from lrn_deploy.tensorrt.device import cuda
from lrn_deploy.tensorrt.device.cuda import find_device
from tests.support.engine_graphs import engine_artifact, engine_record, make_bundle
from tests.support.fake_gpu import DEVICE, FakeGpu, no_device


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> FakeGpu:
    fake = FakeGpu()
    monkeypatch.setattr(module, "find_device", lambda _index: DEVICE)
    monkeypatch.setattr(module, "find_flavor", lambda _name: fake)
    monkeypatch.setattr(module.platform, "system", lambda: "Linux")
    monkeypatch.setattr(module.platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(cuda, "runtime", lambda: fake.cuda)
    return fake


def test_probe_without_a_gpu_says_what_can_still_be_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_installed_versions", lambda: {"rtx": "1.7.1"})
    monkeypatch.setattr(module, "find_device", no_device)
    probe = TensorRtBackend().probe()
    assert not probe.available
    assert probe.version == "tensorrt-rtx 1.7.1"
    assert probe.detail == "Engines can be built here, but not run: There is no NVIDIA GPU here."
    assert probe.hint == "Run 'nvidia-smi'."


def test_probe_without_tensorrt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_installed_versions", dict)
    probe = TensorRtBackend().probe()
    assert (probe.available, probe.version) == (False, None)
    assert install("rtx") in probe.hint


@pytest.mark.usefixtures("gpu")
def test_probe_with_a_gpu_names_it() -> None:
    probe = TensorRtBackend("cuda:0").probe()
    assert probe.available
    assert probe.detail == "Fake RTX (sm89)"


HOPPER = replace(DEVICE, name="NVIDIA H100", sm="sm90")


@pytest.mark.parametrize("sm", ["sm90", "sm100"])
def test_probe_of_a_gpu_that_rtx_refuses(sm: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_installed_versions", lambda: {"rtx": "1.7.1.116"})
    monkeypatch.setattr(module, "find_device", lambda _index: replace(HOPPER, sm=sm))
    probe = TensorRtBackend().probe()
    assert not probe.available
    assert probe.detail == (
        "Engines can be built here, but not run: tensorrt-rtx 1.7.1.116 does not run on this "
        f"machine's NVIDIA H100 ({sm})."
    )
    assert "without int8 convolutions: pip install tensorrt-rtx==1.6.1.120" in probe.hint
    assert install("tensorrt") in probe.hint


@pytest.mark.parametrize(
    ("versions", "detail"),
    [
        ({"rtx": "1.6.1.120"}, "NVIDIA H100 (sm90)"),
        ({"tensorrt": "11.0"}, "NVIDIA H100 (sm90)"),
        (
            {"tensorrt": "11.0", "rtx": "1.7.1"},
            "NVIDIA H100 (sm90); tensorrt-rtx 1.7.1 does not run on this machine's NVIDIA H100 "
            "(sm90)",
        ),
    ],
)
def test_probe_of_that_gpu_with_a_tensorrt_that_may_run(
    versions: dict[str, str], detail: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_installed_versions", lambda: versions)
    monkeypatch.setattr(module, "find_device", lambda _index: HOPPER)
    probe = TensorRtBackend().probe()
    assert (probe.available, probe.detail, probe.hint) == (True, detail, "")


def test_load_without_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "find_device", no_device)
    with pytest.raises(MissingError, match="no NVIDIA GPU"):
        TensorRtBackend().load(engine_artifact())


@pytest.mark.usefixtures("gpu")
def test_an_engine_that_fits_runs() -> None:
    with TensorRtBackend().load(engine_artifact()) as session:
        x = np.ones((2, 3), np.float32)
        np.testing.assert_array_equal(session.run({"x": x})["y"], 2 * x)


@pytest.mark.usefixtures("gpu")
def test_a_session_times_the_network_on_the_device() -> None:
    with TensorRtBackend().load(engine_artifact()) as session:
        for graphs in (True, False):
            assert 0 < session.time_on_device(2, 3, graphs=graphs) < 1


@pytest.mark.usefixtures("gpu")
def test_other_inputs_are_refused() -> None:
    x = np.ones((2, 3))
    with (
        TensorRtBackend().load(engine_artifact()) as session,
        pytest.raises(BadInputError, match="takes float32, got float64"),
    ):
        session.run({"x": x})


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"version": "1.6.0"}, "built by tensorrt-rtx 1.6.0, and 1.7.1 is installed"),
        ({"targets": ("sm120",)}, "built for sm120, and this machine's Fake RTX is sm89"),
        ({"driver": "600.1"}, "older 580.65.06"),
        ({"platform": "windows-amd64"}, "windows-amd64"),
    ],
)
def test_a_mismatch_is_found_before_tensorrt_sees_the_engine(
    gpu: FakeGpu, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], says: str
) -> None:
    monkeypatch.setattr(gpu, "start_runtime", lambda: pytest.fail("it was deserialised"))
    with pytest.raises(DamagedError, match=says):
        TensorRtBackend().load(engine_artifact(engine_record(**changes)))


@pytest.mark.usefixtures("gpu")
def test_an_engine_without_a_record() -> None:
    with pytest.raises(DamagedError, match="does not say what"):
        TensorRtBackend().load(replace(engine_artifact(), engine=None))


@pytest.mark.usefixtures("gpu")
def test_the_memory_limit_of_a_bundle() -> None:
    with pytest.raises(DamagedError, match="allowed for this bundle"):
        TensorRtBackend(memory_limit=10).load(engine_artifact())


@pytest.mark.usefixtures("gpu")
@pytest.mark.parametrize(("device", "index"), [("cuda", 0), ("cuda:1", 1)])
def test_the_gpu_is_the_one_that_was_asked_for(
    monkeypatch: pytest.MonkeyPatch, device: str, index: int
) -> None:
    asked: list[int] = []
    monkeypatch.setattr(module, "find_device", lambda at: (asked.append(at), DEVICE)[1])
    TensorRtBackend(device).probe()
    TensorRtBackend(device).load(engine_artifact()).close()
    assert asked == [index, index]


def test_only_what_is_installed_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def find_flavor(name: str) -> Any:
        if name == "tensorrt":
            raise MissingError("It is not installed.")
        return SimpleNamespace(version="1.7.1")

    monkeypatch.setattr(module, "find_flavor", find_flavor)
    assert module._installed_versions() == {"rtx": "1.7.1"}


def test_a_session_asks_its_engine_and_lets_it_go() -> None:
    class Runner:
        inputs = outputs = ()
        closed = 0

        def profile_layers(self, batch: int) -> dict[str, float]:
            return {"layer": float(batch)}

        def time_on_device(self, batch: int, runs: int, *, graphs: bool) -> float:
            return 100 * batch + runs + (0.5 if graphs else 0)

        def close(self) -> None:
            self.closed += 1

    runner: Any = Runner()
    with TensorRtSession(runner) as session:
        assert (session.profile_layers(), session.profile_layers(3)) == ({"layer": 1}, {"layer": 3})
        assert session.time_on_device(2, 7) == 207.5
        assert session.time_on_device(2, 7, graphs=False) == 207
    assert runner.closed == 1


# On a GPU: the real thing, on a graph small enough to compute by hand elsewhere.


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Bundle, str]:
    try:
        find_device()
    except MissingError as error:
        pytest.skip(str(error))
    from lrn_deploy.workflows.build_engine.build_engine import EngineOptions, build_bundle_engine

    bundle = make_bundle(Path(tmp_path_factory.mktemp("gpu")) / "tiny")
    # Where TF32 cannot be switched off, the record must say so, and the engine is tested as such.
    request = EngineOptions(targets=("current",), batch=(1, 2, 4), allow_other_types=True)
    result = build_bundle_engine(bundle, request)
    return result.bundle, result.name


@pytest.mark.gpu
def test_an_engine_agrees_with_onnx_runtime(built: tuple[Bundle, str]) -> None:
    from lrn_deploy.backends.onnxruntime import OnnxRuntimeBackend

    bundle, name = built
    reference = OnnxRuntimeBackend("cpu").load(bundle.load("model"))
    record = bundle.manifest.artifact(name).engine
    assert record is not None
    rtol, atol = (5e-3, 1e-2) if "TF32" in record.difference else (1e-5, 1e-6)
    with TensorRtBackend().load(bundle.load(name)) as session:
        for size in (1, 3, 4, 1, 3, 4, 1, 3, 4):  # warmed up, captured, replayed
            x = np.random.default_rng(size).normal(size=(size, 3, 6, 6)).astype(np.float32)
            np.testing.assert_allclose(
                session.run({"input": x})["logits"],
                reference.run({"input": x})["logits"],
                rtol=rtol,
                atol=atol,
            )
        with pytest.raises(BadInputError, match="batches of 1 to 4"):
            session.run({"input": np.zeros((5, 3, 6, 6), np.float32)})
        assert sum(session.profile_layers(2).values()) > 0
        for graphs in (True, False):
            assert 0 < session.time_on_device(4, 10, graphs=graphs) < 0.1


@pytest.mark.gpu
def test_realised_types_are_told(built: tuple[Bundle, str]) -> None:
    bundle, name = built
    artifact = bundle.manifest.artifact(name)
    assert artifact.engine is not None
    state, difference = artifact.engine.realised, artifact.engine.difference
    assert (state == "different") == ("TF32" in difference)
    assert state != "unknown"


@pytest.mark.gpu
def test_ten_thousand_runs_without_memory_growth(built: tuple[Bundle, str]) -> None:
    bundle, name = built
    with TensorRtBackend().load(bundle.load(name)) as session:
        x = np.zeros((4, 3, 6, 6), np.float32)
        for _ in range(50):  # CUDA loads its modules when they are first needed
            session.run({"input": x})
        before = find_device().free_memory
        for _ in range(10_000):
            session.run({"input": x})
        assert before - find_device().free_memory < 1 << 20
