"""Reading and writing bundles: hashes checked on the way in, atomic renames on the way out."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from lrn_deploy.bundle.contents import read_manifest
from lrn_deploy.bundle.manifest import (
    Artifact,
    EngineRecord,
    FileRecord,
    Manifest,
)
from lrn_deploy.errors import BadInputError, CannotWriteError, DamagedError, LrnDeployError

MANIFEST = "manifest.json"
Made = TypeVar("Made")


def sha256(data: bytes | memoryview) -> str:
    """Hexadecimal SHA-256 of ``data``."""
    return hashlib.sha256(data).hexdigest()


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn the operating system's refusal to write ``path`` into a :class:`CannotWriteError`."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise CannotWriteError(
            f"Cannot write '{path}': {reason}.",
            "Free some space or choose another folder; nothing was changed.",
        ) from error


def write_atomic(path: Path, data: bytes) -> None:
    """Write ``data`` under a temporary name beside ``path``, and rename it to ``path``.

    What a power cut may still lose afterwards, the digests in the manifest tell.

    Raises:
        CannotWriteError: If that fails; an existing ``path`` is then as it was.
    """
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.tmp-")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
            Path(temporary).chmod(0o644)
            Path(temporary).replace(path)
        except BaseException:
            with suppress(OSError):
                Path(temporary).unlink()
            raise


@dataclass(frozen=True)
class ArtifactData:
    """The verified bytes of an artifact, ready for a backend.

    Attributes:
        name: The artifact's name in its bundle.
        format: ``onnx``, ``tensorrt``, ``tensorrt-rtx`` or ``openvino``.
        data: Content of the entry file.
        companions: Content of the further files, by their name.
        engine: What the manifest says about a TensorRT engine.
        bundle: The bundle's folder, for sentences that tell how to rebuild the artifact.
        precision: What it computes in.
        target: What it was made for.
        file: Where the content is, if ``data`` was left out: ONNX Runtime reads it itself, which
            saves a copy.
    """

    name: str
    format: str
    data: bytes
    companions: dict[str, bytes] = field(default_factory=dict)
    engine: EngineRecord | None = None
    bundle: str = "BUNDLE"
    precision: str = "fp32"
    target: str = "any"
    file: Path | None = None


class Bundle:
    """A bundle on disk. Immutable but for :meth:`update`, which rewrites the manifest atomically.

    Args:
        path: The bundle's folder.
        manifest: Its manifest, as read from that folder.
    """

    def __init__(self, path: Path, manifest: Manifest) -> None:
        self.path = path
        self.manifest = manifest

    @classmethod
    def open(cls, path: Path | str) -> Bundle:
        """Read the bundle in the folder ``path``.

        Raises:
            BadInputError: If there is no bundle, or one of a newer schema.
            DamagedError: If the manifest is not what a bundle's manifest is.
        """
        path = Path(path)
        file = path / MANIFEST
        try:
            text = file.read_bytes()
        except (FileNotFoundError, NotADirectoryError) as error:
            raise BadInputError(
                f"'{path}' is not a bundle: it has no {MANIFEST}.",
                "Make one with 'lrn-deploy export MODEL -o BUNDLE'.",
            ) from error
        except OSError as error:
            raise BadInputError(f"Cannot read '{file}': {error.strerror}.") from error
        return cls(path, read_manifest(text, str(path)))

    def read(self, record: FileRecord) -> bytes:
        """The bytes of a file of the bundle, after checking them against their digest.

        Raises:
            DamagedError: If the file is missing, lies outside the bundle, or has other bytes.
        """
        path = self._inside(record)
        with self._reading(record):
            data = path.read_bytes()
        self._check(record, sha256(data))
        return data

    def load(self, name: str) -> ArtifactData:
        """The verified bytes of the artifact called ``name`` and of its companions.

        Raises:
            BadInputError: If there is no such artifact.
            DamagedError: If one of its files is not what the manifest says.
        """
        artifact = self.manifest.artifact(name)
        companions = {record.file: self.read(record) for record in artifact.companions}
        return self._described(name, self.read(artifact), companions, None)

    def holds(self, name: str, key: str) -> bool:
        """Whether the artifact is there, undamaged, and of this key: of all that determined it."""
        artifact = self.manifest.artifacts.get(name)
        if artifact is None or artifact.key != key:
            return False
        try:
            self.load(name)
        except LrnDeployError:
            return False
        return True

    def use(self, name: str, make: Callable[[ArtifactData], Made]) -> Made:
        """What ``make`` makes of an artifact's only file, which it reads while its digest is taken.

        Args:
            name: The artifact's name.
            make: Given the artifact with its file instead of its bytes.

        Raises:
            BadInputError: If there is no such artifact.
            DamagedError: If the file is not what the manifest says; whatever was made of it, or
                failed because of it, is dropped.
        """
        artifact = self.manifest.artifact(name)
        path = self._inside(artifact)
        with ThreadPoolExecutor(1) as pool:
            checking = pool.submit(self._check_file, artifact, path)
            try:
                return make(self._described(name, b"", {}, path))
            finally:
                checking.result()  # damage is a better reason than what it led to

    def _described(
        self, name: str, data: bytes, companions: dict[str, bytes], path: Path | None
    ) -> ArtifactData:
        artifact = self.manifest.artifact(name)
        return ArtifactData(
            name=name,
            format=artifact.format,
            data=data,
            companions=companions,
            engine=artifact.engine,
            bundle=str(self.path),
            precision=artifact.precision,
            target=artifact.target,
            file=path,
        )

    def _inside(self, record: FileRecord) -> Path:
        """Where a file of the bundle is, if it does not lie outside."""
        try:
            path = (self.path / record.file).resolve()
            inside = path.is_relative_to(self.path.resolve())
        except (OSError, RuntimeError, ValueError):  # a loop of links, a NUL in the name
            inside = False
        if not inside:
            raise DamagedError(
                f"The manifest names '{record.file}', which lies outside the bundle.",
                "Do not use this bundle; export it again.",
            )
        return path

    @contextmanager
    def _reading(self, record: FileRecord) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise DamagedError(
                f"'{record.file}' of bundle '{self.path}' cannot be read: {error.strerror}.",
                "Export or build it again.",
            ) from error

    def _check(self, record: FileRecord, actual: str) -> None:
        if actual != record.sha256:
            raise DamagedError(
                f"'{record.file}' of bundle '{self.path}' is damaged: its SHA-256 is "
                f"{actual[:12]}…, the manifest says {record.sha256[:12]}….",
                "Export or build it again; nothing was loaded.",
            )

    def _check_file(self, record: FileRecord, path: Path) -> None:
        """Take the digest of a file that others read at the same time, by its name."""
        with self._reading(record), path.open("rb") as stream:
            actual = hashlib.file_digest(stream, "sha256").hexdigest()
            same = os.path.samestat(os.fstat(stream.fileno()), path.stat())
        self._check(record, actual)
        if not same:
            raise DamagedError(
                f"'{record.file}' of bundle '{self.path}' was replaced while it was read.",
                "Load it again when whatever writes it has finished.",
            )

    def labels(self) -> tuple[str, ...] | None:
        """The class names in order, or None if the bundle has none."""
        if self.manifest.labels is None:
            return None
        return tuple(self.read(self.manifest.labels).decode().splitlines())

    def update(self, **changes: object) -> Bundle:
        """Replace fields of the manifest on disk; returns the bundle with the new manifest.

        The manifest is written last and atomically, so files that a change refers to must have
        been written before.
        """
        manifest = self.manifest.model_copy(update=changes)
        write_atomic(self.path / MANIFEST, dump(manifest))
        return Bundle(self.path, manifest)

    def add_file(self, file: str, data: bytes) -> FileRecord:
        """Write ``data`` as ``file`` (relative path) and return its record; see :meth:`update`."""
        write_atomic(self.path / file, data)
        return FileRecord(file=file, sha256=sha256(data), size=len(data))

    def add_artifact(self, name: str, artifact: Artifact) -> Bundle:
        """Record an artifact whose files have been written."""
        return self.update(artifacts={**self.manifest.artifacts, name: artifact})


def dump(manifest: Manifest) -> bytes:
    """The manifest as indented UTF-8 JSON."""
    return (manifest.model_dump_json(indent=2) + "\n").encode()
