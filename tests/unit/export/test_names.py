"""What a bundle is called, and so served and reported as."""

from __future__ import annotations

from pathlib import Path

import pytest

from lrn_deploy.errors import BadInputError
from lrn_deploy.export import ExportOptions, current_bundle, export_bundle
from lrn_deploy.network import reload_network
from lrn_deploy.serving.repository.repository import Repository
from lrn_deploy.serving.settings import ModelSettings


def test_two_networks_of_one_factorys_name_are_served_together(tmp_path: Path) -> None:
    for folder in ("first", "second"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "mynet.py").write_text(
            "from torch import nn\n"
            "def build():\n"
            "    return nn.Sequential(nn.Flatten(), nn.Linear(4, 2))\n"
        )
        request = ExportOptions(f"{tmp_path / folder}/mynet.py:build", input_shape=(1, 2, 2))
        export_bundle(request, tmp_path / f"{folder}-bundle")
    repository = Repository(ModelSettings())
    names = [repository.add(tmp_path / f"{folder}-bundle") for folder in ("first", "second")]
    assert names == ["first-bundle", "second-bundle"]


def test_a_bundle_is_named_after_its_folder_unless_told_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    plain = export_bundle(ExportOptions("digits"), Path("mine"))
    assert plain.manifest.model.name == "mine"
    assert plain.manifest.model.factory == "digits"
    assert reload_network(plain.manifest.model).source.factory == "digits"
    named = export_bundle(ExportOptions("digits", name="our digits"), Path("other"))
    assert named.manifest.model.name == "our digits"
    # The graph is the same, whatever it is called.
    assert plain.manifest.artifact("model").sha256 == named.manifest.artifact("model").sha256
    assert current_bundle(ExportOptions("digits", name="our digits"), Path("other")) is not None
    assert current_bundle(ExportOptions("digits", name="ours"), Path("other")) is None
    Path("mine").rename("moved")
    assert current_bundle(ExportOptions("digits"), Path("moved")) is not None


def test_a_folder_whose_name_is_no_text_leaves_the_networks_own(tmp_path: Path) -> None:
    bundle = export_bundle(ExportOptions("digits"), tmp_path / "a\nb\udcff")
    assert bundle.manifest.model.name == "digits"


@pytest.mark.parametrize("name", ["", " ", "a/b", "a\n", " a", "\ud800", "\x1b[2J"])
def test_a_name_that_cannot_stand_in_an_address_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadInputError, match="cannot be the name of a bundle") as caught:
        export_bundle(ExportOptions("digits", name=name), tmp_path / "b")
    assert caught.value.message.isprintable()
    assert list(tmp_path.iterdir()) == []
