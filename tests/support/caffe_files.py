"""Prototxt and caffemodel files for tests, encoded here and by nothing of the package."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray

from lrn_deploy.caffe import CaffeNetwork, read, run, to_onnx

Generation = Literal[0, 1, 2]
Blobs = Mapping[str, Sequence[NDArray[Any]]]
DEPLOY = 'name: "net" input: "data" input_shape {{ dim: {batch} {dims} }}\n'


def varint(value: int) -> bytes:
    value &= 2**64 - 1
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def number(field: int, value: int) -> bytes:
    return varint(field << 3) + varint(value)


def message(field: int, content: bytes | str) -> bytes:
    data = content.encode() if isinstance(content, str) else content
    return varint(field << 3 | 2) + varint(len(data)) + data


def real(field: int, value: float) -> bytes:
    return varint(field << 3 | 5) + struct.pack("<f", value)


def dims(shape: Sequence[int]) -> bytes:
    return message(1, b"".join(map(varint, shape)))


def blob(values: NDArray[Any], *, legacy: bool = False) -> bytes:
    """A BlobProto of fp32 values, its shape told in the new way or the old one."""
    data = message(5, np.asarray(values, "<f4").tobytes())
    if not legacy:
        return message(7, dims(values.shape)) + data
    four = (1,) * (4 - values.ndim) + values.shape
    return b"".join(number(field + 1, size) for field, size in enumerate(four)) + data


def caffemodel(blobs: Blobs, generation: Generation = 2) -> bytes:
    """A caffemodel with these weights, for each layer by its name."""
    return message(1, "net") + b"".join(
        layer(name, values, generation) for name, values in blobs.items()
    )


def layer(name: str, values: Sequence[NDArray[Any]], generation: Generation = 2) -> bytes:
    legacy = generation < 2
    if generation == 2:
        parts = message(1, name) + message(2, "Convolution")
        return message(100, parts + b"".join(message(7, blob(v)) for v in values))
    if generation == 1:
        parts = message(4, name) + number(5, 4)
        return message(2, parts + b"".join(message(6, blob(v, legacy=legacy)) for v in values))
    parts = message(1, name) + message(2, "conv")
    parts += b"".join(message(50, blob(v, legacy=legacy)) for v in values)
    return message(2, message(1, parts))


def write(
    folder: Path, text: str, blobs: Blobs | bytes, generation: Generation = 2
) -> tuple[Path, Path]:
    """Both files of a network in ``folder``."""
    prototxt, weights = folder / "deploy.prototxt", folder / "net.caffemodel"
    prototxt.write_text(text)
    weights.write_bytes(blobs if isinstance(blobs, bytes) else caffemodel(blobs, generation))
    return prototxt, weights


def deploy(shape: Sequence[int], layers: str, batch: int = 1) -> str:
    """The text of a network with one input of ``shape``, without the batch."""
    return DEPLOY.format(batch=batch, dims=" ".join(f"dim: {size}" for size in shape)) + layers


def sparse(path: Path, shapes: Mapping[str, Sequence[Sequence[int]]]) -> None:
    """A caffemodel of zeros in these shapes, which takes no room on the disk."""
    with path.open("wb") as file:
        for name, its in shapes.items():
            heads, sizes = [], []
            for shape in its:
                size = 4 * int(np.prod(shape))
                about = message(7, dims(shape)) + varint(5 << 3 | 2) + varint(size)
                heads.append(varint(7 << 3 | 2) + varint(len(about) + size) + about)
                sizes.append(size)
            begin = message(1, name)
            length = len(begin) + sum(map(len, heads)) + sum(sizes)
            file.write(varint(100 << 3 | 2) + varint(length) + begin)
            for head, size in zip(heads, sizes, strict=True):
                file.write(head)
                file.seek(size, 1)
        file.truncate()


def compare(
    folder: Path,
    text: str,
    blobs: Blobs,
    inputs: Mapping[str, NDArray[Any]],
    expected: NDArray[Any],
    *,
    tolerance: float = 2e-5,
) -> CaffeNetwork:
    """Hold the reference, and the ONNX graph in ONNX Runtime, against ``expected`` in float64."""
    network = read(*write(folder, text, blobs))
    (name, shape), *_ = network.outputs.items()
    assert expected.shape == (len(next(iter(inputs.values()))), *shape)
    computed = run(network, inputs)[name]
    scale = np.abs(expected).max() or 1
    np.testing.assert_allclose(computed, expected, rtol=1e-10, atol=1e-12 * scale)
    model = to_onnx(network)
    onnx.checker.check_model(model, full_check=True)
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    feed = {key: np.asarray(value, np.float32) for key, value in inputs.items()}
    (answer,) = session.run([name], feed)
    assert answer.dtype == np.float32
    np.testing.assert_allclose(answer, expected, rtol=tolerance, atol=tolerance * scale)
    return network
