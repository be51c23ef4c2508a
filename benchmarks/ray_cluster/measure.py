"""The cluster, the front in this process, and what is done to the replicas under load."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.load import Load, drive, infer, only_right
from benchmarks.ray_cluster.waiting import WaitingReplica
from lrn_deploy.cluster import runtime
from lrn_deploy.cluster.serve.front import Front, FrontService
from lrn_deploy.cluster.serve.options import RayOptions
from lrn_deploy.cluster.serve.server import Replicas
from lrn_deploy.serving.http.server import HttpServer
from lrn_deploy.serving.settings import ModelSettings, ServerSettings

CONNECTIONS = 16
_REQUESTS = 16
_TOLERANCE = 1e-4
_CPUS = 2  # of each node: what an update starts beside the old ones needs room, too
_TRIES = 300
_SECONDS = 120.0  # that one request may take


@contextmanager
def two_nodes(**told: Any) -> Iterator[Any]:
    """A cluster of two nodes on this machine, which this process has joined.

    Args:
        told: What else is said of each node, by Ray's names.
    """
    runtime.need("serve")
    runtime.stay_on_loopback()
    import ray
    from ray.cluster_utils import Cluster

    node = {"num_cpus": _CPUS, "node_ip_address": "127.0.0.1", **told}
    cluster = Cluster(initialize_head=True, head_node_args={**node, "include_dashboard": False})
    try:
        cluster.add_node(**node)
        ray.init(address=cluster.address, logging_level="ERROR", log_to_driver=False)
        yield cluster
    finally:
        ray.shutdown()
        cluster.shutdown()


@dataclass
class Fronted:
    """Replicas, and the port of this machine on which they are asked."""

    replicas: Replicas
    front: Front
    port: int

    def places(self) -> list[tuple[int, str]]:
        """Process and node of each replica, as soon as none is among them that has just died."""
        from ray.exceptions import RayError

        for _ in range(_TRIES):
            with suppress(RayError):
                found = self.replicas.handle.broadcast("where").results(timeout_s=10)
                return [(int(pid), str(node)) for pid, node in found]
            time.sleep(0.1)
        raise RuntimeError("the replicas do not answer")


@contextmanager
def fronted(
    bundle: Path, count: int, kind: type[WaitingReplica] = WaitingReplica
) -> Iterator[Fronted]:
    """So many replicas of a bundle, deployed, behind our own HTTP within this process."""
    model = ModelSettings(max_batch_size=1)
    settings = ServerSettings(access_log="none")
    replicas = Replicas(
        [("", str(bundle), "")], model, settings, RayOptions(replicas=count), print, kind
    )
    replicas.deploy()
    front = Front(FrontService(settings), replicas.handle, _SECONDS)
    server = HttpServer(front, "127.0.0.1", 0)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    asyncio.run_coroutine_threadsafe(server.start(), loop).result()
    try:
        yield Fronted(replicas, front, server.port)
    finally:

        async def end() -> None:
            await server.stop_listening()
            server.stop()

        asyncio.run_coroutine_threadsafe(end(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        replicas.end(everything=False)


def load(port: int, seconds: float, meanwhile: Callable[[], None] = lambda: None) -> Load:
    """Ask in a closed loop, each request with an answer of its own, while something happens.

    Args:
        port: Where.
        seconds: How long, or as long as ``meanwhile`` takes if that is longer.
        meanwhile: What happens, begun when a third of the time is over.
    """
    random = np.random.default_rng(5)
    rows = random.uniform(-1, 1, (_REQUESTS, 1, 3, 8, 8)).astype(np.float32)
    scores = (10 * rows.astype(np.float64).mean(axis=(1, 3, 4))).astype(np.float32)
    # Means of noise are all alike: make each its own.
    lift = np.arange(_REQUESTS * 3, dtype=np.float32).reshape(_REQUESTS, 3)
    rows += lift[:, None, :, None, None]
    scores += 10 * lift
    failures: list[BaseException] = []

    def act() -> None:
        time.sleep(seconds / 3)
        try:
            meanwhile()
        except BaseException as error:
            failures.append(error)

    acting = threading.Thread(target=act)
    acting.start()
    result = drive(
        port,
        [infer("colours", "image", row) for row in rows],
        connections=CONNECTIONS,
        seconds=seconds,
        right=only_right(scores, _TOLERANCE),
    )
    acting.join()
    if failures:
        raise failures[0]
    return result


def told(result: Load) -> dict[str, Any]:
    """What is kept of a load."""
    return {
        "per_second": result.per_second,
        "statuses": {str(status): count for status, count in sorted(result.statuses.items())},
        "wrong": result.wrong,
        "p50_ms": 1e3 * result.quantile(50),
        "p99_ms": 1e3 * result.quantile(99),
        "longest_ms": 1e3 * max(result.latencies),
    }


def kill_one(fronted: Fronted) -> None:
    """End a replica's process at once."""
    os.kill(fronted.places()[0][0], signal.SIGKILL)


def kill_node(fronted: Fronted, cluster: Any) -> None:
    """End the node that is not the head at once, with the replica that is on it.

    Raises:
        RuntimeError: If no replica was on it.
    """
    (node,) = cluster.worker_nodes
    if node.node_id not in {place for _, place in fronted.places()}:
        raise RuntimeError("there is no replica on the node that is to be killed")
    cluster.remove_node(node, allow_graceful=False)


def spread(fronted: Fronted, cluster: Any, tries: int = 4) -> None:
    """Until a replica is on each of the nodes, which Ray Serve aims at and does not promise.

    Raises:
        RuntimeError: If that does not come about.
    """
    nodes = {node.node_id for node in (cluster.head_node, *cluster.worker_nodes)}
    for _ in range(tries):
        if {node for _, node in fronted.places()} == nodes:
            return
        fronted.replicas.deploy()
    raise RuntimeError("the replicas are not on both nodes")


def wait_for(fronted: Fronted, count: int, seconds: float = 60.0) -> None:
    """Until there are so many replicas again.

    Raises:
        RuntimeError: If there are not in time.
    """
    limit = time.monotonic() + seconds
    while len(fronted.places()) != count:
        if time.monotonic() > limit:
            raise RuntimeError(f"there are not {count} replicas again")
        time.sleep(0.1)
