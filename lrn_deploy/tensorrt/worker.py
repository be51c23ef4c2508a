"""The process that builds one engine: ``python -m lrn_deploy.tensorrt.worker``.

TensorRT for RTX 1.7 orders some of its work by the addresses of objects, so that two builds of one
graph with a dynamic batch differ in a few internal names. They agree in a process of its own
whose addresses are not randomized, when the build has a thread of its own: glibc gives that a fresh
arena. In the main thread objects go where Python's imports left holes, and those depend on every
file that lies in a directory of ``sys.path``. So that the arena is TensorRT's alone, the graph is
fitted before: when the same thread did that, and had written out LRN, one fp32 build in three gave
other bytes under another ``PYTHONPATH``. What is left is TensorRT's own: it starts pairs of short
threads, and whether the second begins before the first has ended decides where its memory lies; on
a busy machine one build in some dozens differs by that. (A tool with a graph compiler may also
crash, and then takes only this process with it.)

It reads a line of JSON and the graph from stdin, and writes lines of JSON to stdout: steps and log
messages while it builds, at the end an error, or what was built followed by the engine's bytes.
:mod:`lrn_deploy.tensorrt.process` is the other end.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any, BinaryIO

_ADDR_NO_RANDOMIZE = 0x0040000  # <linux/personality.h>
_AGAIN = "fixed-addresses"


def main() -> None:
    """Start again with fixed addresses where the system allows it, then build."""
    fixed = sys.argv[1:] == [_AGAIN]
    if not fixed and _fix_addresses():
        os.execv(  # noqa: S606 - this very program again
            sys.executable, [sys.executable, "-P", "-m", "lrn_deploy.tensorrt.worker", _AGAIN]
        )
    channel = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what libraries print must not get between the lines
    try:
        _work(sys.stdin.buffer, channel, reproducible=fixed)
    except BrokenPipeError:  # nobody waits for the engine any more
        sys.exit(1)


def _fix_addresses() -> bool:
    """Ask Linux not to randomize addresses from the next exec on; a container may forbid it."""
    if sys.platform != "linux":
        return False
    import ctypes

    return bool(ctypes.CDLL(None).personality(_ADDR_NO_RANDOMIZE) != -1)


def _work(source: BinaryIO, channel: BinaryIO, *, reproducible: bool) -> None:
    from lrn_deploy.errors import LrnDeployError
    from lrn_deploy.tensorrt.build import BuildRequest, build_fitted, fit
    from lrn_deploy.tensorrt.flavor import find_flavor

    def tell(**line: Any) -> None:
        channel.write(json.dumps(line).encode() + b"\n")
        channel.flush()

    class Forward(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            tell(log=[record.levelno, record.getMessage()])

    job = json.loads(source.readline())
    graph = source.read(job["graph_size"])
    cache = None if job["cache_size"] is None else source.read(job["cache_size"])
    if job["log"]:
        logger = logging.getLogger("lrn_deploy.tensorrt")
        logger.setLevel(logging.DEBUG)
        logger.addHandler(Forward())
    request = BuildRequest(
        targets=tuple(job["targets"]),
        batch=tuple(job["batch"]),
        tf32=job["tf32"],
        workspace=job["workspace"],
        timing_cache=cache,
        plugins=job["plugins"],
        lrn_layer=job["lrn_layer"],
    )
    try:
        flavor = find_flavor(job["flavor"])
        graph, lrn = fit(flavor, graph, request)
        with ThreadPoolExecutor(1) as fresh:  # a thread's memory does not depend on what was before
            built = fresh.submit(
                build_fitted, flavor, graph, lrn, request, lambda *step: tell(step=step)
            ).result()
    except LrnDeployError as error:
        tell(error={"kind": type(error).__name__, "message": error.message, "hint": error.hint})
        return
    tell(
        built={
            "layers": [layer.model_dump() for layer in built.layers],
            "lrn": [lrn.model_dump() for lrn in built.lrn],
            "profile": built.profile,
            "seconds": built.seconds,
            "peak_memory": built.peak_memory,
            "reproducible": reproducible,
        },
        engine_size=len(built.data),
        cache_size=None if built.timing_cache is None else len(built.timing_cache),
    )
    channel.write(built.data)
    channel.write(built.timing_cache or b"")
    channel.flush()


if __name__ == "__main__":
    main()
