"""Is everything there that the stages need, in which version, and does it see the GPU?"""

from __future__ import annotations

import importlib
import sys

from benchmarks.gpu.record import Record, StageOptions, run_stage
from lrn_deploy.doctor import diagnose

MODULES = (
    "numpy",
    "pydantic",
    "click",
    "rich",
    "PIL",
    "safetensors",
    "sklearn",
    "onnx",
    "onnx_ir",
    "onnxscript",
    "torch",
    "triton",
    "onnxruntime",
    "cuda.bindings.runtime",
    "httptools",
    "multipart",
    "grpc_health.v1.health_pb2",
    "grpc_reflection.v1alpha.reflection_pb2",
    "google.protobuf",
    "grpc",
    "tritonclient.grpc.service_pb2",
    "pytest",
    "lrn_deploy.lrn_server",
    "lrn_deploy.plugins.operators",
    "lrn_deploy.workflows.validate.validate",
)
"""What the stages after this one import; without one of them, some of them fail."""
NEEDED = ("torch", "onnxruntime", "tensorrt")
"""Backends that must run on the GPU."""


def stage(options: StageOptions) -> int:
    """Import, look, and tell what is missing."""
    record = Record(options, "imports")
    failed = []
    for name in MODULES:
        reason = try_import(name)
        record.add("modules", {"name": name, "reason": reason})
        if reason:
            failed.append(f"{name} cannot be imported: {reason}")
    diagnosis = diagnose()
    record.put("doctor", diagnosis.model_dump(mode="json", exclude={"executable"}))
    on_gpu = {
        backend.name: backend for backend in diagnosis.backends if backend.device.startswith("cuda")
    }
    for name in NEEDED:
        backend = on_gpu.get(name)
        if backend is None or not backend.available:
            why = f"{backend.detail} {backend.hint}" if backend else "no such backend"
            record.add("unavailable", {"backend": name, "reason": why})
            if not options.dry:
                failed.append(f"{name} does not run on the GPU: {why}")
    ready = [name for name in NEEDED if name in on_gpu and on_gpu[name].available]
    record.put("headline", f"on the GPU: {', '.join(ready) or 'nothing'}")
    return record.finish(failed)


def try_import(name: str) -> str:
    """Why a module cannot be imported; empty if it can."""
    try:
        importlib.import_module(name)
    except BaseException as error:  # an extension may raise anything, SystemExit too
        return f"{type(error).__name__}: {error}".splitlines()[0]
    return ""


if __name__ == "__main__":
    sys.exit(run_stage(stage))
