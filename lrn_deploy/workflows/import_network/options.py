"""What to import, and what came of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

from lrn_deploy import __version__
from lrn_deploy.bundle import Bundle, Said
from lrn_deploy.errors import BadInputError

Files = Path | str | Sequence[Path | str]


@dataclass(frozen=True)
class ImportRequest:
    """What to import.

    Attributes:
        files: An ONNX file; or the prototxt and the caffemodel of a network of Caffe's.
        mean: The mean of a Caffe network's training images, a ``.binaryproto`` or ``.npy``.
        stages: Stages of a Caffe network that hold: layers with other ones are left out.
        input_shape: Shape of one input without the batch, if the files do not say it.
        labels: File of class names, as ``read_labels_file`` takes it.
        name: What the bundle is called, and served as; None: as its folder.
        preprocessing: What the user says of it, which goes before what the files say.
    """

    files: Files
    mean: Path | None = None
    stages: tuple[str, ...] = ()
    input_shape: tuple[int, ...] | None = None
    labels: Path | None = None
    name: str | None = None
    preprocessing: Said = field(default_factory=Said)

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
    return {"lrn-deploy": __version__, **{name: version(name) for name in ("onnx", "onnx-ir")}}
