"""The application of Ray Serve: replicas of one server, how many, and when they are replaced."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from lrn_deploy.bundle import MANIFEST
from lrn_deploy.cluster.serve.options import RayOptions
from lrn_deploy.cluster.serve.replica import Named, Replica
from lrn_deploy.serving.settings import ModelSettings, ServerSettings

NAME = "lrn-server"
"""Of the application and of its deployment."""
BUILDER = "lrn_deploy.cluster.serve.application:build"
"""What a file for ``serve deploy`` imports."""

_HEALTH_SECONDS = 5.0
_HEALTH_PATIENCE_SECONDS = 30.0
_OVER_SECONDS = 5.0  # beyond what requests may take to finish
_UNBOUNDED = 100_000


def arguments(
    bundles: Sequence[Named], model: ModelSettings, server: ServerSettings, options: RayOptions
) -> dict[str, Any]:
    """What :func:`build` is given, as plain data.

    Args:
        bundles: What to serve.
        model: How each is run and queued. Where nothing is said of threads, a run takes those that
            the replica has CPUs for: several replicas on one machine must not each take all of it.
        server: Limits and permissions. What stands before a server (keys, TLS, limits of rates) is
            the front's part and left out.
        options: What each replica takes.
    """
    threads = model.threads or max(1, int(options.replica_cpus))
    behind = replace(
        server, keys="", tls_cert="", tls_key="", tls_client_ca="", rate_limit=0, access_log="none"
    )
    return {
        "bundles": [list(bundle) for bundle in bundles],
        "model": asdict(replace(model, threads=threads)),
        "server": asdict(behind),
        "revision": revision(bundles),
    }


def revision(bundles: Sequence[Named]) -> str:
    """A digest of the bundles as they are now; empty parts stand for those that are elsewhere."""
    digest = hashlib.sha256()
    for _, place, _ in bundles:
        manifest = Path(place, MANIFEST)
        digest.update(hashlib.sha256(manifest.read_bytes() if manifest.is_file() else b"").digest())
    return digest.hexdigest()[:16]


def fields(model: ModelSettings, server: ServerSettings, options: RayOptions) -> dict[str, Any]:
    """A deployment's fields, as Ray Serve's schema and its decorator both name them.

    Requests beyond what a replica queues itself wait where they came in. New replicas are started
    beside the old ones, and an old one ends when it has answered what it had, so that an update
    leaves no gap.
    """
    queued = model.max_queue_requests or _UNBOUNDED
    count: dict[str, Any] = {"num_replicas": options.replicas}
    if options.max_replicas:
        count = {
            "autoscaling_config": {
                "min_replicas": options.replicas,
                "max_replicas": max(options.replicas, options.max_replicas),
                "target_ongoing_requests": options.target_requests,
            }
        }
    actor: dict[str, Any] = {"num_cpus": options.replica_cpus}
    if model.device.startswith("cuda"):
        actor["num_gpus"] = options.replica_gpus
    return {
        **count,
        "max_ongoing_requests": queued + model.max_batch_size * model.instances,
        "graceful_shutdown_wait_loop_s": 0.2,
        "graceful_shutdown_timeout_s": server.drain_seconds + _OVER_SECONDS,
        "health_check_period_s": _HEALTH_SECONDS,
        "health_check_timeout_s": _HEALTH_PATIENCE_SECONDS,
        "max_surge_percent": 100,
        "ray_actor_options": actor,
    }


def build(args: Mapping[str, Any]) -> Any:
    """The application, as ``serve deploy`` and :func:`deployed` make it.

    Args:
        args: What :func:`arguments` gives.
    """
    return deployed(args, {})


def deployed(
    args: Mapping[str, Any], options: Mapping[str, Any], kind: type[Replica] = Replica
) -> Any:
    """The application with a deployment's options.

    Args:
        args: What :func:`arguments` gives.
        options: What :func:`fields` gives.
        kind: What a replica is.
    """
    from ray import serve

    # A bundle that does not load will not do so the twentieth time.
    deployment = serve.deployment(kind, name=NAME, max_constructor_retry_count=1)
    return deployment.options(**options).bind(**args)
