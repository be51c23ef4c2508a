"""What the server and its models say about themselves: metadata and Triton's configuration."""

from __future__ import annotations

from typing import Any

from lrn_deploy import __version__
from lrn_deploy.bundle import TensorSpec
from lrn_deploy.serving.datatypes import config_name, protocol_name, wire_shape
from lrn_deploy.serving.protocol.model import Model
from lrn_deploy.serving.settings import DEFAULT_PRIORITY, PRIORITY_LEVELS

EXTENSIONS = (
    "classification",
    "model_repository",
    "schedule_policy",
    "model_configuration",
    "binary_tensor_data",
    "parameters",
    "statistics",
)
"""The extensions that this server always has."""

_PLATFORMS = {
    "onnxruntime": "onnxruntime_onnx",
    "openvino": "openvino",
    "tensorrt": "tensorrt_plan",
}
"""Triton's names of platforms, by backend."""


def server(*, shared_memory: bool = False) -> dict[str, Any]:
    """The protocol's server metadata, with the extensions that are switched on."""
    extensions = [*EXTENSIONS, *(["system_shared_memory"] if shared_memory else [])]
    return {"name": "lrn-server", "version": __version__, "extensions": extensions}


def metadata(model: Model) -> dict[str, Any]:
    """The protocol's model metadata; shapes have the batch, as -1.

    What makes the answers doubtful stands in ``parameters``, as other servers of the protocol tell
    what it has no field for. gRPC's message has none; there the configuration tells it.
    """

    def tensors(specs: tuple[TensorSpec, ...]) -> list[dict[str, Any]]:
        return [
            {
                "name": spec.name,
                "datatype": protocol_name(spec.dtype),
                "shape": wire_shape(spec),
            }
            for spec in specs
        ]

    return {
        "name": model.name,
        "versions": [model.version],
        "platform": _PLATFORMS[model.source.backend],
        "inputs": tensors(model.inputs),
        "outputs": tensors(model.outputs),
        **({"parameters": {"doubts": list(model.doubts)}} if model.doubts else {}),
    }


def config(model: Model) -> dict[str, Any]:
    """Triton's model configuration, as far as it applies; shapes are without the batch."""
    batches = model.fixed_batch is None

    def dims(spec: TensorSpec) -> list[int]:
        return wire_shape(spec)[1 if batches else 0 :]

    labels = {"label_filename": "labels.txt"} if model.labels else {}
    doubts = {"doubts": {"string_value": "\n".join(model.doubts)}} if model.doubts else {}
    settings = model.settings
    kind = "KIND_CPU" if model.source.device == "cpu" else "KIND_GPU"
    return {
        "name": model.name,
        "platform": _PLATFORMS[model.source.backend],
        "backend": model.source.backend,
        "version_policy": {"latest": {"num_versions": 1}},
        "max_batch_size": model.max_batch if batches else 0,
        "input": [
            {
                "name": spec.name,
                "data_type": config_name(spec.dtype),
                "format": "FORMAT_NONE",
                "dims": dims(spec),
                "is_shape_tensor": False,
                "allow_ragged_batch": False,
                "optional": False,
            }
            for spec in model.inputs
        ],
        "output": [
            {
                "name": spec.name,
                "data_type": config_name(spec.dtype),
                "dims": dims(spec),
                "label_filename": "",
                "is_shape_tensor": False,
                **(labels if index == 0 else {}),
            }
            for index, spec in enumerate(model.outputs)
        ],
        "instance_group": [{"name": model.name, "kind": kind, "count": settings.instances}],
        "dynamic_batching": {
            "preferred_batch_size": list(settings.preferred_batch_sizes),
            "max_queue_delay_microseconds": settings.max_queue_delay_us,
            "priority_levels": PRIORITY_LEVELS,
            "default_priority_level": DEFAULT_PRIORITY,
            "default_queue_policy": {
                "timeout_action": "REJECT",
                "default_timeout_microseconds": settings.default_timeout_us,
                "allow_timeout_override": True,
                "max_queue_size": settings.max_queue_requests,
            },
        },
        "default_model_filename": model.bundle.manifest.artifact(model.artifact).file,
        "model_transaction_policy": {"decoupled": False},
        "response_cache": {"enable": False},
        **({"parameters": doubts} if doubts else {}),
    }
