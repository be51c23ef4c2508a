"""Calls that ask what a server is: health, metadata, configuration, repository index."""

from __future__ import annotations

from typing import Any

from benchmarks.conformance.calls import call, http_only
from benchmarks.conformance.client import Client, body_of

_READ = ("name", "data_type", "dims", "is_shape_tensor", "optional", "label_filename")
"""What clients and perf_analyzer read of a tensor's configuration."""


@call("server is live and ready")
def _health(client: Client) -> Any:
    return {"live": client.raw.is_server_live(), "ready": client.raw.is_server_ready()}


@call("server metadata: has what lrn-server advertises")
def _server(client: Client) -> Any:
    told = client.plain(client.raw.get_server_metadata)
    return {
        "members": sorted(told),
        "extensions": {
            name: name in told["extensions"]
            for name in (
                "classification",
                "model_repository",
                "schedule_policy",
                "model_configuration",
                "binary_tensor_data",
                "parameters",
                "statistics",
            )
        },
    }


for _model in ("digits", "picture"):

    @call(f"metadata of {_model}")
    def _metadata(client: Client, model: str = _model) -> Any:
        return client.plain(client.raw.get_model_metadata, model)

    @call(f"metadata of {_model}, version 1")
    def _metadata_of_version(client: Client, model: str = _model) -> Any:
        return client.plain(client.raw.get_model_metadata, model, "1")

    @call(f"configuration of {_model}: what clients read")
    def _config(client: Client, model: str = _model) -> Any:
        told = client.plain(client.raw.get_model_config, model)
        config = told.get("config", told)
        tensors = {
            kind: [{key: one.get(key) or None for key in _READ} for one in config[kind]]
            for kind in ("input", "output")
        }
        batching = config["dynamic_batching"]
        policy = batching["default_queue_policy"]
        return tensors | {
            "name": config["name"],
            "max_batch_size": config["max_batch_size"],
            "versions": config["version_policy"],
            "decoupled": bool(config.get("model_transaction_policy", {}).get("decoupled")),
            "cached": bool(config.get("response_cache", {}).get("enable")),
            "sequences": "sequence_batching" in config,
            "ensemble": "ensemble_scheduling" in config,
            "instances": [(one["kind"], one["count"]) for one in config["instance_group"]],
            "batching": {
                key: value
                for key, value in batching.items()
                if key
                in (
                    "preferred_batch_size",
                    "max_queue_delay_microseconds",
                    "priority_levels",
                    "default_priority_level",
                )
            },
            "queue": {
                key: policy.get(key)
                for key in (
                    "default_timeout_microseconds",
                    "allow_timeout_override",
                    "max_queue_size",
                )
            },
        }

    @call(f"{_model} is ready, and its version 1")
    def _ready(client: Client, model: str = _model) -> Any:
        return [client.raw.is_model_ready(model), client.raw.is_model_ready(model, "1")]


@call("metadata of an unknown model", "unknown model", "nothing")
def _unknown_metadata(client: Client) -> Any:
    return client.plain(client.raw.get_model_metadata, "nothing")


@call("metadata of an unknown version", "version", "digits")
def _unknown_version(client: Client) -> Any:
    return client.plain(client.raw.get_model_metadata, "digits", "7")


@call("configuration of an unknown model", "unknown model", "nothing")
def _unknown_config(client: Client) -> Any:
    return client.plain(client.raw.get_model_config, "nothing")


@call("statistics of an unknown model", "unknown model", "nothing")
def _unknown_statistics(client: Client) -> Any:
    return client.plain(client.raw.get_inference_statistics, "nothing")


@call("an unknown model and an unknown version are not ready")
def _unknown_ready(client: Client) -> Any:
    return [client.raw.is_model_ready("nothing"), client.raw.is_model_ready("digits", "7")]


@call("repository index")
def _index(client: Client) -> Any:
    return index(client)


@http_only("repository index of what is ready")
def _ready_index(client: Client) -> Any:
    return _entries(body_of(client.send("POST", "/v2/repository/index", b'{"ready": true}')))


@http_only("repository index by GET")
def _get_index(client: Client) -> Any:
    return body_of(client.send("GET", "/v2/repository/index"))


@http_only("a path that does not exist")
def _no_path(client: Client) -> Any:
    return body_of(client.send("GET", "/v2/nothing/at/all"))


@http_only("health bodies are empty")
def _health_bodies(client: Client) -> Any:
    paths = ("/v2/health/live", "/v2/health/ready", "/v2/models/digits/ready")
    return [(status, len(body)) for status, _, body in (client.send("GET", path) for path in paths)]


def index(client: Client) -> Any:
    """The repository index, in the order of names."""
    told = client.plain(client.raw.get_model_repository_index)
    return _entries(told.get("models", []) if isinstance(told, dict) else told)


def _entries(told: list[Any]) -> list[Any]:
    """An entry without a reason has none; Triton leaves it out then."""
    return sorted(({"reason": "", **entry} for entry in told), key=lambda entry: str(entry["name"]))
