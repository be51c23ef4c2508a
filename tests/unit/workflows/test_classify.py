"""Classification of images with a network that can be computed by hand."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lrn_deploy.backends.onnxruntime import OnnxRuntimeBackend
from lrn_deploy.backends.protocol import Probe, SessionBase, check_feeds
from lrn_deploy.bundle import Artifact, ArtifactData, Bundle, TensorSpec
from lrn_deploy.errors import BadInputError, DamagedError
from lrn_deploy.images.collect import ImageSource
from lrn_deploy.images.decode import ImageLimits
from lrn_deploy.workflows.classify import (
    ImageResult,
    classify,
    to_probabilities,
    weights_note,
)
from tests.support.image_bundles import PREPROCESSING, SURE, colour_bundle, picture

COLOURS = [ImageSource(name, picture(name)) for name in ("red", "lime", "blue")]


def run(bundle: Bundle, sources: Any = COLOURS, **options: Any) -> list[ImageResult]:
    return list(classify(bundle, sources, backend=OnnxRuntimeBackend(), **options))


@pytest.mark.parametrize("in_graph", [False, True])
@pytest.mark.parametrize("last", ["", "Softmax", "Spatial"])
@pytest.mark.parametrize("batch", ["batch", 1, 2])
def test_colours_get_their_names_and_probabilities(
    tmp_path: Path, in_graph: bool, last: str, batch: int | str
) -> None:
    preprocessing = PREPROCESSING.model_copy(update={"in_graph": in_graph})
    results = run(
        colour_bundle(tmp_path / "b", preprocessing=preprocessing, last=last, batch=batch)
    )
    assert [result.name for result in results] == ["red", "lime", "blue"]
    for result, label in zip(results, ("red", "green", "blue"), strict=True):
        assert (result.size, result.error, result.note) == ((20, 30), "", "")
        assert [prediction.probability for prediction in result.predictions] == pytest.approx(
            [SURE, (1 - SURE) / 2, (1 - SURE) / 2], rel=1e-5
        )
        assert result.predictions[0].label == label
        assert {prediction.index for prediction in result.predictions} == {0, 1, 2}


def test_bgr_networks_see_blue_first(tmp_path: Path) -> None:
    preprocessing = PREPROCESSING.model_copy(update={"mode": "BGR"})
    bundle = colour_bundle(
        tmp_path / "b", preprocessing=preprocessing, labels=("blue", "green", "red")
    )
    assert [result.predictions[0].label for result in run(bundle)] == ["red", "green", "blue"]


def test_top_limits_the_classes_and_labels_may_be_missing(tmp_path: Path) -> None:
    results = run(colour_bundle(tmp_path / "b", labels=None), top=1)
    assert [[(p.index, p.label) for p in r.predictions] for r in results] == [
        [(0, None)],
        [(1, None)],
        [(2, None)],
    ]


def test_results_do_not_depend_on_the_batch_size(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    sources = [
        ImageSource(str(i), picture(tuple(int(v) for v in generator.integers(0, 256, 3))))
        for i in range(11)
    ]
    sources.insert(4, ImageSource("bad", b"no image"))
    bundle = colour_bundle(tmp_path / "b")
    single = run(bundle, sources, batch_size=1)
    for batch_size in (2, 5, 100):
        for one, other in zip(single, run(bundle, sources, batch_size=batch_size), strict=True):
            assert (one.name, one.error) == (other.name, other.error)
            assert [p.probability for p in one.predictions] == pytest.approx(
                [p.probability for p in other.predictions], rel=1e-6
            )


def test_bad_images_are_reported_in_their_place_and_the_rest_go_on(tmp_path: Path) -> None:
    (tmp_path / "cut.png").write_bytes(picture("red")[:60])
    sources = [
        ImageSource("text", b"hello"),
        COLOURS[2],
        ImageSource("cut.png", tmp_path / "cut.png"),
        ImageSource("gone.png", tmp_path / "gone.png"),
        ImageSource("large", picture("red", (200, 200))),
        COLOURS[0],
    ]
    done: list[int] = []
    results = run(
        colour_bundle(tmp_path / "b"),
        sources,
        batch_size=4,
        limits=ImageLimits(max_pixels=1000),
        on_batch=done.append,
    )
    assert done == [4, 2]
    assert [bool(result.error) for result in results] == [True, False, True, True, True, False]
    assert [result.predictions[0].label for result in results if not result.error] == [
        "blue",
        "red",
    ]
    assert all(result.hint and result.size is None for result in results if result.error)


def test_a_batch_of_bad_images_only_runs_nothing(tmp_path: Path) -> None:
    results = run(colour_bundle(tmp_path / "b"), [ImageSource("text", b"hello")] * 3)
    assert [result.predictions for result in results] == [(), (), ()]


def test_an_output_that_is_not_finite_is_an_error_of_that_image(tmp_path: Path) -> None:
    yellow, grey = ImageSource("yellow", picture("yellow")), ImageSource("grey", picture("grey"))
    results = run(colour_bundle(tmp_path / "b", last="Divide"), [yellow, grey])
    assert "'yellow' is not finite" in results[0].error  # blue is 0, and 0 / 0
    assert results[1].predictions[0].probability == pytest.approx(1 / 3)


def test_notes_reach_the_result(tmp_path: Path) -> None:
    from PIL import Image

    from tests.support.image_bundles import encode

    frames = [Image.new("RGB", (9, 9), colour) for colour in ("red", "blue")]
    animation = encode(frames[0], "GIF", save_all=True, append_images=frames[1:])
    (result,) = run(colour_bundle(tmp_path / "b"), [ImageSource("a.gif", animation)])
    assert result.note == "only the first frame was used"
    assert result.predictions[0].label == "red"


def test_images_are_decoded_batch_by_batch(tmp_path: Path) -> None:
    taken: list[str] = []

    def endless() -> Iterator[ImageSource]:
        while True:
            taken.append("image")
            yield COLOURS[0]

    results = classify(
        colour_bundle(tmp_path / "b"), endless(), backend=OnnxRuntimeBackend(), batch_size=3
    )
    assert not taken
    for _ in range(4):
        next(results)
    assert len(taken) == 6


def test_memory_is_that_of_one_batch(tmp_path: Path) -> None:
    preprocessing = PREPROCESSING.model_copy(update={"crop": (8, 8)})
    bundle = colour_bundle(tmp_path / "b", preprocessing=preprocessing)
    (tmp_path / "big.png").write_bytes(picture("red", (300, 300)))
    source = ImageSource("big.png", tmp_path / "big.png")

    def peak(images: int) -> int:
        tracemalloc.start()
        for _ in classify(
            bundle, (source for _ in range(images)), backend=OnnxRuntimeBackend(), batch_size=2
        ):
            pass
        highest = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return highest

    peak(2)
    assert peak(40) < peak(4) + 45_000  # a prepared picture, held, takes 1,200


def test_a_network_that_takes_no_images_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    bundle = colour_bundle(tmp_path / "b", preprocessing=None)
    with pytest.raises(BadInputError, match="which are no images") as caught:
        classify(bundle, COLOURS, backend=OnnxRuntimeBackend())
    assert "(1 or 3, height, width)" in caught.value.hint


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "batch size must be at least 1, got 0"),
        ({"top": 0}, "number of classes to report must be at least 1"),
        ({"artifact": "int8"}, "no artifact named 'int8'"),
    ],
)
def test_impossible_requests_are_refused(
    tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(BadInputError, match=message):
        run(colour_bundle(tmp_path / "b"), **options)


def test_an_artifact_of_another_format_is_refused(tmp_path: Path) -> None:
    bundle = colour_bundle(tmp_path / "b")
    engine: Artifact = bundle.manifest.artifact("model").model_copy(update={"format": "tensorrt"})
    with pytest.raises(BadInputError, match="format tensorrt, which onnxruntime does not run"):
        run(bundle.add_artifact("engine", engine), artifact="engine")


def test_labels_of_another_network_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="2 labels for 3 classes"):
        run(colour_bundle(tmp_path / "b", labels=("cat", "dog")))


def test_an_output_that_is_no_vector_of_classes_is_refused(tmp_path: Path) -> None:
    bundle = colour_bundle(tmp_path / "b", last="Map", labels=None)
    with pytest.raises(BadInputError, match=r"has shape .*, which is no vector of cl") as caught:
        classify(bundle, COLOURS, backend=OnnxRuntimeBackend())
    assert "[batch, 3, 8, 8]" in caught.value.message
    assert "(batch, classes)" in caught.value.hint


@pytest.mark.parametrize(
    ("shape", "classes"),
    [
        (("batch", 10), 10),
        ((1, 10), 10),
        (("batch", 10, 1, 1), 10),
        (("batch", 1, 1, 10), 10),
        (("batch", 4, 62, 62), None),
        (("batch", 1), None),  # one value tells no classes apart
        (("batch",), None),
        (("batch", "n"), None),
        ((), None),
    ],
)
def test_classes_are_counted_along_the_only_axis_there_is(shape: Any, classes: int | None) -> None:
    assert TensorSpec(name="y", dtype="float32", shape=shape).classes == classes


def test_a_damaged_graph_is_not_run(tmp_path: Path) -> None:
    bundle = colour_bundle(tmp_path / "b")
    (tmp_path / "b" / "model.onnx").write_bytes(b"other bytes")
    with pytest.raises(DamagedError):
        run(bundle)


def test_only_random_weights_are_warned_of(tmp_path: Path) -> None:
    note = weights_note(colour_bundle(tmp_path / "r", weights="random").manifest)
    assert "random (seed 7)" in note
    assert weights_note(colour_bundle(tmp_path / "f", weights="file").manifest) == ""


def test_probabilities_are_left_alone_and_scores_go_through_softmax() -> None:
    scores = np.array(
        [
            [0.25, 0.75, 0],  # probabilities already
            [np.log(1), np.log(2), np.log(5)],  # 1 : 2 : 5
            [2, -1, 0],  # sums to 1, but is negative
            [1000, 1000, -1000],  # must not overflow
            [-np.inf, 0, 0],
        ]
    )
    e = np.exp([2.0, -1, 0])
    expected = [
        [0.25, 0.75, 0],
        [0.125, 0.25, 0.625],
        list(e / e.sum()),
        [0.5, 0.5, 0],
        [0, 0.5, 0.5],
    ]
    np.testing.assert_allclose(to_probabilities(scores), expected, rtol=1e-12)
    halves = np.array([[0.3333, 0.3333, 0.3333]], np.float16)
    assert to_probabilities(halves)[0, 0] == float(np.float16(0.3333))
    assert np.isnan(to_probabilities(np.array([[np.nan, 1], [np.inf, 1]]))).any(axis=1).all()


@pytest.mark.parametrize("off", [0.0015, 0.05])
def test_scores_whose_sum_is_near_one_are_scores(off: float) -> None:
    for scores in ([0.5, 0.5 + off], [0.5, 0.5 - off]):
        low, high = np.exp(scores)
        np.testing.assert_allclose(
            to_probabilities(np.array([scores])), [[low / (low + high), high / (low + high)]]
        )


class Given(SessionBase):
    """A network that gives the same scores for every image, and a backend that loads it."""

    name, device, formats = "given", "cpu", frozenset({"onnx"})

    def __init__(self, dtype: str, scores: list[float], batch: int | str = "batch") -> None:
        self.inputs = (TensorSpec(name="image", dtype=dtype, shape=(batch, 3, 8, 8)),)
        self.outputs = (TensorSpec(name="scores", dtype="float32", shape=(batch, len(scores))),)
        self.scores = scores
        self.fed: list[np.ndarray[Any, Any]] = []

    def probe(self) -> Probe:
        return Probe(available=True, version="1", detail="")

    def load(self, _artifact: ArtifactData) -> Given:
        return self

    def run(self, feeds: Mapping[str, Any]) -> dict[str, Any]:
        check_feeds(self.inputs, feeds)
        self.fed.append(feeds["image"])
        return {"scores": np.tile(np.float32(self.scores), (len(feeds["image"]), 1))}


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_images_come_in_the_floats_that_a_graph_takes(tmp_path: Path, dtype: str) -> None:
    network = Given(dtype, [3, 1, 2], batch=2)
    results = list(classify(colour_bundle(tmp_path / "b"), COLOURS, backend=network))
    assert [[p.index for p in result.predictions] for result in results] == [[0, 2, 1]] * 3
    assert [batch.dtype for batch in network.fed] == [np.dtype(dtype)] * 2
    assert [batch.shape for batch in network.fed] == [(2, 3, 8, 8)] * 2
    assert not network.fed[1][1].any()  # an empty image fills a fixed batch up


def test_of_equally_likely_classes_the_first_comes_first(tmp_path: Path) -> None:
    scores = [1.0] * 10 + [2.0] * 3 + [0.5] * 400
    network = Given("float32", scores)
    bundle = colour_bundle(tmp_path / "b", labels=None)
    (result,) = classify(bundle.update(outputs=network.outputs), COLOURS[:1], backend=network)
    assert [p.index for p in result.predictions] == [10, 11, 12, 0, 1]
