"""Full exports of small networks: what the graph and the manifest say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from lrn_deploy.backends.onnxruntime import OnnxRuntimeBackend
from lrn_deploy.bundle import ArtifactData, Bundle, ModelSource, Preprocessing, Said, Weights
from lrn_deploy.errors import BadInputError
from lrn_deploy.export import ExportOptions, OnnxExport, current_bundle, export_bundle, to_onnx
from lrn_deploy.export import bundle as bundle_module
from lrn_deploy.export.bundle import key_of
from lrn_deploy.lrn import LrnSpec, reference
from lrn_deploy.models import ZOO
from lrn_deploy.network import Network
from lrn_deploy.network.inputs import one_input
from lrn_deploy.network.weights import initialize_he
from tests.support.exported import exported
from tests.support.networks import Functional, HandWritten, LrnOfEach
from tests.support.precision_graphs import distance

NETWORKS = Path(__file__).parents[2] / "support/networks.py"


def network(
    module: nn.Module, preprocessing: Preprocessing | None = None, *shapes: tuple[int, ...]
) -> Network:
    shape = shapes[0] if shapes else module.input_shape
    assert isinstance(shape, tuple)
    source = ModelSource(
        name="test",
        factory="test",
        origin="factory",
        input_shape=shape,
        weights=Weights(kind="factory"),
    )
    inputs = tuple(one_input(shape, name=f"x{at}") for at, shape in enumerate(shapes))
    return Network(module.eval(), source, preprocessing, None, inputs)


def run(export: OnnxExport, **feeds: np.ndarray[Any, Any]) -> list[np.ndarray[Any, Any]]:
    with OnnxRuntimeBackend().load(ArtifactData("model", "onnx", export.data)) as session:
        return list(session.run(feeds).values())


def random_specs(count: int) -> list[tuple[LrnSpec, tuple[int, ...]]]:
    rng = np.random.default_rng(7)
    cases = []
    for _ in range(count):
        spec = LrnSpec(
            size=int(rng.integers(1, 17)),
            alpha=float(10 ** rng.uniform(-6, 1)),
            beta=float(rng.uniform(0.1, 2)),
            k=float(10 ** rng.uniform(-1, 1)),
        )
        shape = tuple(int(n) for n in rng.integers(1, 6, rng.integers(2, 6)))
        cases.append((spec, (int(rng.integers(1, 21)), *shape[1:])))
    return cases


def test_full_export_of_any_lrn_equals_torch_and_the_definition() -> None:
    """Twenty in one graph: an export of one takes as long."""
    specs, shapes = zip(*random_specs(20), strict=True)
    norms = [nn.LocalResponseNorm(spec.size, spec.alpha, spec.beta, spec.k) for spec in specs]
    export = to_onnx(network(LrnOfEach(*norms), None, *shapes))
    rng = np.random.default_rng(0)
    inputs = [rng.uniform(-100, 100, (3, *shape)).astype(np.float32) for shape in shapes]
    outputs = run(export, **{f"x{at}": x for at, x in enumerate(inputs)})
    for x, y, norm, spec in zip(inputs, outputs, norms, specs, strict=True):
        np.testing.assert_allclose(y, reference(x, spec), rtol=1e-5, atol=1e-30)
        np.testing.assert_allclose(y, norm(torch.from_numpy(x)).numpy(), rtol=2e-5, atol=1e-30)
    assert [(layer.spec, layer.name) for layer in export.lrn_layers] == [
        (spec, f"norms.{at}") for at, spec in enumerate(specs)
    ]


@pytest.mark.usefixtures("traced_capture")
def test_every_way_to_call_lrn_is_kept_whole() -> None:
    export = to_onnx(network(Functional()))
    nodes = [
        node for node in onnx.load_from_string(export.data).graph.node if node.op_type == "LRN"
    ]
    assert [layer.spec for layer in export.lrn_layers] == [
        LrnSpec(5, 2e-4, 0.75, 1.0),
        LrnSpec(3, 1e-4, 0.5, 2.0),
        LrnSpec(3),
        LrnSpec(3),
    ]
    assert [layer.name for layer in export.lrn_layers] == ["(top)", "(top)", "norm", "norm"]
    assert [layer.output for layer in export.lrn_layers] == [node.output[0] for node in nodes]
    assert [layer.input for layer in export.lrn_layers] == [node.input[0] for node in nodes]


def test_an_lrn_written_by_hand_becomes_one_node() -> None:
    module = HandWritten()
    export = to_onnx(network(module))
    operators = [node.op_type for node in onnx.load_from_string(export.data).graph.node]
    assert operators == ["Conv", "Relu", "LRN", "MaxPool", "LRN"]
    assert [(layer.name, layer.spec, layer.origin) for layer in export.lrn_layers] == [
        ("norm", LrnSpec(5, 2e-4, 0.75, 2.0), "raised"),
        ("(top)", LrnSpec(3), "module"),
    ]
    assert "norm.average" not in [layer.module for layer in export.layers]
    x = np.random.default_rng(0).normal(0, 300, (3, 3, 9, 9)).astype(np.float32)
    (y,) = run(export, input=x)
    exact = torch.from_numpy(x.astype(np.float64))
    with torch.no_grad():
        assert distance(y, module.double()(exact).numpy()) < 1e-6
        module.norm.alpha *= 1.01
        assert distance(y, module(exact).numpy()) > 1e-3


@pytest.mark.usefixtures("traced_capture")
@pytest.mark.parametrize("mode", ["RGB", "BGR"])
def test_uint8_input_puts_preprocessing_into_the_graph(mode: Any) -> None:
    class Small(nn.Module):
        input_shape = (3, 12, 10)

        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 8, 3)
            self.norm = nn.LocalResponseNorm(5)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y: torch.Tensor = self.norm(torch.relu(self.conv(x)))
            return y

    module = Small()
    initialize_he(module, 3)
    mean, std = (0.1, 0.2, 0.3), (0.5, 0.6, 0.7)
    preprocessing = Preprocessing(mode=mode, crop=(12, 10), mean=mean, std=std, in_graph=True)
    export = to_onnx(network(module, preprocessing), preprocessing)
    assert (export.inputs[0].dtype, export.inputs[0].shape) == ("uint8", ("batch", 12, 10, 3))
    assert export.lrn_layers[0].name == "norm"
    assert [layer.module for layer in export.layers][-1] == "norm"
    image = np.random.default_rng(0).integers(0, 256, (3, 12, 10, 3), np.uint8)
    planes = image if mode == "RGB" else image[..., ::-1]
    x = ((planes / 255.0 - np.array(mean)) / np.array(std)).transpose(0, 3, 1, 2)
    with torch.no_grad():
        expected = module(torch.from_numpy(x.astype(np.float32))).numpy()
    (y,) = run(export, input=image)
    assert distance(y, expected) < 1e-6


@pytest.mark.usefixtures("one_graph_each")
def test_network_without_lrn_is_fine(tmp_path: Path) -> None:
    bundle = export_bundle(
        ExportOptions(f"{NETWORKS}:no_lrn", input_shape=(1, 4, 4)), tmp_path / "b"
    )
    assert bundle.manifest.lrn_layers == ()


@pytest.mark.parametrize(
    ("factory", "sentence"),
    [
        ("no_lrn", "input shape"),
        ("raises", "raised RuntimeError: no such backbone"),
        ("no_module", "returned a str"),
        ("nothing", "no callable named 'nothing'"),
        ("fixed_batch", "one batch size only"),
        ("no_translation", "prims.bessel_j0, which has no ONNX"),
        ("branching", "cannot be exported"),
    ],
)
def test_factories_that_cannot_be_exported(tmp_path: Path, factory: str, sentence: str) -> None:
    with pytest.raises(BadInputError, match=sentence) as caught:
        export_bundle(ExportOptions(f"{NETWORKS}:{factory}"), tmp_path / "b")
    assert "\n" not in caught.value.message
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("one_graph_each")
def test_export_leaves_a_bundle_alone_unless_forced(tmp_path: Path) -> None:
    request = ExportOptions(f"{NETWORKS}:no_lrn_with_shape")
    first = export_bundle(request, tmp_path / "b")
    before = (first.path / "manifest.json").read_bytes()
    with pytest.raises(BadInputError, match="already holds a bundle"):
        export_bundle(request, tmp_path / "b")
    assert (first.path / "manifest.json").read_bytes() == before
    export_bundle(request, tmp_path / "b", force=True)
    assert [path.name for path in tmp_path.iterdir()] == ["b"]


def test_same_request_for_a_zoo_network_is_up_to_date(tmp_path: Path) -> None:
    request = ExportOptions("digits")
    bundle = exported("digits", tmp_path / "b")
    again = current_bundle(request, tmp_path / "b")
    assert again is not None
    assert again.manifest == bundle.manifest
    assert bundle.manifest.preprocessing == ZOO["digits"].preprocessing
    assert bundle.labels() == tuple("0123456789")
    artifact = bundle.manifest.artifact("model")
    assert (artifact.key, artifact.options) == (key_of(request), {"opset": 18})
    assert artifact.built_by["command"] == "export"
    assert artifact.size == len((bundle.path / "model.onnx").read_bytes())
    labels = bundle.manifest.labels
    assert labels is not None
    assert (labels.file, labels.size) == ("labels.txt", 20)
    assert current_bundle(ExportOptions("digits", opset=19), tmp_path / "b") is None
    assert current_bundle(ExportOptions("digits", uint8_input=True), tmp_path / "b") is None
    data = bytearray((bundle.path / "model.onnx").read_bytes())
    data[len(data) // 2] ^= 1
    (bundle.path / "model.onnx").write_bytes(data)
    assert current_bundle(request, tmp_path / "b") is None


@pytest.mark.usefixtures("one_graph_each")
def test_users_factory_is_never_assumed_unchanged(tmp_path: Path) -> None:
    request = ExportOptions(f"{NETWORKS}:no_lrn_with_shape")
    export_bundle(request, tmp_path / "b")
    assert current_bundle(request, tmp_path / "b") is None


@pytest.mark.parametrize(
    ("opset", "said"),
    [(17, "Opset 17"), (18, "labels file"), (20, "labels file"), (21, "Opset 21")],
)
def test_opset_out_of_range(tmp_path: Path, opset: int, said: str) -> None:
    """Of one in range the next thing that is wrong is told."""
    request = ExportOptions("alexnet", opset=opset, labels=tmp_path / "gone.txt")
    with pytest.raises(BadInputError, match=said):
        export_bundle(request, tmp_path / "b")


def test_what_is_in_the_way_is_told_before_the_network_is_loaded(tmp_path: Path) -> None:
    (tmp_path / "b").write_text("the only copy")
    with pytest.raises(BadInputError, match="is not a bundle"):
        export_bundle(ExportOptions("no such network"), tmp_path / "b")


@pytest.mark.usefixtures("one_graph_each")
def test_labels_file_is_recorded(tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_text("cat\ndog\nowl\n")
    request = ExportOptions(f"{NETWORKS}:no_lrn_with_shape", labels=tmp_path / "names.txt")
    export_bundle(request, tmp_path / "b")
    assert Bundle.open(tmp_path / "b").labels() == ("cat", "dog", "owl")


@pytest.mark.usefixtures("one_graph_each")
@pytest.mark.parametrize(
    ("factory", "names", "sentence"),
    [
        ("no_lrn_with_shape", "cat\ndog\n", "There are 2 class names for an output of 3 classes"),
        ("functional", "cat\n", r"output \[batch, 6, 5, 5\] is no vector of classes"),
        ("no_lrn_with_shape", "\n", "'names.txt' holds no class names"),
    ],
)
def test_labels_that_do_not_fit_the_output_are_refused_when_given(
    tmp_path: Path, factory: str, names: str, sentence: str
) -> None:
    (tmp_path / "names.txt").write_text(names)
    request = ExportOptions(f"{NETWORKS}:{factory}", labels=tmp_path / "names.txt")
    with pytest.raises(BadInputError, match=sentence):
        export_bundle(request, tmp_path / "b")
    assert [path.name for path in tmp_path.iterdir()] == ["names.txt"]


def test_the_key_of_an_artifact_holds_what_its_files_hold(tmp_path: Path) -> None:
    def key(weights: bytes | None, labels: str | None = None) -> str:
        """Of a request that names the same files each time."""
        if weights is not None:
            (tmp_path / "weights.pt").write_bytes(weights)
        if labels is not None:
            (tmp_path / "labels.txt").write_text(labels)
        options = ExportOptions(
            "digits",
            weights=None if weights is None else tmp_path / "weights.pt",
            labels=None if labels is None else tmp_path / "labels.txt",
        )
        return key_of(options)

    assert key(b"first") == key(b"first")
    keys = {key(None), key(b"first"), key(b"second"), key(b"first", "a"), key(b"first", "b")}
    assert len(keys) == 5


def test_the_key_of_an_artifact_holds_what_it_was_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    requests = [
        ExportOptions("digits"),
        ExportOptions("digits", seed=1),
        ExportOptions("digits", opset=19),
        ExportOptions("digits", uint8_input=True),
        ExportOptions("digits", name="mine"),
        ExportOptions("digits", preprocessing=Said(interpolation="box")),
        ExportOptions("alexnet"),
    ]
    keys = [key_of(request) for request in requests]
    assert len(set(keys)) == len(requests)
    assert key_of(ExportOptions("digits", seed=0, opset=18, uint8_input=False)) == keys[0]
    assert key_of(ExportOptions(nn.ReLU())) == ""
    monkeypatch.setattr(bundle_module, "version", lambda _name: "another")
    assert key_of(requests[0]) != keys[0]
