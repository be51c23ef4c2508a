"""One LRN layer alone as a TensorRT engine, at all amplitudes, against its float64 definition."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import onnx

from lrn_deploy.backends.onnxruntime import OnnxRuntimeBackend
from lrn_deploy.backends.protocol import Array
from lrn_deploy.backends.tensorrt import TensorRtBackend
from lrn_deploy.bundle import (
    MANIFEST,
    Artifact,
    Bundle,
    LrnLayer,
    Manifest,
    ModelSource,
    TensorSpec,
    Weights,
    dump,
    new_bundle,
    sha256,
    write_atomic,
)
from lrn_deploy.errors import LrnDeployError
from lrn_deploy.lrn import LrnSpec
from lrn_deploy.parity import graph
from lrn_deploy.parity.budgets import Budgets
from lrn_deploy.parity.probe import Load, probe_layer
from lrn_deploy.tensorrt.targets import CURRENT
from lrn_deploy.workflows.build_engine.build_engine import build_bundle_engine
from lrn_deploy.workflows.build_engine.options import EngineOptions

ROWS = 64
"""Largest batch of a probe's engine; a probe feeds two rows for each amplitude."""
CHANNELS, SIDE = 32, 3


class LrnAlone:
    """Runs a graph of one LRN layer at whatever shape it is first fed with.

    Args:
        data: The serialised graph, with one input and one output of the same shape.
        on_gpu: Run it as an engine built for this GPU, else on ONNX Runtime's CPU provider.
        lrn: Whether an engine leaves LRN to TensorRT's own layer; see ``build-engine --lrn``.
    """

    def __init__(
        self, data: bytes, *, on_gpu: bool, lrn: Literal["auto", "layer"] = "auto"
    ) -> None:
        self._data, self._on_gpu = data, on_gpu
        # TF32 concerns products, of which an LRN has none.
        self._request = EngineOptions(
            precision="tf32", targets=(CURRENT,), batch=(1, 8, ROWS), lrn=lrn
        )

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Build, load and run.

        Raises:
            LrnDeployError: If one of these fails.
        """
        ((_, x),) = feeds.items()
        with tempfile.TemporaryDirectory() as folder:
            bundle = probe_bundle(self._data, Path(folder) / "probe", x.shape[1:])
            if not self._on_gpu:
                with OnnxRuntimeBackend().load(bundle.load("model")) as session:
                    return session.run(feeds)
            built = build_bundle_engine(bundle, self._request)
            with TensorRtBackend().load(built.bundle.load(built.name)) as engine:
                return engine.run(feeds)


@contextmanager
def on_tensorrt(data: bytes) -> Iterator[LrnAlone]:
    """A runner of a probe's graph as an engine built for this GPU."""
    yield LrnAlone(data, on_gpu=True)


@contextmanager
def on_tensorrt_layer(data: bytes) -> Iterator[LrnAlone]:
    """The same by TensorRT's own LRN layer."""
    yield LrnAlone(data, on_gpu=True, lrn="layer")


@contextmanager
def on_cpu(data: bytes) -> Iterator[LrnAlone]:
    """A runner of a probe's graph on ONNX Runtime: what can be tried without a GPU."""
    yield LrnAlone(data, on_gpu=False)


def probe_bundle(data: bytes, path: Path, shape: tuple[int, ...]) -> Bundle:
    """A bundle that holds a probe's graph, with all axes fixed but for the batch.

    Args:
        data: The serialised graph.
        path: Where the bundle goes.
        shape: Of one row of its input and output.
    """
    model = onnx.load_from_string(data)
    kind = model.graph.input[0].type.tensor_type.elem_type
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.elem_type = kind  # a graph that was cut out may tell no output's
        axes = value.type.tensor_type.shape
        axes.ClearField("dim")
        axes.dim.add().dim_param = "batch"
        for size in shape:
            axes.dim.add().dim_value = size
    data = model.SerializeToString()
    artifact = Artifact(file="model.onnx", sha256=sha256(data), size=len(data), format="onnx")
    x, y = (
        TensorSpec(name=values[0].name, dtype="float32", shape=("batch", *shape))
        for values in (model.graph.input, model.graph.output)
    )
    source = ModelSource(
        name="probe",
        factory="probe",
        origin="factory",
        input_shape=shape,
        weights=Weights(kind="factory"),
    )
    with new_bundle(path, force=False) as folder:
        write_atomic(folder / "model.onnx", data)
        manifest = Manifest(model=source, inputs=(x,), outputs=(y,), artifacts={"model": artifact})
        write_atomic(folder / MANIFEST, dump(manifest))
    return Bundle.open(path)


def check_lrn(spec: LrnSpec, load: Load = on_tensorrt) -> dict[str, Any]:
    """One LRN alone at all amplitudes, against float64.

    Args:
        spec: The LRN.
        load: Runs a graph of it alone.
    """
    shape = ("batch", CHANNELS, SIDE, SIDE)
    layer = LrnLayer(name="lrn", spec=spec, form="kept", input="x", output="y", shape=shape)
    budget = Budgets().budget("fp32", "probe")
    assert budget is not None
    row: dict[str, Any] = {"spec": str(spec)}
    try:
        results = probe_layer(graph.single_lrn(spec), layer, load, budget)
    except LrnDeployError as error:
        return row | {"verdict": "skipped", "reason": str(error), "amplitudes": []}
    failed = any(result.verdict == "fail" for result in results)
    amplitudes = [
        {
            "amplitude": result.amplitude,
            "verdict": result.verdict,
            "reason": result.reason,
            "metrics": result.metrics.model_dump(mode="json") if result.metrics else None,
        }
        for result in results
    ]
    return row | {"verdict": "fail" if failed else "pass", "amplitudes": amplitudes}
