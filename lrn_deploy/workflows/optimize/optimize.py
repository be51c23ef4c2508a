"""Derive a variant of a bundle's graph for one target in one precision."""

from __future__ import annotations

import json
from typing import Any

import onnx
import onnx_ir as ir

from lrn_deploy import __version__
from lrn_deploy.bundle import Artifact, Bundle, FileRecord, sha256
from lrn_deploy.bundle.staleness import CALIBRATED_WITH
from lrn_deploy.environment import versions
from lrn_deploy.errors import BadInputError
from lrn_deploy.passes.quantization.quantize_nncf import check_installed
from lrn_deploy.placement import MODEL
from lrn_deploy.progress import Progress, silent
from lrn_deploy.workflows.optimize.calibration import Calibration, calibration_inputs
from lrn_deploy.workflows.optimize.graph import CalibrationFeeds, make_graph
from lrn_deploy.workflows.optimize.memory import Memory
from lrn_deploy.workflows.optimize.options import OptimizeOptions
from lrn_deploy.workflows.optimize.recipes import Recipe, recipe
from lrn_deploy.workflows.outcome import Added


def optimize(
    bundle: Bundle,
    options: OptimizeOptions,
    progress: Progress = silent,
    memory: Memory | None = None,
) -> Added:
    """Make a variant of the canonical graph and record it in the bundle.

    Args:
        bundle: The bundle; it gains the artifact :func:`variant_name`.
        options: What variant to make.
        progress: Told what goes on.
        memory: What variants that were made before saw of the calibration inputs; it gains what
            this one sees. None starts from nothing.

    Returns:
        The variant; fp32 may be the canonical graph itself.

    Raises:
        BadInputError: If the target, the precision or the calibration images cannot be used, or
            the graph cannot be computed in this precision.
        MissingError: If int8 is asked for and ONNX Runtime, which calibrates, or the quantizer is
            not installed.
        CannotWriteError: If the bundle cannot be written.
    """
    target, precision, quantizer = options.target, options.precision, options.quantizer
    made = recipe(target, precision, quantizer)
    if not made.calibrated and options.calibration is not None:
        raise BadInputError(
            f"{precision} is not calibrated.", "Leave --calibration out, or use --precision int8."
        )
    if made.name == MODEL:
        return Added(bundle, MODEL, reused=True)
    if not options.keep_lrn_fp32:
        _check_half_lrn(made)
    if quantizer == "nncf":
        check_installed()
    progress("reading", 0, 1)
    images = calibration_inputs(bundle.manifest, options.calibration) if made.calibrated else None
    facts = _facts(made, images, keep_lrn_fp32=options.keep_lrn_fp32)
    if images is not None and bundle.manifest.preprocessing is not None:
        facts[CALIBRATED_WITH] = bundle.manifest.preprocessing.digest
    source = bundle.manifest.artifact(MODEL)
    tools = _tools(made)

    def key_of(wanted: str) -> str:
        whole = {"source": source.sha256, "options": facts | {"precision": wanted}, "tools": tools}
        return sha256(json.dumps(whole, sort_keys=True).encode())

    key = key_of(precision)
    if bundle.holds(made.name, key):
        return Added(bundle, made.name, reused=True)

    def add(record: FileRecord) -> Added:
        artifact = Artifact(
            **record.model_dump(),
            format="onnx",
            precision=precision,
            target=target,
            built_by={"command": "optimize", **tools},
            source=MODEL,
            key=key,
            options=facts,
        )
        return Added(bundle.add_artifact(made.name, artifact), made.name, reused=False)

    data = bundle.read(source)
    if precision == "bf16" and made.half is None:  # the same graph, which OpenVINO computes in bf16
        return add(FileRecord(file=source.file, sha256=source.sha256, size=source.size))
    twin = recipe(target, "int8", quantizer).name if precision == "int8-bf16" else ""
    if twin and bundle.holds(twin, key_of("int8")):  # the same graph, computed otherwise
        model = ir.from_proto(onnx.load_model_from_string(bundle.load(twin).data))
    else:
        model, told = make_graph(
            ir.from_proto(onnx.load_model_from_string(data)),
            made,
            lrn_layers=[(layer.input, layer.output) for layer in bundle.manifest.lrn_layers],
            calibration=_feeds(bundle, images) if images is not None else None,
            keep_lrn_fp32=options.keep_lrn_fp32,
            progress=progress,
            memory=memory,
        )
        facts |= told
    model.metadata_props["precision"] = precision
    data = ir.to_proto(model).SerializeToString(deterministic=True)
    onnx.checker.check_model(data, full_check=True)
    progress("writing", 0, 1)
    return add(bundle.add_file(f"variants/{made.name}.onnx", data))


def _facts(made: Recipe, images: Calibration | None, *, keep_lrn_fp32: bool) -> dict[str, Any]:
    """What determines the variant beside the graph and the tools, as the manifest has it."""
    facts: dict[str, Any] = {"target": made.target, "precision": made.precision}
    if made.lowers_lrn:
        facts["lower_lrn"] = True
    if made.half is not None:
        facts["keep_lrn_fp32"] = keep_lrn_fp32
    if images is not None:
        facts |= {
            "quantizer": made.quantizer,
            "calibration": images.detail,
            "calibration_sha256": images.digest,
        }
    return facts


def _feeds(bundle: Bundle, images: Calibration) -> CalibrationFeeds:
    (spec,) = bundle.manifest.inputs
    return CalibrationFeeds(spec.name, images.inputs, spec.fixed_batch, images.digest)


def _check_half_lrn(made: Recipe) -> None:
    """Refuse --half-lrn where LRN cannot be computed in half precision, or not by the graph's will.

    Raises:
        BadInputError: If so.
    """
    if made.half is not None:
        return
    if made.calibrated:
        reason = "LRN has no int8 form; it stays in fp32."
    elif made.precision == "fp32":
        reason = "In an fp32 graph LRN is in fp32, too."
    else:
        reason = "What LRN is computed in beside bf16 layers, OpenVINO decides itself."
    raise BadInputError(reason, "Leave --half-lrn out, or use fp16 or bf16 on a GPU.")


def _tools(made: Recipe) -> dict[str, str]:
    """Versions of what determines the variant."""
    names = {"onnx", "onnx-ir"}
    if made.calibrated:
        names |= {"onnxruntime", "onnxruntime-gpu", made.quantizer}
    found = {name: version for name, version in versions().items() if name in names}
    return {"lrn-deploy": __version__, **found}
