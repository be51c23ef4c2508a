"""Other graphs of the same fp16 network, as engines: what would be faster, or more exact?

The bundle's engines have LRN written out as sums of slices, in a dynamic batch, and leave to
TensorRT in what it accumulates. Here each of these is otherwise: TensorRT's own LRN layer; the sum
as a convolution with a band matrix; matrix products between casts to fp32, which TensorRT may join
to a product of fp16 that accumulates in fp32; and a batch of one only. The stage ``latency`` times
them beside the bundle's own, and tells how far their outputs are from PyTorch's.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import onnx
import onnx_ir as ir
from onnx_ir import tape as ir_tape

from benchmarks.gpu.contenders import FORMS
from benchmarks.gpu.made import BATCHES, networks, targets
from benchmarks.gpu.record import Record, StageOptions, run_stage
from lrn_deploy.bundle import Bundle
from lrn_deploy.errors import LrnDeployError
from lrn_deploy.passes.lrn.lower_lrn import lower_lrn
from lrn_deploy.workflows.build_engine.build_engine import build_bundle_engine
from lrn_deploy.workflows.build_engine.options import EngineOptions

SOURCE = "trt-fp16"


def stage(options: StageOptions) -> int:
    """Build an engine of every form; one that cannot be built costs only itself."""
    record = Record(options, "forms")
    source = Bundle.open(options.work / networks(options)[0])
    data = source.load(SOURCE).data
    # TF32 concerns the few products that a form has in fp32.
    request = EngineOptions(precision="tf32", targets=targets(options), batch=BATCHES)
    one = (1, 1, 1)
    forms: dict[str, tuple[Callable[[ir.Model], None], EngineOptions]] = {
        "own LRN layer": (nothing, replace(request, lrn="layer")),
        "LRN by a band": (band, request),
        "products in fp32": (wide_products, request),
        "LRN by a band, batch 1": (band, replace(request, batch=one)),
        "batch 1": (nothing, replace(request, batch=one)),
    }
    if options.dry:
        forms = {name: forms[name] for name in ("own LRN layer", "batch 1")}
    failed = []
    for name, (change, wanted) in forms.items():
        model = ir.from_proto(onnx.load_model_from_string(data))
        try:
            change(model)
            graph = ir.to_proto(model).SerializeToString()
            bundle = graph_bundle(source, graph, options.work / FORMS / name)
            built = build_bundle_engine(bundle, wanted)
        except LrnDeployError as error:
            failed.append(f"{name}: {error}")
            continue
        engine = built.bundle.manifest.artifact(built.name)
        record.add("forms", {"form": name, "artifact": engine.model_dump(mode="json")})
    record.put("headline", f"{len(forms) - len(failed)} of {len(forms)} forms built")
    return record.finish(failed)


def graph_bundle(source: Bundle, graph: bytes, path: Path) -> Bundle:
    """A bundle of the same network whose canonical graph is another, with the same samples."""
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    for file in ("manifest.json", *(item.file for item in source.manifest.samples.values())):
        (path / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source.path / file, path / file)
    bundle = Bundle(path, source.manifest.model_copy(update={"artifacts": {}, "labels": None}))
    written = bundle.add_file("model.onnx", graph)
    artifact = source.manifest.artifact("model").model_copy(update=written.model_dump())
    return bundle.update(artifacts={"model": artifact})


def nothing(_model: ir.Model) -> None:
    """The graph as it is."""


def band(model: ir.Model) -> None:
    """LRN's sum as a convolution of one by one with a band matrix."""
    lower_lrn(model, "band")


def wide_products(model: ir.Model) -> None:
    """Matrix products of what is cast to fp32 before, and cast back after."""
    for node in [node for node in model.graph if node.op_type in ("Gemm", "MatMul")]:
        tape = ir_tape.Tape()
        wide = [
            None if value is None else tape.op("Cast", [value], {"to": ir.DataType.FLOAT})
            for value in node.inputs
        ]
        product = tape.op(node.op_type, wide, dict(node.attributes))
        product.shape = node.outputs[0].shape
        back = tape.op("Cast", [product], {"to": ir.DataType.FLOAT16})
        for value in (*wide, product, back):
            if value is not None:
                value.dtype = ir.DataType.FLOAT16 if value is back else ir.DataType.FLOAT
        ir.convenience.replace_nodes_and_values(
            model.graph, node, [node], tape.nodes, [node.outputs[0]], [back]
        )


if __name__ == "__main__":
    sys.exit(run_stage(stage))
