"""Model repositories that no tritonserver here can load: read back, and held to Triton's rules."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import onnx
import pytest
from tritonclient.grpc import model_config_pb2 as pb

from lrn_deploy.bundle import Bundle, EngineRecord
from lrn_deploy.errors import MissingError
from lrn_deploy.package.options import PackageOptions
from lrn_deploy.package.package import Packaged, package
from lrn_deploy.package.triton import config
from lrn_deploy.progress import silent
from tests.support.digits_bundle import digits_bundle
from tests.support.image_bundles import PREPROCESSING, colour_bundle

ELEMENTS = {onnx.TensorProto.FLOAT: pb.TYPE_FP32, onnx.TensorProto.UINT8: pb.TYPE_UINT8}


def packaged(bundle: Bundle, output: Path, **options: Any) -> Packaged:
    return package(bundle, output, PackageOptions("triton", **options), silent, force=False)


def told(output: Path, model: str) -> Any:
    return config.from_text((output / model / "config.pbtxt").read_text())


def faults(told: Any, graph: onnx.GraphProto) -> list[str]:
    """Where a configuration and the file are not of one network, as Triton's backend checks it."""
    found = []
    for said, values in ((told.input, graph.input), (told.output, graph.output)):
        if [tensor.name for tensor in said] != [value.name for value in values]:
            found.append("names")
        for tensor, value in zip(said, values, strict=False):
            axes = [axis.dim_value or -1 for axis in value.type.tensor_type.shape.dim]
            batch = axes.pop(0) if told.max_batch_size else -1
            if batch != -1:
                found.append(f"{tensor.name}: batching with a fixed batch")
            if list(tensor.dims) != axes:
                found.append(f"{tensor.name}: dims")
            if tensor.data_type != ELEMENTS[value.type.tensor_type.elem_type]:
                found.append(f"{tensor.name}: type")
    return found


@pytest.mark.parametrize("kind", ["digits", "colours", "uint8", "of-2"])
def test_onnx_file_and_configuration_agree(tmp_path: Path, kind: str) -> None:
    in_graph = PREPROCESSING.model_copy(update={"in_graph": True})
    bundle = {
        "digits": lambda: digits_bundle(tmp_path / "b"),
        "colours": lambda: colour_bundle(tmp_path / "b"),
        "uint8": lambda: colour_bundle(tmp_path / "b", preprocessing=in_graph),
        "of-2": lambda: colour_bundle(tmp_path / "b", batch=2),
    }[kind]()
    made = packaged(bundle, tmp_path / "out", name="net", threads=3)
    data = (tmp_path / "out" / "net" / "1" / "model.onnx").read_bytes()
    assert data == (bundle.path / "model.onnx").read_bytes()
    found = told(tmp_path / "out", "net")
    assert faults(found, onnx.load_model_from_string(data).graph) == []
    assert found.backend == "onnxruntime"
    assert found.max_batch_size == (0 if kind == "of-2" else 16)
    assert dict(found.parameters) == {"intra_op_thread_count": pb.ModelParameter(string_value="3")}
    assert not (tmp_path / "out" / "net" / "1" / "model.py").exists()
    assert "backend 'onnxruntime'" in made.notes[0]
    found.input[0].dims[0] += 1
    found.output[0].data_type = pb.TYPE_FP16
    assert len(faults(found, onnx.load_model_from_string(data).graph)) == 2


@pytest.mark.parametrize(
    ("batch", "dims", "most"), [((1, 8, 32), [3, 8, 8], 16), ((4, 4, 4), [4, 3, 8, 8], 0)]
)
def test_engine_is_a_plan_on_a_gpu(
    tmp_path: Path, batch: tuple[int, int, int], dims: list[int], most: int
) -> None:
    bundle = colour_bundle(tmp_path / "b")
    engine = EngineRecord(
        flavor="tensorrt",
        version="10.9.0",
        platform="linux-x86_64",
        targets=("sm89",),
        precision="fp16",
        batch=batch,
        profile={},
        source_sha256=bundle.manifest.artifact("model").sha256,
        build_seconds=1,
        peak_memory=None,
    )
    record = bundle.add_file("engines/e.engine", b"a plan")
    artifact = bundle.manifest.artifact("model").model_copy(
        update={**record.model_dump(), "format": "tensorrt", "engine": engine, "source": "model"}
    )
    bundle = bundle.update(artifacts={**bundle.manifest.artifacts, "trt": artifact})
    made = packaged(bundle, tmp_path / "out", artifact="trt", device="cuda", name="net")
    assert (tmp_path / "out" / "net" / "1" / "model.plan").read_bytes() == b"a plan"
    found = told(tmp_path / "out", "net")
    assert (found.backend, found.max_batch_size) == ("tensorrt", most)
    assert list(found.input[0].dims) == dims
    assert found.instance_group[0].kind == pb.ModelInstanceGroup.KIND_GPU
    assert found.optimization.cuda.graphs
    assert "of version 10.9.0" in made.notes[0]
    images = told(tmp_path / "out", "net_preprocess")
    assert images.output[0].dims == found.input[0].dims
    assert images.instance_group[0].kind == pb.ModelInstanceGroup.KIND_CPU


def test_what_is_being_written_is_told_and_threads_only_if_they_were(tmp_path: Path) -> None:
    told_: list[tuple[str, int, int]] = []
    options = PackageOptions("triton", name="net")
    package(
        colour_bundle(tmp_path / "b"),
        tmp_path / "out",
        options,
        lambda *step: told_.append(step),
        force=False,
    )
    assert told_[-2:] == [("writing the network", 0, 2), ("writing the ensemble", 1, 2)]
    assert not told(tmp_path / "out", "net").parameters


def test_network_that_takes_no_images_has_no_ensemble(tmp_path: Path) -> None:
    bundle = colour_bundle(tmp_path / "b", preprocessing=None, labels=None)
    made = packaged(bundle, tmp_path / "out")
    assert [item.name for item in (tmp_path / "out").iterdir() if item.is_dir()] == ["colours"]
    assert "no ensemble" in " ".join(made.notes)
    assert not told(tmp_path / "out", "colours").output[0].label_filename


def test_what_makes_answers_doubtful_is_told(tmp_path: Path) -> None:
    unsure = PREPROCESSING.model_copy(update={"assumed": ("mean",)})
    bundle = colour_bundle(tmp_path / "b", preprocessing=unsure)
    packaged(bundle, tmp_path / "out")
    doubts = told(tmp_path / "out", "colours").parameters["doubts"].string_value
    assert "assumed: mean" in doubts


def test_without_tritonclient_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr("lrn_deploy.package.triton.config")
    monkeypatch.setitem(sys.modules, "lrn_deploy.package.triton.config", None)
    with pytest.raises(MissingError) as caught:
        packaged(colour_bundle(tmp_path / "b"), tmp_path / "out")
    assert "client" in caught.value.hint
    assert not (tmp_path / "out").exists()
