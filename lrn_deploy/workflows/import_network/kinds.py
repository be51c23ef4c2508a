"""Of what kind the files are that somebody wants to import: by what they hold, then by name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from lrn_deploy.errors import BadInputError

Kind = Literal["onnx", "prototxt", "caffemodel", ""]

_SUFFIXES: dict[str, Kind] = {
    ".onnx": "onnx",
    ".prototxt": "prototxt",
    ".pbtxt": "prototxt",
    ".caffemodel": "caffemodel",
}
_BEGINNINGS = (
    (b"version https://git-lfs", "is a pointer of Git LFS's", "Fetch the file: git lfs pull"),
    (b"<!DOCTYPE", "is a web page", "Download the file itself."),
    (b"<html", "is a web page", "Download the file itself."),
    (
        b"PK\x03\x04",
        "is a checkpoint of PyTorch's or another archive",
        "Give it to 'lrn-deploy export' with the code of its network.",
    ),
    (b"\x89HDF", "is an HDF5 file, of Keras for instance", "Convert it with tf2onnx first."),
    (b"\x93NUMPY", "is an array of NumPy's", "Give the network itself, in ONNX or Caffe's files."),
    (b"\x1f\x8b", "is a compressed archive", "Unpack it first."),
)
_OTHERS = {
    ".pb": "Convert it first: python -m tf2onnx.convert --graphdef FILE --output net.onnx",
    ".tflite": "Convert it first: python -m tf2onnx.convert --tflite FILE --output net.onnx",
    ".pt": "Give it to 'lrn-deploy export' with the code of its network.",
    ".pth": "Give it to 'lrn-deploy export' with the code of its network.",
    ".safetensors": "Give it to 'lrn-deploy export' with the code of its network.",
    ".t7": "Load it in Torch, and export it to ONNX.",
    ".mlmodel": "Convert it to ONNX first.",
}
_USAGE = "Give one ONNX file, or the prototxt and the caffemodel of a network of Caffe's."


def onnx_or_caffe(paths: Sequence[Path]) -> tuple[Path] | tuple[Path, Path]:
    """The ONNX file, or Caffe's two with the text first.

    Raises:
        BadInputError: If they are neither.
    """
    kinds = [kind_of(path) for path in paths]
    if len(paths) == 1:
        if kinds[0] in ("prototxt", "caffemodel"):
            other = "caffemodel" if kinds[0] == "prototxt" else "prototxt"
            raise BadInputError(
                f"'{paths[0]}' is one of two files of Caffe's; the {other} is missing.",
                f"Give both: lrn-deploy import {_pair(paths[0], kinds[0])} -o BUNDLE",
            )
        return (paths[0],)
    if len(paths) == 2 and "onnx" not in kinds:
        first, second = paths
        if kinds == ["caffemodel", "prototxt"]:
            first, second = second, first
        elif kinds[0] == kinds[1] != "":
            raise BadInputError(
                f"'{first}' and '{second}' are both a {kinds[0]}.",
                "Give the network's text and its weights.",
            )
        return first, second
    raise BadInputError(f"{len(paths)} files are given, which are not one network.", _USAGE)


def kind_of(path: Path) -> Kind:
    """The kind of a file; empty if only reading it can tell.

    Raises:
        BadInputError: If it is one of another program's.
    """
    kind = _SUFFIXES.get(path.suffix.lower(), "")
    try:
        if not path.is_file():
            return kind  # reading it says why
        with path.open("rb") as file:
            start = file.read(64)
    except (OSError, ValueError):
        return kind
    for beginning, what, hint in _BEGINNINGS:
        if start.startswith(beginning):
            raise BadInputError(f"'{path}' {what}.", hint)
    if path.suffix.lower() in _OTHERS:
        raise BadInputError(
            f"'{path}' is of a format that is not imported.", _OTHERS[path.suffix.lower()]
        )
    return kind


def _pair(path: Path, kind: Kind) -> str:
    return f"{path} FILE.caffemodel" if kind == "prototxt" else f"FILE.prototxt {path}"
