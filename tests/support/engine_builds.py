"""What the tests of ``lrn-deploy build-engine`` call, and machines with a GPU that is none."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import pytest

from lrn_deploy import cli
from lrn_deploy.tensorrt import build as build_module
from lrn_deploy.tensorrt.build import BuildRequest, BuiltEngine, build_engine
from lrn_deploy.tensorrt.device.cuda import Device
from lrn_deploy.tensorrt.flavor import FlavorName, find_flavor
from lrn_deploy.workflows.build_engine import build_engine as workflow
from lrn_deploy.workflows.build_engine import realised as engine_realised
from tests.support.fake_gpu import DEVICE, FakeGpu, untold_types


def state(bundle: Path) -> dict[str, bytes]:
    return {
        str(file.relative_to(bundle)): file.read_bytes()
        for file in sorted(bundle.rglob("*"))
        if file.is_file()
    }


def build(bundle: Path, *words: str) -> int:
    return cli.run(["build-engine", str(bundle), "--flavor", "rtx", *words])


@functools.cache
def built_here(flavor: FlavorName, graph: bytes, request: BuildRequest) -> BuiltEngine:
    """An engine that was built in this process, once for all who ask for it."""
    return build_engine(find_flavor(flavor), graph, request)


def build_in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Build here, and each engine once: a process of its own takes seconds."""

    def build_here(
        flavor: FlavorName, graph: bytes, request: BuildRequest, _progress: Any
    ) -> BuiltEngine:
        return built_here(flavor, graph, request)

    monkeypatch.setattr(workflow, "build_in_process", build_here)


def realise(monkeypatch: pytest.MonkeyPatch, dtype: str) -> None:
    """As on a machine with a GPU, whose engine inspector tells ``dtype`` of the relu."""
    answer(monkeypatch, untold_types("r", text=dtype))


def answer(
    monkeypatch: pytest.MonkeyPatch, text: str, device: Device = DEVICE, *, tf32: bool = False
) -> None:
    """As on a machine with a GPU, whose engine inspector answers ``text``."""
    monkeypatch.setattr(workflow, "find_device", lambda: device)
    monkeypatch.setattr(engine_realised, "inspect_engine", lambda *_: text)
    monkeypatch.setattr(engine_realised, "rounds_to_tf32", lambda *_: tf32)


def refuse(monkeypatch: pytest.MonkeyPatch, device: Device = DEVICE) -> None:
    """As on a machine with a GPU, where the engine that was built does not load."""
    gpu = FakeGpu(captures_graphs=True, refusal="The engine cannot run on this GPU.")

    def inspect(_flavor: Any, plan: bytes) -> str:
        return build_module.inspect_engine(gpu, plan)  # type: ignore[arg-type]  # no real one

    monkeypatch.setattr(workflow, "find_device", lambda: device)
    monkeypatch.setattr(engine_realised, "inspect_engine", inspect)
    monkeypatch.setattr(engine_realised, "rounds_to_tf32", lambda *_: pytest.fail("it ran one"))
