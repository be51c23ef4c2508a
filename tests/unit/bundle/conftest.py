from __future__ import annotations

from pathlib import Path

import pytest

from lrn_deploy.bundle import (
    Artifact,
    Bundle,
    FileRecord,
    LrnLayer,
    Manifest,
    ModelSource,
    Preprocessing,
    TensorSpec,
    Weights,
    dump,
    sha256,
    write_atomic,
)
from lrn_deploy.lrn import LrnSpec

GRAPH = b"the bytes of a graph"
LABELS = b"cat\ndog\n"


@pytest.fixture
def manifest() -> Manifest:
    return Manifest(
        model=ModelSource(
            name="tiny",
            factory="tiny",
            origin="zoo",
            input_shape=(3, 8, 8),
            weights=Weights(kind="random", seed=7, note="random"),
        ),
        inputs=(TensorSpec(name="input", dtype="float32", shape=("batch", 3, 8, 8)),),
        outputs=(TensorSpec(name="logits", dtype="float32", shape=("batch", 2)),),
        preprocessing=Preprocessing(crop=(8, 8)),
        labels=FileRecord(file="labels.txt", sha256=sha256(LABELS), size=len(LABELS)),
        lrn_layers=(
            LrnLayer(
                name="net.1",
                spec=LrnSpec(5, 1e-4, 0.75, 2.0),
                form="kept",
                input="a",
                output="b",
                shape=("batch", 4, 8, 8),
            ),
        ),
        artifacts={
            "model": Artifact(
                file="model.onnx", sha256=sha256(GRAPH), size=len(GRAPH), format="onnx"
            )
        },
    )


@pytest.fixture
def bundle(tmp_path: Path, manifest: Manifest) -> Bundle:
    folder = tmp_path / "tiny"
    write_atomic(folder / "model.onnx", GRAPH)
    write_atomic(folder / "labels.txt", LABELS)
    write_atomic(folder / "manifest.json", dump(manifest))
    return Bundle.open(folder)
