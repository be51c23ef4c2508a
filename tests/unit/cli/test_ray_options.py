"""What 'serve' and 'classify' refuse to do on Ray, before it is started or anything written."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from lrn_deploy.cli import run
from lrn_deploy.cluster import runtime
from tests.support.image_bundles import colour_bundle, picture

pytest.importorskip("ray")


@pytest.fixture(autouse=True)
def _no_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "joined", lambda *_, **__: pytest.fail("Ray was started"))


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--model-control"], "--model-control is not possible with --engine ray."),
        (["--shared-memory"], "--shared-memory is not possible with --engine ray."),
        (["--metrics-port", "0"], "--metrics-port is not possible with --engine ray."),
        (["--supervise"], "--supervise is not possible with --engine ray"),
        (["--replicas", "0"], "0 is not in the range"),
        (["gone"], "gone"),
    ],
)
def test_what_a_server_on_ray_cannot_do_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], says: str
) -> None:
    bundle = colour_bundle(tmp_path / "colours")
    assert run(["serve", str(bundle.path), "--engine", "ray", *words]) == 2
    assert says in capsys.readouterr().err


def test_ray_that_is_not_installed_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    bundle = str(colour_bundle(tmp_path / "colours").path)
    out = tmp_path / "out"
    for words in (
        ["serve", bundle, "--engine", "ray"],
        ["serve", bundle, "--engine", "ray", "--print-config"],
        ["classify", bundle, bundle, "--engine", "ray", "--out", str(out)],
    ):
        assert run(words) == 3
        said = capsys.readouterr().err
        assert "--engine ray needs ray, which is not installed." in said
        assert "pip install" in said
    assert not out.exists()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--out", "{out}"], "--engine ray and --out FOLDER need each other."),
        (["--engine", "ray"], "--engine ray and --out FOLDER need each other."),
        (["--engine", "ray", "--out", "{out}", "empty"], "has no images"),
        (["--engine", "ray", "--out", "{out}", "--artifact", "other"], "other"),
        (["--engine", "ray", "--out", "photos"], "has files in it"),
    ],
)
def test_what_cannot_be_classified_to_a_folder_is_refused_and_nothing_is_written(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    says: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    bundle = colour_bundle(tmp_path / "colours")
    Path("photos").mkdir()
    Path("photos/red.png").write_bytes(picture("red"))
    Path("empty").mkdir()
    before = sorted(tmp_path.rglob("*"))
    told = [word.format(out=tmp_path / "out") for word in words]
    assert run(["classify", str(bundle.path), "photos", *told]) == 2
    assert says in capsys.readouterr().err
    assert sorted(tmp_path.rglob("*")) == before


def test_a_network_that_takes_no_images_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = colour_bundle(tmp_path / "colours", preprocessing=None)
    (tmp_path / "red.png").write_bytes(picture("red"))
    words = [str(tmp_path / "red.png"), "--engine", "ray", "--out", str(tmp_path / "out")]
    assert run(["classify", str(bundle.path), *words]) == 2
    assert "cannot classify" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
