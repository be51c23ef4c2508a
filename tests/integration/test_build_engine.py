"""``lrn-deploy build-engine`` as people and programs call it."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lrn_deploy import bundle as bundle_package
from lrn_deploy import cli
from lrn_deploy.bundle import Bundle, store
from lrn_deploy.errors import CannotWriteError, CheckFailedError, DamagedError, MissingError
from lrn_deploy.lrn import LrnSpec
from lrn_deploy.tensorrt import build as build_module
from lrn_deploy.tensorrt.build import BuiltEngine, build_engine
from lrn_deploy.tensorrt.device.cuda import Device
from lrn_deploy.tensorrt.fit import Machine, check_fit
from lrn_deploy.tensorrt.flavor import FlavorName, find_flavor
from lrn_deploy.tensorrt.process import build_in_process
from lrn_deploy.workflows.build_engine import build_engine as workflow
from lrn_deploy.workflows.build_engine import realised as engine_realised
from lrn_deploy.workflows.build_engine.build_engine import EngineOptions, build_bundle_engine
from tests.support.engine_graphs import make_bundle, network
from tests.support.exported import exported
from tests.support.fake_gpu import DEVICE, FakeGpu, no_device, untold_types

pytestmark = pytest.mark.tensorrt


@pytest.fixture(autouse=True)
def without_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    try:
        find_flavor("rtx")
    except MissingError as error:
        pytest.skip(str(error))
    monkeypatch.setattr(workflow, "find_device", no_device)


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Builds in this process, which takes a second less than one of its own."""

    def build_here(flavor: FlavorName, *words: Any) -> BuiltEngine:
        return build_engine(find_flavor(flavor), *words)

    monkeypatch.setattr(workflow, "build_in_process", build_here)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return make_bundle(tmp_path / "tiny").path


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return exported("digits", tmp_path_factory.mktemp("digits") / "digits").path


@pytest.fixture
def digits(plain: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(plain, tmp_path / "digits"))


def state(bundle: Path) -> dict[str, bytes]:
    return {
        str(file.relative_to(bundle)): file.read_bytes()
        for file in sorted(bundle.rglob("*"))
        if file.is_file()
    }


def build(bundle: Path, *words: str) -> int:
    return cli.run(["build-engine", str(bundle), "--flavor", "rtx", *words])


