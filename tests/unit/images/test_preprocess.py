"""Preprocessing: numbers worked out by hand, and the plain formula on photographs."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from pydantic import ValidationError

from lrn_deploy.bundle import Preprocessing
from lrn_deploy.errors import BadInputError
from lrn_deploy.images.examples import photographs
from lrn_deploy.images.preprocess import fit, normalize, preprocess, preprocess_array
from lrn_deploy.models import ZOO

PLAIN = Preprocessing(resize=None, crop=(1, 2), mean=(0.5, 0.25, 0), std=(0.5, 0.5, 2))
TWO = np.array([[[255, 51, 0], [0, 102, 255]]], np.uint8)  # two pixels, side by side


def test_each_value_is_scaled_and_normalised_by_its_channel() -> None:
    values = preprocess_array(TWO, PLAIN)
    assert (values.dtype, values.shape) == (np.float32, (3, 1, 2))
    assert values.flags.c_contiguous
    # (1 - 0.5) / 0.5 and (0 - 0.5) / 0.5; (0.2 - 0.25) / 0.5 and (0.4 - 0.25) / 0.5; 0 and 1 / 2
    np.testing.assert_allclose(values[:, 0], [[1, -1], [-0.1, 0.3], [0, 0.5]], atol=1e-7)


def test_bgr_takes_blue_first_with_blues_own_mean() -> None:
    caffe = Preprocessing(
        mode="BGR", resize=None, crop=(1, 2), scale=1, mean=(104, 117, 123), std=(1, 1, 1)
    )
    assert preprocess_array(TWO, caffe)[:, 0].tolist() == [[-104, 151], [-66, -15], [132, -123]]


@pytest.mark.parametrize("mode", ["RGB", "BGR"])
def test_a_graph_that_preprocesses_gets_rgb_pixels(mode: str) -> None:
    preprocessing = PLAIN.model_copy(update={"in_graph": True, "mode": mode})
    pixels = preprocess_array(TWO, preprocessing)
    assert pixels.dtype == np.uint8
    assert np.array_equal(pixels, TWO)


def test_grey_network_weighs_colours_as_itu_601_does() -> None:
    preprocessing = Preprocessing(mode="L", resize=None, crop=(1, 1), scale=1, mean=(0,), std=(1,))
    for colour, luma in (((255, 0, 0), 76), ((0, 255, 0), 150), ((0, 0, 255), 29)):
        assert preprocess_array(np.array([[colour]], np.uint8), preprocessing).tolist() == [
            [[luma]]
        ]
    in_graph = preprocessing.model_copy(update={"in_graph": True})
    assert preprocess_array(np.full((1, 1), 9, np.uint8), in_graph).shape == (1, 1, 1)


def test_grey_image_fills_all_channels_of_a_colour_network() -> None:
    grey = np.arange(6, dtype=np.uint8).reshape(2, 3)
    preprocessing = Preprocessing(resize=None, crop=(2, 3), scale=1, mean=(0, 0, 0), std=(1, 1, 1))
    for pixels in (grey, grey[..., None]):
        assert np.array_equal(preprocess_array(pixels, preprocessing), np.stack([grey] * 3))


@pytest.mark.parametrize(
    ("size", "resized", "corner"),
    [  # (width, height) -> shorter side 256 -> left, top of the 227 x 227 crop
        ((640, 427), (383, 256), (78, 14)),  # 256 * 640 / 427 = 383.7; 156 / 2; 29 / 2 = 14.5 to 14
        ((427, 640), (256, 383), (14, 78)),
        ((300, 300), (256, 256), (14, 14)),
        ((100, 50), (512, 256), (142, 14)),  # enlarged; 285 / 2 = 142.5 to even
    ],
)
def test_shorter_side_is_resized_and_the_centre_cropped_as_torchvision_does(
    size: tuple[int, int], resized: tuple[int, int], corner: tuple[int, int]
) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3)).astype(np.uint8)
    whole = np.asarray(Image.fromarray(noise).resize(resized, Image.Resampling.BILINEAR))
    left, top = corner
    assert np.array_equal(
        fit(Image.fromarray(noise), Preprocessing()), whole[top : top + 227, left : left + 227]
    )


def test_a_resize_to_height_and_width_is_cropped_at_its_centre() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (50, 90, 3)).astype(np.uint8)
    preprocessing = Preprocessing(resize=(40, 60), crop=(30, 40), interpolation="bicubic")
    whole = np.asarray(Image.fromarray(noise).resize((60, 40), Image.Resampling.BICUBIC))
    assert np.array_equal(fit(Image.fromarray(noise), preprocessing), whole[5:35, 10:50])


def test_without_resize_the_whole_image_is_stretched_onto_the_crop() -> None:
    halves = np.zeros((4, 8, 3), np.uint8)
    halves[:, 4:] = 200
    preprocessing = Preprocessing(resize=None, crop=(2, 2), interpolation="box")
    assert fit(Image.fromarray(halves), preprocessing)[..., 0].tolist() == [[0, 200], [0, 200]]


@pytest.mark.parametrize("name", ["alexnet", "caffenet", "digits"])
def test_the_formula_on_photographs(name: str) -> None:
    preprocessing = ZOO[name].preprocessing
    for photograph in photographs():
        pixels = fit(photograph.image, preprocessing).astype(np.float64)
        channels = pixels[..., ::-1] if preprocessing.mode == "BGR" else pixels
        expected = (channels * preprocessing.scale - preprocessing.mean) / preprocessing.std
        values = preprocess(photograph.image, preprocessing)
        assert values.shape == ZOO[name].input_shape
        np.testing.assert_allclose(values, expected.transpose(2, 0, 1), rtol=1e-6, atol=1e-6)


@given(st.integers(1, 40), st.integers(1, 40), st.sampled_from([None, 12]), st.booleans())
def test_every_image_gets_the_networks_shape(
    width: int, height: int, resize: int | None, grey: bool
) -> None:
    pixels = np.zeros((height, width) if grey else (height, width, 3), np.uint8)
    preprocessing = Preprocessing(resize=resize, crop=(9, 12))
    assert preprocess_array(pixels, preprocessing).shape == (3, 9, 12)


def test_batches_normalise_as_single_images_do() -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (5, 4, 6, 3)).astype(np.uint8)
    together = normalize(pixels, PLAIN)
    assert together.shape == (5, 3, 4, 6)
    assert np.array_equal(together, np.stack([normalize(one, PLAIN) for one in pixels]))


@pytest.mark.parametrize(
    ("pixels", "message"),
    [
        (np.zeros((4, 4, 3), np.float32), "got float32 of shape"),
        (np.zeros((4, 4, 4), np.uint8), "got uint8 of shape"),
        (np.zeros((2, 4, 4, 3), np.uint8), "got uint8 of shape"),
        (np.zeros((0, 4, 3), np.uint8), "no pixels"),
    ],
)
def test_other_arrays_are_refused(pixels: np.ndarray, message: str) -> None:
    with pytest.raises(BadInputError, match=message):
        preprocess_array(pixels, PLAIN)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"resize": 200}, "resize 200 is smaller than the crop"),
        ({"crop": (0, 5)}, "the crop is empty"),
        ({"mean": (0.5,)}, "mode RGB takes 3 means and stds"),
        ({"mode": "L"}, "mode L takes 1 means and stds"),
        ({"std": (1, 0, 1)}, "a std must not be 0"),
    ],
)
def test_preprocessing_that_contradicts_itself_is_refused(
    change: dict[str, object], message: str
) -> None:
    with pytest.raises(ValidationError, match=message):
        Preprocessing.model_validate(Preprocessing().model_dump() | change)


def test_an_image_too_thin_to_resize_is_refused() -> None:
    with pytest.raises(BadInputError, match=r"1 x 1,000,000 pixels is too thin"):
        preprocess(Image.new("L", (1, 1_000_000)), Preprocessing())


@pytest.mark.parametrize(("side", "fits"), [(8000, True), (8001, False)])
def test_an_image_is_resized_to_64_megapixels_at_most(
    side: int, fits: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = []

    def resize(image: Image.Image, size: tuple[int, int], _filter: object) -> Image.Image:
        sizes.append(size)
        return image

    monkeypatch.setattr(Image.Image, "resize", resize)
    preprocessing = Preprocessing(mode="L", resize=side, crop=(1, 1), mean=(0,), std=(1,))
    with nullcontext() if fits else pytest.raises(BadInputError, match="would be 8,001"):
        fit(Image.new("L", (1, 1)), preprocessing)
    assert sizes == [(8000, 8000)] * fits


def test_an_odd_rest_is_cropped_at_its_rounded_half_as_torchvision_does() -> None:
    # torchvision's CenterCrop: int(round((4 - 1) / 2.0)) is 2, so the third column and row.
    numbers = np.arange(16, dtype=np.uint8).reshape(4, 4)
    preprocessing = Preprocessing(mode="L", resize=(4, 4), crop=(1, 1), mean=(0,), std=(1,))
    assert fit(Image.fromarray(numbers), preprocessing).item() == 4 * 2 + 2


@pytest.mark.parametrize("view", [lambda pixels: pixels[::2, ::-1], lambda pixels: pixels.T])
def test_pixels_may_be_a_view_of_others(view: Callable[[np.ndarray], np.ndarray]) -> None:
    pixels = view(np.random.default_rng(0).integers(0, 256, (6, 6)).astype(np.uint8))
    preprocessing = Preprocessing(
        mode="L", resize=None, crop=(pixels.shape[0], 6), scale=1, mean=(0,), std=(1,)
    )
    assert not pixels.flags.c_contiguous
    np.testing.assert_array_equal(preprocess_array(pixels, preprocessing)[0], pixels)
