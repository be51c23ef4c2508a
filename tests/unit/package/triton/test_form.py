"""What runs a network in Triton: what is taken by default, and what is refused with a way out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lrn_deploy.bundle import Artifact, Bundle, EngineRecord
from lrn_deploy.errors import BadInputError
from lrn_deploy.package.options import PackageOptions
from lrn_deploy.package.subject import Subject
from lrn_deploy.package.triton.form import Form, form_of
from lrn_deploy.placement import Placement
from tests.support.image_bundles import colour_bundle

ENGINE = EngineRecord(
    flavor="tensorrt",
    version="10.9.0",
    platform="linux-x86_64",
    targets=("sm89",),
    precision="fp16",
    batch=(1, 8, 32),
    profile={},
    source_sha256="0" * 64,
    build_seconds=1,
    peak_memory=None,
)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    made = colour_bundle(tmp_path_factory.mktemp("form") / "colours")
    model = made.manifest.artifact("model")

    def engine(**changes: Any) -> Artifact:
        record = ENGINE.model_copy(update=changes)
        form = "tensorrt" if record.flavor == "tensorrt" else "tensorrt-rtx"
        return model.model_copy(update={"format": form, "engine": record, "source": "model"})

    return made.update(
        artifacts={
            "model": model,
            "engine": engine(),
            "engine-of-4": engine(batch=(4, 4, 4)),
            "engine-from-2": engine(batch=(2, 4, 8)),
            "rtx": engine(flavor="rtx"),
            "openvino-bf16": model.model_copy(
                update={
                    "target": "openvino",
                    "precision": "bf16",
                    "built_by": {"openvino": "2026.1"},
                }
            ),
            "trt-bf16": model.model_copy(update={"target": "tensorrt", "precision": "bf16"}),
        }
    )


def form(bundle: Bundle, artifact: str, placement: Placement | None = None, **options: Any) -> Form:
    told = PackageOptions("triton", **options)
    return form_of(Subject(bundle, "net", artifact, told, placement))


@pytest.mark.parametrize(
    ("artifact", "options", "backend", "runtime", "file"),
    [
        ("model", {}, "onnxruntime", "onnxruntime", "model.onnx"),
        ("model", {"device": "cuda"}, "onnxruntime", "onnxruntime", "model.onnx"),
        ("model", {"triton_backend": "python"}, "python", "onnxruntime", "model.onnx"),
        ("engine", {"device": "cuda"}, "tensorrt", "tensorrt", "model.plan"),
        ("openvino-bf16", {}, "python", "openvino", "model.onnx"),
    ],
)
def test_format_decides_and_what_was_taken_is_told(
    bundle: Bundle,
    artifact: str,
    options: dict[str, Any],
    backend: str,
    runtime: str,
    file: str,
) -> None:
    found = form(bundle, artifact, **options)
    assert (found.backend, found.runtime, found.file) == (backend, runtime, file)
    assert found.notes[0].startswith(f"'{artifact}' runs in Triton's backend '{backend}'")
    assert found.precision == ("bf16" if artifact == "openvino-bf16" else "f32")


@pytest.mark.parametrize(
    ("artifact", "options", "needs"),
    [
        ("model", {}, "'onnxruntime', which NVIDIA's images of it have."),
        ("model", {"triton_backend": "python"}, "'python', which needs numpy and onnxruntime."),
        (
            "model",
            {"triton_backend": "python", "device": "cuda"},
            "'python', which needs numpy and onnxruntime-gpu.",
        ),
        (
            "openvino-bf16",
            {},
            "'python', which needs numpy and openvino (it was made with 2026.1).",
        ),
        ("engine", {"device": "cuda"}, "'tensorrt', of version 10.9.0 as it was built for."),
    ],
)
def test_what_the_backend_needs_is_told(
    bundle: Bundle, artifact: str, options: dict[str, Any], needs: str
) -> None:
    found = form(bundle, artifact, **options)
    assert found.notes[0] == f"'{artifact}' runs in Triton's backend {needs}"
    assert found.threads == 0


def test_tuned_runtime_and_threads_are_kept(bundle: Bundle) -> None:
    tuned = Placement("model", "openvino", "cpu", threads=3)
    found = form(bundle, "model", tuned)
    assert (found.backend, found.runtime, found.threads) == ("python", "openvino", 3)
    asked = form(bundle, "model", tuned, triton_backend="onnxruntime", threads=1)
    assert (asked.backend, asked.runtime, asked.threads) == ("onnxruntime", "onnxruntime", 1)


@pytest.mark.parametrize(
    ("artifact", "options", "says", "hint"),
    [
        ("rtx", {"device": "cuda"}, "format tensorrt-rtx", "--flavor tensorrt"),
        ("engine", {}, "on a GPU only", "--device cuda"),
        (
            "engine",
            {"device": "cuda", "triton_backend": "python"},
            "a TensorRT engine",
            "--artifact model",
        ),
        ("model", {"triton_backend": "tensorrt"}, "an ONNX graph", "build-engine"),
        ("openvino-bf16", {"triton_backend": "onnxruntime"}, "made for OpenVINO", "python"),
        ("openvino-bf16", {"device": "cuda"}, "on the CPU", "--device cpu"),
        ("trt-bf16", {}, "bf16", "inspect"),
    ],
)
def test_what_triton_cannot_take_is_refused(
    bundle: Bundle, artifact: str, options: dict[str, Any], says: str, hint: str
) -> None:
    with pytest.raises(BadInputError) as caught:
        form(bundle, artifact, **options)
    assert says in caught.value.message
    assert hint in caught.value.hint
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("artifact", "asked", "got", "note"),
    [
        ("model", 64, 64, ""),
        ("engine", 16, 16, ""),
        ("engine", 32, 32, ""),
        ("engine", 64, 32, "32 rows at most"),
        ("engine-of-4", 16, 0, "exactly 4 rows"),
        ("engine-from-2", 16, 8, "2 rows at least"),
    ],
)
def test_batch_is_what_the_network_takes(
    bundle: Bundle, artifact: str, asked: int, got: int, note: str
) -> None:
    device = "cpu" if artifact == "model" else "cuda"
    found = form(bundle, artifact, device=device, max_batch_size=asked)
    assert found.max_batch == got
    assert note in " ".join(found.notes[1:])
    assert bool(found.notes[1:]) == bool(note)


def test_type_that_has_no_name_is_refused(bundle: Bundle) -> None:
    spec = bundle.manifest.inputs[0].model_copy(update={"dtype": "bfloat16"})
    odd = Bundle(bundle.path, bundle.manifest.model_copy(update={"inputs": (spec,)}))
    with pytest.raises(BadInputError, match="'image' of 'model' is of type bfloat16"):
        form(odd, "model")


def test_fixed_batch_is_told(tmp_path: Path) -> None:
    found = form(colour_bundle(tmp_path / "colours", batch=2), "model")
    assert found.max_batch == 0
    assert "batch is fixed" in found.notes[1]
