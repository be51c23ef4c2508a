"""What a model is, for people: where it is from, what it takes, how far it was checked."""

from __future__ import annotations

from collections import Counter
from pathlib import Path, PurePath
from typing import Any

from lrn_deploy.bundle import Manifest, Preprocessing, TensorSpec
from lrn_deploy.precision import in_words
from lrn_deploy.serving.repository.model import ServedModel
from lrn_deploy.serving.settings import ServerSettings

REPORT = "reports/report.html"
_PARITY = "reports/parity.json"
_KINDS = {
    "random": "random: it was never trained",
    "shipped": "trained, shipped with lrn-deploy",
    "file": "from a file",
    "factory": "as the network's own code made them",
    "module": "as the program that exported it held them",
}


def card(model: ServedModel, settings: ServerSettings) -> dict[str, Any]:
    """The card as JSON. Reads the bundle's report of parity, so not for an event loop's thread.

    Args:
        model: A model that is loaded.
        settings: What the server takes at most.
    """
    manifest = model.bundle.manifest
    weights = manifest.model.weights
    precision = manifest.artifact(model.artifact).precision
    return {
        "name": model.name,
        "network": _network(manifest),
        "weights": {
            "kind": weights.kind,
            "words": weights.note or _KINDS[weights.kind],
            "sha256": weights.sha256,
        },
        "preprocessing": _preprocessing(manifest.preprocessing),
        "input": _input(model, manifest),
        "output": _output(model),
        "labels": len(model.labels) if model.labels else 0,
        "precision": precision,
        "precision_words": in_words(precision),
        "artifact": model.artifact,
        "backend": model.source.backend,
        "device": model.source.device,
        "reason": model.source.reason,
        "parity": parity(model),
        "lrn_layers": [
            {
                "name": layer.name,
                "size": layer.spec.size,
                "alpha": layer.spec.alpha,
                "beta": layer.spec.beta,
                "k": layer.spec.k,
                "form": layer.form,
                "reason": layer.reason,
            }
            for layer in manifest.lrn_layers
        ],
        "doubts": list(model.doubts),
        "report": (model.bundle.path / REPORT).is_file(),
        "limits": {
            "max_batch_size": model.max_batch,
            "max_body_bytes": settings.max_body_bytes,
            "max_pixels": settings.max_pixels,
        },
    }


def preprocessing_in_words(preprocessing: Preprocessing) -> list[str]:
    """How an image becomes an input, a sentence for each step."""
    height, width = preprocessing.crop
    colors = {"rgb": "red, green, blue", "bgr": "blue, green, red", "gray": "grey"}
    by = f"{preprocessing.interpolation} interpolation"
    resize = preprocessing.resize
    if resize is None:
        geometry = [f"The image is stretched to {width} x {height} pixels, {by}."]
    else:
        whole = (
            f"Its shorter side becomes {resize} pixels"
            if isinstance(resize, int)
            else f"It is stretched to {resize[1]} x {resize[0]} pixels"
        )
        geometry = [f"{whole}, {by}.", f"The centre of {width} x {height} pixels is kept."]
    told = preprocessing.words
    steps = [] if preprocessing.scale == 1 else [f"multiplied by {told['scale']}"]
    steps += [f"reduced by {told['mean'][1:-1]}"] if any(preprocessing.mean) else []
    steps += [f"divided by {told['std'][1:-1]}"] if set(preprocessing.std) != {1} else []
    values = f"Each value from 0 to 255 is {', then '.join(steps) or 'taken as it is'}."
    inside = ["The graph itself scales the values."] if preprocessing.in_graph else []
    return [f"Colours: {colors[preprocessing.colors]}.", *geometry, values, *inside]


def parity(model: ServedModel) -> dict[str, Any]:
    """What ``validate`` found of what runs: a verdict, a sentence, and when.

    The verdict is ``pass``, ``limited`` where the runtime's own LRN kernel loses digits, ``fail``,
    or ``none`` if these bytes were not checked on this backend.
    """
    from pydantic import ValidationError

    from lrn_deploy.parity.schema import ParityReport, worst

    try:
        text = (model.bundle.path / _PARITY).read_bytes()
        report = ParityReport.model_validate_json(text)
    except FileNotFoundError:
        return _unchecked("'lrn-deploy validate' has not run for this bundle.")
    except (OSError, ValidationError):
        return _unchecked("The report of 'lrn-deploy validate' cannot be read; make it again.")
    artifact, source = model.artifact, model.source
    if report.artifacts.get(artifact) != model.bundle.manifest.artifact(artifact).sha256:
        return _unchecked("It was made or changed after the last check; run validate again.")
    checks = [
        check
        for check in report.checks
        if check.metrics is not None
        and check.artifact == artifact
        and (check.placement.backend, check.placement.kind)
        == (source.backend, source.device.partition(":")[0])
    ]
    if not checks:
        return _unchecked(f"The last check did not run it on {source.backend}, {source.device}.")
    verdicts = Counter(check.verdict for check in checks)
    judged = len(checks) - verdicts["unjudged"]
    verdict = next((worst for worst in ("fail", "limited") if verdicts[worst]), "pass")
    words = f"{judged} checks against {report.reference}"
    least = worst(checks)
    if verdict == "fail":
        words += f"; {verdicts['fail']} failed, the worst: {least.name}."
    elif verdict == "limited":
        words += f"; {verdicts['limited']} limited by the runtime's own LRN kernel."
    else:
        words += ", every error within its budget."
    if verdict != "limited" and least.error is not None and least.budget is not None:
        words += (
            f" Largest relative error {least.error:.2g}, allowed are "
            f"{least.budget.relative_l2:.2g}."
        )
    return {"verdict": verdict, "words": words, "created": report.created}


def _unchecked(why: str) -> dict[str, Any]:
    return {"verdict": "none", "words": why, "created": None}


def _network(manifest: Manifest) -> str:
    """Where the network is from, without the folders of the machine that exported it."""
    source = manifest.model
    file, colon, factory = source.factory.partition(":")
    name = PurePath(file).name if Path(file).is_absolute() else file
    kinds = {
        "zoo": "of lrn-deploy's zoo",
        "factory": "of one's own code",
        "caffe": "imported from Caffe",
        "onnx": "imported from ONNX",
        "module": "of a program's own module",
    }
    return f"{name}{colon}{factory}, {kinds[source.origin]}"


def _preprocessing(preprocessing: Preprocessing | None) -> dict[str, Any] | None:
    if preprocessing is None:
        return None
    return {"words": preprocessing_in_words(preprocessing), "assumed": list(preprocessing.assumed)}


def _input(model: ServedModel, manifest: Manifest) -> dict[str, Any]:
    preprocessing = manifest.preprocessing
    words = "; ".join(spec.described for spec in model.inputs)
    if preprocessing is None:
        return {"words": words, "width": None, "height": None, "colors": None}
    height, width = preprocessing.crop
    return {"words": words, "width": width, "height": height, "colors": preprocessing.colors}


def _output(model: ServedModel) -> str:
    if not model.outputs:
        return "none"
    first: TensorSpec = model.outputs[0]
    if first.classes is None:
        return "; ".join(spec.described for spec in model.outputs)
    return f"{first.classes} classes, {'with' if model.labels else 'without'} names"
