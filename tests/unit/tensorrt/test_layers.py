"""What was requested is compared with what the engine inspector tells, on synthetic answers."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lrn_deploy.errors import DamagedError
from lrn_deploy.tensorrt.layers import (
    LayerValue,
    NetworkLayer,
    TypeDifference,
    compare,
    read_inspector,
)
from tests.support.fake_gpu import untold_types


def requested(*outputs: tuple[str, str]) -> list[NetworkLayer]:
    return [
        NetworkLayer(
            name=name,
            type="CONVOLUTION",
            inputs=(),
            outputs=(LayerValue(name=name, dtype=dtype),),
        )
        for name, dtype in outputs
    ]


def answer(*outputs: tuple[str, str], field: str = "Format/Datatype") -> str:
    layers: list[dict[str, Any]] = [
        {
            "Name": name,
            "LayerType": "CaskConvolution",
            "Inputs": [],
            "Outputs": [{"Name": name, "Dimensions": [-1, 8], field: dtype}],
        }
        for name, dtype in outputs
    ]
    return json.dumps({"Layers": layers, "Bindings": []})


def test_fused_values_are_counted_and_the_rest_compared() -> None:
    wanted = requested(("conv", "fp16"), ("relu", "fp16"), ("norm", "fp32"))
    found = read_inspector(answer(("relu", "Half"), ("norm", "Float")))
    comparison = compare(wanted, found)
    assert (comparison.compared, comparison.fused, comparison.differences) == (2, 1, ())


def test_an_fp32_engine_from_an_fp16_graph_is_found() -> None:
    wanted = requested(("conv", "fp16"), ("norm", "fp32"))
    found = read_inspector(answer(("conv", "Float"), ("norm", "Float")))
    assert compare(wanted, found).differences == (TypeDifference("conv", "fp16", "fp32"),)


@pytest.mark.parametrize(
    ("text", "dtype"),
    [
        ("Half", "fp16"),
        ("Float", "fp32"),
        ("BFloat16", "bf16"),
        ("Int8", "int8"),
        ("Row major linear FP16 format", "fp16"),
        ("Channel major FP16 format where channel % 8 == 0", "fp16"),
        ("Four wide channel vectorized row major Int8 format", "int8"),
        ("Half(64,1:8,1)", "fp16"),
        ("Int8(196,1:32,14,1)", "int8"),
        ("N/A", "N/A"),
        ("N/A due to dynamic shapes", "N/A due to dynamic shapes"),
    ],
)
def test_names_of_types(text: str, dtype: str) -> None:
    (layer,) = read_inspector(answer(("x", text)))
    assert layer.outputs == (LayerValue(name="x", dtype=dtype, shape=(-1, 8)),)


@pytest.mark.parametrize("field", ["Datatype", "DataType", "Format/Datatype", "Format"])
def test_versions_name_the_field_differently(field: str) -> None:
    (layer,) = read_inspector(answer(("x", "Half"), field=field))
    assert layer.outputs[0].dtype == "fp16"


@pytest.mark.parametrize(
    "text", ["N/A due to dynamic shapes", "Format not available due to dynamic shapes", ""]
)
def test_a_type_that_is_not_told_is_no_difference(text: str) -> None:
    wanted = requested(("conv", "fp16"), ("relu", "fp16"), ("norm", "fp32"))
    comparison = compare(wanted, read_inspector(untold_types("relu", "norm", text=text)))
    assert (comparison.compared, comparison.fused, comparison.untold) == (0, 1, 2)
    assert comparison.differences == ()


def test_a_value_without_a_type_is_not_told_either() -> None:
    text = answer(("conv", "Half")).replace('"Format/Datatype"', '"Location"')
    assert compare(requested(("conv", "fp16")), read_inspector(text)).untold == 1


def test_what_is_told_is_compared_beside_what_is_not() -> None:
    wanted = requested(("conv", "fp16"), ("norm", "fp32"))
    found = read_inspector(answer(("conv", "Float"), ("norm", "N/A due to dynamic shapes")))
    comparison = compare(wanted, found)
    assert (comparison.compared, comparison.untold) == (1, 1)
    assert comparison.differences == (TypeDifference("conv", "fp16", "fp32"),)


@pytest.mark.parametrize("text", ["", "[]", '{"Layers": ["only a name"]}', '{"Layers": [{}]}'])
def test_an_answer_without_details(text: str) -> None:
    with pytest.raises(DamagedError, match="no details"):
        read_inspector(text)
