"""Reads how long batches take from what measured it: ``profile``'s report, or a GPU record.

A GPU record is the ``latency.json`` that ``python -m benchmarks.gpu_check`` writes (docs/gpu.md).
Of it the times from and to the host's memory count, as a server's arrays come from there.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from lrn_deploy.bundle import Bundle, Manifest
from lrn_deploy.errors import BadInputError, DamagedError
from lrn_deploy.latency.schema import LatencyReport
from lrn_deploy.latency.statistics import pooled
from lrn_deploy.placement import MODEL
from lrn_deploy.sizing.service import Curve

REPORT = "reports/latency.json"
_LOWERED = "cpu-fp32"  # the same function as the graph, written for ONNX Runtime's CPU kernels


@dataclass(frozen=True)
class Profile:
    """What was measured on one machine.

    Attributes:
        file: Where it stands.
        created: When it was measured.
        model: The network's name, as far as the file says.
        machine: The processor, and the GPU if it ran there, for people.
        cores: The machine's processor cores.
        gpus: Its GPUs; 0 if nothing ran on one.
        curves: Every way to run the network, by its name.
        prepare: Seconds of decoding and preprocessing one image; None if nobody measured it.
        image: What image that was.
        warnings: Why not to trust it.
        digests: SHA-256 of the artifacts that were timed, where the file has them.
    """

    file: Path
    created: str
    model: str
    machine: str
    cores: int
    gpus: int
    curves: dict[str, Curve]
    prepare: float | None = None
    image: str = ""
    warnings: tuple[str, ...] = ()
    digests: dict[str, str] = field(default_factory=dict)


def read_own(bundle: Bundle) -> Profile:
    """A bundle's own profile.

    Raises:
        BadInputError: If it was not profiled.
        DamagedError: If its report cannot be read.
    """
    file = bundle.path / REPORT
    if not file.is_file():
        raise BadInputError(
            f"Bundle '{bundle.path}' has no profile, which says how long batches take.",
            f"Make one with 'lrn-deploy profile {bundle.path} --max-batch 16', or give another "
            "machine's with --profile FILE.",
        )
    found = read(file)
    artifacts = bundle.manifest.artifacts
    old = [
        name
        for name, digest in found.digests.items()
        if name not in artifacts or artifacts[name].sha256 != digest
    ]
    if not old:
        return found
    warning = (
        f"Changed since it was profiled: {', '.join(old)}; "
        f"profile it again with 'lrn-deploy profile {bundle.path}'."
    )
    return replace(found, warnings=(*found.warnings, warning))


def read(file: Path) -> Profile:
    """A profile's file, of either kind.

    Raises:
        DamagedError: If it is neither, or cannot be read.
        BadInputError: If nothing in it was timed that lrn-server can run.
    """
    hint = (
        "Give a bundle's reports/latency.json, or the latency.json of 'python -m "
        "benchmarks.gpu_check'."
    )
    try:
        content = file.read_bytes()
        value = json.loads(content)
        if isinstance(value, dict) and value.get("stage") == "latency":
            found = _of_record(file, value)
        else:
            found = _of_report(file, LatencyReport.model_validate_json(content))
    except OSError as error:
        raise DamagedError(f"'{file}' cannot be read: {error.strerror}.", hint) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DamagedError(f"'{file}' is no profile.", hint) from error
    if not found.curves:
        raise BadInputError(f"'{file}' has no times of anything that lrn-server can run.", hint)
    return found


def chosen(profile: Profile, manifest: Manifest, name: str = "") -> Curve:
    """The way to run the network that is planned with.

    Args:
        profile: What was measured.
        manifest: Of the bundle: what ``tune`` chose counts, where it was measured.
        name: Its name; empty for what the server would run, on the GPU where there is one. Never
            one of a lower precision that nobody asked for.

    Raises:
        BadInputError: If it is not in the profile.
    """
    if name:
        if name not in profile.curves:
            raise BadInputError(
                f"'{name}' is not in '{profile.file}'.",
                f"It has: {'; '.join(profile.curves)}.",
            )
        return profile.curves[name]
    tuned = [_called(choice.artifact, choice.placement.where) for choice in manifest.choices]
    wanted = [one for one in tuned if one in profile.curves]
    return profile.curves[wanted[0]] if wanted else _exact(profile)


def _exact(profile: Profile) -> Curve:
    """What an untuned bundle is served as; of a GPU record the fastest in fp32."""
    curves = profile.curves
    on_gpu = {name: curve for name, curve in curves.items() if curve.device == "cuda"}
    exact = [
        *sorted(filter(_in_fp32, on_gpu), key=lambda name: _best(curves[name])),
        *(name for name in on_gpu if name.startswith(f"{MODEL} on onnxruntime")),
        _called(_LOWERED, "onnxruntime:cpu"),
        _called(MODEL, "onnxruntime:cpu"),
        *curves,
    ]
    return next(curves[name] for name in exact if name in curves)


def _in_fp32(name: str) -> bool:
    """Whether it says so: ``rtx fp32, CUDA graph``; after a comma stand parts that are."""
    return "fp32" in name.partition(",")[0]


def _best(curve: Curve) -> float:
    """Seconds of an image in the largest batch."""
    return 1 / curve.per_second(curve.largest)


def _of_report(file: Path, report: LatencyReport) -> Profile:
    curves: dict[str, Curve] = {}
    for row in report.rows:
        if not row.samples or row.batch is None or row.bundle != "this":
            continue
        name, kind = _called(row.artifact, row.backend), row.placement.kind
        curve = curves.setdefault(name, Curve(name, kind, report.threads, {}))
        curve.samples[row.batch] = pooled(row.samples)
    prepared = report.preparation
    return Profile(
        file=file,
        created=report.created,
        model=report.model,
        machine=report.machine["processor"],
        cores=int(report.machine["cores"]),
        gpus=int(any(curve.device == "cuda" for curve in curves.values())),
        curves=curves,
        prepare=None if prepared is None else prepared.decode.mean + prepared.preprocess.mean,
        image="" if prepared is None else prepared.image,
        warnings=report.warnings,
        digests={row.artifact: row.sha256 for row in report.rows if row.samples},
    )


def _of_record(file: Path, record: Mapping[str, Any]) -> Profile:
    machine = record["machine"]
    gpus: list[Mapping[str, Any]] = machine["gpus"]
    curves: dict[str, Curve] = {}
    for row in record["end_to_end"]:
        for name, samples in _served(row["samples_s"].items()):
            curve = curves.setdefault(name, Curve(name, "cuda", 0, {}))
            curve.samples[int(row["batch"])] = np.array(samples, np.float64)
    sizes = {int(row["batch"]) for row in record["end_to_end"]}
    return Profile(
        file=file,
        created=str(record["date"]),
        model="",
        machine=f"{', '.join(str(gpu['name']) for gpu in gpus)}; {machine['processor']}",
        cores=int(machine["cores"]),
        gpus=len(gpus),
        curves={name: one for name, one in curves.items() if set(one.samples) == sizes},
        warnings=("It was measured with AlexNet; another network has other times.",),
    )


def _served(samples: Iterable[tuple[str, list[float]]]) -> Iterable[tuple[str, list[float]]]:
    """Without what stands beside for comparison: PyTorch itself, which lrn-server does not run."""
    return ((name, values) for name, values in samples if values and not name.startswith("torch"))


def _called(artifact: str, where: str) -> str:
    return f"{artifact} on {where}"
