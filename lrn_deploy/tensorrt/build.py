"""From an ONNX graph to a TensorRT engine."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lrn_deploy.errors import BadInputError, DamagedError
from lrn_deploy.progress import Progress
from lrn_deploy.tensorrt.flavor import Flavor
from lrn_deploy.tensorrt.graph import Records, fit_graph
from lrn_deploy.tensorrt.layers import NetworkLayer, read_layers
from lrn_deploy.tensorrt.messages import (
    builder_error,
    find_turing_refusal,
    parser_error,
    reason,
    turing_error,
)
from lrn_deploy.tensorrt.targets import TURING

Batch = tuple[int, int, int]
Shapes = tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]
"""Called with the builder's phase, and how many of how many of its steps are done."""


@dataclass(frozen=True)
class BuildRequest:
    """What to build.

    Attributes:
        targets: Compute capabilities (``sm89``), or ``current`` or ``portable`` alone.
        batch: Smallest, best and largest batch.
        tf32: Let matrix products round their fp32 inputs to TF32.
        workspace: Limit of scratch GPU memory in bytes; None leaves the builder's own.
        timing_cache: Content of a timing cache to start from, may be empty; None for no cache.
        plugins: Compute LRN with our plugins; full TensorRT only.
        lrn_layer: Leave LRN to TensorRT's own layer where that can hold it, else write it out.
    """

    targets: tuple[str, ...]
    batch: Batch
    tf32: bool = False
    workspace: int | None = None
    timing_cache: bytes | None = None
    plugins: bool = False
    lrn_layer: bool = True


@dataclass(frozen=True)
class BuiltEngine:
    """An engine and what is known about it.

    Attributes:
        data: The serialised engine.
        layers: The parsed network's layers: what is requested.
        lrn: What became of each LRN node of the graph.
        profile: The three shapes of each input with a dynamic batch.
        timing_cache: The timing cache after the build, if one was asked for.
        seconds: Wall-clock time of parsing and building.
        peak_memory: Largest resident memory of the process so far, in bytes; None elsewhere
            than on Linux.
        reproducible: Whether the same request gives the same bytes again in this environment.
    """

    data: bytes
    layers: tuple[NetworkLayer, ...]
    lrn: Records
    profile: dict[str, Shapes]
    timing_cache: bytes | None
    seconds: float
    peak_memory: int | None
    reproducible: bool = False


def check_batch(batch: Batch) -> None:
    """Refuse batches that are no profile.

    Raises:
        BadInputError: If one is below 1, or they are not in order.
    """
    if batch[0] < 1 or list(batch) != sorted(batch):
        raise BadInputError(
            f"The batch profile {','.join(map(str, batch))} is not in order.",
            "Write the smallest, the best and the largest batch: --batch 1,8,32.",
        )


def build_engine(
    flavor: Flavor, graph: bytes, request: BuildRequest, progress: Progress | None = None
) -> BuiltEngine:
    """Build an engine in this process.

    :func:`lrn_deploy.tensorrt.process.build_in_process` is for everybody else than its worker: its
    results are reproducible, Ctrl-C ends it at once, and it survives a crash of TensorRT.

    Args:
        flavor: The TensorRT to build with.
        graph: A serialised ONNX model.
        request: What to build.
        progress: Called after every step of the builder; what it raises cancels the build.

    Raises:
        BadInputError: If TensorRT cannot take the graph, the batch or the targets.
        MissingError: If TensorRT or the GPU it needs is not there.
    """
    return build_fitted(flavor, *fit(flavor, graph, request), request, progress)


def fit(flavor: Flavor, graph: bytes, request: BuildRequest) -> tuple[bytes, Records]:
    """First half of :func:`build_engine`: the graph that TensorRT is given, and its LRN nodes."""
    check_batch(request.batch)
    flavor.check_targets(request.targets)
    return fit_graph(
        graph,
        flavor.name,
        request.targets,
        plugins=request.plugins,
        lrn_layer=request.lrn_layer,
    )


