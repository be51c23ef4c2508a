"""A bundle of an ONNX graph made by hand."""

from __future__ import annotations

from pathlib import Path

import onnx

from lrn_deploy.bundle import (
    MANIFEST,
    Artifact,
    Bundle,
    FileRecord,
    Manifest,
    ModelSource,
    TensorSpec,
    Weights,
    dump,
    new_bundle,
    sha256,
)


def graph_bundle(
    path: Path, model: onnx.ModelProto, input_shape: tuple[int, ...], labels: tuple[str, ...] = ()
) -> Bundle:
    """Write a graph as a bundle that is named for it.

    Args:
        path: The bundle's folder.
        model: The graph, checked here.
        input_shape: Channels, height and width of one image.
        labels: Class names, if it has classes.
    """
    onnx.checker.check_model(model)
    with new_bundle(path, force=True) as folder:

        def write(file: str, data: bytes) -> FileRecord:
            (folder / file).write_bytes(data)
            return FileRecord(file=file, sha256=sha256(data), size=len(data))

        record = write("model.onnx", model.SerializeToString())
        name = model.graph.name
        manifest = Manifest(
            model=ModelSource(
                name=name,
                factory=f"benchmarks:{name}",
                origin="factory",
                input_shape=input_shape,
                weights=Weights(kind="factory"),
            ),
            inputs=tuple(map(_spec, model.graph.input)),
            outputs=tuple(map(_spec, model.graph.output)),
            labels=write("labels.txt", "\n".join(labels).encode()) if labels else None,
            artifacts={"model": Artifact(**record.model_dump(), format="onnx")},
        )
        (folder / MANIFEST).write_bytes(dump(manifest))
    return Bundle.open(path)


def _spec(value: onnx.ValueInfoProto) -> TensorSpec:
    kind = value.type.tensor_type
    return TensorSpec(
        name=value.name,
        dtype=onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type).name,
        shape=tuple(axis.dim_param or axis.dim_value for axis in kind.shape.dim),
    )
