"""What to import, and what came of it."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lrn_deploy import __version__
from lrn_deploy.errors import BadInputError
from lrn_deploy.options import REQUIRED, Written, explained, option
from lrn_deploy.said import AS_WRITTEN, Said

if TYPE_CHECKING:
    from lrn_deploy.bundle import Bundle

Files = Path | str | Sequence[Path | str]


def read_shape(words: Sequence[str]) -> tuple[int, ...]:
    """A shape as it is written, ``C,H,W``.

    Raises:
        ValueError: If it is not written so, or more than once.
    """
    if len(words) > 1:
        raise ValueError("--shape is given more than once, and only the first input takes it.")
    if not re.fullmatch(r"[1-9]\d*(,[1-9]\d*)*", words[0].strip()):
        raise ValueError(f"'{words[0]}' is no shape; write 3,227,227 for instance.")
    return tuple(int(size) for size in words[0].split(","))


@explained
@dataclass(frozen=True)
class ImportOptions:
    """What to import."""

    files: Files = option(
        REQUIRED,
        "An ONNX file; or the prototxt and the caffemodel of a network of Caffe's.",
        argument="FILE...",
        written=Written(Path, tuple, many=True),
    )
    mean: Path | None = option(
        None,
        "Mean of the images that a network of Caffe's was trained on: .binaryproto or .npy.",
        flag="mean-file",
        metavar="FILE",
    )
    stages: tuple[str, ...] = option(
        (),
        "Stages of a Caffe network that hold, for layers that ask for one.",
        flag="stage",
        line="Stage of a Caffe network that holds, for layers that ask for one; repeatable.",
        metavar="NAME",
    )
    input_shape: tuple[int, ...] | None = option(
        None,
        "Shape of an input without the batch, where the files do not say it.",
        flag="shape",
        metavar="C,H,W",
        written=Written(str, read_shape, many=True),
    )
    labels: Path | None = option(
        None, "Class names: one in each line, or JSON: a list or a map of indices to names."
    )
    name: str | None = option(None, "Name to serve and report it as; else its folder's.")
    preprocessing: Said = option(
        Said(),
        "What is said of how an image becomes an input, which goes before what the files say.",
        **AS_WRITTEN,
    )

    @property
    def paths(self) -> tuple[Path, ...]:
        """The files, one or several."""
        files = self.files
        return (Path(files),) if isinstance(files, str | Path) else tuple(map(Path, files))

    def key(self) -> str:
        """Digest of all that determines the result.

        Raises:
            BadInputError: If a file cannot be read.
        """
        facts = {
            "files": [file_digest(path) for path in self.paths],
            "mean": self.mean and file_digest(self.mean),
            "stages": self.stages,
            "labels": self.labels and file_digest(self.labels),
            "shape": self.input_shape,
            "name": self.name,
            "preprocessing": self.preprocessing.content,
            "tools": tools(),
        }
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class Imported:
    """A bundle that was made of files.

    Attributes:
        bundle: The bundle.
        lrn: For each LRN its parameters and where each was read, a sentence each.
        told: What was cut, chosen or is not known, a sentence each.
    """

    bundle: Bundle
    lrn: tuple[str, ...]
    told: tuple[str, ...]


def file_digest(path: Path) -> str:
    """SHA-256 of a file.

    Raises:
        BadInputError: If it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except (OSError, ValueError) as error:  # a ValueError: a NUL in the name
        reason = getattr(error, "strerror", None) or error
        raise BadInputError(f"'{path}' cannot be read: {reason}.", "Check the path.") from error


def tools() -> dict[str, str]:
    """The versions of what makes the graph."""
    from importlib.metadata import version  # which a help need not wait for

    return {"lrn-deploy": __version__, **{name: version(name) for name in ("onnx", "onnx-ir")}}
