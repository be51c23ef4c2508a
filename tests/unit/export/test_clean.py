"""What the exporter leaves behind is gone, and what it says is told in one sentence."""

from __future__ import annotations

import logging
import sys
import warnings
from importlib import import_module

import numpy as np
import onnx
import onnx_ir as ir
import pytest
import torch

from lrn_deploy.bundle import ModelSource, Weights
from lrn_deploy.errors import BadInputError
from lrn_deploy.export import capture
from lrn_deploy.export.graph import (
    MAX_IR_VERSION,
    MODEL_LIMIT,
    take_large_weights,
    to_onnx,
)
from lrn_deploy.export.options import MAX_OPSET, MIN_OPSET
from lrn_deploy.network import Network

graph_module = import_module("lrn_deploy.export.graph")


def graph(*inputs: ir.Value, outputs: int = 1, scopes: tuple[str, ...] = ()) -> ir.Model:
    """A chain of Relu nodes from the first input, each in the scope of its name."""
    value, nodes = inputs[0], []
    for at in range(max(outputs, len(scopes))):
        node = ir.node("Relu", [value], name=f"n{at}")
        value = node.outputs[0]
        value.name, value.shape, value.dtype = f"v{at}", inputs[0].shape, ir.DataType.FLOAT
        node.metadata_props["stack_trace"] = "/home/someone/net.py"
        if at < len(scopes):
            node.metadata_props["pkg.torch.onnx.name_scopes"] = repr(["", scopes[at], "relu"])
        nodes.append(node)
    made = ir.Graph(
        list(inputs), [node.outputs[0] for node in nodes[-outputs:]], nodes=nodes,
        opset_imports={"": 18, "pkg.unused": 1}, name="main_graph",
    )  # fmt: skip
    made.metadata_props["path"] = "/home/someone"
    whole = ir.Model(made, ir_version=10)
    whole.metadata_props["path"] = "/home/someone"
    return whole


def value(name: str, *shape: int | str) -> ir.Value:
    return ir.Value(name=name, shape=ir.Shape(shape), type=ir.TensorType(ir.DataType.FLOAT))


def test_metadata_and_names_are_ours() -> None:
    model = graph(value("x", "s77", 3, "s12"))
    capture.clean(model, {"model": "net", "lrn_deploy": "9.9"})
    assert model.graph.name == "net"
    assert (model.producer_name, model.producer_version) == ("lrn-deploy", "9.9")
    assert dict(model.metadata_props) == {"model": "net", "lrn_deploy": "9.9"}
    assert not model.graph.metadata_props
    assert all(not node.metadata_props for node in model.graph)
    assert set(model.graph.opset_imports) == {""}
    assert [str(axis) for axis in model.graph.inputs[0].shape or ()] == ["batch", "3", "s12"]
    assert [item.name for item in model.graph.outputs] == ["output"]
    nameless = graph(value("x", "n", 3), outputs=0)  # without a node
    capture.clean(nameless, {})
    assert not nameless.graph.metadata_props
    assert (nameless.graph.name, nameless.producer_version) == ("network", "")


def test_several_outputs_are_numbered_and_an_input_keeps_its_name() -> None:
    model = graph(value("x", "n", 3), outputs=2)
    capture.clean(model, {})
    assert [item.name for item in model.graph.outputs] == ["output_0", "output_1"]
    taken = graph(value("output", "n", 3))
    capture.clean(taken, {})
    assert [item.name for item in taken.graph.outputs] == ["output_0"]


def test_every_input_has_a_free_batch() -> None:
    two = graph(value("x", "a", 3), value("y", "b", 3))
    capture.clean(two, {})
    assert [str((item.shape or [""])[0]) for item in two.graph.inputs] == ["batch", "batch"]
    for inputs in ([value("x", 2, 3)], [value("x", "n", 3), value("y", 2, 3)]):
        with pytest.raises(BadInputError, match="for one batch size only"):
            capture.clean(graph(*inputs), {})
    unknown = value("x", "n")
    unknown.shape = None
    with pytest.raises(BadInputError, match="for one batch size only"):
        capture.clean(graph(unknown), {})


