"""The precisions of ``lrn-deploy build-engine``, and that two builds give equal bytes."""

from __future__ import annotations

import fcntl
import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from lrn_deploy import bundle as bundle_package
from lrn_deploy.bundle import Bundle
from lrn_deploy.workflows.build_engine import build_engine as workflow
from tests.support.engine_builds import build
from tests.support.exported import exported

pytestmark = pytest.mark.tensorrt


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("precision", ["fp16", "bf16", "int8"])
def test_a_precision_builds_the_variant_of_optimize(
    digits: Path, capsys: pytest.CaptureFixture[str], precision: str
) -> None:
    assert build(digits, "--precision", precision, "--json") == 0
    answer = json.loads(capsys.readouterr().out)
    manifest = Bundle.open(digits).manifest
    variant = manifest.artifact(f"trt-{precision}")
    artifact = manifest.artifact(answer["name"])
    assert (artifact.precision, artifact.source) == (precision, f"trt-{precision}")
    assert artifact.engine is not None
    assert artifact.engine.source_sha256 == variant.sha256
    layers = json.loads((digits / artifact.companions[0].file).read_bytes())["layers"]
    types = {value["dtype"] for layer in layers for value in layer["outputs"]}
    assert precision in types
    quotients = [layer for layer in layers if layer["name"].endswith("_lowered_quotient")]
    assert [layer["outputs"][0]["dtype"] for layer in quotients] == ["fp32", "fp32"]
    assert build(digits, "--precision", precision, "--json") == 0
    assert json.loads(capsys.readouterr().out)["reused"] is True


@pytest.mark.slow
@pytest.mark.usefixtures("here", "unmeasured")  # smaller networks go through the same lines
def test_alexnet_builds_with_both_lrn_layers_written_out(tmp_path: Path) -> None:
    path = exported("alexnet", tmp_path / "alexnet").path
    assert build(path, "--target", "sm89") == 0
    artifact = Bundle.open(path).manifest.artifact("rtx-fp32-sm89")
    assert artifact.engine is not None
    assert artifact.size > 4 * 62_378_344  # its weights are in it
    assert [item.form for item in artifact.engine.lrn] == ["written out", "written out"]
    layers = json.loads((path / artifact.companions[0].file).read_bytes())["layers"]
    types = [layer["type"] for layer in layers]
    assert "LRN" not in types
    assert types.count("SLICE") >= 2 * 5  # (a + b) + (c + d) + e, and pairs serve two windows


@pytest.mark.usefixtures("here")
def test_turing_builds_in_fp16_only(digits: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert build(digits, "--precision", "fp16", "--target", "sm75") == 0
    for precision in ("fp32", "bf16", "int8"):
        assert build(digits, "--precision", precision, "--target", "sm75") == 2
        assert "for Turing (sm75)" in capsys.readouterr().err


@pytest.fixture
def alone() -> Iterator[None]:
    """One such test at a time: it removes bytecode that the builds of another would read."""
    with (Path(tempfile.gettempdir()) / "lrn-deploy-bytecode.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@pytest.mark.usefixtures("alone")
@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_two_builds_give_equal_bytes(
    plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, precision: str
) -> None:
    """Without fixed addresses, six builds of digits with a dynamic batch gave four results.

    With them, two of three agree. Files that came beside the modules had changed the bytes, and
    so did bytecode that was gone: both move what is in the memory of the process.
    """
    modules = tmp_path / "modules"
    modules.mkdir()
    monkeypatch.setenv("PYTHONPATH", str(modules))
    engines = []
    for place in ("one", "another/place", "a third"):
        path = Path(shutil.copytree(plain, tmp_path / place))
        monkeypatch.setenv("SOMETHING", place * 100)
        assert build(path, "--precision", precision) == 0
        name = f"rtx-{precision}-sm86-sm89-sm120"
        engines.append(Bundle.open(path).load(name))
        if len({item.data for item in engines}) < len(engines):
            break  # two agree, whatever a third would be
        for number in range(1000):
            (modules / f"a file that has come {number}").touch()
        shutil.rmtree(Path(workflow.__file__).parent / "__pycache__", ignore_errors=True)
        shutil.rmtree(Path(bundle_package.__file__).parent / "__pycache__", ignore_errors=True)
    if all(item.engine is not None and item.engine.reproducible for item in engines):
        assert len({item.engine.source_sha256 for item in engines if item.engine}) == 1
        # TensorRT's own threads race for where their memory lies, so that on a busy machine one
        # build in some dozens comes out otherwise. Left to themselves hardly two are equal.
        assert len({item.data for item in engines}) < len(engines)
    else:
        pytest.skip("this system does not let a process fix its addresses")
