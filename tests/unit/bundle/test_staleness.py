"""What was made with another preprocessing is told from what was not, engines included."""

from __future__ import annotations

import pytest

from lrn_deploy.bundle import Artifact, Bundle, EngineRecord, Said, SampleSet
from lrn_deploy.bundle.staleness import doubts, stale_artifacts, stale_notes
from lrn_deploy.errors import CannotWriteError
from lrn_deploy.workflows.preprocess import correct_preprocessing

OTHER = Said(interpolation="box")
BACK = Said(interpolation="bilinear")


def calibrated(graph: str) -> Artifact:
    return Artifact(
        file="variants/trt-int8.onnx",
        sha256=graph,
        size=1,
        format="onnx",
        precision="int8",
        source="model",
        options={"calibration_sha256": "ca"},
    )


def engine(graph: str, source: str = "trt-int8") -> Artifact:
    record = EngineRecord(
        flavor="rtx",
        version="1",
        platform="linux-x86_64",
        targets=("sm89",),
        precision="int8",
        batch=(1, 1, 1),
        profile={},
        source_sha256=graph,
        build_seconds=1,
        peak_memory=None,
    )
    return Artifact(
        file="engines/e",
        sha256="e" + graph,
        size=1,
        format="tensorrt-rtx",
        precision="int8",
        source=source,
        engine=record,
    )


@pytest.fixture
def deployed(bundle: Bundle) -> Bundle:
    """With an int8 variant, an engine of it, and an engine of the canonical graph."""
    model = bundle.manifest.artifact("model")
    bundle = bundle.add_artifact("trt-int8", calibrated("a1"))
    bundle = bundle.add_artifact("int8-engine", engine("a1"))
    return bundle.add_artifact("engine", engine(model.sha256, "model"))


def test_what_was_calibrated_is_stale_and_what_was_built_from_it_and_nothing_else(
    deployed: Bundle,
) -> None:
    assert stale_artifacts(deployed.manifest) == ()
    changed = correct_preprocessing(deployed, OTHER).bundle
    assert stale_artifacts(changed.manifest) == ("trt-int8", "int8-engine")
    assert stale_notes(changed) == (
        "'trt-int8' was calibrated with another preprocessing: run 'lrn-deploy optimize' again.",
        "'int8-engine' was calibrated with another preprocessing: "
        "run 'lrn-deploy build-engine' again.",
    )
    assert stale_artifacts(correct_preprocessing(changed, BACK).bundle.manifest) == ()


def test_an_engine_is_stale_until_it_is_built_from_the_new_variant(deployed: Bundle) -> None:
    changed = correct_preprocessing(deployed, OTHER).bundle
    preprocessing = changed.manifest.preprocessing
    assert preprocessing is not None
    fresh = calibrated("b2").model_copy(update={"options": {"preprocessing": preprocessing.digest}})
    changed = changed.add_artifact("trt-int8", fresh)
    assert stale_artifacts(changed.manifest) == ("int8-engine",)
    changed = changed.add_artifact("int8-engine", engine("b2"))
    assert stale_artifacts(changed.manifest) == ()


def test_an_engine_of_a_variant_that_came_out_the_same_is_not_stale(deployed: Bundle) -> None:
    changed = correct_preprocessing(deployed, OTHER).bundle
    preprocessing = changed.manifest.preprocessing
    assert preprocessing is not None
    same = calibrated("a1").model_copy(update={"options": {"preprocessing": preprocessing.digest}})
    assert stale_artifacts(changed.add_artifact("trt-int8", same).manifest) == ()


def test_samples_of_the_old_one_are_told(deployed: Bundle) -> None:
    sample = SampleSet(file="samples/s", sha256="5", size=1, reference="PyTorch")
    deployed = deployed.update(samples={"random": sample}, samples_key="key")
    assert not any("samples" in note for note in stale_notes(deployed))
    assert any("samples" in n for n in stale_notes(correct_preprocessing(deployed, OTHER).bundle))


def test_what_is_run_is_in_doubt_for_what_was_assumed_and_for_what_is_stale(
    deployed: Bundle,
) -> None:
    assert doubts(deployed, "trt-int8") == ()
    reports = deployed.path / "reports"
    reports.mkdir()
    (reports / "parity.json").write_text("{}")
    (reports / "tune.json").write_text("{}")
    changed = correct_preprocessing(deployed, OTHER).bundle
    checks = (
        "'reports/parity.json' was made before the preprocessing was changed: "
        "run 'lrn-deploy validate' again."
    )
    assert doubts(changed, "model") == (checks,), "nothing was calibrated to make it"
    assert doubts(changed, "trt-int8") == (
        "'trt-int8' was calibrated with another preprocessing: run 'lrn-deploy optimize' again.",
        checks,
    )
    (reports / "parity.json").write_text("[]")  # validated again
    assert doubts(changed, "model") == ()
    preprocessing = changed.manifest.preprocessing
    assert preprocessing is not None
    guessed = preprocessing.model_copy(update={"assumed": ("mean",)})
    (assumed,) = doubts(changed.update(preprocessing=guessed), "model")
    assert assumed.startswith("Preprocessing assumed: mean [")
    assert doubts(changed.update(preprocessing=None), "model") == ()


def test_a_manifest_that_cannot_be_written_stays_as_it_was(
    deployed: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    file = deployed.path / "manifest.json"
    before = file.read_bytes()
    monkeypatch.setattr("pathlib.Path.replace", full)
    with pytest.raises(CannotWriteError, match="No space left"):
        correct_preprocessing(deployed, OTHER)
    assert file.read_bytes() == before
    assert sorted(path.name for path in deployed.path.iterdir()) == [
        "labels.txt",
        "manifest.json",
        "model.onnx",
    ]
