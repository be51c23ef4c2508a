"""What the card says of a model, and what of its checks it believes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lrn_deploy.bundle import LrnLayer, Preprocessing
from lrn_deploy.lrn import LrnSpec
from lrn_deploy.parity.schema import Check
from lrn_deploy.serving.page.card import card, parity, preprocessing_in_words
from lrn_deploy.serving.repository.loading import load_model
from lrn_deploy.serving.repository.model import ServedModel
from lrn_deploy.serving.settings import ModelSettings, ServerSettings
from tests.support.checked import OFF, check, write_checks
from tests.support.image_bundles import colour_bundle

LAYER = LrnLayer(
    name="net.2",
    spec=LrnSpec(size=5, alpha=1e-4, beta=0.75, k=2.0),
    form="kept",
    input="a",
    output="b",
    shape=("batch", 3, 8, 8),
)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Callable[..., ServedModel]]:
    models: list[ServedModel] = []

    def serve(checks: list[Check] | None = None, **changes: Any) -> ServedModel:
        bundle = colour_bundle(tmp_path / "colours").update(**changes)
        if checks is not None:
            write_checks(bundle, checks)
        model = load_model(bundle.path, ModelSettings(threads=1, max_batch_size=4))
        models.append(model)
        return model

    yield serve
    for model in models:
        model.batcher.close(5)


def test_the_card_of_a_network(served: Callable[..., ServedModel]) -> None:
    told = card(served(lrn_layers=(LAYER,)), ServerSettings(max_body_bytes=1000))
    assert told["name"] == "colours"
    assert told["network"] == "tests:colours, of one's own code"
    assert told["weights"] == {
        "kind": "factory",
        "words": "as the network's own code made them",
        "sha256": None,
    }
    assert (told["input"]["width"], told["input"]["height"], told["input"]["colors"]) == (
        8,
        8,
        "rgb",
    )
    assert (told["output"], told["labels"]) == ("3 classes, with names", 3)
    assert (told["precision"], told["precision_words"]) == ("fp32", "32-bit floating point")
    assert (told["artifact"], told["backend"], told["device"]) == ("model", "onnxruntime", "cpu")
    assert told["lrn_layers"] == [
        {"name": "net.2", "size": 5, "alpha": 1e-4, "beta": 0.75, "k": 2.0, "form": "kept",
         "reason": ""}
    ]  # fmt: skip
    assert told["limits"] == {"max_batch_size": 4, "max_body_bytes": 1000, "max_pixels": 64_000_000}
    assert told["report"] is False


def test_no_folder_of_the_machine_is_told(served: Callable[..., ServedModel]) -> None:
    model = served()
    for factory, said in (
        ("/home/me/nets/mine.py:build", "mine.py:build, of one's own code"),
        ("package.nets:build", "package.nets:build, of one's own code"),
        ("/home/me/deploy.prototxt", "deploy.prototxt, of one's own code"),
    ):
        source = model.bundle.manifest.model.model_copy(update={"factory": factory})
        manifest = model.bundle.manifest.model_copy(update={"model": source})
        model.bundle.manifest = manifest
        assert card(model, ServerSettings())["network"] == said


def test_what_was_assumed_is_a_doubt(served: Callable[..., ServedModel]) -> None:
    guessed = Preprocessing(
        resize=None, crop=(8, 8), mean=(0, 0, 0), std=(1, 1, 1), assumed=("mean", "std")
    )
    told = card(served(preprocessing=guessed), ServerSettings())
    assert told["preprocessing"]["assumed"] == ["mean", "std"]
    assert any("assumed: mean" in doubt for doubt in told["doubts"])


@pytest.mark.parametrize(
    ("checks", "verdict", "said"),
    [
        ([check(), check("unjudged")], "pass", "1 checks against PyTorch 2.11, every error within"),
        ([check(), check("limited")], "limited", "1 limited by the runtime's own LRN kernel"),
        ([check(), check("fail", metrics=OFF)], "fail", "1 failed, the worst: outputs on natural"),
        ([check(), check("fail", metrics=OFF)], "fail", "error 0.045, allowed are 0.0001"),
        ([check(backend="openvino:cpu")], "none", "did not run it on onnxruntime, cpu"),
        ([check("skipped", metrics=None)], "none", "did not run it"),
        (None, "none", "'lrn-deploy validate' has not run"),
    ],
)
def test_the_verdict_is_that_of_what_runs(
    served: Callable[..., ServedModel], checks: list[Check] | None, verdict: str, said: str
) -> None:
    told = parity(served(checks))
    assert (told["verdict"], said in told["words"]) == (verdict, True), told


def test_a_check_of_other_bytes_counts_for_nothing(served: Callable[..., ServedModel]) -> None:
    model = served([check()])
    assert parity(model)["verdict"] == "pass"
    write_checks(model.bundle, [check()], {"model": "0" * 64})
    assert (parity(model)["verdict"], "after the last check" in parity(model)["words"]) == (
        "none",
        True,
    )
    model.bundle.add_file("reports/parity.json", b"{")
    assert (parity(model)["verdict"], "cannot be read" in parity(model)["words"]) == ("none", True)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {},
            [
                "Colours: red, green, blue.",
                "Its shorter side becomes 256 pixels, bilinear interpolation.",
                "The centre of 227 x 227 pixels is kept.",
                "Each value from 0 to 255 is multiplied by 1/255, then reduced by 0.485, 0.456, "
                "0.406, then divided by 0.229, 0.224, 0.225.",
            ],
        ),
        (
            {"mode": "L", "resize": None, "crop": (8, 9), "scale": 1.0, "mean": (78,), "std": (1,)},
            [
                "Colours: grey.",
                "The image is stretched to 9 x 8 pixels, bilinear interpolation.",
                "Each value from 0 to 255 is reduced by 78.",
            ],
        ),
        (
            {"mode": "BGR", "resize": (300, 400), "mean": (0, 0, 0), "std": (1, 1, 1),
             "in_graph": True},
            [
                "Colours: blue, green, red.",
                "It is stretched to 400 x 300 pixels, bilinear interpolation.",
                "The centre of 227 x 227 pixels is kept.",
                "Each value from 0 to 255 is multiplied by 1/255.",
                "The graph itself scales the values.",
            ],
        ),
    ],
)  # fmt: skip
def test_preprocessing_in_words(changes: dict[str, Any], said: list[str]) -> None:
    assert preprocessing_in_words(Preprocessing(**changes)) == said
