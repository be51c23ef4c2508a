"""What runs a network in Triton, and whether it can."""

from __future__ import annotations

from dataclasses import dataclass

from lrn_deploy.datatypes import NUMPY
from lrn_deploy.errors import BadInputError
from lrn_deploy.package.subject import Subject
from lrn_deploy.precision import half

_TYPES = frozenset(dtype.name for dtype in NUMPY.values())


@dataclass(frozen=True)
class Form:
    """How a network stands in a model repository.

    Attributes:
        backend: Triton's backend.
        runtime: What computes: ``onnxruntime``, ``openvino`` or ``tensorrt``.
        file: The network's file in the version's folder.
        max_batch: Rows that run together at most; 0 if its batch is fixed.
        threads: Threads of one run on the CPU; 0 lets the runtime choose.
        precision: What OpenVINO computes float layers in, ``f32`` or ``bf16``.
        notes: Sentences for people: which form was taken, and what it needs.
    """

    backend: str
    runtime: str
    file: str
    max_batch: int
    threads: int
    precision: str
    notes: tuple[str, ...]


def form_of(subject: Subject) -> Form:
    """Choose the form for what is to be packaged.

    Raises:
        BadInputError: If Triton, or the backend that was asked for, cannot take the artifact.
    """
    artifact, options = subject.artifact, subject.options
    runtime = _runtime(subject)
    usual = {"onnxruntime": "onnxruntime", "openvino": "python", "tensorrt": "tensorrt"}[runtime]
    backend = options.triton_backend or usual
    if backend == "onnxruntime" and runtime == "openvino" and artifact.target != "openvino":
        runtime = "onnxruntime"  # tune found OpenVINO faster, but the graph is for any runtime
    _check(subject, runtime, backend)
    max_batch, notes = _max_batch(subject)
    needs = {
        "onnxruntime": "which NVIDIA's images of it have",
        "tensorrt": f"of version {artifact.engine.version} as it was built for"
        if artifact.engine
        else "",
        "python": f"which needs {_packages(subject, runtime)}",
    }[backend]
    first = f"'{subject.artifact_name}' runs in Triton's backend '{backend}', {needs}."
    return Form(
        backend=backend,
        runtime=runtime,
        file="model.plan" if runtime == "tensorrt" else "model.onnx",
        max_batch=max_batch,
        threads=options.threads or (subject.placement.threads if subject.placement else 0),
        precision="bf16" if half(artifact.precision) == "bf16" else "f32",
        notes=(first, *notes),
    )


def _runtime(subject: Subject) -> str:
    artifact, placement = subject.artifact, subject.placement
    if artifact.format == "tensorrt":
        return "tensorrt"
    if artifact.format == "onnx":
        tuned = placement is not None and placement.backend == "openvino"
        return "openvino" if tuned or artifact.target == "openvino" else "onnxruntime"
    raise BadInputError(
        f"Triton cannot take '{subject.artifact_name}', which is of format {artifact.format}.",
        "Triton's TensorRT is not TensorRT for RTX: take '--artifact model', or build an engine "
        "with 'lrn-deploy build-engine --flavor tensorrt' where tensorrt is installed.",
    )


def _check(subject: Subject, runtime: str, backend: str) -> None:
    name, device = subject.artifact_name, subject.options.device
    for spec in (*subject.bundle.manifest.inputs, *subject.bundle.manifest.outputs):
        if spec.dtype not in _TYPES:
            raise BadInputError(
                f"'{spec.name}' of '{name}' is of type {spec.dtype}, which no package can have.",
                f"Types are {', '.join(sorted(_TYPES))}.",
            )
    if (runtime == "tensorrt") != (backend == "tensorrt"):
        engine = runtime == "tensorrt"
        raise BadInputError(
            f"Triton's backend '{backend}' cannot take '{name}', which is "
            f"{'a TensorRT engine' if engine else 'an ONNX graph'}.",
            "Leave --triton-backend out, or take '--artifact model'."
            if engine
            else "Name an engine with --artifact; 'lrn-deploy build-engine' makes one.",
        )
    if runtime == "tensorrt" and device != "cuda":
        raise BadInputError(
            f"'{name}' is a TensorRT engine, which runs on a GPU only.",
            "Add '--device cuda', or take '--artifact model'.",
        )
    if runtime == "openvino" and backend != "python":
        raise BadInputError(
            f"'{name}' was made for OpenVINO, which Triton's backend '{backend}' is not.",
            "Take '--triton-backend python', or '--artifact model'.",
        )
    if runtime == "openvino" and device != "cpu":
        raise BadInputError(
            f"'{name}' was made for OpenVINO, which runs on the CPU here.",
            "Take '--device cpu', or '--artifact model'.",
        )
    bf16 = half(subject.artifact.precision) == "bf16"
    if runtime == "onnxruntime" and bf16:
        raise BadInputError(
            f"'{name}' computes in bf16, for which ONNX Runtime has no convolution.",
            "Take another artifact; 'lrn-deploy inspect' lists them.",
        )


def _max_batch(subject: Subject) -> tuple[int, tuple[str, ...]]:
    """Rows that run together at most, and what is to be said of it."""
    manifest, asked = subject.bundle.manifest, subject.options.max_batch_size
    specs = (*manifest.inputs, *manifest.outputs)
    if not all(spec.shape and isinstance(spec.shape[0], str) for spec in specs):
        return 0, ("Its batch is fixed, so requests run one by one and have exactly that batch.",)
    engine = subject.artifact.engine
    if engine is None:
        return asked, ()
    least, _, most = engine.batch
    if least == most:
        return 0, (f"The engine takes exactly {least} rows, so requests must have as many.",)
    notes = []
    if most < asked:
        notes.append(f"The engine takes {most} rows at most, so batches have no more.")
    if least > 1:
        notes.append(f"The engine takes {least} rows at least: requests of fewer may be refused.")
    return min(asked, most), tuple(notes)


def _packages(subject: Subject, runtime: str) -> str:
    built_by = subject.artifact.built_by
    package = "onnxruntime-gpu" if subject.options.device == "cuda" else runtime
    made = f" (it was made with {built_by[runtime]})" if runtime in built_by else ""
    return f"numpy and {package}{made}"
