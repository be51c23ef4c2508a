"""Export a network into a new bundle."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from lrn_deploy import __version__
from lrn_deploy.bundle import (
    MANIFEST,
    Artifact,
    Bundle,
    FileRecord,
    Manifest,
    Preprocessing,
    Said,
    TensorSpec,
    check_target,
    dump,
    new_bundle,
    sha256,
    write_atomic,
)
from lrn_deploy.errors import BadInputError, LrnDeployError
from lrn_deploy.export.graph import MAX_OPSET, MIN_OPSET, to_onnx
from lrn_deploy.export.labels import check_count, read_labels_file
from lrn_deploy.models import ZOO
from lrn_deploy.network import Network, load_network, require_torch
from lrn_deploy.network.files import WeightsFile
from lrn_deploy.placement import MODEL

if TYPE_CHECKING:
    from torch import nn

MODEL_FILE = "model.onnx"


@dataclass(frozen=True)
class ExportRequest:
    """What to export.

    Attributes:
        factory: A name of the zoo, ``package.module:factory``, ``file.py:factory``, or a module,
            which becomes what was exported; see ``load_network``.
        weights: A file of weights, or ``FILE#mapping``; None as in ``load_network``.
        seed: Seed of random weights.
        input_shape: Shape of the only input without the batch, if the network does not say.
        inputs: What the user says of the inputs instead, as ``load_network`` takes it.
        opset: Opset of the graph's default domain.
        uint8_input: Take uint8 images (N, H, W, C), with preprocessing inside the graph.
        labels: File of class names, as ``read_labels_file`` takes it.
        name: What the bundle is called, and served as; None: as its folder.
        preprocessing: What the user says of it; a user's module and the usual one say the rest.
    """

    factory: str | nn.Module
    weights: Path | None = None
    seed: int = 0
    input_shape: tuple[int, ...] | None = None
    inputs: tuple[TensorSpec, ...] = ()
    opset: int = MIN_OPSET
    uint8_input: bool = False
    labels: Path | None = None
    name: str | None = None
    preprocessing: Said = field(default_factory=Said)

    def key(self) -> str:
        """Digest of all that determines the result, or "" if that cannot be known.

        It can for networks of the zoo. A user's factory may depend on anything.
        """
        entry = ZOO.get(self.factory) if isinstance(self.factory, str) else None
        if entry is None:
            return ""
        facts = {
            "factory": self.factory,
            "code": entry.digest(),
            "weights": WeightsFile.parse(self.weights).identity() if self.weights else None,
            "labels": _file_digest(self.labels),
            "seed": self.seed,
            "opset": self.opset,
            "uint8": self.uint8_input,
            "tools": _tools(),
        }
        if self.name is not None:  # a folder that was only renamed is up to date
            facts["name"] = self.name
        if self.preprocessing.content:
            facts["preprocessing"] = self.preprocessing.content
        return sha256(json.dumps(facts, sort_keys=True).encode())


def current_bundle(request: ExportRequest, path: Path) -> Bundle | None:
    """The bundle at ``path`` if it is what ``request`` would give again, undamaged; else None."""
    key = request.key()
    if not key or not (path / MANIFEST).is_file():
        return None
    try:
        bundle = Bundle.open(path)
    except LrnDeployError:
        return None
    return bundle if bundle.holds(MODEL, key) else None


def export_bundle(request: ExportRequest, path: Path, *, force: bool = False) -> Bundle:
    """Export a network into a new bundle at ``path``.

    Args:
        request: What to export.
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
    if not MIN_OPSET <= request.opset <= MAX_OPSET:
        raise BadInputError(
            f"Opset {request.opset} is not supported.",
            f"Choose one from {MIN_OPSET} to {MAX_OPSET}; every current runtime takes {MIN_OPSET}.",
        )
    name = bundle_name(request.name, path)
    labels = read_labels_file(request.labels) if request.labels else None
    network = load_network(
        request.factory,
        weights=request.weights,
        seed=request.seed,
        input_shape=request.input_shape,
        inputs=request.inputs,
        said=request.preprocessing,
    )
    preprocessing = _preprocessing(network, uint8_input=request.uint8_input)
    exported = to_onnx(network, preprocessing, opset=request.opset)
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
            key=request.key(),
            options={"opset": request.opset},
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
