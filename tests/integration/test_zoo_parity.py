"""Networks of the zoo, exported, equal PyTorch in ONNX Runtime on ordinary inputs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from onnx import checker

from lrn_deploy.backends.onnxruntime import OnnxRuntimeBackend
from lrn_deploy.bundle import ArtifactData
from lrn_deploy.export import OnnxExport, to_onnx
from lrn_deploy.images.examples import photographs
from lrn_deploy.images.preprocess import preprocess
from lrn_deploy.models import ZOO, ZooEntry
from lrn_deploy.network import load_network
from tests.support import narrow

SEEN = {
    "caffenet": "alexnet_grouped's layers, with nn4_small2's order of pool and LRN",
    "levi_hassner_age": "caffenet's layers and order, of other sizes",
    "levi_hassner_gender": "age's, but for its last layer",
    "vgg_cnn_s": "zfnet's layers and pools",
    "googlenet": "nn4_small2's order of pool and LRN, and Inception blocks",
    "digits": "many tests export and validate it",
    "digits_no_lrn": "the same, without LRN",
}
"""Whose export would show nothing that another's does not; ``benchmarks.zoo_parity`` has all."""
LIKE_OTHERS = {"nn4_small2": ("inception_4a", "inception_5b")}
"""Blocks that show nothing which the others of their network do not, and change no shape."""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.usefixtures("unmeasured"),  # smaller networks show the same lines
]


@dataclass(frozen=True)
class Case:
    """A network, exported, and what PyTorch computes of two photographs."""

    name: str
    export: OnnxExport
    x: NDArray[np.float32]
    expected: NDArray[np.float64]


@pytest.fixture(scope="module", params=[name for name in ZOO if name not in SEEN])
def case(request: pytest.FixtureRequest, unmeasured: None) -> Case:  # noqa: ARG001 - its effect
    name = request.param
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ZooEntry, "build", narrow.build)
        network = load_network(name)
    for block in LIKE_OTHERS.get(name, ()):
        network.module.set_submodule(block, torch.nn.Identity())
    assert network.preprocessing is not None
    x = np.stack([preprocess(photo.image, network.preprocessing) for photo in photographs()])
    with torch.inference_mode():
        expected = network.module(torch.from_numpy(x)).numpy().astype(np.float64)
    return Case(name, to_onnx(network), x, expected)


def test_lrn_stays_one_node_a_layer(case: Case) -> None:
    graph = onnx.load_from_string(case.export.data).graph
    kept = [node for node in graph.node if node.op_type == "LRN"]
    assert len(kept) == len(case.export.lrn_layers) == len(ZOO[case.name].lrn)


def test_relative_l2_error_on_photographs_is_that_of_rounding_at_any_batch(case: Case) -> None:
    artifact = ArtifactData(case.name, "onnx", case.export.data)
    with OnnxRuntimeBackend().load(artifact) as session:
        output = session.run({"input": case.x})["output"]
        alone = session.run({"input": case.x[1:]})["output"]
    assert np.linalg.norm(output - case.expected) <= 2e-6 * np.linalg.norm(case.expected)
    assert np.linalg.norm(alone - case.expected[1:]) <= 2e-6 * np.linalg.norm(case.expected[1:])


alexnet = pytest.mark.parametrize("case", ["alexnet"], indirect=True)


@alexnet
def test_alexnet_is_22_nodes_or_fewer_with_two_lrn_nodes(case: Case) -> None:
    model = onnx.load_from_string(case.export.data)
    checker.check_model(model, full_check=True)
    assert len(model.graph.node) <= 22
    norms = [node for node in model.graph.node if node.op_type == "LRN"]
    assert len(norms) == 2
    for node in norms:
        attributes: dict[str, Any] = {
            item.name: onnx.helper.get_attribute_value(item) for item in node.attribute
        }
        assert attributes == {
            "size": 5,
            "alpha": pytest.approx(1e-4),
            "beta": 0.75,
            "bias": 2.0,
        }
    assert [item.domain for item in model.opset_import] == [""]
    assert model.opset_import[0].version == 18
    assert model.ir_version <= 10
    assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "batch"


@alexnet
def test_alexnets_graph_says_what_it_is_and_nothing_of_the_machine(case: Case) -> None:
    model = onnx.load_from_string(case.export.data)
    metadata = {item.key: item.value for item in model.metadata_props}
    assert metadata["model"] == "alexnet"
    assert "random" in metadata["weights"]
    del model.graph.initializer[:]
    assert str(Path.cwd()) not in str(model)
    assert "site-packages" not in str(model)