def test_an_engine_and_its_record(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert build(bundle, "--batch", "1,2,4", "--json") == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["name"] == "rtx-fp32-sm86-sm89-sm120"
    assert answer["reused"] is False
    manifest = Bundle.open(bundle).manifest
    artifact = manifest.artifact(answer["name"])
    assert answer["artifact"] == artifact.model_dump(mode="json")
    assert (artifact.format, artifact.precision, artifact.source) == (
        "tensorrt-rtx",
        "fp32",
        "model",
    )
    record = artifact.engine
    assert record is not None
    assert record.version == find_flavor("rtx").version
    assert record.targets == ("sm86", "sm89", "sm120")
    assert record.source_sha256 == manifest.artifact("model").sha256
    assert record.profile["input"] == ((1, 3, 6, 6), (2, 3, 6, 6), (4, 3, 6, 6))
    assert (record.gpu, record.driver, record.realised) == (None, None, "unknown")
    assert [(item.name, item.form) for item in record.lrn] == [("net.2", "written out")]
    layers = json.loads((bundle / artifact.companions[0].file).read_bytes())
    assert layers["kind"] == "requested"
    assert "LRN" not in [layer["type"] for layer in layers["layers"]]


@pytest.mark.usefixtures("here")
def test_lrn_is_left_to_tensorrts_own_layer_where_that_is_asked_for(
    bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert build(bundle, "--target", "sm89", "--lrn", "layer") == 0
    assert "LRN: net.2 native" in capsys.readouterr().out
    asked = Bundle.open(bundle).manifest.artifact("rtx-fp32-sm89")
    assert asked.engine is not None
    assert [(item.name, item.form) for item in asked.engine.lrn] == [("net.2", "native")]
    layers = json.loads((bundle / asked.companions[0].file).read_bytes())["layers"]
    assert [layer["type"] for layer in layers].count("LRN") == 1
    assert build(bundle, "--target", "sm89", "--json") == 0
    assert json.loads(capsys.readouterr().out)["reused"] is False, "it is another engine"


@pytest.mark.usefixtures("here")
def test_people_read_what_was_built_and_that_it_was_not_run(
    bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert build(bundle, "--target", "sm89", "--precision", "tf32", "--workspace", "64M") == 0
    text = capsys.readouterr().out
    assert "runs on: sm89; batch 1 to 32, best at 8; TF32 on" in text
    assert "LRN: net.2 written out: TensorRT for RTX computes its own LRN layer as a pool" in text
    assert "built, hashed and parsed; not run" in text


@pytest.mark.usefixtures("here")
def test_the_same_again_returns_at_once(
    bundle: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert build(bundle) == 0
    before = state(bundle)
    monkeypatch.setattr(workflow, "build_in_process", lambda *_: pytest.fail("it was built again"))
    capsys.readouterr()
    assert build(bundle) == 0
    assert "is up to date: same graph, options and tools" in capsys.readouterr().out
    assert state(bundle) == before


@pytest.mark.usefixtures("here")
def test_other_options_replace_the_engine_and_leave_nothing_behind(bundle: Path) -> None:
    assert build(bundle, "--target", "sm89") == 0
    first = Bundle.open(bundle).manifest.artifact("rtx-fp32-sm89")
    assert build(bundle, "--target", "sm89", "--batch", "1,1,2") == 0
    second = Bundle.open(bundle).manifest.artifact("rtx-fp32-sm89")
    assert first.key != second.key
    assert {path.name for path in (bundle / "engines").iterdir()} == {
        Path(record.file).name for record in (second, *second.companions)
    }


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("damage", ["flip", "truncate", "remove"])
def test_a_damaged_engine_is_found_and_built_again(bundle: Path, damage: str) -> None:
    assert build(bundle, "--target", "sm89") == 0
    whole = state(bundle)
    file = bundle / Bundle.open(bundle).manifest.artifact("rtx-fp32-sm89").file
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    {
        "flip": lambda: file.write_bytes(data),
        "truncate": lambda: file.write_bytes(data[:-1]),
        "remove": file.unlink,
    }[damage]()
    with pytest.raises(DamagedError) as caught:
        Bundle.open(bundle).load("rtx-fp32-sm89")
    assert caught.value.exit_code == 4
    assert build(bundle, "--target", "sm89") == 0
    again = state(bundle)
    assert again[str(file.relative_to(bundle))] == whole[str(file.relative_to(bundle))]


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["--target", "sm90"], 2, "no target 'sm90'"),
        (["--target", "current"], 3, "means this machine's GPU: There is no NVIDIA GPU here"),
        (["--target", "sm75"], 2, "no matrix product in fp32"),
        (["--batch", "4,2,1"], 2, "not in order"),
        (["--batch", "0,1,2"], 2, "not in order"),
        (["--batch", "1,2"], 2, "'1,2' is no profile"),
        (["--batch", "1,x,2"], 2, "'1,x,2' is no profile"),
        (["--workspace", "much"], 2, "'much' is no size"),
        (["--workspace", "0"], 2, "'0' is no size"),
        (["--timing-cache", "t.cache"], 2, "TensorRT for RTX has no timing cache"),
    ],
)
def test_bad_input_gets_its_sentence_and_changes_nothing(
    bundle: Path, capsys: pytest.CaptureFixture[str], words: list[str], code: int, says: str
) -> None:
    before = state(bundle)
    assert build(bundle, *words) == code
    error = capsys.readouterr().err
    assert says in error
    assert "Traceback" not in error
    assert state(bundle) == before


def test_no_tensorrt_installed(
    bundle: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(*_: Any, **__: Any) -> None:
        raise MissingError("tensorrt-rtx is not installed.", "Install it.")

    monkeypatch.setattr(workflow, "find_flavor", none)
    assert build(bundle) == 3
    assert "Hint: Install it." in capsys.readouterr().err


def test_no_bundle(tmp_path: Path) -> None:
    assert build(tmp_path / "nothing") == 2


def test_a_damaged_graph_is_not_parsed(bundle: Path) -> None:
    (bundle / "model.onnx").write_bytes(network() + b"\0")
    assert build(bundle) == 4


def test_ctrl_c_while_building_leaves_the_bundle_as_it_was(
    bundle: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = workflow.build_in_process

    def interrupted(flavor: Any, graph: bytes, request: Any, _progress: Any) -> BuiltEngine:
        return real(flavor, graph, request, lambda *_: os.kill(os.getpid(), signal.SIGINT))

    monkeypatch.setattr(workflow, "build_in_process", interrupted)
    before = state(bundle)
    assert build(bundle) == 130
    assert "Interrupted" in capsys.readouterr().err
    assert state(bundle) == before


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("built_before", [False, True])
@pytest.mark.parametrize("file", ["network.json", "manifest.json"])
def test_a_full_disk_leaves_the_bundle_as_it_was(
    bundle: Path, monkeypatch: pytest.MonkeyPatch, file: str, built_before: bool
) -> None:
    if built_before:
        assert build(bundle, "--target", "sm89") == 0
    before = state(bundle)
    real = store.write_atomic

    def full(path: Path, data: bytes) -> None:
        if path.name.endswith(file):
            raise CannotWriteError(f"Cannot write '{path}': No space left on device.")
        real(path, data)

    monkeypatch.setattr(store, "write_atomic", full)
    assert build(bundle, "--target", "sm89", "--batch", "1,1,2") == 5
    assert state(bundle) == before
    assert (bundle / "engines").exists() == built_before


@pytest.mark.usefixtures("here")
def test_an_lrn_outside_the_limits_is_reported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = LrnSpec(17)
    make_bundle(tmp_path / "wide", network(spec=spec), spec)
    assert build(tmp_path / "wide", "--target", "sm89") == 0
    slow = "TensorRT for RTX computes its own LRN layer as a pooling, which takes longer"
    assert f"LRN: net.2 written out: {slow}" in capsys.readouterr().out
    assert build(tmp_path / "wide", "--target", "sm89", "--lrn", "layer") == 0
    limit = "its window of 17 is not odd and at most 15"
    assert f"LRN: net.2 written out: {limit}" in capsys.readouterr().out


def realise(monkeypatch: pytest.MonkeyPatch, dtype: str) -> None:
    """As on a machine with a GPU, whose engine inspector tells ``dtype`` of the relu."""
    answer(monkeypatch, untold_types("r", text=dtype))


def answer(
    monkeypatch: pytest.MonkeyPatch, text: str, device: Device = DEVICE, *, tf32: bool = False
) -> None:
    """As on a machine with a GPU, whose engine inspector answers ``text``."""
    monkeypatch.setattr(workflow, "find_device", lambda: device)
    monkeypatch.setattr(engine_realised, "inspect_engine", lambda *_: text)
    monkeypatch.setattr(engine_realised, "rounds_to_tf32", lambda *_: tf32)


@pytest.mark.usefixtures("here")
def test_realised_types_are_recorded_where_a_gpu_tells(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    realise(monkeypatch, "fp32")
    assert build(bundle, "--target", "sm89") == 0
    artifact = Bundle.open(bundle).manifest.artifact("rtx-fp32-sm89")
    assert artifact.engine is not None
    assert (artifact.engine.realised, artifact.engine.gpu) == ("as requested", "Fake RTX")
    assert [file.file.split(".", 2)[2] for file in artifact.companions] == [
        "network.json",
        "layers.json",
    ]


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("text", "layers"),
    [(untold_types("r"), 1), ('{"Layers": ["relu"]}', 0), ("no JSON", 0)],
    ids=["no types", "no details", "no JSON"],
)
def test_what_the_inspector_does_not_tell_is_unknown_and_its_words_are_kept(
    bundle: Path, monkeypatch: pytest.MonkeyPatch, text: str, layers: int
) -> None:
    answer(monkeypatch, text)
    assert build(bundle, "--target", "sm89") == 0
    artifact = Bundle.open(bundle).manifest.artifact("rtx-fp32-sm89")
    assert artifact.engine is not None
    assert artifact.engine.realised == "unknown"
    record = json.loads((bundle / artifact.companions[1].file).read_bytes())
    assert (record["kind"], record["inspector"]) == ("realised", text)
    assert len(record["layers"]) == layers
    requested = json.loads((bundle / artifact.companions[0].file).read_bytes())
    assert "inspector" not in requested


def refuse(monkeypatch: pytest.MonkeyPatch, device: Device = DEVICE) -> None:
    """As on a machine with a GPU, where the engine that was built does not load."""
    gpu = FakeGpu(captures_graphs=True, refusal="The engine cannot run on this GPU.")

    def inspect(_flavor: Any, plan: bytes) -> str:
        return build_module.inspect_engine(gpu, plan)  # type: ignore[arg-type]

    monkeypatch.setattr(workflow, "find_device", lambda: device)
    monkeypatch.setattr(engine_realised, "inspect_engine", inspect)
    monkeypatch.setattr(engine_realised, "rounds_to_tf32", lambda *_: pytest.fail("it ran one"))


@pytest.mark.usefixtures("here")
def test_an_engine_that_does_not_load_on_the_gpu_that_it_is_for_is_an_error(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse(monkeypatch)
    before = state(bundle)
    with pytest.raises(DamagedError, match="just built for this GPU: The engine cannot") as caught:
        build_bundle_engine(Bundle.open(bundle), EngineOptions("rtx", targets=("sm86", "sm89")))
    assert "lrn-deploy doctor" in caught.value.hint
    assert state(bundle) == before


@pytest.mark.usefixtures("here")
def test_a_portable_engine_need_not_load_on_the_gpu_that_is_there(
    bundle: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    refuse(monkeypatch)
    assert build(bundle, "--target", "portable", "--json") == 0
    assert json.loads(capsys.readouterr().out)["name"] == "rtx-fp32-portable"
    record = Bundle.open(bundle).manifest.artifact("rtx-fp32-portable").engine
    assert record is not None
    assert (record.targets, record.realised) == (("portable",), "unknown")


HOPPER = replace(DEVICE, name="NVIDIA H100", sm="sm90")


def test_nothing_is_built_for_a_gpu_of_this_machine_that_rtx_refuses(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(find_flavor("rtx"), "version", "1.7.1.116")
    monkeypatch.setattr(workflow, "find_device", lambda: HOPPER)
    monkeypatch.setattr(workflow, "build_in_process", lambda *_: pytest.fail("it was built"))
    for targets in ((), ("current",)):
        request = EngineOptions("rtx", targets=targets)
        with pytest.raises(MissingError, match=r"does not run on this machine's NVIDIA H100") as it:
            build_bundle_engine(Bundle.open(bundle), request)
        assert "tensorrt-rtx==1.6.1.120. For another machine" in it.value.hint
    monkeypatch.setattr(workflow, "build_in_process", build_in_process)
    assert build(bundle, "--target", "sm89") == 0  # for another machine


def test_an_older_rtx_builds_for_that_gpu_as_the_one_that_is_there(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def build_elsewhere(flavor: Any, graph: bytes, request: Any, on_progress: Any) -> BuiltEngine:
        assert request.targets == ("current",)  # which takes a GPU to build for
        return build_in_process(flavor, graph, replace(request, targets=("sm89",)), on_progress)

    monkeypatch.setattr(find_flavor("rtx"), "version", "1.6.1.120")
    monkeypatch.setattr(workflow, "build_in_process", build_elsewhere)
    answer(monkeypatch, untold_types("r"), HOPPER)
    assert build(bundle) == 0
    artifact = Bundle.open(bundle).load("rtx-fp32-sm90")
    assert artifact.engine is not None
    assert artifact.engine.targets == ("sm90",)
    machine = Machine(
        versions={"rtx": "1.6.1.120"},
        platform=artifact.engine.platform,
        sm="sm90",
        gpu=HOPPER.name,
        driver=HOPPER.driver,
        free_memory=HOPPER.free_memory,
    )
    check_fit(artifact, machine)


@pytest.mark.usefixtures("here")
def test_other_types_than_requested_are_an_error_unless_allowed(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    realise(monkeypatch, "fp16")
    before = state(bundle)
    with pytest.raises(CheckFailedError, match="'r': fp16 instead of fp32"):
        build_bundle_engine(Bundle.open(bundle), EngineOptions("rtx", targets=("sm89",)))
    assert state(bundle) == before
    assert build(bundle, "--target", "sm89", "--allow-other-types") == 0
    record = Bundle.open(bundle).manifest.artifact("rtx-fp32-sm89").engine
    assert record is not None
    assert record.realised == "different"
    assert "'r': fp16 instead of fp32" in record.difference


@pytest.mark.usefixtures("here")
def test_fp32_that_the_gpu_rounds_to_tf32_is_an_error_unless_allowed(
    bundle: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answer(monkeypatch, untold_types("r", text="fp32"), tf32=True)
    before = state(bundle)
    with pytest.raises(CheckFailedError, match="products of fp32 are computed in TF32") as caught:
        build_bundle_engine(Bundle.open(bundle), EngineOptions("rtx", targets=("sm89",)))
    assert "--allow-other-types" in caught.value.hint
    assert state(bundle) == before
    assert build(bundle, "--target", "sm89", "--allow-other-types") == 0
    text = capsys.readouterr().out
    record = Bundle.open(bundle).manifest.artifact("rtx-fp32-sm89").engine
    assert record is not None
    assert record.realised == "different"
    assert "computed in TF32, although that was switched off" in record.difference
    assert f"what it computes in: different: {record.difference}" in text


@pytest.mark.usefixtures("here")
def test_tf32_that_was_asked_for_is_no_difference(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer(monkeypatch, untold_types("r", text="fp32"), tf32=True)
    assert build(bundle, "--target", "sm89", "--precision", "tf32") == 0
    record = Bundle.open(bundle).manifest.artifact("rtx-tf32-sm89").engine
    assert record is not None
    assert (record.realised, record.difference) == ("as requested", "")


@pytest.mark.slow
def test_alexnet_in_fp32_builds_in_5_seconds_with_both_lrn_layers_written_out(
    tmp_path: Path,
) -> None:
    path = exported("alexnet", tmp_path / "alexnet").path
    start = time.perf_counter()
    assert build(path, "--target", "sm89") == 0
    seconds = time.perf_counter() - start
    artifact = Bundle.open(path).manifest.artifact("rtx-fp32-sm89")
    assert artifact.engine is not None
    assert artifact.engine.build_seconds < 5
    assert seconds < 15  # reading, hashing and writing a quarter of a gigabyte, too
    assert [item.form for item in artifact.engine.lrn] == ["written out", "written out"]
    layers = json.loads((path / artifact.companions[0].file).read_bytes())["layers"]
    types = [layer["type"] for layer in layers]
    assert "LRN" not in types
    assert types.count("SLICE") >= 2 * 5  # (a + b) + (c + d) + e, and pairs serve two windows


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


@pytest.fixture
def alone() -> Iterator[None]:
    """One such test at a time: it removes bytecode that the builds of another would read."""
    with (Path(tempfile.gettempdir()) / "lrn-deploy-bytecode.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@pytest.mark.usefixtures("alone")
@pytest.mark.parametrize("precision", ["fp32", "tf32", "fp16", "bf16", "int8"])
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


@pytest.mark.usefixtures("here")
def test_turing_builds_in_fp16_only(digits: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert build(digits, "--precision", "fp16", "--target", "sm75") == 0
    for precision in ("fp32", "bf16", "int8"):
        assert build(digits, "--precision", precision, "--target", "sm75") == 2
        assert "for Turing (sm75)" in capsys.readouterr().err


def test_calibration_images_are_for_int8(
    digits: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    for precision in ("fp32", "fp16"):
        assert build(digits, "--precision", precision, "--calibration", str(empty)) == 2
        assert f"{precision} is not calibrated" in capsys.readouterr().err
    before = state(digits)
    assert build(digits, "--precision", "int8", "--calibration", str(empty)) == 2
    assert "Hint: " in capsys.readouterr().err
    assert state(digits) == before
