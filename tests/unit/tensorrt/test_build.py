"""Engines of tiny graphs, by the real builder, and every way in which it refuses."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from onnx import helper

from lrn_deploy.errors import BadInputError, MissingError
from lrn_deploy.lrn import LrnSpec
from lrn_deploy.tensorrt.build import BuildRequest, build_engine, check_batch
from lrn_deploy.tensorrt.flavor import Flavor
from lrn_deploy.tensorrt.messages import builder_error, parser_error
from tests.support.engine_graphs import lrn_node, model, network

pytestmark = pytest.mark.tensorrt
ADA = BuildRequest(targets=("sm89",), batch=(1, 2, 4))


def test_what_is_known_about_an_engine(rtx: Flavor) -> None:
    built = build_engine(rtx, network(), ADA)
    assert [layer.type for layer in built.layers].count("LRN") == 1
    conv = built.layers[0]
    assert (conv.name, conv.type) == ("conv", "CONVOLUTION")
    assert [(value.name, value.dtype, value.shape) for value in conv.outputs] == [
        ("c", "fp32", (-1, 8, 6, 6))
    ]
    assert built.profile == {"input": ((1, 3, 6, 6), (2, 3, 6, 6), (4, 3, 6, 6))}
    assert [(item.name, item.form) for item in built.lrn] == [("norm", "native")]
    assert built.timing_cache is None
    assert built.seconds > 0
    assert built.peak_memory is not None
    assert built.peak_memory > len(built.data)


@pytest.mark.parametrize(
    "targets", [("sm80",), ("sm86", "sm89", "sm120"), ("sm121",), ("portable",)]
)
def test_one_engine_for_several_gpus(rtx: Flavor, targets: tuple[str, ...]) -> None:
    assert build_engine(rtx, network(), BuildRequest(targets, (1, 1, 1))).data


def test_tf32_is_off_unless_asked_for(rtx: Flavor) -> None:
    builder = rtx.start_builder()
    for tf32 in (False, True):
        config = rtx.create_config(builder, targets=("sm89",), tf32=tf32, workspace=1 << 30)
        assert config.get_flag(rtx.trt.BuilderFlag.TF32) is tf32
        assert config.get_memory_pool_limit(rtx.trt.MemoryPoolType.WORKSPACE) == 1 << 30


def test_a_fixed_batch_needs_no_profile(rtx: Flavor) -> None:
    built = build_engine(rtx, network(batch=2), BuildRequest(("sm89",), (2, 2, 2)))
    assert built.profile == {}


def test_a_fixed_batch_takes_no_other(rtx: Flavor) -> None:
    with pytest.raises(BadInputError, match="fixed batch of 2") as caught:
        build_engine(rtx, network(batch=2), ADA)
    assert "--batch 2,2,2" in caught.value.hint


def test_an_image_size_must_be_fixed(rtx: Flavor) -> None:
    shape = ("batch", 3, "height", 6)
    graph = model([helper.make_node("Relu", ["x"], ["y"])], {"x": shape}, {"y": shape})
    with pytest.raises(BadInputError, match="other axes than the batch are dynamic"):
        build_engine(rtx, graph, ADA)


@pytest.mark.parametrize("batch", [(0, 1, 2), (2, 1, 4), (1, 4, 2), (4, 2, 1), (-1, 1, 1)])
def test_a_profile_that_is_not_in_order(batch: tuple[int, int, int]) -> None:
    with pytest.raises(BadInputError, match="not in order"):
        check_batch(batch)


@pytest.mark.parametrize(("name", "says"), [("odd", "node 'odd' (Det)"), ("", "node 1 (Det)")])
def test_an_operator_that_it_lacks_names_the_node(rtx: Flavor, name: str, says: str) -> None:
    nodes = [helper.make_node("Relu", ["x"], ["r"]), helper.make_node("Det", ["r"], ["y"], name)]
    graph = model(nodes, {"x": (2, 3, 3)}, {"y": (2,)})
    with pytest.raises(BadInputError) as caught:
        build_engine(rtx, graph, BuildRequest(("sm89",), (2, 2, 2)))
    assert f"cannot take {says}: it has no such operator" in caught.value.message


def test_an_operator_that_nobody_has(rtx: Flavor) -> None:
    graph = model([helper.make_node("Frobnicate", ["x"], ["y"], "f")], {"x": (2,)}, {"y": (2,)})
    with pytest.raises(BadInputError, match=r"node 'f' \(Frobnicate\): it has no such"):
        build_engine(rtx, graph, BuildRequest(("sm89",), (2, 2, 2)))


def test_an_operator_that_nobody_has_in_the_words_of_an_older_parser() -> None:
    error = SimpleNamespace(
        node=lambda: 0,
        node_name=lambda: "f",
        node_operator=lambda: "Frobnicate",
        code=lambda: SimpleNamespace(name="INVALID_NODE"),
        desc=lambda: "Op type Frobnicate is not supported in TensorRT-RTX.",
    )
    assert "node 'f' (Frobnicate): it has no such operator" in parser_error([error]).message


def test_a_node_that_is_wrong_gives_the_parsers_reason(rtx: Flavor) -> None:
    nodes = [helper.make_node("Softmax", ["x"], ["y"], "s", axis=7)]
    with pytest.raises(BadInputError, match=r"node 's' \(Softmax\): "):
        build_engine(rtx, model(nodes, {"x": (2, 3)}, {"y": (2, 3)}), ADA)


def test_garbage_is_no_model(rtx: Flavor) -> None:
    with pytest.raises(BadInputError, match="no ONNX model"):
        build_engine(rtx, b"garbage", ADA)


def test_turing_has_no_fp32_matrix_product_in_our_words(rtx: Flavor) -> None:
    with pytest.raises(BadInputError, match=r"Turing \(sm75\), which the layer 'linear'") as caught:
        build_engine(rtx, network(), BuildRequest(("sm86", "sm75"), (1, 1, 1)))
    assert "--precision fp16" in caught.value.hint


def test_turing_has_fp32_lrn(rtx: Flavor) -> None:
    shape = ("batch", 8, 3, 3)
    graph = model([lrn_node(LrnSpec(5))], {"x": shape}, {"y": shape})
    assert build_engine(rtx, graph, BuildRequest(("sm75",), (1, 1, 2))).data


@pytest.mark.skipif(Path("/dev/nvidia0").exists(), reason="there is a GPU")
def test_current_without_a_gpu(rtx: Flavor) -> None:
    with pytest.raises(MissingError, match="no NVIDIA GPU"):
        build_engine(rtx, network(), BuildRequest(("current",), (1, 1, 1)))


def test_progress_counts_the_steps_of_each_phase(rtx: Flavor) -> None:
    steps: list[tuple[str, int, int]] = []
    build_engine(rtx, network(), ADA, lambda *step: steps.append(step))
    assert "Building engine" in {phase for phase, _, _ in steps}
    assert all(1 <= done <= total for _, done, total in steps)


@pytest.mark.parametrize("kind", [ValueError, KeyboardInterrupt])
def test_what_the_progress_callback_raises_cancels_the_build(
    rtx: Flavor, kind: type[BaseException]
) -> None:
    calls: list[Any] = []

    def on_progress(*step: Any) -> None:
        calls.append(step)
        raise kind("mine")

    with pytest.raises(kind, match="mine"):
        build_engine(rtx, network(), ADA, on_progress)
    assert len(calls) == 1


def test_messages_that_say_nothing_still_give_a_sentence() -> None:
    assert "does not say why" in parser_error([]).message
    assert "it does not say" in builder_error([]).message


def test_turings_refusal_is_also_known_from_the_builders_words() -> None:
    said = "Error Code 1: Myelin (Cannot compile operation 'fc' for Turing (SM75): FP32 GEMM is no"
    assert "which the layer 'fc' asks for" in builder_error([said]).message
