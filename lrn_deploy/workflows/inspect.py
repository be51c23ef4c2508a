"""What a bundle holds, with every file checked against its digest."""

from __future__ import annotations

from collections import Counter

import onnx
from pydantic import BaseModel, ConfigDict

from lrn_deploy.bundle import Bundle, FileRecord, Manifest
from lrn_deploy.bundle.staleness import stale_notes
from lrn_deploy.errors import DamagedError
from lrn_deploy.placement import MODEL


class FileStatus(BaseModel):
    """One file of a bundle.

    Attributes:
        name: The artifact's name, or what the file is.
        file: Its path in the bundle.
        size: In bytes, as recorded.
        sha256: As recorded.
        problem: Why it cannot be used; empty if its bytes are those that were recorded.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    file: str
    size: int
    sha256: str
    problem: str = ""


class Inspection(BaseModel):
    """What ``lrn-deploy inspect`` tells.

    Attributes:
        bundle: Path of the bundle.
        manifest: Its manifest.
        operators: How often each operator stands in the canonical graph.
        opset: Opset of its default domain.
        ir_version: Version of the ONNX format it is written in.
        metadata: What the graph says about itself.
        files: Every file that the manifest names.
        stale: What was made with another preprocessing, one sentence for each.
    """

    model_config = ConfigDict(frozen=True)

    bundle: str
    manifest: Manifest
    operators: dict[str, int]
    opset: int
    ir_version: int
    metadata: dict[str, str]
    files: tuple[FileStatus, ...]
    stale: tuple[str, ...] = ()

    @property
    def damaged(self) -> tuple[FileStatus, ...]:
        """The files that are not what the manifest says."""
        return tuple(file for file in self.files if file.problem)


def inspect(bundle: Bundle) -> Inspection:
    """Read every file of ``bundle`` and describe its canonical graph."""
    manifest = bundle.manifest
    files = []
    model: onnx.ModelProto | None = None
    for name, record in _records(manifest):
        problem = ""
        try:
            data = bundle.read(record)
            if name == MODEL:
                model = onnx.load_from_string(data)
        except DamagedError as error:
            problem = error.message
        files.append(
            FileStatus(
                name=name,
                file=record.file,
                size=record.size,
                sha256=record.sha256,
                problem=problem,
            )
        )
    nodes = model.graph.node if model is not None else []
    opsets = model.opset_import if model is not None else []
    return Inspection(
        bundle=str(bundle.path),
        manifest=manifest,
        operators=dict(Counter(node.op_type for node in nodes).most_common()),
        opset=next((stamp.version for stamp in opsets if stamp.domain == ""), 0),
        ir_version=model.ir_version if model is not None else 0,
        metadata={entry.key: entry.value for entry in model.metadata_props} if model else {},
        files=tuple(files),
        stale=stale_notes(bundle),
    )


def _records(manifest: Manifest) -> list[tuple[str, FileRecord]]:
    records: list[tuple[str, FileRecord]] = []
    for name, artifact in manifest.artifacts.items():
        records.append((name, artifact))
        records += [(f"{name} companion", record) for record in artifact.companions]
    if manifest.labels is not None:
        records.append(("labels", manifest.labels))
    records += [(f"samples {name}", sample) for name, sample in manifest.samples.items()]
    return records
