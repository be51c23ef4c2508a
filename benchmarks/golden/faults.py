"""Faults of LRN as converters make them, planted into a graph; and one of the pools."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import onnx
from onnx import helper

from benchmarks.golden.answers import error, values_of
from lrn_deploy.backends.protocol import Array
from lrn_deploy.bundle import Bundle
from lrn_deploy.caffe import read
from lrn_deploy.errors import BadInputError
from lrn_deploy.workflows.validate.options import ValidateOptions
from lrn_deploy.workflows.validate.validate import validate


def _scaled(name: str, factor: float) -> Callable[[onnx.NodeProto], None]:
    def change(node: onnx.NodeProto) -> None:
        value = next(item.f for item in node.attribute if item.name == name)
        _set(node, name, value * factor)

    return change


def _left_out(node: onnx.NodeProto) -> None:
    node.op_type = "Identity"
    del node.attribute[:]


def _set(node: onnx.NodeProto, name: str, value: float) -> None:
    kept = [item for item in node.attribute if item.name != name]
    del node.attribute[:]
    node.attribute.extend([*kept, helper.make_attribute(name, value)])


FAULTS: Mapping[str, Callable[[onnx.NodeProto], None]] = {
    "no LRN": _left_out,
    "alpha x 5": _scaled("alpha", 5.0),
    "alpha / 5": _scaled("alpha", 0.2),
    "size 3": lambda node: _set(node, "size", 3),
}
"""What a converter does to an LRN node that it misreads."""
ORDINARY = ("photographs", "images")
"""The sets of inputs that are pictures as they are: our two, and the folder's."""


def planted(graph: bytes, fault: str, layers: set[str]) -> bytes:
    """The graph with a fault in the LRN nodes that make one of ``layers``."""
    model = onnx.load_model_from_string(graph)
    found = (node for node in model.graph.node if node.op_type == "LRN")
    nodes = [node for node in found if node.output[0] in layers]
    if len(nodes) != len(layers):
        raise ValueError(f"The graph has {len(nodes)} LRN nodes of {sorted(layers)}.")
    for node in nodes:
        FAULTS[fault](node)
    return bytes(model.SerializeToString())


def caught(
    bundle: Bundle, images: Path, blobs: Mapping[str, Array], logits: str
) -> list[dict[str, Any]]:
    """Plant each fault in each LRN and in all, and let ``validate`` judge every one.

    Each faulty graph becomes an artifact of the bundle whose digest says that all is well.

    Args:
        bundle: The imported network; it keeps the artifacts.
        images: A folder of ordinary photographs.
        blobs: Inputs at which the logits' error is told, by image.
        logits: The graph's value of that name.
    """
    clean = bundle.load("model").data
    entering = bundle.manifest.inputs[0].name
    truths = [values_of(clean, {entering: blob}, [logits])[logits] for blob in blobs.values()]
    outputs = {layer.output for layer in bundle.manifest.lrn_layers}
    places = [{name} for name in sorted(outputs)] + [outputs] * (len(outputs) > 1)
    rows: list[dict[str, Any]] = [{"artifact": "model", "fault": "none"}]
    for number, (fault, layers) in enumerate((f, p) for f in FAULTS for p in places):
        data = planted(clean, fault, layers)
        name = f"fault-{number}"
        record = bundle.add_file(f"variants/{name}.onnx", data)
        artifact = bundle.manifest.artifact("model").model_copy(update=record.model_dump())
        bundle = bundle.add_artifact(name, artifact)
        errors = {
            image: error(values_of(data, {entering: blob}, [logits])[logits], truth)
            for (image, blob), truth in zip(blobs.items(), truths, strict=True)
        }
        rows.append(
            {"artifact": name, "fault": fault, "in": sorted(layers), "logits_relative_l2": errors}
        )
    options = ValidateOptions(images=images, batches=(1,), devices=("cpu",))
    report = validate(bundle, options).report
    for row in rows:
        checks = [check for check in report.checks if check.artifact == row["artifact"]]
        failed = [check for check in checks if check.verdict == "fail"]
        row["caught_by"] = sorted({check.name for check in failed})
        row["outputs_relative_l2"] = {
            f"{check.inputs}, {check.backend}": check.error
            for check in checks
            if check.kind == "outputs" and check.inputs in ORDINARY
        }
    return rows


def all_caught(rows: list[dict[str, Any]]) -> bool:
    """Whether the clean graph passed, and photographs alone gave away every faulty one."""
    clean, *faulty = rows
    told = {f"outputs on {name}" for name in ORDINARY}
    return not clean["caught_by"] and all(told & set(row["caught_by"]) for row in faulty)


def floor_pools_are_refused(prototxt: Path, caffemodel: Path, folder: Path) -> str:
    """The sentence with which the import refuses pools that round down.

    Raises:
        AssertionError: If it takes them.
    """
    text = prototxt.read_text(encoding="utf-8")
    changed = text.replace("pool: MAX", "pool: MAX round_mode: FLOOR")
    assert changed != text, "the prototxt has no pool: MAX"
    file = folder / "floor.prototxt"
    file.write_text(changed, encoding="utf-8")
    try:
        read(file, caffemodel)
    except BadInputError as refused:
        return refused.message.replace(str(folder) + "/", "")
    raise AssertionError("pools that round down were taken")
