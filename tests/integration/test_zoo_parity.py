"""Networks of the zoo, exported, equal PyTorch in ONNX Runtime on ordinary inputs."""

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

SEEN = {
    "levi_hassner_gender": "age's, but for its last layer",
    "vgg_cnn_s": "zfnet's layers and googlenet's pools, and 400 MB of them",
}
"""Networks whose export would show nothing that another's does not."""
ROUNDING = {"levi_hassner_age": 4e-6}
"""Its eight logits are small differences: PyTorch itself is 2.0e-6 off a float64 run."""


@pytest.mark.slow
@pytest.mark.usefixtures("unmeasured")  # smaller networks show the same lines
@pytest.mark.parametrize("name", [name for name in ZOO if name not in SEEN])
def test_relative_l2_error_on_photographs_is_that_of_rounding(name: str) -> None:
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
    assert error <= ROUNDING.get(name, 2e-6)
