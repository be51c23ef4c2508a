"""What the canonical graph is held to before it is written."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import pytest
import torch
from torch import Tensor, nn

from lrn_deploy.bundle import ModelSource, Weights
from lrn_deploy.errors import BadInputError
from lrn_deploy.export import OnnxExport, capture, graph, to_onnx
from lrn_deploy.network import Network
from lrn_deploy.passes.lrn.legalize_lrn import DOMAIN, OP_TYPE

WEIGHT_BYTES = 6 * 2 * 3 * 3 * 4


class Small(nn.Module):
    """A ReLU runs twice in it, all else once."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 6, 3, bias=False)
        self.often = nn.ReLU()
        self.once = nn.ReLU()
        self.norm = nn.LocalResponseNorm(3)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.once(self.often(self.norm(self.often(self.conv(x)))))
        return y


def traced(batch: int | str = "s0", ir_version: int = 10) -> ir.Model:
    """What :func:`lrn_deploy.export.capture.capture` makes of it."""
    x = ir.val("input", dtype=ir.DataType.FLOAT, shape=ir.Shape([batch, 2, 4, 4]))
    tensor = ir.tensor(np.ones((6, 2, 3, 3), np.float32), name="w")
    weight = ir.Value(name="w", const_value=tensor, type=ir.TensorType(tensor.dtype))
    weight.shape = ir.Shape(tensor.shape)
    spec = {"size": 3, "alpha": 1e-4, "beta": 0.75, "k": 1.0}
    nodes: list[ir.Node] = []
    for op_type, module, domain, others, attributes in (
        ("Conv", "conv", "", [weight], {}),
        ("Relu", "often", "", [], {}),
        (OP_TYPE, "norm", DOMAIN, [], spec),
        ("Relu", "often", "", [], {}),
        ("Relu", "once", "", [], {}),
    ):
        entering = nodes[-1].outputs[0] if nodes else x
        name = f"v{len(nodes)}"
        left = ir.val(name, dtype=ir.DataType.FLOAT, shape=ir.Shape([batch, 6, 2, 2]))
        node = ir.node(
            op_type, [entering, *others], attributes, domain=domain, outputs=[left], name=name
        )
        node.metadata_props["pkg.torch.onnx.name_scopes"] = repr(["", module, name])
        nodes.append(node)
    made = ir.Graph(
        [x],
        nodes[-1].outputs,
        nodes=nodes,
        initializers=[weight],
        opset_imports={"": 18, DOMAIN: 1},
        name="g",
    )
    return ir.Model(made, ir_version=ir_version)


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> ir.Model:
    """What will be traced."""
    made = traced()
    monkeypatch.setattr(capture, "capture", lambda *_args, **_options: made)
    return made


def exported() -> OnnxExport:
    source = ModelSource(
        name="small",
        factory="small",
        origin="factory",
        input_shape=(2, 4, 4),
        weights=Weights(kind="factory"),
    )
    return to_onnx(Network(Small().eval(), source, None, None))


@pytest.mark.usefixtures("model")
def test_a_module_that_runs_twice_has_no_output_of_its_own() -> None:
    layers = {layer.module: layer.tensor for layer in exported().layers}
    assert layers == {"conv": "v0", "norm": "v2", "once": "output"}


@pytest.mark.parametrize(("made", "written"), [(13, 10), (9, 9)])
def test_the_ir_version_is_one_that_runtimes_read(model: ir.Model, made: int, written: int) -> None:
    model.ir_version = made
    assert onnx.load_from_string(exported().data).ir_version == written


@pytest.mark.usefixtures("model")
@pytest.mark.parametrize("small", [0, WEIGHT_BYTES])
def test_weights_are_all_there_whether_small_or_large(
    monkeypatch: pytest.MonkeyPatch, small: int
) -> None:
    monkeypatch.setattr(graph, "SMALL_WEIGHT", small)
    written = onnx.load_from_string(exported().data).graph
    (weight,) = [tensor for tensor in written.initializer if tensor.name == "w"]
    np.testing.assert_array_equal(onnx.numpy_helper.to_array(weight), np.ones((6, 2, 3, 3)))
    assert [value.name for value in written.input] == ["input"]


@pytest.mark.usefixtures("model")
def test_more_weights_than_one_file_holds_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph, "SMALL_WEIGHT", 0)
    monkeypatch.setattr(graph, "MODEL_LIMIT", WEIGHT_BYTES - 1)
    with pytest.raises(BadInputError, match="larger than 2 GiB"):
        exported()


@pytest.mark.usefixtures("model")
def test_a_graph_that_is_not_valid_is_never_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a pass of ours that is wrong would leave it."""
    legalize = graph.legalize_lrn

    def forgetful(model: ir.Model) -> object:
        done = legalize(model)
        (norm,) = [node for node in model.graph if node.op_type == "LRN"]
        del norm.attributes["size"]
        return done

    monkeypatch.setattr(graph, "legalize_lrn", forgetful)
    with pytest.raises(onnx.checker.ValidationError, match="size"):
        exported()


def test_lrn_of_rows_without_positions_is_refused_as_by_torch() -> None:
    x = torch.zeros(2, 12)
    with pytest.raises(ValueError, match="3D or higher"):
        nn.functional.local_response_norm(x, 3)
    with (
        capture.KeepLrnWhole(),
        pytest.raises(BadInputError, match="LRN takes an input of rank 3 or more, got rank 2"),
    ):
        nn.functional.local_response_norm(x, 3)


def test_a_graph_of_one_batch_size_is_refused() -> None:
    """Its batch of 2 would else give every other axis of length 2 the name of the batch."""
    with pytest.raises(BadInputError, match="works for one batch size only"):
        capture.clean(traced(batch=2), {})
