"""Every network of the zoo, exported, equals PyTorch in ONNX Runtime on ordinary inputs."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch

from lrn_deploy.backends.onnxruntime import OnnxRuntimeBackend
from lrn_deploy.bundle import ArtifactData
from lrn_deploy.export import to_onnx
from lrn_deploy.images.examples import photographs
from lrn_deploy.images.preprocess import preprocess
from lrn_deploy.models import ZOO
from lrn_deploy.network import load_network


@pytest.mark.slow
@pytest.mark.parametrize("name", list(ZOO))
def test_relative_l2_error_on_photographs_is_at_most_2e_6(name: str) -> None:
    network = load_network(name)
    export = to_onnx(network)
    graph = onnx.load_from_string(export.data).graph
    kept = [node for node in graph.node if node.op_type == "LRN"]
    assert len(kept) == len(export.lrn_layers) == len(ZOO[name].lrn)
    assert network.preprocessing is not None
    x = np.stack([preprocess(photo.image, network.preprocessing) for photo in photographs()])
    with torch.inference_mode():
        expected = network.module(torch.from_numpy(x)).numpy().astype(np.float64)
    del network
    with OnnxRuntimeBackend().load(ArtifactData(name, "onnx", export.data)) as session:
        output = session.run({"input": x})["output"]
    error = np.linalg.norm(output - expected) / np.linalg.norm(expected)
    assert error <= 2e-6
