"""Triton's configurations: what stands in them, field by field, and that they come back."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2 as pb

from lrn_deploy.bundle import IntegerValues, TensorSpec
from lrn_deploy.package.options import PackageOptions
from lrn_deploy.package.triton import config

IMAGE = TensorSpec(name="pixels", dtype="uint8", shape=("batch", 8, 8, 3))
SCORES = TensorSpec(name="scores", dtype="float32", shape=("batch", 10))
ONE = TensorSpec(name="age", dtype="float16", shape=("batch",))
WORDS = TensorSpec(name="words", dtype="int64", shape=("batch", "length"))


def network(
    max_batch: int = 16, *, inputs: Any = (IMAGE,), labels: bool = True, **more: Any
) -> Any:
    return config.network(
        "net",
        "python",
        inputs,
        (SCORES, ONE),
        max_batch,
        PackageOptions("triton", **more),
        labels=labels,
    )


def test_network_is_said_in_tritons_words() -> None:
    told = network(
        instances=3,
        max_queue_delay_us=500,
        max_queue_requests=64,
        default_timeout_us=2_000_000,
    )
    config.tell(told, {"key": "a value"})
    expected = """
    name: "net" backend: "python" max_batch_size: 16
    version_policy { latest { num_versions: 1 } }
    input { name: "pixels" data_type: TYPE_UINT8 dims: [8, 8, 3] }
    output { name: "scores" data_type: TYPE_FP32 dims: [10] label_filename: "labels.txt" }
    output { name: "age" data_type: TYPE_FP16 dims: [1] reshape { shape: [] } }
    instance_group { kind: KIND_CPU count: 3 }
    dynamic_batching {
      max_queue_delay_microseconds: 500
      default_queue_policy {
        timeout_action: REJECT default_timeout_microseconds: 2000000
        allow_timeout_override: true max_queue_size: 64
      }
    }
    model_warmup { name: "batch 1" batch_size: 1 count: 1 inputs { key: "pixels"
      value { data_type: TYPE_UINT8 dims: [8, 8, 3] zero_data: true } } }
    model_warmup { name: "batch 16" batch_size: 16 count: 1 inputs { key: "pixels"
      value { data_type: TYPE_UINT8 dims: [8, 8, 3] zero_data: true } } }
    parameters { key: "key" value { string_value: "a value" } }
    """
    assert told == text_format.Parse(expected, pb.ModelConfig())
    assert config.from_text(config.to_text(told)) == told


def test_fixed_batch_is_an_axis_like_any_other_and_nothing_is_batched() -> None:
    fixed = IMAGE.model_copy(update={"shape": (4, 8, 8, 3)})
    told = network(0, inputs=(fixed,))
    assert list(told.input[0].dims) == [4, 8, 8, 3]
    assert told.max_batch_size == 0
    assert not told.HasField("dynamic_batching")
    assert [(one.batch_size, list(one.inputs["pixels"].dims)) for one in told.model_warmup] == [
        (1, [4, 8, 8, 3])
    ]


def test_gpu_instances_are_on_every_gpu() -> None:
    told = network(device="cuda")
    assert told.instance_group[0].kind == pb.ModelInstanceGroup.KIND_GPU
    assert list(told.instance_group[0].gpus) == []


def test_nothing_is_warmed_up_with_what_the_network_does_not_take() -> None:
    assert not network(inputs=(WORDS,)).model_warmup
    numbers = IntegerValues(low=1, high=9, source="table")
    from_one = WORDS.model_copy(update={"shape": ("batch", 5), "values": numbers})
    assert not network(inputs=(from_one,)).model_warmup
    from_zero = from_one.model_copy(update={"values": numbers.model_copy(update={"low": 0})})
    assert network(inputs=(from_zero,)).model_warmup


@pytest.mark.parametrize("max_batch", [16, 0])
def test_ensemble_passes_what_the_first_gives_to_the_second(max_batch: int) -> None:
    spec = IMAGE if max_batch else IMAGE.model_copy(update={"shape": (4, 8, 8, 3)})
    second = network(max_batch, inputs=(spec,))
    first = config.preprocessing("net_preprocess", spec, max_batch, PackageOptions("triton"))
    whole = config.ensemble("net_image", first, second)
    expected = """
      step { model_name: "net_preprocess" model_version: -1
        input_map { key: "image" value: "image" } output_map { key: "pixels" value: "prepared" } }
      step { model_name: "net" model_version: -1
        input_map { key: "pixels" value: "prepared" }
        output_map { key: "scores" value: "scores" } output_map { key: "age" value: "age" } }
    """
    assert whole.ensemble_scheduling == text_format.Parse(expected, pb.ModelEnsembling())
    assert whole.platform == "ensemble"
    assert whole.max_batch_size == first.max_batch_size == max_batch
    assert first.output[0].dims == second.input[0].dims
    assert first.output[0].data_type == pb.TYPE_UINT8
    assert whole.input[0].data_type == pb.TYPE_STRING
    assert list(whole.input[0].dims) == [1 if max_batch else 4]
    assert whole.output[0].label_filename == "labels.txt"
    for told in (first, whole):
        assert config.from_text(config.to_text(told)) == told


def test_names_in_an_ensemble_do_not_meet_those_of_the_outputs() -> None:
    outputs = tuple(SCORES.model_copy(update={"name": name}) for name in ("image", "prepared"))
    options = PackageOptions("triton")
    second = config.network("net", "python", (IMAGE,), outputs, 16, options, labels=False)
    whole = config.ensemble("w", config.preprocessing("p", IMAGE, 16, options), second)
    assert [tensor.name for tensor in whole.input] == ["image_"]
    first, last = whole.ensemble_scheduling.step
    assert dict(first.input_map) == {"image": "image_"}
    assert dict(first.output_map) == {"pixels": "prepared_"}
    assert dict(last.input_map) == {"pixels": "prepared_"}
    assert dict(last.output_map) == {"image": "image", "prepared": "prepared"}


def test_text_that_does_not_come_back_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    told = network()
    monkeypatch.setattr(text_format, "MessageToString", lambda _: 'name: "other"')
    with pytest.raises(AssertionError, match="does not come back"):
        config.to_text(told)
