"""What Python programs call, and that the examples of its docstrings and its page are true."""

from __future__ import annotations

import doctest
import inspect
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import lrn_deploy
from lrn_deploy.api import bundle, network, start
from lrn_deploy.bundle import Bundle
from lrn_deploy.latency.floor import Hardware
from lrn_deploy.models.digits_data import load_split
from tests.support.caffe_files import caffemodel, deploy, write
from tests.support.exported import exported
from tests.support.several_inputs import Several, Shown

ROOT = Path(__file__).parents[2]
FLAGS = doctest.ELLIPSIS | doctest.IGNORE_EXCEPTION_DETAIL
EXAMPLES = {
    test.name: test
    for module in (bundle, network, start)
    for test in doctest.DocTestFinder(exclude_empty=True).find(module)
    if test.examples
}
PAGE = doctest.DocTestParser().get_doctest(
    (ROOT / "docs" / "python.md").read_text(encoding="utf-8").replace("\n```\n", "\n\n"),
    {},
    "docs/python.md",
    "docs/python.md",
    0,
)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a validated bundle and a picture that the network was not trained on."""
    folder = tmp_path_factory.mktemp("python")
    exported("digits", folder / "digits")
    lrn_deploy.open(folder / "digits").validate(batches=(1,), devices=("cpu",))
    _, test = load_split()
    seven = next(image for image, label in zip(test.images, test.labels, strict=True) if label == 7)
    Image.fromarray(seven).save(folder / "seven.png")
    return folder


@pytest.fixture
def here(prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it of one's own, as the current folder."""
    folder = tmp_path / "here"
    shutil.copytree(prepared, folder)
    monkeypatch.chdir(folder)
    return folder


def run_examples(test: doctest.DocTest) -> None:
    said: list[str] = []
    result = doctest.DocTestRunner(optionflags=FLAGS).run(test, out=said.append, clear_globs=False)
    assert result.attempted
    assert not result.failed, "".join(said)


