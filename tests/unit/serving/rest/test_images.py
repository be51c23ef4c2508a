"""Images in, labels and embeddings out: each answer worked out by hand."""

from __future__ import annotations

import math
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from lrn_deploy.bundle import Bundle, Preprocessing
from lrn_deploy.images.decode import ImageLimits
from lrn_deploy.serving.batching.job import Outcome, Timing
from lrn_deploy.serving.errors import InvalidRequestError
from lrn_deploy.serving.inference import InferRequest
from lrn_deploy.serving.repository.embedding import Embedding
from lrn_deploy.serving.repository.model import ServedModel
from lrn_deploy.serving.rest import images
from lrn_deploy.serving.rest.images import Prepared, Ran
from tests.support.image_bundles import LABELS, PREPROCESSING, colour_bundle, picture

ASKED = InferRequest({})
EMBEDDING = Embedding("h", "net.5", 2)


def served(bundle: Bundle, **more: Any) -> ServedModel:
    manifest = bundle.manifest
    about: dict[str, Any] = {
        "name": "colours",
        "bundle": bundle,
        "inputs": manifest.inputs,
        "outputs": manifest.outputs,
        "labels": bundle.labels(),
        "fixed_batch": manifest.inputs[0].fixed_batch,
    }
    return cast(ServedModel, SimpleNamespace(**(about | more)))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> ServedModel:
    return served(colour_bundle(tmp_path_factory.mktemp("colours") / "bundle"))


def outcome(scores: list[float], queue: int = 0, infer: int = 0) -> Outcome:
    """Of a batch of two, of which the second row is no image's."""
    row = np.array([scores, [9.0] * len(scores)], np.float32)
    return Outcome({"scores": row, "h": row[:, :2]}, Timing(queue, 5, infer, 6, 2, 0))


def ran(*outcomes: Outcome | str) -> Ran:
    """What became of images; a text is why one is none."""
    prepared = [
        Prepared({"image": str(at), "error": one if isinstance(one, str) else None},
                 None if isinstance(one, str) else ASKED)
        for at, one in enumerate(outcomes)
    ]  # fmt: skip
    done = [one for one in outcomes if isinstance(one, Outcome)]
    return Ran(prepared, done, time.monotonic_ns() - 7_000_000, time.monotonic_ns() - 2_000_000)


def test_times_are_milliseconds_of_the_slowest() -> None:
    one = ran(outcome([1, 2], queue=3_000_000, infer=10), outcome([1, 2], infer=5_500_000))
    times = one.timing()
    assert times["decode_ms"] == pytest.approx(5, abs=0.1)
    assert times["queue_ms"] == 3.0
    assert times["compute_ms"] == 5.5
    assert 7 <= times["total_ms"] < 1000
    assert ran().timing()["queue_ms"] == ran().timing()["compute_ms"] == 0


def test_each_image_gets_its_own_rows_and_what_is_none_gets_none() -> None:
    rows = ran(outcome([1, 2, 3]), "no image", outcome([4, 5, 6])).rows("scores")
    assert [entry["image"] for entry, _ in rows] == ["0", "1", "2"]
    assert [None if row is None else row.tolist() for _, row in rows] == [
        [1, 2, 3], None, [4, 5, 6],
    ]  # fmt: skip


def test_labels_likeliest_first(model: ServedModel) -> None:
    answer = images.labelled(model, ran(outcome([0, math.log(2), 0]), "no image"), top=2)
    first, second = answer["results"]
    assert [one["label"] for one in first["predictions"]] == ["green", "red"]
    assert [one["index"] for one in first["predictions"]] == [1, 0]
    assert [one["probability"] for one in first["predictions"]] == pytest.approx([0.5, 0.25])
    assert (second["predictions"], second["error"]) == ([], "no image")
    assert (answer["model"], answer["weights"]) == ("colours", "factory")
    (all_of_them,) = images.labelled(model, ran(outcome([1, 2, 3])), top=9)["results"]
    assert len(all_of_them["predictions"]) == 3
    nameless = served(model.bundle, labels=None)
    (one,) = images.labelled(nameless, ran(outcome([1, 2, 3])), top=1)["results"]
    assert one["predictions"][0]["label"] is None


def test_scores_that_are_no_numbers_are_an_error_of_their_image(model: ServedModel) -> None:
    broken = outcome([math.nan, 1, 2])
    good, bad = images.labelled(model, ran(outcome([1, 2, 3]), broken), top=1)["results"]
    assert (good["error"], bad["error"]) == (None, "The network's output is not finite.")
    assert bad["predictions"] == []
    with pytest.raises(InvalidRequestError, match=r"not finite\.; no image$"):
        images.labelled(model, ran(broken, "no image"), top=1)


