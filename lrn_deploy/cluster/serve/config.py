"""The file that Ray's own ``serve deploy`` takes, for a cluster that others run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lrn_deploy.cluster.serve import application
from lrn_deploy.cluster.serve.options import RayOptions
from lrn_deploy.cluster.serve.replica import Named
from lrn_deploy.serving.settings import ModelSettings, ServerSettings

_SAID = """\
# For 'serve deploy FILE'. Every node needs lrn-deploy and the bundles at these paths.
# Ray's own HTTP proxy stands in front. Start every node with
#   RAY_SERVE_ENABLE_HA_PROXY=1 RAY_SERVE_HAPROXY_RETRY_ON="conn-failure empty-response"
#   RAY_SERVE_HAPROXY_TUNE_BUFSIZE={buffer}
# so that HAProxy does it, and sends what a replica dies with to another one, if its body is smaller
# than that buffer. After a bundle has changed print this again: another revision replaces the
# replicas, one by one.
"""
_BUFFER_BYTES = 2**20
_BODY_SECONDS = 60.0


def config(
    bundles: Sequence[Named], model: ModelSettings, server: ServerSettings, options: RayOptions
) -> str:
    """An application of Ray Serve as YAML.

    Args:
        bundles: What to serve.
        model: How each is run and queued.
        server: Limits and permissions, host and port.
        options: How many replicas there are, and what each takes.
    """
    import yaml
    from ray.serve.schema import DeploymentSchema, ServeDeploySchema

    found = [
        (name, str(Path(place).resolve()) if Path(place).exists() else place, artifact)
        for name, place, artifact in bundles
    ]
    deployment = {"name": application.NAME, **application.fields(model, server, options)}
    content = {
        "proxy_location": "EveryNode",
        "http_options": {
            "host": server.host,
            "port": server.http_port,
            "request_timeout_s": _BODY_SECONDS + server.answer_seconds,
        },
        "applications": [
            {
                "name": application.NAME,
                "route_prefix": "/",
                "import_path": application.BUILDER,
                "args": _plain(application.arguments(found, model, server, options)),
                "deployments": [deployment],
            }
        ],
    }
    ServeDeploySchema.model_validate(content)
    unknown = set(deployment) - set(DeploymentSchema.model_fields)
    assert not unknown, unknown  # the schema takes what it does not know, and ignores it
    return _SAID.format(buffer=_BUFFER_BYTES) + str(yaml.safe_dump(content, sort_keys=False))


def _plain(value: object) -> object:
    """Data without tuples, which YAML would write with a tag of Python's."""
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
