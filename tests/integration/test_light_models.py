"""The zoo's own files of opset 9, as the onnx package has them: imported, matched, validated."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lrn_deploy.bundle import Bundle
from lrn_deploy.errors import BadInputError
from lrn_deploy.lrn import LrnSpec
from lrn_deploy.workflows.build_engine.build_engine import build_bundle_engine
from lrn_deploy.workflows.build_engine.options import EngineOptions
from lrn_deploy.workflows.import_network.import_network import import_network
from lrn_deploy.workflows.import_network.options import ImportOptions
from lrn_deploy.workflows.validate.options import ValidateOptions
from lrn_deploy.workflows.validate.validate import validate
from tests.support.engine_builds import build_in_this_process
from tests.support.light_models import NAMES, WITH_LRN, light
from tests.support.onnx_graphs import by_onnxruntime, save

SPECS = dict.fromkeys(NAMES, LrnSpec(5, 1e-4, 0.75, 1.0)) | {
    "light_zfnet512": LrnSpec(5, 5e-4, 0.75, 2.0)
}


def imported(name: str, folder: Path, *, scores: bool = False) -> Bundle:
    file = save(folder, light(name, scores=scores))
    return import_network(ImportOptions(file), folder / "bundle").bundle


@pytest.fixture(scope="module", params=NAMES)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a model's name, with its file and the bundle that was made of it."""
    made = tmp_path_factory.mktemp("light") / request.param
    made.mkdir()
    imported(request.param, made)
    return made


def test_a_light_model_computes_the_same_for_any_batch(folder: Path) -> None:
    name, bundle = folder.name, Bundle.open(folder / "bundle")
    layers = bundle.manifest.lrn_layers
    assert [layer.spec for layer in layers] == [SPECS[name]] * 2 * (name in WITH_LRN)
    assert {layer.form for layer in layers} <= {"kept"}
    (spec,) = bundle.manifest.inputs
    assert spec.shape == ("batch", 3, 224, 224)
    x = np.random.default_rng(1).normal(0, 60, (2, 3, 224, 224)).astype(np.float32)
    (got,) = by_onnxruntime(bundle.load("model").data, {spec.name: x})
    source = (folder / "net.onnx").read_bytes()
    # The file is for one image: the second shows that a batch's rows stay apart.
    (row,) = by_onnxruntime(source, {spec.name: x[1:]})
    np.testing.assert_allclose(got[1:], row, rtol=1e-3, atol=1e-7)


@pytest.mark.slow
def test_a_light_model_validates(tmp_path: Path) -> None:
    options = ValidateOptions(batches=(1,), devices=("cpu",))
    bundle = imported("light_bvlc_alexnet", tmp_path, scores=True)
    checked = validate(bundle, options).report
    assert checked.verdict == "pass", checked.caught_by


@pytest.mark.tensorrt
@pytest.mark.parametrize("folder", ["light_bvlc_alexnet", "light_inception_v1"], indirect=True)
def test_a_light_model_builds_an_engine_for_sm89(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("tensorrt_rtx", reason="builds its engine with tensorrt-rtx")
    build_in_this_process(monkeypatch)
    bundle = Bundle.open(folder / "bundle")
    built = build_bundle_engine(bundle, EngineOptions(targets=("sm89",)))
    engine = built.artifact.engine
    assert engine is not None
    assert engine.targets == ("sm89",)
    layers = [layer.name for layer in bundle.manifest.lrn_layers]
    assert [(lrn.name, lrn.form) for lrn in engine.lrn] == [
        (name, "written out") for name in layers
    ]
    assert len(layers) == 2


def test_a_light_model_for_another_size_is_refused(tmp_path: Path) -> None:
    made = light("light_bvlc_alexnet")
    data = next(item for item in made.graph.input if item.name == "data_0")
    for axis in data.type.tensor_type.shape.dim[2:]:
        axis.dim_value = 288
    request = ImportOptions(save(tmp_path, made))
    with pytest.raises(BadInputError, match="not as many numbers"):
        import_network(request, tmp_path / "b")
