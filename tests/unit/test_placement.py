"""Where something runs, and how records write it."""

from __future__ import annotations

import pytest

from lrn_deploy.placement import Placement, as_most_run


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("onnxruntime:cpu", Placement("a", "onnxruntime", "cpu", 2)),
        ("tensorrt:cuda:1", Placement("a", "tensorrt", "cuda:1", 2)),
        ("onnxruntime:cpu, bf16 emulated", Placement("a", "onnxruntime", "cpu", 2)),
        ("", Placement("a", "", "", 2)),
    ],
)
def test_what_a_record_says_is_read(where: str, expected: Placement) -> None:
    found = Placement.read("a", where, 2)
    assert found == expected
    assert found.where == where.partition(",")[0]


def test_the_kind_of_a_device_has_no_number() -> None:
    assert Placement("a", "tensorrt", "cuda:1").kind == "cuda"
    assert Placement("a", "openvino", "cpu").kind == "cpu"


def test_the_canonical_graph_in_onnx_runtime_is_what_others_are_compared_with() -> None:
    assert as_most_run(Placement("model", "onnxruntime", "cuda", 3))
    assert not as_most_run(Placement("model", "openvino", "cpu"))
    assert not as_most_run(Placement("cpu-fp32", "onnxruntime", "cpu"))
