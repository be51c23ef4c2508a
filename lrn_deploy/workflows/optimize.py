"""Derive a variant of a bundle's graph for one target in one precision."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import onnx
import onnx_ir as ir

from lrn_deploy import __version__
from lrn_deploy.backends.onnxruntime import OnnxRuntimeBackend
from lrn_deploy.backends.protocol import Array
from lrn_deploy.bundle import Artifact, ArtifactData, Bundle, FileRecord, sha256
from lrn_deploy.environment import versions
from lrn_deploy.errors import BadInputError, MissingError
from lrn_deploy.passes.half_precision import half_precision
from lrn_deploy.passes.lower_lrn import lower_lrn
from lrn_deploy.passes.qdq import Activations
from lrn_deploy.passes.quantize import quantize
from lrn_deploy.passes.quantize_nncf import check_installed, quantize_nncf
from lrn_deploy.workflows.calibration import Calibration, calibration_inputs
from lrn_deploy.workflows.engine_store import is_current

SOURCE = "model"
_BATCH = 8
"""Calibration images that run at a time."""
PRECISIONS: dict[str, tuple[str, ...]] = {
    "tensorrt": ("fp32", "fp16", "bf16", "int8"),
    "cuda": ("fp32", "fp16"),
    "cpu": ("fp32", "int8"),
    "openvino": ("fp32", "bf16", "int8", "int8-bf16"),
}
"""What can be made for each target. ONNX Runtime has no bf16 convolution, on CUDA no int8 one, and
on the CPU it computes fp16 in fp32. In OpenVINO int8-bf16 computes in bf16 what int8 leaves in
fp32."""

QUANTIZERS: tuple[str, ...] = ("own", "nncf")
"""What can make int8."""

_NNCF_TARGETS = frozenset({"cpu", "openvino"})
_INT8 = frozenset({"int8", "int8-bf16"})

_SHORT = {"tensorrt": "trt"}
# TensorRT takes symmetric activations only; elsewhere twice the steps behind a ReLU are free.
_ACTIVATIONS: dict[str, Activations] = {"tensorrt": "int8", "cpu": "uint8", "openvino": "uint8"}

# ONNX Runtime's CPU kernel for LRN is slow; those of CUDA, TensorRT and OpenVINO are not.
_LOWERS_LRN = frozenset({"cpu"})

Progress = Callable[[str, int, int], None]
"""Called with what is being done, and how many of how many steps are done."""


def variant_name(target: str, precision: str, quantizer: str = "own") -> str:
    """Name of the artifact; fp32 is the canonical graph itself, but for ONNX Runtime on the CPU.

    Raises:
        BadInputError: If there is no such variant.
    """
    if target not in PRECISIONS:
        raise BadInputError(
            f"There is no target '{target}'.", f"Choose one of {', '.join(PRECISIONS)}."
        )
    if precision not in PRECISIONS[target]:
        raise BadInputError(
            f"The target {target} has no precision '{precision}'.",
            f"Choose one of {', '.join(PRECISIONS[target])}.",
        )
    if precision == "fp32" and target not in _LOWERS_LRN:
        name = SOURCE
    else:
        name = f"{_SHORT.get(target, target)}-{precision}"
    if quantizer == "own":
        return name
    if quantizer not in QUANTIZERS:
        raise BadInputError(
            f"There is no quantizer '{quantizer}'.", f"Choose one of {', '.join(QUANTIZERS)}."
        )
    if precision not in _INT8:
        raise BadInputError(
            f"{precision} is not quantized.", "Leave --quantizer out, or use --precision int8."
        )
    if target not in _NNCF_TARGETS:
        raise BadInputError(
            f"NNCF makes uint8 activations, which {target} does not take.", "Use --quantizer own."
        )
    return f"{name}-{quantizer}"


def optimize(
    bundle: Bundle,
    *,
    target: str,
    precision: str,
    quantizer: str = "own",
    calibration: Path | None = None,
    keep_lrn_fp32: bool = True,
    on_progress: Progress | None = None,
) -> Bundle:
    """Make a variant of the canonical graph and record it in the bundle.

    Args:
        bundle: The bundle; it gains the artifact :func:`variant_name`.
        target: ``tensorrt``, ``cuda``, ``cpu`` or ``openvino``.
        precision: One that :data:`PRECISIONS` lists for the target.
        quantizer: What makes int8, one of :data:`QUANTIZERS`.
        calibration: Folder of images for int8; None for images that fit the network.
        keep_lrn_fp32: False computes LRN in fp16 or bf16 like the rest.
        on_progress: Told what goes on.

    Returns:
        The bundle with the variant; ``bundle`` itself if that was there, undamaged.

    Raises:
        BadInputError: If the target, the precision or the calibration images cannot be used, or
            the graph cannot be computed in this precision.
        MissingError: If int8 is asked for and ONNX Runtime, which calibrates, or the quantizer is
            not installed.
        CannotWriteError: If the bundle cannot be written.
    """
    name = variant_name(target, precision, quantizer)
    int8 = precision in _INT8
    if not int8 and calibration is not None:
        raise BadInputError(
            f"{precision} is not calibrated.", "Leave --calibration out, or use --precision int8."
        )
    if name == SOURCE:
        return bundle
    if not keep_lrn_fp32:
        _check_half_lrn(target, precision)
    if quantizer == "nncf":
        check_installed()
    tell = on_progress or _silent
    tell("reading", 0, 1)
    images = calibration_inputs(bundle.manifest, calibration) if int8 else None
    options: dict[str, Any] = {"target": target, "precision": precision}
    if target in _LOWERS_LRN:
        options["lower_lrn"] = True
    halves = target != "openvino" and precision in ("fp16", "bf16")
    if halves:
        options["keep_lrn_fp32"] = keep_lrn_fp32
    if images is not None:
        options |= {
            "quantizer": quantizer,
            "calibration": images.detail,
            "calibration_sha256": images.digest,
        }
    source = bundle.manifest.artifact(SOURCE)
    tools = _tools(precision, quantizer)

    def key_of(wanted: str) -> str:
        facts = {"source": source.sha256, "options": options | {"precision": wanted}}
        return sha256(json.dumps(facts | {"tools": tools}, sort_keys=True).encode())

    key = key_of(precision)
    if is_current(bundle, name, key):
        return bundle

    def add(record: FileRecord) -> Bundle:
        return bundle.add_artifact(
            name,
            Artifact(
                **record.model_dump(),
                format="onnx",
                precision=precision,
                target=target,
                built_by={"command": "optimize", **tools},
                source=SOURCE,
                key=key,
                options=options,
            ),
        )

    if target == "openvino" and not int8:  # the same graph, which OpenVINO computes in bf16
        bundle.read(source)
        return add(FileRecord(file=source.file, sha256=source.sha256, size=source.size))
    model = ir.from_proto(onnx.load_model_from_string(bundle.read(source)))
    lrn_layers = [(layer.input, layer.output) for layer in bundle.manifest.lrn_layers]
    twin = variant_name(target, "int8", quantizer) if precision == "int8-bf16" else ""
    if twin and is_current(bundle, twin, key_of("int8")):  # the same graph, computed otherwise
        model = ir.from_proto(onnx.load_model_from_string(bundle.load(twin).data))
    elif images is not None and quantizer == "nncf":
        model = quantize_nncf(model, _nncf_inputs(bundle, images, tell), lrn_layers=lrn_layers)
    elif images is not None:
        quantize(
            model,
            _evaluator(bundle, images, tell),
            activations=_ACTIVATIONS[target],
            lrn_layers=lrn_layers,
        )
    elif halves:
        tell(f"casting to {precision}", 0, 1)
        done = half_precision(
            model,
            "fp16" if precision == "fp16" else "bf16",
            lrn_layers=lrn_layers,
            keep_lrn_fp32=keep_lrn_fp32,
        )
        if done.lossy:
            options["lossy_weights"] = done.lossy
    if target in _LOWERS_LRN:
        tell("lowering LRN", 0, 1)
        left = {item.output: item.reason for item in lower_lrn(model) if item.reason}
        if left:
            options["lrn_left_alone"] = left
    model.metadata_props["precision"] = precision
    data = ir.to_proto(model).SerializeToString(deterministic=True)
    onnx.checker.check_model(data, full_check=True)
    tell("writing", 0, 1)
    return add(bundle.add_file(f"variants/{name}.onnx", data))


def _check_half_lrn(target: str, precision: str) -> None:
    """Refuse --half-lrn where LRN cannot be computed in half precision, or not by the graph's will.

    Raises:
        BadInputError: If so.
    """
    if precision in _INT8:
        reason = "LRN has no int8 form; it stays in fp32."
    elif precision == "fp32":
        reason = "In an fp32 graph LRN is in fp32, too."
    elif target == "openvino":
        reason = "What LRN is computed in beside bf16 layers, OpenVINO decides itself."
    else:
        return
    raise BadInputError(reason, "Leave --half-lrn out, or use fp16 or bf16 on a GPU.")


def _evaluator(
    bundle: Bundle, images: Calibration, tell: Progress
) -> Callable[[bytes], Iterator[dict[str, Array]]]:
    """Runs graphs on the calibration images in ONNX Runtime on the CPU."""
    backend = _calibrating_backend()
    feeds = _feeds(bundle, images, _BATCH)

    def evaluate(data: bytes) -> Iterator[dict[str, Array]]:
        with backend.load(ArtifactData("calibration", "onnx", data)) as session:
            for done, feed in enumerate(feeds):
                tell("calibrating", done, len(feeds))
                yield session.run(feed)

    return evaluate


def _nncf_inputs(bundle: Bundle, images: Calibration, tell: Progress) -> list[dict[str, Array]]:
    """One feed for each image, since NNCF averages over what it takes for one input."""
    _calibrating_backend()
    tell("quantizing with NNCF", 0, 1)
    return _feeds(bundle, images, 1)


def _feeds(bundle: Bundle, images: Calibration, batch: int) -> list[dict[str, Array]]:
    """The calibration images in batches of ``batch``, or of the one size that the network takes."""
    (spec,) = bundle.manifest.inputs
    fixed = spec.shape[0]
    batches = images.batches(fixed if isinstance(fixed, int) else batch)
    return [{spec.name: values} for values in batches]


def _calibrating_backend() -> OnnxRuntimeBackend:
    backend = OnnxRuntimeBackend("cpu")
    probe = backend.probe()
    if not probe.available:
        raise MissingError(
            f"int8 is calibrated with ONNX Runtime on the CPU: {probe.detail}", probe.hint
        )
    return backend


def _tools(precision: str, quantizer: str) -> dict[str, str]:
    """Versions of what determines the variant."""
    names = {"onnx", "onnx-ir"}
    if precision in _INT8:
        names |= {"onnxruntime", "onnxruntime-gpu", quantizer}
    found = {name: version for name, version in versions().items() if name in names}
    return {"lrn-deploy": __version__, **found}


def _silent(_what: str, _done: int, _total: int) -> None:
    """No progress is told."""
