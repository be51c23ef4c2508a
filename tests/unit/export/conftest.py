from __future__ import annotations

from importlib import import_module

import pytest
import torch

from lrn_deploy.bundle import Preprocessing
from lrn_deploy.export import OnnxExport, to_onnx
from lrn_deploy.network import Network

bundle = import_module("lrn_deploy.export.bundle")


@pytest.fixture
def traced_capture(monkeypatch: pytest.MonkeyPatch) -> None:
    """``torch.export.export`` as it is: our own code stands in the middle of what it captures."""
    export = torch.export.export
    monkeypatch.setattr(torch.export, "export", getattr(export, "__wrapped__", export))


@pytest.fixture(scope="module")
def graphs() -> dict[str, OnnxExport]:
    return {}


@pytest.fixture
def one_graph_each(monkeypatch: pytest.MonkeyPatch, graphs: dict[str, OnnxExport]) -> None:
    """Each network's graph made once a module, for tests of what is written around it."""

    def once(
        network: Network, preprocessing: Preprocessing | None = None, *, opset: int
    ) -> OnnxExport:
        key = f"{network.source.factory} {preprocessing} {opset}"
        if key not in graphs:
            graphs[key] = to_onnx(network, preprocessing, opset=opset)
        return graphs[key]

    monkeypatch.setattr(bundle, "to_onnx", once)
