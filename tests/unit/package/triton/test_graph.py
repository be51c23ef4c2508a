"""ONNX files for an older ONNX Runtime: numbers are lowered only where that changes nothing."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from lrn_deploy.package.triton.graph import readable


def model(
    *operators: str, opset: int, ir_version: int = 10, domain: str = "", inside: bool = False
) -> bytes:
    """Operators of one input in a row, or in the branches of an If."""
    nodes = [
        helper.make_node(name, [f"v{at}"], [f"v{at + 1}"], domain=domain)
        for at, name in enumerate(operators)
    ]
    out = f"v{len(operators)}"
    if inside:
        branch = helper.make_graph(
            nodes, "branch", [], [helper.make_tensor_value_info(out, TensorProto.FLOAT, [2])]
        )
        yes = helper.make_node("Constant", [], ["yes"], value_int=1)
        cast = helper.make_node("Cast", ["yes"], ["condition"], to=TensorProto.BOOL)
        choice = helper.make_node(
            "If", ["condition"], ["end"], then_branch=branch, else_branch=branch
        )
        nodes, out = [yes, cast, choice], "end"
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("v0", TensorProto.FLOAT, [2])],
        [helper.make_tensor_value_info(out, TensorProto.FLOAT, [2])],
    )
    imports = [helper.make_opsetid("", opset)]
    if domain:
        imports.append(helper.make_opsetid(domain, 1))
    return helper.make_model(
        graph, opset_imports=imports, ir_version=ir_version
    ).SerializeToString()


def numbers(data: bytes) -> tuple[int, int]:
    loaded = onnx.load_model_from_string(data)
    return loaded.opset_import[0].version, loaded.ir_version


@pytest.mark.parametrize(("opset", "ir_version"), [(13, 7), (18, 8), (21, 10)])
def test_what_is_old_enough_keeps_its_bytes(opset: int, ir_version: int) -> None:
    data = model("Exp", opset=opset, ir_version=ir_version)
    assert readable(data).data is data
    assert readable(data).notes == ()


def test_the_newest_that_is_read_is_what_triton_25_03_reads() -> None:
    done = readable(model("Exp", opset=22, ir_version=11))
    assert numbers(done.data) == (21, 10)
    assert [note.partition(",")[0] for note in done.notes] == [
        "Opset 22 is written as 21",
        "IR version 11 is written as 10",
    ]
    only_own = model("Gelu", opset=22, domain="com.microsoft", ir_version=11)
    loaded = onnx.load_model_from_string(only_own)
    del loaded.opset_import[0]
    assert onnx.load_model_from_string(readable(loaded.SerializeToString()).data).ir_version == 10


@pytest.mark.parametrize("inside", [False, True])
def test_operators_that_did_not_change_are_the_same_under_an_older_number(inside: bool) -> None:
    data = model("Exp", "Softplus", opset=20, ir_version=11, inside=inside)
    done = readable(data, opset=18 if not inside else 20, ir_version=9)
    assert numbers(done.data) == (18 if not inside else 20, 9)
    feeds = {"v0": np.array([0.5, -2], np.float32)}
    before, after = (
        onnxruntime.InferenceSession(one, providers=["CPUExecutionProvider"]).run(None, feeds)[0]
        for one in (data, done.data)
    )
    assert np.array_equal(before, after)
    assert any("9" in note for note in done.notes)


@pytest.mark.parametrize("inside", [False, True])
def test_operators_that_changed_are_named_and_left(inside: bool) -> None:
    # Gelu came with opset 20, IsNaN and IsInf changed with it.
    data = model("Exp", "Gelu", opset=20, ir_version=11, inside=inside)
    done = readable(data, opset=19, ir_version=9)
    assert done.data is data
    assert len(done.notes) == 1
    assert "Gelu (20)" in done.notes[0]
    assert "--triton-backend python" in done.notes[0]


def test_an_operator_that_changed_with_the_newest_opset_that_is_read_is_read() -> None:
    done = readable(model("Gelu", opset=21, ir_version=9), opset=20, ir_version=9)
    assert numbers(done.data) == (20, 9)
    assert "Opset 21 is written as 20" in done.notes[0]


def test_functions_in_the_file_are_read_too() -> None:
    loaded = onnx.load_model_from_string(model("Own", opset=20, domain="mine"))
    inner = helper.make_node("Gelu", ["x"], ["y"])
    opsets = [helper.make_opsetid("", 20)]
    loaded.functions.append(helper.make_function("mine", "Own", ["x"], ["y"], [inner], opsets))
    assert "Gelu (20)" in readable(loaded.SerializeToString(), opset=19).notes[0]
    loaded.functions[0].node[0].op_type = "Exp"
    lowered = onnx.load_model_from_string(readable(loaded.SerializeToString(), opset=19).data)
    assert lowered.opset_import[0].version == 19
    assert lowered.functions[0].opset_import[0].version == 19


def test_onnx_runtimes_own_operators_are_told() -> None:
    (note,) = readable(model("Gelu", opset=18, domain="com.microsoft")).notes
    assert "Gelu" in note
    assert "ONNX Runtime's own" in note