@pytest.fixture
def known_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a machine can do at best is measured elsewhere."""
    rates = Hardware(2e10, 1e11, 32 << 20, {"fp32": 5e10})
    monkeypatch.setattr("lrn_deploy.workflows.profile.profile.measure", lambda *_: rates)
    monkeypatch.setattr("lrn_deploy.workflows.profile.profile.matrix_products", lambda _: {})


@pytest.mark.parametrize("name", EXAMPLES)
@pytest.mark.usefixtures("here", "brisk", "known_machine")
def test_examples_of_docstrings_are_true(name: str) -> None:
    run_examples(EXAMPLES[name])


@pytest.mark.usefixtures("here", "brisk")
def test_the_page_is_true() -> None:
    run_examples(PAGE)


def test_every_public_method_has_an_example() -> None:
    methods = {
        f"{owner.__module__}.{owner.__name__}.{name}"
        for owner in (lrn_deploy.OpenBundle, lrn_deploy.LoadedNetwork)
        for name, value in vars(owner).items()
        if inspect.isfunction(value) and (not name.startswith("_") or name == "__call__")
    }
    assert methods - {"lrn_deploy.api.network.LoadedNetwork.close"} <= EXAMPLES.keys()


def test_importing_the_package_imports_nothing_large() -> None:
    code = (
        "import sys\n"
        "before = set(sys.modules)  # coverage loads much of its own\n"
        "import lrn_deploy\n"
        "large = {'torch', 'onnx', 'numpy', 'pydantic', 'click', 'typing', 'lrn_deploy.api'}\n"
        "print(*large & (sys.modules.keys() - before))\n"
        "assert lrn_deploy.open and 'torch' not in sys.modules and 'onnx' not in sys.modules\n"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.split() == []


def test_export_stays_the_function_when_its_room_is_imported() -> None:
    import lrn_deploy.export.bundle

    assert "lrn_deploy.export" in sys.modules
    assert inspect.isfunction(lrn_deploy.export)


def test_a_network_of_the_zoo_is_not_exported_twice(here: Path) -> None:
    before = (here / "digits" / "manifest.json").stat().st_mtime_ns
    lrn_deploy.export("digits", "digits")
    assert (here / "digits" / "manifest.json").stat().st_mtime_ns == before
    told: list[str] = []
    lrn_deploy.export(
        "digits", "digits", seed=1, force=True, progress=lambda *one: told.append(one[0])
    )
    assert (here / "digits" / "manifest.json").stat().st_mtime_ns != before


@pytest.mark.usefixtures("here")
def test_the_bundle_sees_what_others_added() -> None:
    first, other = lrn_deploy.open("digits"), lrn_deploy.open("digits")
    assert not first.optimize(target="cpu", precision="fp32").reused
    assert other.optimize(target="cpu", precision="fp32").reused
    assert list(other.artifacts) == ["model", "cpu-fp32"]
    assert other.manifest == Bundle.open("digits").manifest


@pytest.mark.usefixtures("here")
def test_options_are_checked_as_the_command_checks_them() -> None:
    opened = lrn_deploy.open("digits")
    with pytest.raises(lrn_deploy.BadInputError, match="Batch sizes must be 1 or more"):
        opened.validate(batches=(0,))
    with pytest.raises(lrn_deploy.BadInputError, match=r"'nowhere'"):
        opened.optimize(target="cpu", precision="int8", calibration="nowhere")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="unexpected keyword argument 'batchs'"):
        opened.validate(batchs=(1,))  # type: ignore[call-arg]


@pytest.mark.usefixtures("here")
def test_progress_is_told() -> None:
    told: list[tuple[str, int, int]] = []
    lrn_deploy.open("digits", progress=lambda *step: told.append(step)).validate(batches=(1,))
    assert told[0][0] == "computing the reference"
    assert told[-1][0] == "done"


def test_several_inputs_go_in_order_or_by_name(tmp_path: Path) -> None:
    module = Shown()
    image = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    tokens = torch.tensor([[0, 1, 2, 3, 4], [5, 6, 7, 8, 19]])
    with torch.no_grad():
        expected = module(image, tokens).numpy()
    with lrn_deploy.export(module, tmp_path / "two").load() as network:
        in_order = network(image, tokens)
        assert np.allclose(in_order, expected, rtol=1e-4, atol=1e-6)
        assert np.array_equal(network(tokens=tokens, image=image), in_order)
        assert np.array_equal(network(image, tokens=tokens), in_order)
        with pytest.raises(lrn_deploy.BadInputError, match="'image' is given twice"):
            network(image, tokens, image=image)
        with pytest.raises(lrn_deploy.BadInputError, match="takes the inputs"):
            network(image)


def test_several_outputs_come_by_name(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(2, 3, 8, 8)).astype(np.float32)
    with lrn_deploy.export(Several(), tmp_path / "b").load() as network:
        assert {name: one.shape for name, one in network.run({"input": x}).items()} == {
            "output_0": (2, 4),
            "output_1": (2, 3, 8, 8),
        }
        with pytest.raises(lrn_deploy.BadInputError, match=r"2 outputs \(output_0, output_1\)"):
            network(x)


@pytest.mark.usefixtures("here")
def test_a_network_takes_floats_of_any_size_and_nothing_else() -> None:
    with lrn_deploy.open("digits").load("model") as network:
        x = np.random.default_rng(0).normal(size=(2, 1, 8, 8))
        assert np.array_equal(network(x), network(x.astype(np.float32)))
        assert np.array_equal(network(torch.from_numpy(x)), network(x))
        with pytest.raises(lrn_deploy.BadInputError, match="takes float32, got int64"):
            network(x.astype(np.int64))
        with pytest.raises(lrn_deploy.BadInputError, match=r"takes 1 input\(s\), got 2"):
            network(x, x)


@pytest.mark.usefixtures("here")
def test_a_closed_network_says_so() -> None:
    network = lrn_deploy.open("digits").load("model")
    network.close()
    network.close()
    with pytest.raises(lrn_deploy.BadInputError, match="was closed"):
        network(np.zeros((1, 1, 8, 8), np.float32))


@pytest.mark.usefixtures("here")
def test_threads_share_a_network() -> None:
    x = np.random.default_rng(0).normal(size=(8, 1, 8, 8)).astype(np.float32)
    with lrn_deploy.open("digits").load("model") as network:
        expected = network(x)
        answers: list[bool] = []

        def ask() -> None:
            answers.extend(np.array_equal(network(x), expected) for _ in range(50))

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert answers == [True] * 200


def test_images_that_cannot_be_read(here: Path) -> None:
    (here / "broken.png").write_bytes(b"no picture")
    with lrn_deploy.open("digits").load("model") as network:
        by_file, by_bytes = (
            network.classify(image) for image in ("seven.png", (here / "seven.png").read_bytes())
        )
        assert by_file == by_bytes
        assert sum(one.probability for one in network.classify("seven.png", top=10)) == (
            pytest.approx(1)
        )
        with pytest.raises(lrn_deploy.BadInputError, match=r"broken\.png"):
            network.classify("broken.png")
        with pytest.raises(lrn_deploy.BadInputError, match=r"missing\.png"):
            network.classify("missing.png")
        broken, seven = network.classify_all(here, batch_size=4)
        assert broken.error
        assert seven.predictions == by_file


def test_a_network_of_caffes_is_imported_and_says_what_was_read(tmp_path: Path) -> None:
    text = deploy(
        (3, 6, 6),
        """layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
             convolution_param { num_output: 4 kernel_size: 3 bias_term: false } }
           layer { name: "norm" type: "LRN" bottom: "conv" top: "norm"
             lrn_param { local_size: 3 alpha: 0.5 k: 2 } }""",
    )
    filters = np.random.default_rng(0).normal(0, 0.1, (4, 3, 3, 3)).astype(np.float32)
    files = write(tmp_path, text, caffemodel({"conv": [filters]}, 1))
    made = lrn_deploy.import_model([str(file) for file in files], tmp_path / "b")
    assert made.manifest.model.origin == "caffe"
    assert made.told[0].startswith("norm: across channels")
    assert made.validate(batches=(1,), devices=("cpu",)).verdict == "pass"
