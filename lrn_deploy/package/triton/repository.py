"""A Triton model repository of a bundle: the network, and an ensemble that takes image files.

``NAME`` is the network. If it takes images there are two more: ``NAME_preprocess`` makes its input
of image files, and ``NAME_image`` is the two in a row.
"""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path
from typing import Any

from lrn_deploy.bundle import Bundle, TensorSpec, sha256
from lrn_deploy.bundle.staleness import doubts
from lrn_deploy.errors import MissingError
from lrn_deploy.extras import install
from lrn_deploy.package.subject import Subject, Written
from lrn_deploy.package.triton import images
from lrn_deploy.package.triton.form import Form, form_of
from lrn_deploy.package.triton.graph import readable
from lrn_deploy.progress import Progress

VERSION = "1"
"""The only version of each model."""
_MODELS = "lrn_deploy.package.triton.models"


def write(subject: Subject, folder: Path, progress: Progress) -> Written:
    """Write the repository into an empty folder.

    Args:
        subject: What is packaged.
        folder: The folder.
        progress: Told what is written.

    Raises:
        BadInputError: If Triton cannot take the artifact.
        MissingError: If tritonclient is not installed.
    """
    try:
        from lrn_deploy.package.triton import config
    except ImportError as error:
        raise MissingError(
            "Triton's configurations are written by tritonclient's message classes, which are not "
            "installed.",
            f"Install them with: {install('client')}",
        ) from error

    bundle, manifest = subject.bundle, subject.bundle.manifest
    form = form_of(subject)
    notes = list(form.notes)
    # An engine of fixed batch takes its own batch, whatever the graph took that it was built from.
    inputs, outputs = _specs(subject, manifest.inputs), _specs(subject, manifest.outputs)
    labels = bundle.labels()
    network = config.network(
        subject.name,
        form.backend,
        inputs,
        outputs,
        form.max_batch,
        subject.options,
        labels=labels is not None,
    )
    if found := doubts(bundle, subject.artifact_name):
        config.tell(network, {"doubts": "\n".join(found)})
    progress("writing the network", 0, 2)
    home = folder / subject.name
    files = _label_files(bundle) | _network_files(subject, form, notes)
    _tell_form(config, network, form, files)
    _write(home, config.to_text(network), files)
    progress("writing the ensemble", 1, 2)
    if manifest.preprocessing is None:
        notes.append(f"The network {manifest.no_image}, so there is no ensemble for images.")
    else:
        first = config.preprocessing(
            f"{subject.name}_preprocess", inputs[0], form.max_batch, subject.options
        )
        files = _image_files()
        told = {"preprocessing": images.facts(manifest.preprocessing), "sha256": _digests(files)}
        config.tell(first, told)
        _write(folder / first.name, config.to_text(first), files)
        whole = config.ensemble(f"{subject.name}_image", first, network)
        kept = {f"{VERSION}/README": b"An ensemble has no files of its own, but a version.\n"}
        _write(folder / whole.name, config.to_text(whole), _label_files(bundle) | kept)
        notes.append(
            f"'{whole.name}' takes image files as BYTES in '{whole.input[0].name}', "
            "JPEG and PNG among them; it needs numpy and Pillow for the Python backend."
        )
    notes.append("Next: tritonserver --model-repository={output}")
    return Written(tuple(notes))


def _specs(subject: Subject, specs: tuple[TensorSpec, ...]) -> tuple[TensorSpec, ...]:
    engine = subject.artifact.engine
    if engine is None or engine.batch[0] != engine.batch[2]:
        return specs
    batch = engine.batch[0]
    return tuple(spec.model_copy(update={"shape": spec.at_batch(batch)}) for spec in specs)


def _network_files(subject: Subject, form: Form, notes: list[str]) -> dict[str, bytes]:
    """The files of the network by their path in its folder; what was changed is noted."""
    data = subject.bundle.read(subject.artifact)
    if form.backend == "onnxruntime":
        graph = readable(data)
        data = graph.data
        notes += graph.notes
    files = {f"{VERSION}/{form.file}": data}
    if form.backend == "python":
        files[f"{VERSION}/model.py"] = _source("network.py")
    return files


def _image_files() -> dict[str, bytes]:
    files = {
        f"{VERSION}/{images.PACKAGE}/{name}": text.encode()
        for name, text in images.sources().items()
    }
    return files | {f"{VERSION}/model.py": _source("images.py")}


def _label_files(bundle: Bundle) -> dict[str, bytes]:
    labels = bundle.manifest.labels
    return {} if labels is None else {"labels.txt": bundle.read(labels)}


def _tell_form(config: Any, network: Any, form: Form, files: dict[str, bytes]) -> None:
    """Add what only one backend knows."""
    if form.backend == "python":
        told = {
            "file": f"{VERSION}/{form.file}",
            "runtime": form.runtime,
            "threads": str(form.threads),
            "sha256": _digests(files),
        }
        if form.runtime == "openvino":
            told["precision"] = form.precision
        config.tell(network, told)
    elif form.backend == "onnxruntime" and form.threads:
        config.tell(network, {"intra_op_thread_count": str(form.threads)})
    elif form.backend == "tensorrt":
        network.optimization.cuda.graphs = True  # a network of this size waits for launches


def _digests(files: dict[str, bytes]) -> str:
    return json.dumps({name: sha256(data) for name, data in sorted(files.items())})


def _source(name: str) -> bytes:
    return resources.files(_MODELS).joinpath(name).read_bytes()


def _write(home: Path, config: str, files: dict[str, bytes]) -> None:
    for name, data in {"config.pbtxt": config.encode(), **files}.items():
        file = home / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
