from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lrn_deploy.bundle import Preprocessing, TensorSpec
from lrn_deploy.errors import BadInputError
from lrn_deploy.images.decode import DecodedImage
from lrn_deploy.parity import inputs
from lrn_deploy.parity.inputs import InputSet

VECTOR = TensorSpec(name="x", dtype="float32", shape=("batch", 4, 3))
PREPROCESSING = Preprocessing(resize=None, crop=(8, 8), mean=(0.5,) * 3, std=(0.5,) * 3)
PICTURE = TensorSpec(name="input", dtype="float32", shape=("batch", 3, 8, 8))
PIXELS = TensorSpec(name="image", dtype="uint8", shape=("batch", 8, 8, 3))
IN_GRAPH = PREPROCESSING.model_copy(update={"in_graph": True})


@pytest.mark.parametrize(
    ("name", "regime"),
    [
        ("photographs", "ordinary"),
        ("images", "ordinary"),
        ("random", "synthetic"),
        ("extremes", "extreme"),
        ("active-x316", "active"),
    ],
)
def test_regimes(name: str, regime: str) -> None:
    assert inputs.regime_of(name) == regime


def test_random_inputs_are_seeded_and_differ_from_row_to_row() -> None:
    first = inputs.random_set([VECTOR], None, 8).feeds["x"]
    again = inputs.random_set([VECTOR], None, 8).feeds["x"]
    assert first.dtype == np.float32
    assert first.shape == (8, 4, 3)
    np.testing.assert_array_equal(first, again)
    assert len({row.tobytes() for row in first}) == 8


def test_random_pictures_lie_where_pictures_lie() -> None:
    x = inputs.random_set([PICTURE], PREPROCESSING, 8).feeds["input"]
    assert x.shape == (8, 3, 8, 8)
    assert x.min() >= -1
    assert x.max() <= 1
    # Coarse first, fine later: neighbours agree in the first picture and not in the second.
    assert np.all(x[0, :, 0, 0] == x[0, :, 1, 1])
    assert np.any(x[1, :, 0, 0] != x[1, :, 1, 1])


@pytest.mark.parametrize(
    ("spec", "preprocessing"), [(PICTURE, PREPROCESSING), (PIXELS, IN_GRAPH), (VECTOR, None)]
)
def test_extremes_fit_the_input_and_are_finite(
    spec: TensorSpec, preprocessing: Preprocessing | None
) -> None:
    x = inputs.extreme_set([spec], preprocessing).feeds[spec.name]
    assert x.dtype == np.dtype(spec.dtype)
    assert x.shape[1:] == spec.at_batch(1)[1:]
    assert np.all(np.isfinite(x))
    assert np.any(np.all(x.reshape(len(x), -1) == 0, axis=1)), "one is all zero"


def test_extremes_hold_black_white_and_denormal() -> None:
    x = inputs.extreme_set([PICTURE], PREPROCESSING).feeds["input"]
    assert np.all(x[0] == -1)
    assert np.all(x[1] == 1)
    tiny = np.finfo(np.float32).tiny
    assert np.any(np.all((x != 0) & (np.abs(x) < tiny), axis=(1, 2, 3)))
    assert np.abs(x).max() > 1e3


def test_integers_have_their_ends() -> None:
    spec = TensorSpec(name="x", dtype="int8", shape=("batch", 2))
    assert inputs.extreme_set([spec], None).feeds["x"].tolist() == [[-128, -128], [127, 127]]
    random = inputs.random_set([spec], None, 100).feeds["x"]
    assert (random.min(), random.max()) >= (-128, 100)
    flags = TensorSpec(name="x", dtype="bool", shape=("batch", 2))
    assert set(np.unique(inputs.random_set([flags], None, 20).feeds["x"])) == {False, True}