def test_embeddings_as_json_and_as_bytes(model: ServedModel, tmp_path: Path) -> None:
    both = ran(outcome([1, 2, 3]), outcome([4, 5, 6]))
    answer = images.embedded(model, EMBEDDING, both)
    assert [one["embedding"] for one in answer["results"]] == [[1, 2], [4, 5]]
    assert (answer["layer"], answer["dimension"], answer["model"]) == ("net.5", 2, "colours")
    rows, content = images.embedded_raw(EMBEDDING, both)
    assert (rows, content) == (2, np.array([1, 2, 4, 5], "<f4").tobytes())
    (one,) = images.embedded(model, EMBEDDING, ran("no image"))["results"]
    assert one["embedding"] is None
    assert answer["note"] is None
    random = served(colour_bundle(tmp_path / "random", weights="random"))
    assert "random" in images.embedded(random, EMBEDDING, both)["note"]
    with pytest.raises(InvalidRequestError, match="no image Raw embeddings need every image"):
        images.embedded_raw(EMBEDDING, ran(outcome([1, 2, 3]), "no image"))


def test_an_image_becomes_the_networks_input(model: ServedModel) -> None:
    one = images.prepare(model, "a.png", picture("red", (20, 30)), ImageLimits())
    assert one.entry == {
        "image": "a.png", "error": None, "width": 20, "height": 30, "note": None,
    }  # fmt: skip
    assert one.asked is not None
    x = one.asked.inputs["image"]
    assert (x.shape, x.dtype) == ((1, 3, 8, 8), np.float32)
    assert [np.unique(channel).tolist() for channel in x[0]] == [[1], [0], [0]]
    none = images.prepare(model, "a.txt", b"text", ImageLimits())
    assert none.asked is None
    assert "'a.txt' is not an image" in none.entry["error"]


def test_networks_of_a_fixed_batch_and_of_bytes(tmp_path: Path) -> None:
    fixed = served(colour_bundle(tmp_path / "fixed", batch=4))
    asked = images.prepare(fixed, "a", picture("blue"), ImageLimits()).asked
    assert asked is not None
    x = asked.inputs["image"]
    assert x.shape == (4, 3, 8, 8)
    assert x[0, 2].min() == 1
    assert x[1:].max() == 0
    preprocessing = PREPROCESSING.model_copy(update={"in_graph": True})
    in_bytes = served(colour_bundle(tmp_path / "bytes", preprocessing=preprocessing))
    asked = images.prepare(in_bytes, "a", picture("blue"), ImageLimits()).asked
    assert asked is not None
    assert asked.inputs["image"].dtype == np.uint8
    assert asked.inputs["image"][0, 0, 0].tolist() == [0, 0, 255]
    half = in_bytes.inputs[0].model_copy(update={"dtype": "float16"})
    floats = served(colour_bundle(tmp_path / "floats"), inputs=(half,))
    asked = images.prepare(floats, "a", picture("blue"), ImageLimits()).asked
    assert asked is not None
    assert asked.inputs["image"].dtype == np.float16
    whole = in_bytes.inputs[0].model_copy(update={"dtype": "int32"})
    integers = served(floats.bundle, inputs=(whole,))
    asked = images.prepare(integers, "a", picture("blue"), ImageLimits()).asked
    assert asked is not None
    assert asked.inputs["image"].dtype == np.float32  # to be refused, not rounded


def test_what_cannot_be_classified_is_refused(tmp_path: Path, model: ServedModel) -> None:
    images.check_classes(model)
    images.check_classes(served(model.bundle, labels=None))
    with pytest.raises(InvalidRequestError, match="has 2 labels for 3 classes"):
        images.check_classes(served(model.bundle, labels=LABELS[:2]))
    spatial = served(colour_bundle(tmp_path / "map", last="Map"))
    with pytest.raises(InvalidRequestError, match="Ask /v2/models/colours/infer"):
        images.check_classes(spatial)
    no_image = served(colour_bundle(tmp_path / "none", preprocessing=None))
    with pytest.raises(InvalidRequestError, match=r"which are no images|instead of"):
        images.prepare(no_image, "a", picture("red"), ImageLimits())
    assert Preprocessing.model_validate(PREPROCESSING.model_dump()) == PREPROCESSING
