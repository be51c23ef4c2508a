"""Triton's model configurations, as messages: what is written is what the server's parser reads.

The message classes are tritonclient's, of NVIDIA's ``model_config.proto``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2 as pb

from lrn_deploy.bundle import TensorSpec
from lrn_deploy.datatypes import NAMES
from lrn_deploy.package.options import PackageOptions

LABELS = "labels.txt"
IMAGE = "image"
"""The input of an ensemble that takes image files."""


def network(
    name: str,
    backend: str,
    inputs: tuple[TensorSpec, ...],
    outputs: tuple[TensorSpec, ...],
    max_batch: int,
    options: PackageOptions,
    *,
    labels: bool,
) -> Any:
    """The configuration of a network.

    Args:
        name: Name of the model.
        backend: What runs it.
        inputs: Its inputs, with the batch.
        outputs: Its outputs, with the batch.
        max_batch: Rows that run together at most; 0 if its batch is fixed, which is then an axis
            like any other.
        options: How it is queued, and how often it is loaded.
        labels: Whether the classes of its first output have names.
    """
    config = pb.ModelConfig(name=name, backend=backend, max_batch_size=max_batch)
    config.version_policy.latest.num_versions = 1
    for spec in inputs:
        _add(config.input, spec, batches=max_batch > 0)
    for spec in outputs:
        _add(config.output, spec, batches=max_batch > 0)
    if labels:
        config.output[0].label_filename = LABELS
    _instances(config, options.device, options.instances)
    if max_batch:
        _batching(config, options)
        _warm_up(config, inputs, max_batch)
    else:
        _warm_up(config, inputs, 1)
    return config


def preprocessing(name: str, spec: TensorSpec, max_batch: int, options: PackageOptions) -> Any:
    """The configuration of what makes a network's input of image files.

    Args:
        name: Name of the model.
        spec: The network's input.
        max_batch: As for :func:`network`.
        options: How often it is loaded.
    """
    config = pb.ModelConfig(name=name, backend="python", max_batch_size=max_batch)
    config.version_policy.latest.num_versions = 1
    config.input.add(name=IMAGE, data_type=pb.TYPE_STRING, dims=_one_image(spec, max_batch))
    _add(config.output, spec, batches=max_batch > 0)
    _instances(config, "cpu", options.instances)
    return config


def ensemble(name: str, first: Any, second: Any) -> Any:
    """The configuration of two models in a row: what the first gives, the second takes.

    Args:
        name: Name of the whole.
        first: The configuration of what makes an input of image files.
        second: The configuration of the network.
    """
    config = pb.ModelConfig(name=name, platform="ensemble", max_batch_size=second.max_batch_size)
    config.version_policy.latest.num_versions = 1
    config.input.extend(first.input)
    config.output.extend(second.output)
    # An ensemble's tensors share one room of names, which the network's outputs are in, too.
    taken = {output.name for output in second.output}
    given, between = _free(IMAGE, taken), _free("prepared", taken)
    config.input[0].name = given
    step = config.ensemble_scheduling.step.add(model_name=first.name, model_version=-1)
    step.input_map[first.input[0].name] = given
    step.output_map[first.output[0].name] = between
    step = config.ensemble_scheduling.step.add(model_name=second.name, model_version=-1)
    step.input_map[second.input[0].name] = between
    for output in second.output:
        step.output_map[output.name] = output.name
    return config


def tell(config: Any, parameters: Mapping[str, str]) -> None:
    """Add parameters, which a backend reads."""
    for key, value in parameters.items():
        config.parameters[key].string_value = value


def to_text(config: Any) -> str:
    """A configuration as ``config.pbtxt`` holds it.

    Raises:
        AssertionError: If it does not come back when it is read: a bug of ours or protobuf's.
    """
    text = text_format.MessageToString(config)
    if text_format.Parse(text, pb.ModelConfig()) != config:
        raise AssertionError(f"the configuration of '{config.name}' does not come back")
    return text


def from_text(text: str) -> Any:
    """The configuration that a ``config.pbtxt`` holds.

    Raises:
        google.protobuf.text_format.ParseError: If it is none.
    """
    return text_format.Parse(text, pb.ModelConfig())


def _add(tensors: Any, spec: TensorSpec, *, batches: bool) -> None:
    shape = [axis if isinstance(axis, int) else -1 for axis in spec.shape][1 if batches else 0 :]
    kind = f"TYPE_{NAMES[np.dtype(spec.dtype)]}"
    tensor = tensors.add(name=spec.name, data_type=pb.DataType.Value(kind), dims=shape or [1])
    if not shape:  # one number a row; Triton has no tensors without axes but by reshaping
        tensor.reshape.SetInParent()


def _free(name: str, taken: set[str]) -> str:
    return name if name not in taken else _free(f"{name}_", taken)


def _one_image(spec: TensorSpec, max_batch: int) -> list[int]:
    """Shape of an input of files: one for each row, or as many as the network's fixed batch."""
    return [1 if max_batch else spec.fixed_batch or -1]


def _instances(config: Any, device: str, count: int) -> None:
    kind = {"cpu": "KIND_CPU", "cuda": "KIND_GPU"}[device]
    config.instance_group.add(kind=pb.ModelInstanceGroup.Kind.Value(kind), count=count)


def _batching(config: Any, options: PackageOptions) -> None:
    batching = config.dynamic_batching
    batching.max_queue_delay_microseconds = options.max_queue_delay_us
    policy = batching.default_queue_policy
    policy.timeout_action = pb.ModelQueuePolicy.REJECT
    policy.default_timeout_microseconds = options.default_timeout_us
    policy.allow_timeout_override = True
    policy.max_queue_size = options.max_queue_requests


def _warm_up(config: Any, inputs: tuple[TensorSpec, ...], max_batch: int) -> None:
    """One run of zeros with the smallest batch and one with the largest, before it is ready."""
    if any(-1 in tensor.dims for tensor in config.input):
        return  # of such an input nobody knows how long it is
    if any(spec.values is not None and spec.values.low > 0 for spec in inputs):
        return  # zero is none of its values
    for batch in sorted({1, max_batch}):
        warm_up = config.model_warmup.add(name=f"batch {batch}", batch_size=batch, count=1)
        for tensor in config.input:
            sample = warm_up.inputs[tensor.name]
            sample.data_type = tensor.data_type
            sample.dims.extend(tensor.dims)
            sample.zero_data = True
