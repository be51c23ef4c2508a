"""What of a bundle goes along into a package."""

from __future__ import annotations

from pathlib import Path

from lrn_deploy.bundle import Bundle, Choice
from lrn_deploy.package.carry import carry
from lrn_deploy.progress import silent
from tests.support.image_bundles import colour_bundle
from tests.support.packages import colours, subject_of


def test_what_a_server_reads_goes_along_and_is_counted(tmp_path: Path) -> None:
    subject = colours(tmp_path / "colours", "binary")
    told: list[tuple[str, int, int]] = []
    out = tmp_path / "out"
    size = carry(subject, out, lambda what, done, total: told.append((what, done, total)))
    files = sorted(path for path in out.rglob("*") if path.is_file())
    names = {str(path.relative_to(out)) for path in files}
    labels = subject.bundle.manifest.labels
    assert names == {"manifest.json", "model.onnx"} | ({labels.file} if labels else set())
    assert size == sum(len(path.read_bytes()) for path in files)
    copied = len(files) - 1  # the manifest is written anew
    assert told == [("copying", done, copied) for done in range(copied)]
    carried = Bundle.open(out)
    carried.load("model")
    assert carried.manifest.samples == {}


def test_of_a_chosen_artifact_its_choices_go_along(tmp_path: Path) -> None:
    bundle = colour_bundle(tmp_path / "colours")
    model = bundle.manifest.artifact("model")
    other = bundle.add_file("other.onnx", bundle.read(model))
    both = {"model": model, "other": model.model_copy(update=other.model_dump())}
    choices = tuple(
        Choice(artifact=name, sha256=one.sha256, backend="onnxruntime:cpu", threads=1)
        for name, one in both.items()
    )
    bundle = bundle.update(artifacts=both, choices=choices)
    for chosen, kept in ({"artifact": "other"}, ["other"]), ({}, ["model", "other"]):
        out = tmp_path / "-".join(kept)
        carry(subject_of(bundle, "binary", **chosen), out, silent)
        manifest = Bundle.open(out).manifest
        assert list(manifest.artifacts) == kept
        assert [one.artifact for one in manifest.choices] == kept
        assert manifest.default == kept[0]
        assert {path.name for path in out.glob("*.onnx")} == {f"{name}.onnx" for name in kept}
