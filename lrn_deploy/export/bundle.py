"""Export a network into a new bundle."""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path

from lrn_deploy import __version__
from lrn_deploy.bundle import (
    MANIFEST,
    Artifact,
    Bundle,
    FileRecord,
    Manifest,
    Preprocessing,
    check_target,
    dump,
    new_bundle,
    sha256,
    write_atomic,
)
from lrn_deploy.errors import BadInputError, LrnDeployError
from lrn_deploy.export.graph import to_onnx
from lrn_deploy.export.labels import check_count, read_labels_file
from lrn_deploy.export.options import MAX_OPSET, MIN_OPSET, ExportOptions
from lrn_deploy.models import ZOO
from lrn_deploy.network import Network, load_network, require_torch
from lrn_deploy.network.files import WeightsFile
from lrn_deploy.placement import MODEL

MODEL_FILE = "model.onnx"


def key_of(options: ExportOptions) -> str:
    """Digest of all that determines the result, or "" if that cannot be known.

    It can for networks of the zoo. A user's factory may depend on anything.
    """
    entry = ZOO.get(options.factory) if isinstance(options.factory, str) else None
    if entry is None:
        return ""
    facts = {
        "factory": options.factory,
        "code": entry.digest(),
        "weights": WeightsFile.parse(options.weights).identity() if options.weights else None,
        "labels": _file_digest(options.labels),
        "seed": options.seed,
        "opset": options.opset,
        "uint8": options.uint8_input,
        "tools": _tools(),
    }
    if options.name is not None:  # a folder that was only renamed is up to date
        facts["name"] = options.name
    if options.preprocessing.content:
        facts["preprocessing"] = options.preprocessing.content
    return sha256(json.dumps(facts, sort_keys=True).encode())


def current_bundle(options: ExportOptions, path: Path) -> Bundle | None:
    """The bundle at ``path`` if it is what ``options`` would give again, undamaged; else None."""
    key = key_of(options)
    if not key or not (path / MANIFEST).is_file():
        return None
    try:
        bundle = Bundle.open(path)
    except LrnDeployError:
        return None
    return bundle if bundle.holds(MODEL, key) else None


def export_bundle(options: ExportOptions, path: Path, *, force: bool = False) -> Bundle:
    """Export a network into a new bundle at ``path``.

    Args:
        options: What to export.
        path: Folder of the bundle to be.
        force: Replace a bundle that is there.

    Returns:
        The bundle, with ``model.onnx`` and its manifest.

    Raises:
        BadInputError: If the network cannot be loaded or exported, or ``path`` is taken.
        MissingError: If torch is not installed.
        CannotWriteError: If the bundle cannot be written; nothing is left behind.
    """
    require_torch()
    check_target(path, force=force)
    if not MIN_OPSET <= options.opset <= MAX_OPSET:
        raise BadInputError(
            f"Opset {options.opset} is not supported.",
            f"Choose one from {MIN_OPSET} to {MAX_OPSET}; every current runtime takes {MIN_OPSET}.",
        )
    name = bundle_name(options.name, path)
    labels = read_labels_file(options.labels) if options.labels else None
    network = load_network(
        options.factory,
        weights=options.weights,
        seed=options.seed,
        input_shape=options.input_shape,
        inputs=options.inputs,
        said=options.preprocessing,
    )
    preprocessing = _preprocessing(network, uint8_input=options.uint8_input)
    exported = to_onnx(network, preprocessing, opset=options.opset)
    labels = labels or network.labels
    if labels:
        check_count(labels, exported.outputs[0])
    with new_bundle(path, force=force) as folder:
        write_atomic(folder / MODEL_FILE, exported.data)
        label_record = None
        if labels:
            text = ("\n".join(labels) + "\n").encode()
            write_atomic(folder / "labels.txt", text)
            label_record = FileRecord(file="labels.txt", sha256=sha256(text), size=len(text))
        artifact = Artifact(
            file=MODEL_FILE,
            sha256=sha256(exported.data),
            size=len(exported.data),
            format="onnx",
            built_by={"command": "export", **_tools()},
            key=key_of(options),
            options={"opset": options.opset},
        )
        manifest = Manifest(
            # The graph keeps the network's own name: the folder does not change its bytes.
            model=network.source.model_copy(update={"name": name or network.source.name}),
            inputs=exported.inputs,
            outputs=exported.outputs,
            preprocessing=preprocessing,
            labels=label_record,
            lrn_layers=exported.lrn_layers,
            lrn_like=exported.lrn_like,
            layers=exported.layers,
            artifacts={MODEL: artifact},
        )
        write_atomic(folder / MANIFEST, dump(manifest))
    return Bundle.open(path)


def bundle_name(given: str | None, path: Path) -> str:
    """The name of the bundle to be; empty if its folder has none that could be one."""
    name = path.resolve().name if given is None else given
    if name.isprintable() and name.strip() == name and "/" not in name and name:
        return name
    if given is None:
        return ""
    raise BadInputError(
        f"{given!r} cannot be the name of a bundle.",
        "Give a name that can stand in an address: printable, without a slash, no space around it.",
    )


def _preprocessing(network: Network, *, uint8_input: bool) -> Preprocessing | None:
    if not uint8_input:
        return network.preprocessing
    if network.preprocessing is None:
        raise BadInputError(
            f"The inputs of '{network.source.name}' are no image: "
            f"{'; '.join(spec.described for spec in network.inputs)}, so it cannot take uint8 "
            "images.",
            "Leave out '--input uint8'.",
        )
    return network.preprocessing.model_copy(update={"in_graph": True})


def _file_digest(path: Path | None) -> str | None:
    return sha256(path.read_bytes()) if path is not None and path.is_file() else None


def _tools() -> dict[str, str]:
    return {
        "lrn-deploy": __version__,
        **{name: version(name) for name in ("torch", "onnxscript", "onnx-ir")},
    }
