"""What can be set of replicas on Ray: name, default, range and meaning."""

from __future__ import annotations

from dataclasses import dataclass

from lrn_deploy.options import option


@dataclass(frozen=True)
class RayOptions:
    """How many servers there are, and what each may take of the cluster."""

    replicas: int = option(
        1, "With --engine ray: servers that share the requests.", least=1, most=10_000
    )
    max_replicas: int = option(
        0, "With --engine ray: servers at most, as the load asks for; 0: --replicas.", least=0
    )
    target_requests: float = option(
        32.0, "For --max-replicas: requests in flight at each server to aim at.", least=0.1
    )
    replica_cpus: float = option(
        1.0, "With --engine ray: CPUs that each server takes, and its threads.", least=0.01
    )
    replica_gpus: float = option(
        1.0, "With --engine ray and --device cuda: GPUs, or the part of one, of each.", least=0.01
    )
    ray_address: str = option(
        "", "Ray cluster to run on, auto for this machine's; else one is started here."
    )
