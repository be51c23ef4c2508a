"""A bundle whose network tells colours apart: small enough to compute by hand."""

from __future__ import annotations

import math
import struct
import zlib
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from lrn_deploy.bundle import (
    MANIFEST,
    Artifact,
    Bundle,
    FileRecord,
    Manifest,
    ModelSource,
    Preprocessing,
    TensorSpec,
    Weights,
    dump,
    new_bundle,
    sha256,
)

LABELS = ("red", "green", "blue")
PREPROCESSING = Preprocessing(resize=None, crop=(8, 8), mean=(0, 0, 0), std=(1, 1, 1))
SURE = math.exp(10) / (math.exp(10) + 2)
"""Probability of 'red' for a red picture, whose scores are 10, 0, 0."""


def colour_bundle(
    path: Path,
    *,
    preprocessing: Preprocessing | None = PREPROCESSING,
    labels: tuple[str, ...] | None = LABELS,
    batch: int | str = "batch",
    last: str = "",
    weights: str = "factory",
) -> Bundle:
    """A network whose scores are ten times the mean of each channel.

    Args:
        path: The bundle's folder.
        preprocessing: With ``in_graph`` the graph takes uint8 (N, 8, 8, 3), else float32
            (N, 3, 8, 8).
        labels: The class names.
        batch: A number fixes the batch.
        last: An operator after the scores: ``Softmax``; ``Divide`` scores by themselves, so that a
            0 becomes NaN; ``Spatial`` keeps the output (N, 3, 1, 1); ``Map`` gives the image's
            own (N, 3, 8, 8).
        weights: What the manifest says of the weights.
    """
    in_graph = preprocessing is not None and preprocessing.in_graph
    nodes = []
    if in_graph:
        nodes += [
            helper.make_node("Transpose", ["image"], ["planes"], perm=[0, 3, 1, 2]),
            helper.make_node("Cast", ["planes"], ["values"], to=TensorProto.FLOAT),
            helper.make_node("Div", ["values", "full"], ["x"]),
        ]
    x = "x" if in_graph else "image"
    nodes += [
        helper.make_node("GlobalAveragePool", [x], ["means"]),
        helper.make_node("Mul", ["means", "ten"], ["scaled"]),
        helper.make_node("Flatten", ["scaled"], ["flat"]),
        {
            "": helper.make_node("Identity", ["flat"], ["scores"]),
            "Softmax": helper.make_node("Softmax", ["flat"], ["scores"]),
            "Divide": helper.make_node("Div", ["flat", "flat"], ["scores"]),
            "Spatial": helper.make_node("Identity", ["scaled"], ["scores"]),
            "Map": helper.make_node("Identity", [x], ["scores"]),
        }[last],
    ]
    shape: list[int | str] = [batch, 8, 8, 3] if in_graph else [batch, 3, 8, 8]
    kind = TensorProto.UINT8 if in_graph else TensorProto.FLOAT
    out = [batch, 3, *{"Spatial": (1, 1), "Map": (8, 8)}.get(last, ())]
    graph = helper.make_graph(
        nodes,
        "colours",
        [helper.make_tensor_value_info("image", kind, shape)],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, out)],
        [
            numpy_helper.from_array(np.array(10, np.float32), "ten"),
            numpy_helper.from_array(np.array(255, np.float32), "full"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(model)
    with new_bundle(path, force=True) as folder:
        record = _write(folder, "model.onnx", model.SerializeToString())
        manifest = Manifest(
            model=ModelSource(
                name="colours",
                factory="tests:colours",
                origin="factory",
                input_shape=(3, 8, 8),
                weights=Weights.model_validate({"kind": weights, "seed": 7}),
            ),
            inputs=(
                TensorSpec(
                    name="image", dtype="uint8" if in_graph else "float32", shape=tuple(shape)
                ),
            ),
            outputs=(TensorSpec(name="scores", dtype="float32", shape=tuple(out)),),
            preprocessing=preprocessing,
            labels=_write(folder, "labels.txt", "\n".join(labels).encode()) if labels else None,
            artifacts={"model": Artifact(**record.model_dump(), format="onnx")},
        )
        (folder / MANIFEST).write_bytes(dump(manifest))
    return Bundle.open(path)


def picture(colour: Any, size: tuple[int, int] = (20, 30), kind: str = "PNG") -> bytes:
    """The file of a picture of one colour."""
    return encode(Image.new("RGB", size, colour), kind)


def encode(image: Image.Image, kind: str, **options: Any) -> bytes:
    """An image as the bytes of a file of format ``kind``."""
    stream = BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def png_file(header: bytes, body: bytes, *, compressed: bool = False) -> bytes:
    """A PNG file of an IHDR and its pixel rows."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    pixels = body if compressed else zlib.compress(body)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        chunk(kind, data) for kind, data in ((b"IHDR", header), (b"IDAT", pixels), (b"IEND", b""))
    )


def _write(folder: Path, file: str, data: bytes) -> FileRecord:
    (folder / file).write_bytes(data)
    return FileRecord(file=file, sha256=sha256(data), size=len(data))
