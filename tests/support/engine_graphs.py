"""Tiny ONNX graphs and bundles to build engines of, and the records of engines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from lrn_deploy.bundle import (
    Artifact,
    ArtifactData,
    Bundle,
    EngineRecord,
    LrnLayer,
    Manifest,
    ModelSource,
    TensorSpec,
    Weights,
    dump,
    sha256,
    write_atomic,
)
from lrn_deploy.lrn import LrnSpec

SPEC = LrnSpec(5, 1e-4, 0.75, 2.0)


def model(
    nodes: list[onnx.NodeProto],
    inputs: dict[str, tuple[Any, ...]],
    outputs: dict[str, tuple[Any, ...] | None],
    weights: dict[str, np.ndarray[Any, Any]] | None = None,
    dtype: int = TensorProto.FLOAT,
) -> bytes:
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info(name, dtype, shape) for name, shape in inputs.items()],
        [helper.make_tensor_value_info(name, dtype, shape) for name, shape in outputs.items()],
        [numpy_helper.from_array(value, name) for name, value in (weights or {}).items()],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    return bytes(proto.SerializeToString())


def lrn_node(spec: LrnSpec, x: str = "x", y: str = "y") -> onnx.NodeProto:
    return helper.make_node(
        "LRN", [x], [y], "norm", size=spec.size, alpha=spec.alpha, beta=spec.beta, bias=spec.k
    )


def lrn_model(
    spec: LrnSpec,
    shape: tuple[Any, ...] = (2, 20, 3, 3),
    dtype: int = TensorProto.FLOAT,
) -> bytes:
    return model([lrn_node(spec)], {"x": shape}, {"y": shape}, dtype=dtype)


def network(batch: int | str = "batch", spec: LrnSpec = SPEC) -> bytes:
    """conv, relu, LRN, mean and a matrix product: (batch, 3, 6, 6) -> (batch, 4)."""
    rng = np.random.default_rng(0)
    nodes = [
        helper.make_node("Conv", ["input", "w"], ["c"], "conv", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c"], ["r"], "relu"),
        lrn_node(spec, "r", "n"),
        helper.make_node("GlobalAveragePool", ["n"], ["m"], "mean"),
        helper.make_node("Flatten", ["m"], ["f"], "flat"),
        helper.make_node("Gemm", ["f", "v"], ["logits"], "linear"),
    ]
    weights = {
        "w": rng.normal(size=(8, 3, 3, 3)).astype(np.float32),
        "v": rng.normal(size=(8, 4)).astype(np.float32),
    }
    return model(nodes, {"input": (batch, 3, 6, 6)}, {"logits": (batch, 4)}, weights)


def make_bundle(folder: Path, graph: bytes | None = None, spec: LrnSpec = SPEC) -> Bundle:
    graph = network() if graph is None else graph
    manifest = Manifest(
        model=ModelSource(
            name="tiny",
            factory="tiny",
            origin="factory",
            input_shape=(3, 6, 6),
            weights=Weights(kind="random", seed=0),
        ),
        inputs=(TensorSpec(name="input", dtype="float32", shape=("batch", 3, 6, 6)),),
        outputs=(TensorSpec(name="logits", dtype="float32", shape=("batch", 4)),),
        lrn_layers=(
            LrnLayer(
                name="net.2", spec=spec, form="kept", input="r", output="n", shape=("b", 8, 6, 6)
            ),
        ),
        artifacts={
            "model": Artifact(
                file="model.onnx", sha256=sha256(graph), size=len(graph), format="onnx"
            )
        },
    )
    write_atomic(folder / "model.onnx", graph)
    write_atomic(folder / "manifest.json", dump(manifest))
    return Bundle.open(folder)


def engine_record(**changes: Any) -> EngineRecord:
    record = EngineRecord(
        flavor="rtx",
        version="1.7.1",
        platform="linux-x86_64",
        targets=("sm86", "sm89"),
        driver="580.65.06",
        precision="fp16",
        batch=(1, 4, 8),
        profile={"input": ((1, 3, 6, 6), (4, 3, 6, 6), (8, 3, 6, 6))},
        source_sha256="0" * 64,
        build_seconds=1.0,
        peak_memory=1,
    )
    return record.model_copy(update=changes)


def engine_artifact(record: EngineRecord | None = None, data: bytes = b"plan") -> ArtifactData:
    return ArtifactData(
        name="rtx-fp16",
        format="tensorrt-rtx",
        data=data,
        engine=engine_record() if record is None else record,
        bundle="my bundles/alexnet",
    )
