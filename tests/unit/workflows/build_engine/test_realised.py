"""What is told of an engine's types and of TF32, with and without a GPU."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from lrn_deploy.errors import DamagedError, MissingError
from lrn_deploy.tensorrt.build import BuiltEngine
from lrn_deploy.tensorrt.device.cuda import Device
from lrn_deploy.tensorrt.layers import LayerValue, NetworkLayer
from lrn_deploy.workflows.build_engine import realised as engine_realised
from lrn_deploy.workflows.build_engine.realised import Realised, realised
from tests.support.fake_gpu import DEVICE, FakeGpu, untold_types

RELU = NetworkLayer(
    name="relu",
    type="ACTIVATION",
    inputs=(),
    outputs=tuple(LayerValue(name=name, dtype="fp32", shape=(-1, 3)) for name in ("r", "s")),
)
BUILT = BuiltEngine(b"plan", (RELU,), (), {}, None, 0.0, None)
AS_TOLD = untold_types("r", "s", text="fp32")
OTHERS = untold_types("r", "s", text="fp16")


def ask(
    monkeypatch: pytest.MonkeyPatch,
    *,
    inspector: str = AS_TOLD,
    probe: bool | Exception | None = None,
    device: Device | None = DEVICE,
    targets: tuple[str, ...] = ("sm89",),
    precision: str = "fp32",
) -> Realised:
    """Ask with a GPU that answers so; ``probe`` None is one that must not be asked about TF32."""

    def rounds(*_: Any) -> bool:
        if isinstance(probe, Exception):
            raise probe
        assert probe is not None, "it was asked"
        return probe

    monkeypatch.setattr(engine_realised, "rounds_to_tf32", rounds)
    gpu: Any = FakeGpu(captures_graphs=True, inspector=inspector)
    return realised(gpu, BUILT, device, targets, "rtx-engine", precision)


def test_without_a_gpu_nothing_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    assert ask(monkeypatch, device=None) == Realised(None, "unknown", "")


def test_another_gpu_than_was_built_for_tells_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    other = replace(DEVICE, sm="sm120")
    assert ask(monkeypatch, device=other) == Realised(None, "unknown", "")


def test_types_and_fp32_as_requested(monkeypatch: pytest.MonkeyPatch) -> None:
    found = ask(monkeypatch, probe=False)
    assert (found.state, found.difference) == ("as requested", "")
    assert found.record is not None
    assert (found.record.kind, found.record.engine) == ("realised", "rtx-engine")
    assert found.record.inspector == AS_TOLD


def test_other_types_are_a_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    found = ask(monkeypatch, inspector=OTHERS, probe=False)
    assert found.state == "different"
    assert found.difference == (
        "2 of its values have another type than in the graph, the first is 'r': fp16 instead of "
        "fp32"
    )


@pytest.mark.parametrize("inspector", [AS_TOLD, untold_types("r"), "no JSON"])
def test_tf32_in_an_fp32_engine_is_a_difference_whatever_the_types_say(
    monkeypatch: pytest.MonkeyPatch, inspector: str
) -> None:
    found = ask(monkeypatch, inspector=inspector, probe=True)
    assert found.state == "different"
    expected = "its products of fp32 are computed in TF32, although that was switched off"
    assert found.difference == expected
    assert found.record is not None
    assert found.record.inspector == inspector


@pytest.mark.parametrize("precision", ["tf32", "fp16", "bf16", "int8"])
def test_only_fp32_asks_about_tf32(monkeypatch: pytest.MonkeyPatch, precision: str) -> None:
    found = ask(monkeypatch, precision=precision)
    assert (found.state, found.difference) == ("as requested", "")


@pytest.mark.parametrize(
    ("inspector", "state"),
    [(AS_TOLD, "as requested"), (OTHERS, "different"), (untold_types("r"), "unknown")],
)
@pytest.mark.parametrize(
    "error", [DamagedError("It does not load."), MissingError("There is not enough memory.")]
)
def test_a_probe_that_cannot_run_leaves_the_types_answer(
    monkeypatch: pytest.MonkeyPatch, inspector: str, state: str, error: Exception
) -> None:
    assert ask(monkeypatch, inspector=inspector, probe=error).state == state
