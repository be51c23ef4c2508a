"""Several inputs and outputs in the graph: the same numbers as PyTorch's, by name."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from lrn_deploy.backends.onnxruntime import OnnxRuntimeBackend
from lrn_deploy.backends.torch import TorchBackend
from lrn_deploy.bundle import Bundle, TensorSpec
from lrn_deploy.errors import BadInputError
from lrn_deploy.export import ExportOptions, export_bundle
from lrn_deploy.network.inputs import one_input
from lrn_deploy.workflows.validate.reference import open_reference
from tests.support import several_inputs
from tests.support.several_inputs import FILE, IMAGE, ROWS, TOKENS

FLOATS = one_input((3, 4), name="")
GIVEN: dict[str, tuple[TensorSpec, ...]] = {
    "Captioned": (TOKENS, IMAGE),
    "Shown": (),
    "KeywordOnly": (IMAGE, TOKENS),
    "Many": (FLOATS, FLOATS),
    "Kinds": (
        one_input((4, 7), name="x"),
        one_input((), name="label", dtype="int64"),
        one_input((7,), name="mask", dtype="bool"),
    ),
    "Several": (),
    "Mapped": (),
}


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Bundle]:
    folder = tmp_path_factory.mktemp("several")
    return {
        name: export_bundle(ExportOptions(f"{FILE}:{name}", inputs=given), folder / name)
        for name, given in GIVEN.items()
    }


def feeds(bundle: Bundle, rows: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(rows)
    made = {}
    for spec in bundle.manifest.inputs:
        shape = spec.at_batch(rows)
        integers = rng.integers(0, 2 if spec.dtype == "bool" else 5, shape)
        made[spec.name] = (rng.normal(size=shape) if spec.dtype == "float32" else integers).astype(
            spec.dtype
        )
    return made


@pytest.mark.parametrize("name", GIVEN)
def test_the_graph_computes_what_pytorch_computes(bundles: dict[str, Bundle], name: str) -> None:
    bundle = bundles[name]
    torch.manual_seed(0)
    module = getattr(several_inputs, name)().eval()
    with (
        OnnxRuntimeBackend("cpu").load(bundle.load("model")) as session,
        open_reference(bundle.manifest, TorchBackend()) as reference,
    ):
        for rows in (1, 3):
            given = feeds(bundle, rows)
            tensors = {key: torch.from_numpy(value) for key, value in given.items()}
            with torch.no_grad():
                result = module(**tensors) if name == "KeywordOnly" else module(*tensors.values())
            parts = result.values() if isinstance(result, dict) else result
            truths = [result] if isinstance(result, torch.Tensor) else list(parts)
            for outputs in (session.run(given), reference.run(given)):
                assert list(outputs) == [spec.name for spec in bundle.manifest.outputs]
                for found, truth in zip(outputs.values(), truths, strict=True):
                    np.testing.assert_allclose(found, truth.numpy(), rtol=1e-5, atol=1e-6)


def test_several_outputs_are_numbered_in_their_order(bundles: dict[str, Bundle]) -> None:
    for name in ("Several", "Mapped"):
        outputs = bundles[name].manifest.outputs
        assert [(spec.name, spec.shape[1:]) for spec in outputs] == [
            ("output_0", (4,)),
            ("output_1", (3, 8, 8)),
        ]


def test_the_manifest_says_what_each_input_is(bundles: dict[str, Bundle]) -> None:
    inputs = bundles["Captioned"].manifest.inputs
    assert [spec.described for spec in inputs] == [
        "image: float32 [batch, 3, 8, 8]",
        f"tokens: int64 [batch, 5], 0 to {ROWS - 1}, the rows of its table",
    ]


def test_an_input_that_changes_nothing_is_refused(tmp_path: Path) -> None:
    request = ExportOptions(f"{FILE}:Unused", inputs=(FLOATS, FLOATS))
    with pytest.raises(BadInputError, match="makes no use of its input 'hint'") as caught:
        export_bundle(request, tmp_path / "b")
    assert "'hint=None'" in caught.value.hint
    assert not (tmp_path / "b").exists()


def test_images_alone_can_be_uint8(tmp_path: Path) -> None:
    request = ExportOptions(f"{FILE}:Captioned", inputs=(IMAGE, TOKENS), uint8_input=True)
    with pytest.raises(BadInputError, match="cannot take uint8 images"):
        export_bundle(request, tmp_path / "b")


def test_a_manifest_from_before_integers_had_a_range_opens(
    bundles: dict[str, Bundle], tmp_path: Path
) -> None:
    path = Path(shutil.copytree(bundles["Captioned"].path, tmp_path / "b"))
    file = path / "manifest.json"
    content = json.loads(file.read_text())
    for spec in (*content["inputs"], *content["outputs"]):
        del spec["values"]
    file.write_text(json.dumps(content))
    assert [spec.values for spec in Bundle.open(path).manifest.inputs] == [None, None]