@pytest.mark.parametrize(
    ("factor", "name"), [(3.1623, "active-x3.2"), (316.2, "active-x316"), (1e4, "active-x10000")]
)
def test_scaled_inputs_say_by_what(factor: float, name: str) -> None:
    base = InputSet("random", {"x": np.ones((2, 3), np.float32)}, "2 ones")
    scaled = inputs.scaled_set(base, factor)
    assert scaled.name == name
    assert scaled.feeds["x"].dtype == np.float32
    np.testing.assert_allclose(scaled.feeds["x"], factor, rtol=1e-6)


def test_joined_sets_take_turns() -> None:
    sets = [
        InputSet("a", {"x": np.array([0, 1])}, ""),
        InputSet("b", {"x": np.array([10, 11, 12, 13])}, ""),
    ]
    assert inputs.joined_set(sets, 4).feeds["x"].tolist() == [0, 10, 1, 11]
    every = inputs.joined_set(sets, 99)
    assert every.feeds["x"].tolist() == [0, 10, 1, 11, 12, 13]
    assert (every.name, every.detail) == ("active", "6 of a and b")
    assert inputs.joined_set(sets[1:], 3).feeds["x"].tolist() == [10, 11, 12]


def test_only_floats_can_be_scaled() -> None:
    assert inputs.scalable([VECTOR])
    assert inputs.scalable([VECTOR, PIXELS])
    assert not inputs.scalable([PIXELS])


def test_dark_pictures_have_a_quarter_of_the_light() -> None:
    grey = DecodedImage("grey", Image.new("RGB", (8, 8), (200, 100, 40)))
    dark = inputs.with_dark([grey])[1]
    assert dark.image.getpixel((0, 0)) == (50, 25, 10)
    assert "dark" in dark.name


def test_a_folder_gives_its_pictures_by_name(tmp_path: Path) -> None:
    named = ("b.png", "a.jpg", "c.txt", ".hidden.png", "d.jfif", "e.pbm")
    for colour, name in enumerate(named):
        image = Image.new("L", (4, 4), colour)
        image.save(tmp_path / name, format="PNG")
    found = inputs.read_folder(tmp_path)
    assert [Path(item.name).name for item in found] == ["a.jpg", "b.png", "d.jfif", "e.pbm"]
    rows = inputs.image_set("images", found, PIXELS, IN_GRAPH, "two").feeds["image"]
    assert rows.shape == (4, 8, 8, 3)


def test_a_folder_without_pictures_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="has no images"):
        inputs.read_folder(tmp_path)
    with pytest.raises(BadInputError, match="is not a folder"):
        inputs.read_folder(tmp_path / "none")


def test_no_more_pictures_are_taken_than_a_bundle_should_hold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert inputs.MAX_IMAGES == 64
    monkeypatch.setattr(inputs, "MAX_IMAGES", 2)
    for name in ("b", "c", "a"):
        Image.new("RGB", (2, 2)).save(tmp_path / f"{name}.png")
    assert [item.name.rpartition("/")[2] for item in inputs.read_folder(tmp_path)] == [
        "a.png",
        "b.png",
    ]


def test_coarse_and_fine_random_pictures_come_again_in_turn() -> None:
    side = 128
    preprocessing = PREPROCESSING.model_copy(update={"crop": (side, side)})
    spec = PICTURE.model_copy(update={"shape": ("batch", 3, side, side)})
    x = inputs.random_set([spec], preprocessing, 7).feeds["input"]

    def changes(row: int) -> int:
        """Columns of a picture that are not as the one before them."""
        return int((np.diff(x[row], axis=2) != 0).any(axis=(0, 1)).sum())

    # Squares of a quarter of the side, then of half of that, down to a thirty-second, and again.
    assert [changes(row) for row in range(7)] == [3, 7, 15, 31, 63, 127, 3]


def test_extremes_hold_a_checkerboard_and_one_single_white_pixel() -> None:
    pixels = inputs.extreme_set([PIXELS], IN_GRAPH).feeds["image"]
    assert [int((row == 255).all(axis=2).sum()) for row in pixels[:5]] == [0, 64, 0, 32, 1]
    assert (pixels[4, 4, 4] == 255).all()
