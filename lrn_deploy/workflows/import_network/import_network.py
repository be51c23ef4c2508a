"""Import a network that was trained elsewhere into a new bundle."""

from __future__ import annotations

import hashlib
from pathlib import Path

import onnx
import onnx_ir as ir

from lrn_deploy.bundle import (
    MANIFEST,
    Artifact,
    Bundle,
    FileRecord,
    Manifest,
    check_target,
    dump,
    new_bundle,
    sha256,
    write_atomic,
)
from lrn_deploy.bundle.store import writing
from lrn_deploy.errors import BadInputError, LrnDeployError
from lrn_deploy.export.bundle import MODEL_FILE, bundle_name
from lrn_deploy.export.graph import MODEL_LIMIT, check_graph, take_large_weights
from lrn_deploy.export.labels import check_count, read_labels_file
from lrn_deploy.export.serialize import parts
from lrn_deploy.workflows.import_network.caffe import made_of_caffe
from lrn_deploy.workflows.import_network.kinds import onnx_or_caffe
from lrn_deploy.workflows.import_network.made import MadeNetwork
from lrn_deploy.workflows.import_network.onnx_file import made_of_onnx
from lrn_deploy.workflows.import_network.options import Imported, ImportOptions, tools


def import_network(options: ImportOptions, path: Path, *, force: bool = False) -> Imported:
    """Import a network into a new bundle at ``path``.

    Args:
        options: What to import.
        path: Folder of the bundle to be.
        force: Replace a bundle that is there.

    Raises:
        BadInputError: If the files cannot be read or are of no network that can be imported, or
            ``path`` is taken.
        CannotWriteError: If the bundle cannot be written; nothing is left behind.
    """
    check_target(path, force=force)
    name = bundle_name(options.name, path)
    labels = read_labels_file(options.labels) if options.labels else None
    files = onnx_or_caffe(options.paths)
    if len(files) == 2:
        made = made_of_caffe(*files, options, name)
    else:
        made = made_of_onnx(*files, options, name)
    if labels:
        check_count(labels, made.outputs[0])
    # Weights in files that the options do not name can change without it.
    key = "" if made.beside else options.key()
    _write(made, labels, key, path, force=force)
    return Imported(Bundle.open(path), made.lrn, made.told)


def current_import(options: ImportOptions, path: Path) -> Bundle | None:
    """The bundle at ``path`` if it is what ``options`` would give again, undamaged; else None."""
    if not (path / MANIFEST).is_file():
        return None
    try:
        bundle = Bundle.open(path)
        return bundle if bundle.holds("model", options.key()) else None
    except LrnDeployError:
        return None


def _write(
    made: MadeNetwork, labels: tuple[str, ...] | None, key: str, path: Path, *, force: bool
) -> None:
    model = made.model
    weights = take_large_weights(model.graph)
    if sum(tensor.nbytes for tensor in weights.values()) > MODEL_LIMIT:
        raise BadInputError(
            "The network is larger than 2 GiB, more than one ONNX file can hold.",
            "Export it in parts; a bundle's graph is one file.",
        )
    skeleton = ir.to_proto(model)
    try:
        check_graph(skeleton, weights)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        reason = next(iter(str(error).strip().splitlines()), "")
        raise BadInputError(
            f"The graph is not valid: {reason}", "Fetch or export the network again."
        ) from error
    with new_bundle(path, force=force) as folder:
        digest, size = hashlib.sha256(), 0
        file = folder / MODEL_FILE
        with writing(file), file.open("wb") as stream:
            for part in parts(skeleton, weights):  # in parts: the weights are not copied
                stream.write(part)
                digest.update(part)
                size += len(part)
        label_record = None
        if labels:
            text = ("\n".join(labels) + "\n").encode()
            write_atomic(folder / "labels.txt", text)
            label_record = FileRecord(file="labels.txt", sha256=sha256(text), size=len(text))
        artifact = Artifact(
            file=MODEL_FILE,
            sha256=digest.hexdigest(),
            size=size,
            format="onnx",
            built_by={"command": "import", **tools()},
            key=key,
            options={"opset": model.graph.opset_imports[""]},
        )
        manifest = Manifest(
            model=made.source,
            inputs=made.inputs,
            outputs=made.outputs,
            preprocessing=made.preprocessing,
            labels=label_record,
            lrn_layers=made.lrn_layers,
            lrn_like=made.lrn_like,
            layers=made.layers,
            artifacts={"model": artifact},
        )
        write_atomic(folder / MANIFEST, dump(manifest))
