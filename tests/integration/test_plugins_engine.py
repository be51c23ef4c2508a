"""``build-engine --plugins``: never a plugin for TensorRT for RTX, a sentence without TensorRT."""

from __future__ import annotations

import sys
from pathlib import Path

import onnx
import pytest

from lrn_deploy.bundle import EngineLrn
from lrn_deploy.errors import MissingError
from lrn_deploy.lrn import LrnSpec
from lrn_deploy.tensorrt.build import BuildRequest, build_engine
from lrn_deploy.tensorrt.flavor import find_flavor
from lrn_deploy.tensorrt.graph import merge
from lrn_deploy.tensorrt.plugins import fuse, use_plugins
from lrn_deploy.workflows.build_engine import build_engine as workflow
from lrn_deploy.workflows.build_engine.build_engine import EngineOptions, build_bundle_engine
from tests.support.engine_builds import build_in_this_process
from tests.support.engine_graphs import lrn_node, make_bundle, model, network
from tests.support.fake_gpu import no_device


def test_tensorrt_for_rtx_gets_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tensorrt_rtx")
    monkeypatch.setattr(workflow, "find_device", no_device)
    build_in_this_process(monkeypatch)
    bundle = make_bundle(tmp_path / "tiny")
    request = {"flavor": "rtx", "targets": ("sm86",), "batch": (1, 2, 4)}
    first = build_bundle_engine(bundle, EngineOptions(**request, plugins="auto"))  # type: ignore[arg-type]
    engine = first.bundle.manifest.artifact(first.name).engine
    assert engine is not None
    assert [item.form for item in engine.lrn] == ["written out"]
    again = build_bundle_engine(first.bundle, EngineOptions(**request, plugins="off"))  # type: ignore[arg-type]
    assert again.reused


def test_without_full_tensorrt_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tensorrt_rtx")
    monkeypatch.setitem(sys.modules, "triton", None)
    request = BuildRequest(targets=("sm86",), batch=(1, 2, 4), plugins=True)
    with pytest.raises(MissingError, match="need Triton"):
        build_engine(find_flavor("rtx"), network(), request)
    with pytest.raises(MissingError, match="need Triton"):
        use_plugins(network())


def test_every_lrn_is_recorded_in_the_graph_s_order() -> None:
    shape = (2, 40, 3, 3)
    nodes = [lrn_node(LrnSpec(33), "x", "a"), lrn_node(LrnSpec(5), "a", "y")]
    graph, fused = fuse(model(nodes, {"x": shape}, {"y": shape}))
    assert [node.op_type for node in onnx.load_from_string(graph).graph.node] == ["LRN", "lrn"]
    other = EngineLrn(name="a", form="written out", reason="its window")
    plugin = EngineLrn(name="y", form="plugin", reason="lrn for LRN")
    assert merge(fused, (other,)) == (other, plugin)
