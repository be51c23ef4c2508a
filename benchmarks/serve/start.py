"""From starting the process until it is ready, beside what no server can do without."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from benchmarks.peers.offline import offline
from benchmarks.peers.ours import lrn_server
from lrn_deploy.bundle import Bundle


def starts(bundle: Bundle, threads: int, rows: int, rounds: int) -> dict[str, Any]:
    """Start lrn-server, and a process that hashes the graph, loads it and runs it twice, in turns.

    Args:
        bundle: With one graph.
        threads: Of a run.
        rows: Of the largest batch; each is warmed up with it and with one row.
        rounds: How often.

    Returns:
        Seconds of each, their ratios, and whether the server had loaded PyTorch.
    """
    bare, ours, torch = [], [], False
    for _ in range(rounds):
        began = time.perf_counter()
        with offline(bundle.path / "model.onnx", threads, rows):
            bare.append(time.perf_counter() - began)
        began = time.perf_counter()
        options = ("--max-batch-size", str(rows), "--threads", str(threads))
        with lrn_server(bundle.path, *options) as server:
            ours.append(time.perf_counter() - began)
            torch = torch or "libtorch" in Path(f"/proc/{server.pid}/maps").read_text()
    return {
        "bare_s": bare,
        "lrn-server_s": ours,
        "ratios": [own / alone for own, alone in zip(ours, bare, strict=True)],
        "torch_was_loaded": torch,
    }
