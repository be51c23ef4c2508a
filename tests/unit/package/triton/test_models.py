"""The models of Triton's Python backend, run here by what stands in for the backend."""

from __future__ import annotations

import importlib
import json
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from google.protobuf import json_format
from PIL import Image

from lrn_deploy.bundle import Bundle, Preprocessing
from lrn_deploy.images.decode import decode
from lrn_deploy.images.preprocess import preprocess
from lrn_deploy.package.options import PackageOptions
from lrn_deploy.package.package import package
from lrn_deploy.package.triton import config, images
from lrn_deploy.progress import silent
from tests.support.image_bundles import PREPROCESSING, colour_bundle, encode, picture
from tests.support.triton_backend import (
    NAME,
    Refused,
    Request,
    stand_in,
)

MODELS = "lrn_deploy.package.triton.models"


@pytest.fixture(autouse=True)
def backend(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setitem(sys.modules, NAME, stand_in())
    before = [*sys.path]
    yield
    sys.path[:] = before
    for name in [name for name in sys.modules if name.startswith((images.PACKAGE, f"{MODELS}."))]:
        del sys.modules[name]


def packaged(bundle: Bundle, output: Path, **options: Any) -> Path:
    told = PackageOptions("triton", triton_backend="python", **options)
    return package(bundle, output, told, silent, force=False).path


def loaded(folder: Path, **told_too: str) -> Any:
    """A model of a repository, initialized as the backend does it."""
    source = "images" if folder.name.endswith("_preprocess") else "network"
    module = importlib.import_module(f"{MODELS}.{source}")
    assert (folder / "1" / "model.py").read_bytes() == Path(str(module.__file__)).read_bytes()
    told = config.from_text((folder / "config.pbtxt").read_text())
    model = module.TritonPythonModel()
    as_json = json_format.MessageToDict(
        told, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    model.initialize(
        {
            "model_config": json.dumps(as_json),
            "model_repository": str(folder),
            "model_version": "1",
            "model_instance_kind": "CPU",
            **told_too,
        }
    )
    return model


def rows(*reds: float) -> Any:
    """Images of 8 x 8 whose red is as given: scores ten times as much, 0, 0."""
    made = np.zeros((len(reds), 3, 8, 8), np.float32)
    made[:, 0] = np.array(reds)[:, None, None]
    return made


def scores(*reds: float) -> Any:
    return np.array([[10 * red, 0, 0] for red in reds], np.float32)


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_requests_that_run_together_get_their_own_rows(tmp_path: Path, runtime: str) -> None:
    bundle = colour_bundle(tmp_path / "colours")
    if runtime == "openvino":
        model = bundle.manifest.artifact("model").model_copy(update={"target": "openvino"})
        bundle = bundle.update(artifacts={"model": model})
    network = loaded(packaged(bundle, tmp_path / "out") / "colours")
    ran = []
    run = network.run
    network.run = lambda names, feeds: ran.append(len(feeds["image"])) or run(names, feeds)
    requests = [
        Request({"image": rows(0.25)}, ["scores"]),
        Request({"image": rows(0.5, 0.75, 1)}, ["scores"]),
        Request({"image": rows(0)}, []),
        Request({"image": rows(0.125, 2)}, ["scores"]),
    ]
    first, second, nothing, last = network.execute(requests)
    assert ran == [7]
    assert np.allclose(first.values["scores"], scores(0.25))
    assert np.allclose(second.values["scores"], scores(0.5, 0.75, 1))
    assert nothing.values == {}
    assert np.allclose(last.values["scores"], scores(0.125, 2))


def test_of_requests_that_fail_together_only_the_culprit_does(tmp_path: Path) -> None:
    network = loaded(packaged(colour_bundle(tmp_path / "colours"), tmp_path / "out") / "colours")
    run = network.run

    def picky(names: Any, feeds: Any) -> Any:
        if (feeds["image"] < 0).any():
            raise ValueError("a negative value")
        return run(names, feeds)

    network.run = picky
    good, bad, more = network.execute(
        [Request({"image": rows(red)}, ["scores"]) for red in (0.5, -1, 0.25)]
    )
    assert np.allclose(good.values["scores"], scores(0.5))
    assert "a negative value" in str(bad.error)
    assert np.allclose(more.values["scores"], scores(0.25))


def test_requests_of_other_shapes_are_run_apart(tmp_path: Path) -> None:
    network = loaded(packaged(colour_bundle(tmp_path / "colours"), tmp_path / "out") / "colours")
    shapes = []
    network.run = lambda _, feeds: shapes.append(feeds["image"].shape) or [feeds["image"][:, 0, 0]]
    small, large, other = (np.full((1, 3, side, side), side, np.float32) for side in (4, 6, 4))
    answers = network.execute(
        [Request({"image": one}, ["scores"]) for one in (small, large, other)]
    )
    assert shapes == [(2, 3, 4, 4), (1, 3, 6, 6)]
    assert [answer.values["scores"].tolist() for answer in answers] == [
        [[4] * 4],
        [[6] * 6],
        [[4] * 4],
    ]


def test_network_of_a_fixed_batch_runs_each_request_alone(tmp_path: Path) -> None:
    bundle = colour_bundle(tmp_path / "colours", batch=2)
    network = loaded(packaged(bundle, tmp_path / "out") / "colours")
    answers = network.execute([Request({"image": rows(red, 1)}, ["scores"]) for red in (0.5, 0.25)])
    for answer, red in zip(answers, (0.5, 0.25), strict=True):
        assert np.allclose(answer.values["scores"], scores(red, 1))


class Runtime:
    """ONNX Runtime as far as it is asked, which has these providers or fails at first."""

    def __init__(self, provider: str, fails: str = "") -> None:
        self.provider = provider
        self.fails = fails
        self.asked: list[tuple[Any, int]] = []
        self.entries: dict[str, str] = {}
        self.threads = -1

    def SessionOptions(self) -> Any:  # noqa: N802 - as ONNX Runtime has it
        return types.SimpleNamespace(add_session_config_entry=self.entries.__setitem__)

    def InferenceSession(  # noqa: N802 - likewise
        self, _data: bytes, options: Any, *, providers: Any, enable_fallback: int
    ) -> Any:
        self.asked.append((providers, enable_fallback))
        self.threads = options.intra_op_num_threads
        if self.fails and len(self.asked) == 1:
            raise RuntimeError(self.fails)
        return types.SimpleNamespace(get_providers=lambda: [self.provider], run=len)


def network_on(runtime: Any, name: str, patch: pytest.MonkeyPatch) -> Any:
    patch.setitem(sys.modules, name, runtime)
    return importlib.import_module(f"{MODELS}.network")


def test_on_a_gpu_onnx_runtime_computes_in_full_precision_there_and_nowhere_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    runtime = Runtime("CUDAExecutionProvider")
    module = network_on(runtime, "onnxruntime", monkeypatch)
    assert module._onnxruntime(b"", 3, 2) is len
    told = {"device_id": 2, "use_tf32": 0, "cudnn_conv_algo_search": "HEURISTIC"}
    assert runtime.asked == [([("CUDAExecutionProvider", told)], 0)]
    assert runtime.entries == {"session.disable_cpu_ep_fallback": "1"}
    assert runtime.threads == 3
    elsewhere = Runtime("CPUExecutionProvider")
    monkeypatch.setitem(sys.modules, "onnxruntime", elsewhere)
    with pytest.raises(Refused, match="on CPUExecutionProvider, not on CUDAExecutionProvider"):
        module._onnxruntime(b"", 0, 0)


@pytest.mark.parametrize(
    ("fails", "gpu", "sessions"),
    [
        ("", None, 1),
        ("no AddInitializedOrtValue", None, 2),
        ("no AddInitializedOrtValue", 0, 0),
        ("no memory", None, 0),
    ],
)
def test_weights_that_two_layers_share_are_not_turned_on_the_processor(
    fails: str, gpu: int | None, sessions: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime = Runtime("CPUExecutionProvider", fails)
    module = network_on(runtime, "onnxruntime", monkeypatch)
    if not sessions:
        with pytest.raises(RuntimeError, match=fails):
            module._onnxruntime(b"", 0, gpu)
        return
    module._onnxruntime(b"", 0, gpu)
    assert runtime.asked == [(["CPUExecutionProvider"], 0)] * sessions
    turned = {"session.disable_quant_qdq": "1"} if sessions == 2 else {}
    assert runtime.entries == {"session.x64quantprecision": "1"} | turned


@pytest.mark.parametrize(("threads", "said"), [(0, {}), (3, {"INFERENCE_NUM_THREADS": 3})])
def test_openvino_is_told_threads_only_if_there_are_any(
    threads: int, said: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []

    class Core:
        def read_model(self, data: bytes) -> bytes:
            return data

        def compile_model(self, *given: Any) -> Any:
            asked.append(given)
            request = types.SimpleNamespace(infer=lambda feeds: feeds)
            return types.SimpleNamespace(create_infer_request=lambda: request)

    module = network_on(types.SimpleNamespace(Core=Core), "openvino", monkeypatch)
    run = module._openvino(b"net", threads, "bf16")
    hints = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "bf16"}
    assert asked == [(b"net", "CPU", hints | said)]
    assert run(["b", "a"], {"a": 1, "b": 2}) == [2, 1]


def test_an_instance_on_a_gpu_runs_on_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = packaged(colour_bundle(tmp_path / "c"), tmp_path / "out", threads=5) / "colours"
    module = importlib.import_module(f"{MODELS}.network")
    asked: list[Any] = []
    monkeypatch.setattr(module, "_onnxruntime", lambda _data, *given: asked.append(given))
    for kind, device in (("GPU", "3"), ("CPU", "0")):
        loaded(home, model_instance_kind=kind, model_instance_device_id=device)
    assert asked == [(5, 3), (5, None)]


@pytest.mark.parametrize("model", ["colours", "colours_preprocess"])
@pytest.mark.parametrize("how", ["changed", "missing"])
def test_what_was_changed_after_packaging_is_not_loaded(
    tmp_path: Path, model: str, how: str
) -> None:
    home = packaged(colour_bundle(tmp_path / "colours"), tmp_path / "out") / model
    told = config.from_text((home / "config.pbtxt").read_text()).parameters["sha256"]
    files = json.loads(told.string_value)
    assert set(files) == {
        file.relative_to(home).as_posix() for file in home.rglob("*") if file.is_file()
    } - {"config.pbtxt"}
    for name in set(files) - {"1/model.py"}:
        before = (home / name).read_bytes()
        if how == "changed":
            (home / name).write_bytes(before + b" ")
        else:
            (home / name).unlink()
        says = "was changed after it was packaged" if how == "changed" else "cannot be read"
        with pytest.raises(Refused, match=says) as caught:
            loaded(home)
        assert f"{model}/{name}" in str(caught.value)
        (home / name).write_bytes(before)
    loaded(home)


UPRIGHT = Image.linear_gradient("L").resize((50, 30)).convert("RGB")
SIDEWAYS = Image.Exif()
SIDEWAYS[0x0112] = 6
FILES = {
    "png": picture((200, 30, 90)),
    "jpeg": encode(UPRIGHT, "JPEG"),
    "turned": encode(UPRIGHT, "JPEG", exif=SIDEWAYS),
    "transparent": encode(Image.new("RGBA", (9, 20), (10, 200, 0, 100)), "PNG"),
    "deep": encode(
        Image.fromarray(np.linspace(0, 65535, 300).astype(np.uint16).reshape(15, 20)), "PNG"
    ),
    "gray": encode(Image.linear_gradient("L"), "PNG"),
}
WAYS = {
    "straight": PREPROCESSING,
    "bgr": Preprocessing(
        mode="BGR",
        resize=20,
        crop=(8, 8),
        interpolation="bicubic",
        scale=1.0,
        mean=(104, 117, 123),
        std=(1, 1, 1),
    ),
    "box": Preprocessing(resize=(12, 10), crop=(8, 8), interpolation="box"),
    "in graph": Preprocessing(resize=9, crop=(8, 8), interpolation="lanczos", in_graph=True),
}


@pytest.mark.parametrize("way", WAYS)
def test_images_become_inputs_as_everywhere_else(tmp_path: Path, way: str) -> None:
    bundle = colour_bundle(tmp_path / "colours", preprocessing=WAYS[way])
    model = loaded(packaged(bundle, tmp_path / "out") / "colours_preprocess")
    files = np.array([*FILES.values()], np.object_)[:, None]
    first, single = model.execute(
        [Request({"image": files}, ["image"]), Request({"image": files[:1]}, ["image"])]
    )
    expected = np.stack([preprocess(decode(data).image, WAYS[way]) for data in FILES.values()])
    assert first.values["image"].dtype == expected.dtype
    assert np.array_equal(first.values["image"], expected)
    assert np.array_equal(single.values["image"], expected[:1])


def test_image_that_cannot_be_read_fails_alone_and_is_named(tmp_path: Path) -> None:
    model = loaded(
        packaged(
            colour_bundle(
                tmp_path / "c",
            ),
            tmp_path / "out",
        )
        / "colours_preprocess"
    )

    def request(*files: bytes) -> Request:
        return Request({"image": np.array(files, np.object_)[:, None]}, ["image"])

    good = picture("red")
    first, bad, cut, last = model.execute(
        [request(good), request(good, b"no image"), request(good[:-30]), request(good)]
    )
    assert first.error is None
    assert last.error is None
    assert "'image 2 of 2' is not an image" in str(bad.error)
    assert "'image 1 of 1' is damaged or cut short" in str(cut.error)


def test_half_precision_input_is_given_half_precision(tmp_path: Path) -> None:
    bundle = colour_bundle(tmp_path / "colours")
    spec = bundle.manifest.inputs[0].model_copy(update={"dtype": "float16"})
    model = loaded(packaged(bundle.update(inputs=(spec,)), tmp_path / "out") / "colours_preprocess")
    (answer,) = model.execute([Request({"image": np.array([[picture("red")]], np.object_)}, [])])
    assert answer.values["image"].dtype == np.float16


def test_code_that_is_taken_along_is_ours_but_for_its_imports() -> None:
    ours = Path(images.__file__).parents[2]
    for name, text in images.sources().items():
        if name in ("__init__.py", "preprocessing.py"):
            continue
        own = (ours if name == "errors.py" else ours / "images") / name
        pairs = zip(own.read_text().splitlines(), text.splitlines(), strict=True)
        for before, after in pairs:
            assert before == after or before.startswith("from lrn_deploy.")
        assert "import lrn_deploy" not in text
        assert "from lrn_deploy" not in text
