"""What a bundle is run with: tune's choice, the next one where that cannot run, else the graph."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from lrn_deploy.backends.protocol import Probe, Session
from lrn_deploy.bundle import Artifact, ArtifactData, Bundle, Choice
from lrn_deploy.errors import MissingError
from lrn_deploy.workflows.choice import Pick, pick
from tests.support.image_bundles import colour_bundle


@dataclass
class Machine:
    """A backend that is there, or is not."""

    name: str
    device: str = "cpu"
    here: bool = True
    threads: int = 0
    formats: frozenset[str] = frozenset({"onnx"})

    def probe(self) -> Probe:
        return Probe(self.here, "1", "there" if self.here else "not installed")

    def load(self, artifact: ArtifactData) -> Session:
        raise AssertionError(f"picking loads nothing, but {artifact.name} was")


def with_artifacts(tmp_path: Path, *names: str, **changes: object) -> Bundle:
    bundle = colour_bundle(tmp_path / "colours")
    model = bundle.manifest.artifact("model")
    more = {name: model.model_copy(update={"source": "model"}) for name in names}
    return bundle.update(artifacts={**bundle.manifest.artifacts, **more}, **changes)


def choice(bundle: Bundle, artifact: str, backend: str, threads: int = 0) -> Choice:
    digest = bundle.manifest.artifact(artifact).sha256
    return Choice(artifact=artifact, sha256=digest, backend=backend, threads=threads)


def picked(bundle: Bundle, *machines: Machine, devices: tuple[str, ...] = ("cpu",)) -> Pick:
    def make(threads: int) -> list[Machine]:
        return [
            Machine(item.name, item.device, item.here, threads, item.formats) for item in machines
        ]

    return pick(bundle, devices, backends=make)


def test_the_choice_of_tune_comes_with_its_threads(tmp_path: Path) -> None:
    bundle = with_artifacts(tmp_path, "cpu-int8")
    bundle = bundle.update(
        choices=(
            choice(bundle, "cpu-int8", "second:cpu", 3),
            choice(bundle, "model", "onnxruntime:cpu", 1),
        )
    )
    found = picked(bundle, Machine("onnxruntime"), Machine("second"))
    assert (found.artifact, found.backend.name) == ("cpu-int8", "second")
    assert isinstance(found.backend, Machine)
    assert found.backend.threads == 3


def test_where_the_best_cannot_run_the_next_one_does(tmp_path: Path) -> None:
    bundle = with_artifacts(tmp_path, "cpu-int8")
    bundle = bundle.update(
        choices=(
            choice(bundle, "cpu-int8", "second:cpu", 3),
            choice(bundle, "model", "onnxruntime:cpu", 1),
        )
    )
    found = picked(bundle, Machine("onnxruntime"), Machine("second", here=False))
    assert (found.artifact, found.backend.name) == ("model", "onnxruntime")
    assert "next" not in found.reason
    assert "best of tune's" in found.reason


def test_a_choice_goes_to_no_backend_that_does_not_take_its_format(tmp_path: Path) -> None:
    """As after an upgrade of a runtime that has dropped a format: the name alone is not enough."""
    bundle = with_artifacts(tmp_path, "cpu-int8")
    bundle = bundle.update(choices=(choice(bundle, "cpu-int8", "second:cpu", 3),))
    deaf = Machine("second", formats=frozenset({"tensorrt-rtx"}))
    found = picked(bundle, deaf, Machine("onnxruntime"))
    assert (found.artifact, found.backend.name) == ("model", "onnxruntime")


def test_a_choice_of_other_bytes_is_void(tmp_path: Path) -> None:
    bundle = with_artifacts(tmp_path, "cpu-int8")
    stale = Choice(artifact="cpu-int8", sha256="0" * 64, backend="onnxruntime:cpu")
    assert picked(bundle.update(choices=(stale,)), Machine("onnxruntime")).artifact == "model"


def test_untuned_the_lowered_graph_is_for_onnx_runtime_only(tmp_path: Path) -> None:
    bundle = with_artifacts(tmp_path, "cpu-fp32", "cpu-int8")
    assert picked(bundle, Machine("onnxruntime")).artifact == "cpu-fp32"
    assert picked(bundle, Machine("another")).artifact == "model"


@pytest.mark.parametrize(("precision", "expected"), [("fp32", "engine"), ("fp16", "model")])
def test_untuned_an_engine_is_taken_if_it_is_as_exact(
    tmp_path: Path, precision: str, expected: str
) -> None:
    bundle = with_artifacts(tmp_path)
    model = bundle.manifest.artifact("model")
    record = {
        "flavor": "rtx",
        "version": "1",
        "platform": "linux-x86_64",
        "targets": ("sm89",),
        "precision": precision,
        "batch": (1, 8, 8),
        "profile": {},
        "source_sha256": model.sha256,
        "build_seconds": 1.0,
        "peak_memory": None,
    }
    facts = model.model_dump() | {
        "format": "tensorrt-rtx",
        "precision": precision,
        "engine": record,
    }
    bundle = bundle.add_artifact("engine", Artifact.model_validate(facts))
    tensorrt = Machine("tensorrt", "cuda", formats=frozenset({"tensorrt-rtx"}))
    found = picked(bundle, Machine("onnxruntime", "cuda"), tensorrt, devices=("cuda", "cpu"))
    assert found.artifact == expected


def test_the_first_device_is_preferred(tmp_path: Path) -> None:
    machines = Machine("onnxruntime"), Machine("onnxruntime", "cuda")
    found = picked(with_artifacts(tmp_path), *machines, devices=("cuda", "cpu"))
    assert found.backend.device == "cuda"


def test_nothing_to_run_it_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="onnxruntime on cpu: not installed"):
        picked(with_artifacts(tmp_path), Machine("onnxruntime", here=False))
