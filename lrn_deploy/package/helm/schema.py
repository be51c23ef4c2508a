"""What the chart's values may be, as JSON Schema, which helm checks before it installs anything."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, Literal, get_args, get_origin, get_type_hints

from lrn_deploy.options import option_of
from lrn_deploy.serving.settings import ModelSettings, ServerSettings

_OF_THE_CHART = {
    "host",
    "http_port",
    "grpc_port",
    "keys",
    "tls_cert",
    "tls_key",
    "pre_drain_seconds",
    "drain_seconds",
}
"""Settings that its templates say themselves."""

Schema = dict[str, Any]
_TEXT = {"type": "string"}
_NAMED = {"type": "string", "minLength": 1}
_SECRET = {"type": "string", "pattern": r"^([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?)?$"}
_SWITCH = {"type": "boolean"}
_ANY_MAP = {"type": "object"}
_ANY_LIST = {"type": "array"}
_TEXTS = {"type": "object", "additionalProperties": _TEXT}
_SECONDS = {"type": "number", "minimum": 0}
_PORT = {"type": "integer", "minimum": 1, "maximum": 65535}


def schema() -> Schema:
    """The schema of ``values.yaml``."""
    return {"$schema": "http://json-schema.org/draft-07/schema#"} | _map(
        {
            "model": _map(
                {
                    "name": {"type": "string", "pattern": r"^[A-Za-z0-9][A-Za-z0-9._-]*$"},
                    "path": _NAMED,
                    "artifact": _TEXT,
                    "claim": _SECRET,
                }
            ),
            "image": _map(
                {
                    "name": _NAMED,
                    "pullPolicy": {"enum": ["Always", "IfNotPresent", "Never"]},
                    "pullSecrets": _ANY_LIST,
                }
            ),
            "server": _map(_settings(), required=False),
            "preDrainSeconds": _SECONDS,
            "drainSeconds": _SECONDS,
            "keysSecret": _SECRET,
            "tlsSecret": _SECRET,
            "replica": _map(
                {
                    "cores": {"type": "integer", "minimum": 1},
                    "memory": {
                        "type": "string",
                        "pattern": r"^[0-9]+(\.[0-9]+)?([KMGT]i|[kMGT])?$",
                    },
                    "gpus": {"type": "integer", "minimum": 0},
                }
            ),
            "autoscaling": _map(
                {
                    "minReplicas": {"type": "integer", "minimum": 1},
                    "maxReplicas": {"type": "integer", "minimum": 1},
                    "targetCPUUtilizationPercentage": {"type": "integer", "minimum": 1},
                }
            ),
            "disruptionBudget": _map(
                {"enabled": _SWITCH, "maxUnavailable": {"type": ["integer", "string"]}}
            ),
            "service": _map(
                {
                    "type": {"enum": ["ClusterIP", "NodePort", "LoadBalancer"]},
                    "httpPort": _PORT,
                    "grpcPort": _PORT,
                    "annotations": _TEXTS,
                }
            ),
            "networkPolicy": _map({"enabled": _SWITCH, "from": _ANY_LIST, "egress": _ANY_LIST}),
            "serviceMonitor": _map(
                {
                    "enabled": _SWITCH,
                    "interval": _NAMED,
                    "labels": _TEXTS,
                    "credentials": _map({"name": _NAMED, "key": _NAMED}, required=False),
                }
            ),
            "podSecurityContext": _ANY_MAP,
            "tmpSize": _NAMED,
            "podAnnotations": _TEXTS,
            "podLabels": _TEXTS,
            "nodeSelector": _TEXTS,
            "tolerations": _ANY_LIST,
            "affinity": _ANY_MAP,
            "priorityClassName": _TEXT,
            "env": _ANY_LIST,
            "global": _ANY_MAP,  # which helm adds
        },
        but=("global",),
    )


def _map(properties: Schema, *, required: bool = True, but: tuple[str, ...] = ()) -> Schema:
    """An object with these properties and no other."""
    made: Schema = {"type": "object", "additionalProperties": False, "properties": properties}
    if required:
        made["required"] = [name for name in properties if name not in but]
    return made


def _settings() -> Schema:
    """Each option of the server that a user of the chart may set, with its range."""
    found: Schema = {}
    for group in (ModelSettings, ServerSettings):
        hints = get_type_hints(group)
        for field in fields(group):
            if field.name not in _OF_THE_CHART:
                option = option_of(field)
                said = _kind(hints[field.name], option.least, option.most)
                found[field.name] = {"description": option.help} | said
    return found


def _kind(hint: Any, least: float | None, most: float | None) -> Schema:
    if get_origin(hint) is tuple:
        return {"type": "array", "items": _kind(get_args(hint)[0], least, most)}
    if get_origin(hint) is Literal:
        return {"enum": list(get_args(hint))}
    if hint is bool:
        return dict(_SWITCH)
    if hint is str:
        return dict(_TEXT)
    limits = {"minimum": least, "maximum": most}
    kind: Schema = {"type": "integer" if hint is int else "number"}
    return kind | {name: value for name, value in limits.items() if value is not None}