def test_a_modules_output_is_the_last_value_of_its_run() -> None:
    module = torch.nn.Sequential(torch.nn.ReLU(), torch.nn.Sequential(torch.nn.ReLU()))
    model = graph(value("x", "n", 3), scopes=("0", "0", "1.0", "1"))
    found = capture.layer_values(model, module)
    assert [(path, item.name) for path, item in found] == [("0", "v1"), ("1.0", "v2")]
    twice = graph(value("x", "n", 3), scopes=("0", "1.0", "0"))
    assert [path for path, _ in capture.layer_values(twice, module)] == ["1.0"]
    node = next(iter(graph(value("x", "n", 3)).graph))
    assert capture.module_path(node) == ""
    for scopes, path in (([], ""), (["relu"], ""), (["1", "relu"], "1"), (["", "1", "relu"], "1")):
        node.metadata_props["pkg.torch.onnx.name_scopes"] = repr(scopes)
        assert capture.module_path(node) == path


def test_an_input_that_changes_nothing_is_refused() -> None:
    used, unused = value("x", "n", 3), value("y", "n", 3)
    with pytest.raises(BadInputError, match="makes no use of its input 'y'") as caught:
        capture._check_used(graph(used, unused).graph)
    assert "'y=None'" in caught.value.hint
    capture._check_used(graph(value("x", "n", 3)).graph)


def test_the_exporters_chatter_is_silent_and_comes_back(capsys: pytest.CaptureFixture[str]) -> None:
    logger = logging.getLogger("torch.onnx")
    before = logger.level
    logger.setLevel(logging.DEBUG)
    try:
        with capture._quiet():
            assert logger.level == logging.CRITICAL
            sys.stderr.write("the graph that could not be finished")
            warnings.warn("something", stacklevel=1)
        assert logger.level == logging.DEBUG
        with pytest.raises(ValueError, match="x"), capture._quiet():
            raise ValueError("x")
        assert logger.level == logging.DEBUG
    finally:
        logger.setLevel(before)
    assert capsys.readouterr().err == ""


def raised(error: BaseException, cause: BaseException | None = None) -> BaseException:
    try:
        raise error from cause
    except BaseException as caught:
        return caught


def test_what_torch_says_in_one_sentence() -> None:
    missing = raised(
        RuntimeError("outer"),
        ValueError("No ONNX function found for <OpOverload(op='aten.foo.bar'"),
    )
    assert capture._explain(missing).message == (
        "The network uses aten.foo.bar, which has no ONNX translation."
    )
    fixed = raised(RuntimeError("Constraints violated (batch)! For more information"))
    assert "one batch size only" in capture._explain(fixed).message
    other = capture._explain(raised(RuntimeError("outer"), ValueError("\n  the cause. \nmore")))
    assert other.message.startswith("The network cannot be exported: the cause, in test_clean.py, ")
    assert other.message.endswith("'raise error from cause'.")
    silent = capture._explain(KeyError())
    assert silent.message == "The network cannot be exported: KeyError."


class UserError(Exception):
    """As torch names what depends on data."""


def test_a_branch_on_data_names_the_users_line() -> None:
    told = capture._explain(raised(UserError("Could not guard on data-dependent expression")))
    assert "it branches on a value that it computes, in test_clean.py, line" in told.message


def weights(**sizes: int) -> ir.Graph:
    model = graph(value("x", "n", 3))
    for name, size in sizes.items():
        item = ir.Value(
            name=name, const_value=ir.tensor(np.zeros(size // 4, np.float32), name=name)
        )
        model.graph.register_initializer(item)
    return model.graph


def test_weights_of_four_kibibytes_stay_and_larger_ones_are_taken_out() -> None:
    held = weights(small=4096, large=4100, shape=8)
    taken = take_large_weights(held)
    assert {name: tensor.nbytes for name, tensor in taken.items()} == {"large": 4100}
    assert set(held.initializers) == {"small", "shape"}


def test_a_network_is_refused_above_what_one_file_can_hold(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert (MIN_OPSET, MAX_OPSET, MAX_IR_VERSION, MODEL_LIMIT) == (18, 20, 10, 2**31 - 1)
    module = torch.nn.Linear(40, 40, bias=False)  # 6400 bytes
    source = ModelSource(
        name="n", factory="f", origin="factory", input_shape=(40,), weights=Weights(kind="factory")
    )
    monkeypatch.setattr(graph_module, "MODEL_LIMIT", 6400)
    exported = to_onnx(Network(module.eval(), source, None, None))
    assert onnx.load_from_string(exported.data).ir_version == 10
    monkeypatch.setattr(graph_module, "MODEL_LIMIT", 6399)
    with pytest.raises(BadInputError, match="larger than 2 GiB"):
        to_onnx(Network(module.eval(), source, None, None))