def build_fitted(
    flavor: Flavor,
    graph: bytes,
    lrn: Records,
    request: BuildRequest,
    progress: Progress | None = None,
) -> BuiltEngine:
    """Second half of :func:`build_engine`, which leaves no work of Python's before TensorRT's."""
    builder = flavor.start_builder()
    start = time.perf_counter()
    network = flavor.create_network(builder)
    parser = flavor.create_parser(network)
    if not parser.parse(graph) or parser.num_errors:
        raise parser_error([parser.get_error(index) for index in range(parser.num_errors)])
    layers = read_layers(network)
    if TURING in request.targets:
        refused = find_turing_refusal(layers)
        if refused:
            raise turing_error(refused)
    profile = _profile(network, request.batch)
    config = flavor.create_config(
        builder, targets=request.targets, tf32=request.tf32, workspace=request.workspace
    )
    _set_profile(builder, config, profile)
    timings = None
    if request.timing_cache is not None:
        timings = flavor.set_timing_cache(config, request.timing_cache)
    data = _run_builder(flavor, builder, network, config, progress)
    return BuiltEngine(
        data=data,
        layers=layers,
        lrn=lrn,
        profile=profile,
        timing_cache=None if timings is None else bytes(timings.serialize()),
        seconds=time.perf_counter() - start,
        peak_memory=_peak_memory(),
    )


def inspect_engine(flavor: Flavor, plan: bytes) -> str:
    """The inspector's JSON of an engine that was built here, which needs a GPU that it fits.

    Raises:
        DamagedError: If TensorRT refuses the engine.
    """
    runtime = flavor.start_runtime()
    engine = flavor.open_engine(runtime, plan)
    if engine is None:
        raise DamagedError(
            f"{flavor.title} {flavor.version} refuses the engine that it has just built for this "
            f"GPU: {reason(flavor.errors[::-1])}.",
            "This GPU may be one that it builds for and does not run on: run 'lrn-deploy doctor', "
            "and try another version of it.",
        )
    return flavor.inspect(engine)


def _profile(network: Any, batch: Batch) -> dict[str, Shapes]:
    """The shapes of each input with a dynamic batch at the three batches."""
    profile: dict[str, Shapes] = {}
    for index in range(network.num_inputs):
        tensor = network.get_input(index)
        shape = tuple(tensor.shape)
        if -1 in shape[1:]:
            raise BadInputError(
                f"Input '{tensor.name}' has the shape {list(shape)}: other axes than the batch "
                "are dynamic, and one engine is built for one image size.",
                "Export the network with a fixed image size.",
            )
        if shape[0] == -1:
            low, best, high = ((size, *shape[1:]) for size in batch)
            profile[tensor.name] = (low, best, high)
        elif set(batch) != {shape[0]}:
            raise BadInputError(
                f"Input '{tensor.name}' has a fixed batch of {shape[0]}, so the engine cannot take "
                f"the batches {','.join(map(str, batch))}.",
                f"Use '--batch {shape[0]},{shape[0]},{shape[0]}', or export with a dynamic batch.",
            )
    return profile


def _set_profile(builder: Any, config: Any, profile: dict[str, Shapes]) -> None:
    if profile:
        shapes = builder.create_optimization_profile()
        for name, (low, best, high) in profile.items():
            shapes.set_shape(name, low, best, high)
        config.add_optimization_profile(shapes)


def _run_builder(
    flavor: Flavor, builder: Any, network: Any, config: Any, progress: Progress | None
) -> bytes:
    raised: list[BaseException] = []

    def on_step(phase: str, done: int, total: int) -> bool:
        if progress is not None and not raised:
            try:
                progress(phase, done, total)
            except BaseException as error:  # it cannot cross the builder's C++ frames
                raised.append(error)
        return not raised

    config.progress_monitor = flavor.monitor(on_step)
    plan = builder.build_serialized_network(network, config)
    if raised:
        raise raised[0]
    if plan is None:
        raise builder_error(flavor.errors)
    return bytes(plan)


def _peak_memory() -> int | None:
    """Linux's VmHWM; getrusage's ru_maxrss would start from that of the process before exec."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")), None)
