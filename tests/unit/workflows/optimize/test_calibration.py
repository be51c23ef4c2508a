"""Which images int8 is calibrated on, and which are refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lrn_deploy.bundle import Manifest, ModelSource, Preprocessing, TensorSpec, Weights
from lrn_deploy.errors import BadInputError, MissingError
from lrn_deploy.models.digits_data import load_split
from lrn_deploy.workflows.optimize import calibration
from lrn_deploy.workflows.optimize.calibration import MAX_IMAGES, Calibration, calibration_inputs

PREPROCESSING = Preprocessing(resize=36, crop=(32, 32))


def manifest(
    preprocessing: Preprocessing | None = PREPROCESSING,
    factory: str = "net.py:build",
    origin: str = "factory",
) -> Manifest:
    return Manifest.model_validate(
        {
            "model": ModelSource(
                name="net",
                factory=factory,
                origin="zoo" if origin == "zoo" else "factory",
                input_shape=(3, 32, 32),
                weights=Weights(kind="random"),
            ),
            "inputs": (TensorSpec(name="input", dtype="float32", shape=("batch", 3, 32, 32)),),
            "outputs": (),
            "preprocessing": preprocessing,
        }
    )


def folder(path: Path, count: int, distinct: int | None = None) -> Path:
    path.mkdir()
    for index in range(count):
        seed = index % (distinct or count)
        pixels = np.random.default_rng(seed).integers(0, 256, (40, 50, 3), np.uint8)
        Image.fromarray(pixels).save(path / f"{index:04d}.png")
    return path


def test_photographs_are_cropped_in_many_places() -> None:
    found = calibration_inputs(manifest())
    assert found.inputs.shape == (32, 3, 32, 32)
    assert found.inputs.dtype == np.float32
    assert len({row.tobytes() for row in found.inputs}) == 32
    assert found.detail == "32 crops of two photographs"
    assert calibration_inputs(manifest()).digest == found.digest


def test_the_digit_networks_take_what_they_were_trained_on() -> None:
    preprocessing = Preprocessing(mode="L", resize=None, crop=(8, 8), mean=(78,), std=(1,), scale=1)
    found = calibration_inputs(manifest(preprocessing, "digits", "zoo"))
    train, test = load_split()
    assert found.inputs.shape == (128, 1, 8, 8)
    np.testing.assert_array_equal(found.inputs[5, 0] + 78, train.images[5])
    held_out = {image.tobytes() for image in test.images}
    taken = {(row[0] + 78).astype(np.uint8).tobytes() for row in found.inputs}
    assert not taken & held_out


def test_a_network_that_takes_pixels_gets_pixels() -> None:
    found = calibration_inputs(manifest(PREPROCESSING.model_copy(update={"in_graph": True})))
    assert found.inputs.shape == (32, 32, 32, 3)
    assert found.inputs.dtype == np.uint8


def test_a_folder_of_the_users(tmp_path: Path) -> None:
    found = calibration_inputs(manifest(), folder(tmp_path / "photos", 9))
    assert found.inputs.shape == (9, 3, 32, 32)
    assert found.detail == "9 of 9 images of the user's"
    other = calibration_inputs(manifest(), folder(tmp_path / "more", 10))
    assert other.digest != found.digest


def test_a_large_folder_is_sampled_evenly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert MAX_IMAGES == 128
    monkeypatch.setattr(calibration, "MAX_IMAGES", 10)
    whole = calibration_inputs(manifest(), folder(tmp_path / "whole", 10))
    photos = folder(tmp_path / "photos", 40)
    found = calibration_inputs(manifest(), photos)
    assert found.detail == "10 of 40 images of the user's"
    # Every fourth, from the first: the second one taken is the whole folder's fifth.
    np.testing.assert_array_equal(found.inputs[1], whole.inputs[4])


@pytest.mark.parametrize(
    ("count", "distinct", "sentence"),
    [
        (1, None, "too few: int8 needs 8 different ones, got 1"),
        (7, None, "too few: int8 needs 8 different ones, got 7"),
        (20, 1, "All 20 calibration images are equal."),
        (20, 3, "too few: int8 needs 8 different ones, got 3"),
    ],
)
def test_too_few_or_equal_images_are_refused(
    tmp_path: Path, count: int, distinct: int | None, sentence: str
) -> None:
    with pytest.raises(BadInputError, match=sentence) as caught:
        calibration_inputs(manifest(), folder(tmp_path / "photos", count, distinct))
    assert "at least 8 images" in caught.value.hint


def test_a_folder_that_is_not_there_or_empty(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="There is no folder"):
        calibration_inputs(manifest(), tmp_path / "gone")
    with pytest.raises(BadInputError, match="has no images"):
        calibration_inputs(manifest(), tmp_path)


def test_an_image_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    photos = folder(tmp_path / "photos", 9)
    (photos / "0004.png").write_bytes(b"no picture")
    with pytest.raises(BadInputError, match=r"0004\.png"):
        calibration_inputs(manifest(), photos)


def test_a_network_that_takes_no_images_is_refused() -> None:
    with pytest.raises(BadInputError, match="which are no images") as caught:
        calibration_inputs(manifest(None))
    assert "fp16" in caught.value.hint


def test_without_sample_images_the_option_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> None:
        raise MissingError("scikit-learn is not installed.", "Install it.")

    monkeypatch.setattr(calibration, "photographs", missing)
    with pytest.raises(BadInputError, match="no images to calibrate int8 on") as caught:
        calibration_inputs(manifest())
    assert "--calibration DIR" in caught.value.hint


def test_batches_are_full_and_leave_nothing_out() -> None:
    found = Calibration(np.arange(10, dtype=np.float32)[:, None], "")
    batches = found.batches(4)
    assert [batch.ravel().tolist() for batch in batches] == [
        [0, 1, 2, 3],
        [4, 5, 6, 7],
        [8, 9, 0, 1],
    ]
    assert found.batches(16)[0].shape == (16, 1)


def test_as_many_images_as_it_takes_are_enough(tmp_path: Path) -> None:
    found = calibration_inputs(manifest(), folder(tmp_path / "photos", 16, 8))
    assert len({row.tobytes() for row in found.inputs}) == 8
