"""An artifact of a bundle that is served because it was asked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from lrn_deploy.bundle import Artifact
from lrn_deploy.cli.serve import _named
from lrn_deploy.serving.errors import RequestError
from lrn_deploy.serving.repository.repository import Repository
from lrn_deploy.serving.settings import ModelSettings
from tests.support.image_bundles import colour_bundle


@pytest.mark.parametrize(
    ("text", "name", "folder", "artifact"),
    [
        ("there", "", "there", ""),
        ("there:cpu-int8", "", "there", "cpu-int8"),
        ("small=there:cpu-int8", "small", "there", "cpu-int8"),
        ("small=there", "small", "there", ""),
        ("missing", "", "missing", ""),
        ("missing:cpu-int8", "", "missing", "cpu-int8"),
        ("with:colon", "", "with:colon", ""),
        ("with:colon:cpu-int8", "", "with:colon", "cpu-int8"),
        ("x=with:colon", "x", "with:colon", ""),
        ("a=b", "", "a=b", ""),
        (":model", "", ":model", ""),
    ],
)
def test_a_bundle_and_its_artifact_are_told_apart(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    text: str,
    name: str,
    folder: str,
    artifact: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    for one in ("there", "with:colon", "a=b"):
        (tmp_path / one).mkdir()
    assert _named(text) == (name, folder, artifact)


def test_two_artifacts_of_one_bundle_are_served_beside_each_other(tmp_path: Path) -> None:
    bundle = colour_bundle(tmp_path / "colours")
    model = bundle.manifest.artifact("model")
    lowered = Artifact(**bundle.add_file("lowered.onnx", bundle.read(model)).model_dump(),
                       format="onnx", precision="int8", source="model")  # fmt: skip
    bundle.add_artifact("cpu-int8", lowered)
    repository = Repository(ModelSettings(threads=1), drain_seconds=5)
    names = [repository.add(bundle.path), repository.add(bundle.path, artifact="cpu-int8")]
    assert names == ["colours", "colours-cpu-int8"]
    for name in names:
        repository.load(name)
        repository.load(name)  # anew, and it is still that artifact
    served = [repository.get(name) for name in names]
    assert [one.artifact for one in served] == ["model", "cpu-int8"]
    assert served[1].source.reason == "it was asked for"
    missing = repository.add(bundle.path, artifact="cpu-w4")
    with pytest.raises(RequestError, match="no artifact named 'cpu-w4'"):
        repository.load(missing)
    repository.close(5)
