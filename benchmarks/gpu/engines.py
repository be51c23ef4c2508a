"""The engines of a bundle, on the GPU or, for a dry run, on the fake one of the tests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from lrn_deploy.backends.onnxruntime import OnnxRuntimeBackend
from lrn_deploy.backends.tensorrt import TensorRtBackend, TensorRtSession
from lrn_deploy.bundle import Bundle
from lrn_deploy.tensorrt.device import cuda
from lrn_deploy.tensorrt.device.run import EngineRunner


def engine_names(bundle: Bundle) -> list[str]:
    """The bundle's engines, in the manifest's order."""
    return [name for name, item in bundle.manifest.artifacts.items() if item.engine is not None]


@contextmanager
def open_engine(bundle: Bundle, name: str, *, dry: bool) -> Iterator[TensorRtSession]:
    """A session of an engine.

    Args:
        bundle: The bundle.
        name: The engine.
        dry: Run the canonical graph on the CPU in its place, through everything that an engine
            goes through but CUDA and TensorRT.

    Raises:
        LrnDeployError: If the engine does not fit this machine, or cannot be loaded.
    """
    if not dry:
        with TensorRtBackend().load(bundle.load(name)) as session:
            yield session
        return
    from tests.support.fake_gpu import DEVICE, FakeGpu

    with OnnxRuntimeBackend().load(bundle.load("model")) as graph:
        tensors = [
            (
                spec.name,
                is_input,
                np.dtype(spec.dtype),
                (-1, *(int(axis) for axis in spec.shape[1:])),
            )
            for is_input, specs in ((True, graph.inputs), (False, graph.outputs))
            for spec in specs
        ]
        gpu = FakeGpu(captures_graphs=True, network=graph.run, tensors=tensors)
        real = cuda.runtime
        cuda.runtime = lambda: gpu.cuda
        try:
            flavor: Any = gpu
            runner = EngineRunner(flavor, bundle.load(name), DEVICE, None)
            with TensorRtSession(runner) as session:
                yield session
        finally:
            cuda.runtime = real
