"""The bytes that the exporter joins by hand are the message that protobuf itself would write."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import onnx
import onnx_ir as ir
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import helper, numpy_helper

from lrn_deploy.export.serialize import serialize


def skeleton() -> onnx.ModelProto:
    x, y = (helper.make_tensor_value_info(name, 1, ["batch", 4]) for name in "xy")
    node = helper.make_node("Relu", ["x"], ["y"])
    model = helper.make_model(helper.make_graph([node], "g", [x], [y]), ir_version=10)
    model.metadata_props.add(key="model", value="test")
    return model


def joined(weights: dict[str, np.ndarray]) -> onnx.ModelProto:
    return onnx.load_from_string(
        serialize(skeleton(), {name: ir.tensor(value) for name, value in weights.items()})
    )


@given(
    st.dictionaries(
        st.text(min_size=1, max_size=300),
        st.lists(st.integers(0, 40), max_size=3),
        max_size=4,
    )
)
def test_equals_protobufs_own_message_for_any_names_and_shapes(
    shapes: dict[str, list[int]],
) -> None:
    rng = np.random.default_rng(0)
    weights = {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    expected = skeleton()
    expected.graph.initializer.extend(
        numpy_helper.from_array(np.asarray(value), name) for name, value in weights.items()
    )
    assert joined(weights) == expected


@pytest.mark.parametrize("dtype", [np.float16, np.float64, np.int64, np.uint8, ml_dtypes.bfloat16])
def test_every_type_keeps_its_values(dtype: type) -> None:
    value = np.arange(6).reshape(2, 3).astype(dtype)
    (tensor,) = joined({"w": value}).graph.initializer
    np.testing.assert_array_equal(numpy_helper.to_array(tensor), value)


def test_arrays_that_are_not_contiguous() -> None:
    value = np.arange(12, dtype=np.float32).reshape(3, 4).T
    (tensor,) = joined({"w": value}).graph.initializer
    np.testing.assert_array_equal(numpy_helper.to_array(tensor), value)
