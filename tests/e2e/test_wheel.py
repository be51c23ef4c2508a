"""The wheel that a user installs: all of the package, and nothing beside it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ASKED = """
import contextlib, io, json, sys
sys.path[:0] = {paths!r}
import lrn_deploy, lrn_deploy.models, lrn_deploy.plugins
print(json.dumps([part.__file__ for part in (lrn_deploy, lrn_deploy.models, lrn_deploy.plugins)]))
from lrn_deploy.cli import run
with contextlib.redirect_stdout(io.StringIO()) as told:
    assert run(["models", "--json"]) == 0
print(json.dumps(json.loads(told.getvalue())))
from lrn_deploy.network import load_network
print(load_network("digits").source.weights.kind)
from lrn_deploy.extras import install
print(install("export", "cpu"))
"""

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds the installed wheel and nothing else."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    # A copy, since setuptools writes build/ and *.egg-info beside what it builds.
    shutil.copytree(
        ROOT,
        source,
        symlinks=True,
        ignore=shutil.ignore_patterns(".*", "build", "demo", "dist", "*.egg-info", "__pycache__"),
    )
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder)]
    build += ["--skip-dependency-check", str(source)]
    subprocess.run(build, check=True, capture_output=True, timeout=240)
    (wheel,) = folder.glob("*.whl")
    target = folder / "site"
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    quick = ["--no-compile", "--disable-pip-version-check"]
    subprocess.run([*install, *quick, "--target", str(target), str(wheel)], check=True, timeout=240)
    return target


@pytest.fixture(scope="module")
def said(site: Path) -> dict[str, str]:
    """What the installed wheel says, before this environment's dependencies, in one process.

    ``-S`` keeps the editable installation of this repository out of the way, and with ``-I`` the
    folder that tests run in.
    """
    paths = [str(site), sysconfig.get_path("purelib")]
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", ASKED.format(paths=paths)],
        check=True,
        capture_output=True,
        text=True,
        timeout=240,
    )
    return dict(
        zip(("files", "models", "weights", "install"), done.stdout.splitlines(), strict=True)
    )


def test_only_one_package_reaches_site_packages(site: Path) -> None:
    top = {path.name for path in site.iterdir() if not path.name.endswith(".dist-info")}
    assert top - {"bin", "__pycache__"} == {"lrn_deploy"}


def test_every_python_file_of_the_repository_is_inside(site: Path) -> None:
    source = site.parent / "source"
    expected = {
        path.relative_to(source)
        for folder in ("lrn_deploy", "lrn_deploy/models", "lrn_deploy/plugins")
        for path in (source / folder).rglob("*.py")
    }
    assert Path("lrn_deploy/models/alexnet.py") in expected
    assert {path for path in expected if not (site / path).is_file()} == set()


def test_data_files_are_inside(site: Path) -> None:
    package = site / "lrn_deploy"
    assert (package / "py.typed").is_file()
    for pattern in ("weights/*.safetensors", "labels/*.txt"):
        shipped = {path.name for path in (package / "models").glob(pattern)}
        source = site.parent / "source" / "models"
        assert shipped == {path.name for path in source.glob(pattern)} != set()
    chart = Path("lrn_deploy/package/helm/files")
    files = {path.relative_to(ROOT) for path in (ROOT / chart).rglob("*") if path.is_file()}
    assert chart / "templates" / "_helpers.tpl" in files
    assert {file for file in files if not (site / file).is_file()} == set()


def test_licence_and_program_are_inside(site: Path) -> None:
    (info,) = site.glob("*.dist-info")
    assert "Apache License" in (info / "licenses" / "LICENSE").read_text()
    assert "lrn-deploy = lrn_deploy.cli:main" in (info / "entry_points.txt").read_text()


def test_models_and_plugins_import_from_the_wheel(site: Path, said: dict[str, str]) -> None:
    files = json.loads(said["files"])
    assert len(files) == 3
    assert all(Path(file).is_relative_to(site) for file in files)


def test_program_runs_from_the_wheel(said: dict[str, str]) -> None:
    assert "alexnet" in {entry["name"] for entry in json.loads(said["models"])}


def test_shipped_weights_load_from_the_wheel(said: dict[str, str]) -> None:
    assert said["weights"] == "shipped"


def test_what_is_missing_is_named_without_an_index_that_has_us(said: dict[str, str]) -> None:
    assert said["install"] == "pip install 'torch>=2.11' 'onnxscript>=0.5' 'onnxruntime>=1.20'"
