"""What a server and its models say about themselves, whole."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from lrn_deploy import __version__
from lrn_deploy.bundle import TensorSpec
from lrn_deploy.serving.datatypes import (
    NUMPY,
    config_name,
    numpy_type,
    protocol_name,
    wire_shape,
)
from lrn_deploy.serving.errors import InvalidRequestError
from lrn_deploy.serving.protocol import metadata
from lrn_deploy.serving.repository.model import ServedModel
from lrn_deploy.serving.settings import ModelSettings
from tests.support.image_bundles import colour_bundle

X = TensorSpec(name="x", dtype="uint8", shape=("batch", 3, "wide"))
Y = TensorSpec(name="y", dtype="float32", shape=("batch", 10))
Z = TensorSpec(name="z", dtype="int64", shape=("batch",))


def model(folder: Path, **more: Any) -> ServedModel:
    bundle = colour_bundle(folder)
    about: dict[str, Any] = {
        "name": "m",
        "version": "1",
        "inputs": (X,),
        "outputs": (Y, Z),
        "source": SimpleNamespace(backend="onnxruntime", device="cpu"),
        "doubts": (),
        "labels": ("a",) * 10,
        "settings": ModelSettings(
            instances=2,
            default_timeout_us=9,
            max_queue_requests=7,
            max_queue_delay_us=5,
            preferred_batch_sizes=(2, 4),
        ),
        "max_batch": 8,
        "fixed_batch": None,
        "bundle": bundle,
        "artifact": "model",
    }
    return cast(ServedModel, SimpleNamespace(**(about | more)))


def test_the_server() -> None:
    told = metadata.server()
    assert (told["name"], told["version"]) == ("lrn-server", __version__)
    assert "system_shared_memory" not in told["extensions"]
    shared = metadata.server(shared_memory=True)["extensions"]
    assert shared == [*told["extensions"], "system_shared_memory"]
    assert "binary_tensor_data" in told["extensions"]


@pytest.mark.parametrize(
    ("backend", "platform"),
    [("onnxruntime", "onnxruntime_onnx"), ("openvino", "openvino"), ("tensorrt", "tensorrt_plan")],
)
def test_a_models_metadata(tmp_path: Path, backend: str, platform: str) -> None:
    source = SimpleNamespace(backend=backend, device="cpu")
    assert metadata.metadata(model(tmp_path / "b", source=source)) == {
        "name": "m",
        "versions": ["1"],
        "platform": platform,
        "inputs": [{"name": "x", "datatype": "UINT8", "shape": [-1, 3, -1]}],
        "outputs": [
            {"name": "y", "datatype": "FP32", "shape": [-1, 10]},
            {"name": "z", "datatype": "INT64", "shape": [-1]},
        ],
    }
    doubtful = metadata.metadata(model(tmp_path / "c", source=source, doubts=("Why.", "Why not.")))
    assert doubtful["parameters"] == {"doubts": ["Why.", "Why not."]}


def test_a_models_configuration(tmp_path: Path) -> None:
    told = metadata.config(model(tmp_path / "b", doubts=("Why.", "Why not.")))
    assert told["max_batch_size"] == 8
    (entering,), leaving = told["input"], told["output"]
    assert (entering["name"], entering["data_type"], entering["dims"]) == (
        "x", "TYPE_UINT8", [3, -1],
    )  # fmt: skip
    assert [(one["name"], one["dims"], one["label_filename"]) for one in leaving] == [
        ("y", [10], "labels.txt"), ("z", [], ""),
    ]  # fmt: skip
    assert told["instance_group"] == [{"name": "m", "kind": "KIND_CPU", "count": 2}]
    queue = told["dynamic_batching"]
    assert (queue["priority_levels"], queue["default_priority_level"]) == (3, 2)
    policy = queue["default_queue_policy"]
    assert (policy["default_timeout_microseconds"], policy["max_queue_size"]) == (9, 7)
    assert policy["allow_timeout_override"] is True
    assert told["default_model_filename"] == "model.onnx"
    assert told["parameters"] == {"doubts": {"string_value": "Why.\nWhy not."}}
    assert told["response_cache"] == {"enable": False}
    assert told["model_transaction_policy"] == {"decoupled": False}
    assert told["version_policy"] == {"latest": {"num_versions": 1}}
    assert (told["name"], told["backend"], told["platform"]) == (
        "m", "onnxruntime", "onnxruntime_onnx",
    )  # fmt: skip
    assert (queue["preferred_batch_size"], queue["max_queue_delay_microseconds"]) == ([2, 4], 5)
    plain = metadata.config(model(tmp_path / "c", labels=None))
    assert "parameters" not in plain
    assert plain["output"][0]["label_filename"] == ""


def test_of_a_fixed_batch_the_batch_is_part_of_the_shape(tmp_path: Path) -> None:
    fixed = X.model_copy(update={"shape": (4, 3, 5)})
    source = SimpleNamespace(backend="tensorrt", device="cuda:1")
    told = metadata.config(
        model(tmp_path / "b", inputs=(fixed,), fixed_batch=4, max_batch=4, source=source)
    )
    assert (told["max_batch_size"], told["input"][0]["dims"]) == (0, [4, 3, 5])
    assert told["instance_group"][0]["kind"] == "KIND_GPU"


def test_names_of_types() -> None:
    sizes = {name: dtype.itemsize for name, dtype in NUMPY.items()}
    assert sizes == {
        "BOOL": 1, "UINT8": 1, "UINT16": 2, "UINT32": 4, "UINT64": 8, "INT8": 1, "INT16": 2,
        "INT32": 4, "INT64": 8, "FP16": 2, "FP32": 4, "FP64": 8,
    }  # fmt: skip
    for name, dtype in NUMPY.items():
        assert protocol_name(dtype) == name
        assert numpy_type(name, "x") == dtype
        assert dtype.byteorder in "<=|"
    assert config_name("float16") == "TYPE_FP16"
    with pytest.raises(InvalidRequestError, match="Input 'x' has datatype 'BYTES'"):
        numpy_type("BYTES", "x")
    assert wire_shape(X) == [-1, 3, -1]
