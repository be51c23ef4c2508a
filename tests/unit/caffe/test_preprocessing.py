"""What a network was fed with is found in the files, and what they do not tell is said."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lrn_deploy.bundle import Said
from lrn_deploy.bundle.said import complete
from lrn_deploy.caffe import CaffeNetwork, read
from lrn_deploy.errors import BadInputError
from lrn_deploy.images.preprocess import preprocess_array
from tests.support.caffe_files import blob, caffemodel, deploy, message, number, real, write

BLOBS = {"conv": [np.ones((2, 3, 3, 3), np.float32)]}
RELU = 'layer { name: "r" type: "ReLU" bottom: "data" top: "y" }'


def network(
    folder: Path, mean: Path | None = None, data_layer: bytes = b"", channels: int = 3
) -> CaffeNetwork:
    text = deploy((channels, 4, 4), RELU)
    return read(*write(folder, text, data_layer + caffemodel(BLOBS)), mean)


def data_layer(transform: bytes) -> bytes:
    return message(100, message(1, "data") + message(2, "Data") + message(100, transform))


def means(folder: Path, values: np.ndarray, kind: str) -> Path:
    if kind == "npy":
        np.save(folder / "mean.npy", values)
        return folder / "mean.npy"
    path = folder / "mean.binaryproto"
    path.write_bytes(blob(values.astype(np.float32), legacy=True))
    return path


@pytest.mark.parametrize("kind", ["npy", "binaryproto"])
def test_a_mean_image_gives_its_average_and_its_size(tmp_path: Path, kind: str) -> None:
    image = np.arange(3 * 6 * 5, dtype=np.float64).reshape(3, 6, 5)
    made = network(tmp_path, means(tmp_path, image, kind)).transform
    assert made is not None
    assert made.mean == pytest.approx((14.5, 44.5, 74.5))
    assert made.resize == (6, 5)
    assert made.colors == "bgr"
    assert made.said["std"] == (1.0, 1.0, 1.0)


@pytest.mark.parametrize("shape", [(3, 4, 4), (1, 3, 4, 4)])
def test_a_mean_image_may_be_as_large_as_the_input_and_a_batch_of_one(
    tmp_path: Path, shape: tuple[int, ...]
) -> None:
    path = means(tmp_path, np.ones(shape, np.uint8), "npy").rename(tmp_path / "MEAN.NPY")
    made = network(tmp_path, path)
    assert made.transform is not None
    assert (made.transform.mean, made.transform.resize) == ((1.0, 1.0, 1.0), (4, 4))
    assert made.transform.origins == {
        "colors": "Caffe's convention",
        "scale": "Caffe's default",
        "mean": str(path),
        "resize": f"the size of the mean image in {path}",
    }
    assert any("is taken by its average in each channel" in line for line in made.told)


@pytest.mark.parametrize(
    ("transform", "said"),
    [
        (real(5, 1) + real(5, 2), "2 mean values are given for 3 channels"),
        (real(1, 0), "a scale of 0 leaves nothing"),
    ],
)
def test_a_transform_that_cannot_be_is_refused(tmp_path: Path, transform: bytes, said: str) -> None:
    with pytest.raises(BadInputError, match=said):
        network(tmp_path, None, data_layer(transform))


def test_of_a_mean_file_that_is_not_given_the_end_of_its_name_is_told(tmp_path: Path) -> None:
    made = network(tmp_path, None, data_layer(message(4, "/x" * 50 + "/mean")))
    assert made.transform is not None
    end = ("/x" * 50 + "/mean")[-80:]
    assert made.transform.origins["mean"] == f"it was in '{end}', says net.caffemodel"
    assert made.transform.origins["scale"] == "Caffe's default"
    grey = network(tmp_path, None, data_layer(real(1, 0.5)), channels=1).transform
    assert grey is not None
    assert grey.origins == {
        "colors": "one channel",
        "scale": "net.caffemodel",
        "mean": "none was subtracted, says net.caffemodel",
    }


def test_a_mean_of_three_numbers(tmp_path: Path) -> None:
    made = network(tmp_path, means(tmp_path, np.array([104.0, 117, 123]), "npy")).transform
    assert made is not None
    assert (made.mean, made.resize) == ((104.0, 117.0, 123.0), None)


def test_an_image_becomes_what_caffe_would_have_fed(tmp_path: Path) -> None:
    transform = b"".join(real(5, value) for value in (10, 20, 30)) + real(1, 0.25)
    made = network(tmp_path, None, data_layer(transform)).transform
    assert made is not None
    preprocessing = complete(Said.of(made.said | {"resize": (4, 4)}, "the files"), (3, 4, 4))
    assert preprocessing is not None
    assert set(preprocessing.assumed) == {"interpolation"}
    pixels = np.random.default_rng(0).integers(0, 256, (4, 4, 3), np.uint8)
    blue_first = pixels[..., ::-1].transpose(2, 0, 1).astype(np.float64)
    expected = (blue_first - np.array([10, 20, 30]).reshape(3, 1, 1)) * 0.25
    np.testing.assert_allclose(preprocess_array(pixels, preprocessing), expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("transform", "mean", "scale"),
    [
        (real(1, 0.00390625), (0.0, 0.0, 0.0), 0.00390625),
        (real(5, 127.5) + number(3, 4), (127.5,) * 3, 1.0),
        (message(4, "/home/someone/mean.binaryproto"), None, 1.0),
        (b"", None, 1.0),
    ],
)
def test_what_the_caffemodel_tells(
    tmp_path: Path, transform: bytes, mean: tuple[float, ...] | None, scale: float
) -> None:
    layer = data_layer(transform) if transform else b""
    made = network(tmp_path, None, layer)
    assert made.transform is not None
    assert (made.transform.mean, made.transform.scale) == (mean, scale)
    assert ("is not known" in " ".join(made.told)) == (mean is None)
    assert ("scale" in made.transform.said) == (mean is not None)


FED = 'layer {{ name: "d" type: "Data" top: "data" {} transform_param {{ scale: {} }} }}'
HEAD = deploy((3, 4, 4), "")


@pytest.mark.parametrize(
    ("layers", "scale"),
    [
        (FED.format("include { phase: TRAIN }", 0.5) + FED.format("", 0.75), 0.75),
        (HEAD + FED.format("include { phase: TRAIN }", 0.5), 0.5),
        (HEAD, 0.25),
    ],
)
def test_the_best_witness_of_a_transform_is_believed(
    tmp_path: Path, layers: str, scale: float
) -> None:
    """The network's own data layer, then one of another phase, then the caffemodel's."""
    files = write(tmp_path, layers + RELU, data_layer(real(1, 0.25)) + caffemodel(BLOBS))
    made = read(*files, input_shape=(3, 4, 4)).transform
    assert made is not None
    assert made.scale == scale


def test_grey_images_have_no_order_of_colors(tmp_path: Path) -> None:
    made = network(tmp_path, None, data_layer(real(1, 0.5)), channels=1).transform
    assert made is not None
    assert made.said == {"colors": "gray", "scale": 0.5, "mean": (0.0,), "std": (1.0,)}


def test_what_is_no_image_has_no_preprocessing(tmp_path: Path) -> None:
    assert network(tmp_path, channels=2).transform is None
    with pytest.raises(BadInputError, match="no images"):
        network(tmp_path, means(tmp_path, np.zeros(2), "npy"), channels=2)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (np.zeros((1, 6, 6)), "1 channels and the network takes 3"),
        (np.zeros((3, 3, 6)), "smaller than the input of 4 x 4"),
        (np.zeros((3, 6, 3)), "smaller than the input of 4 x 4"),
        (np.zeros((2, 3, 6, 6)), "no mean of images"),
        (np.zeros((3, 6)), "of shape 3 x 6 and type float64 is no mean of images"),
        (np.zeros((3, 0, 6)), "no mean of images"),
        (np.zeros(3, bool), "no mean of images"),
        (np.zeros(3, complex), "no mean of images"),
        (np.full(3, np.nan), "not finite"),
        (np.array([None, 1]), "cannot be read as an array"),
    ],
)
def test_a_mean_that_does_not_fit_is_refused(tmp_path: Path, values: np.ndarray, said: str) -> None:
    np.save(tmp_path / "mean.npy", values, allow_pickle=True)
    with pytest.raises(BadInputError, match=r"mean\.npy") as caught:
        network(tmp_path, tmp_path / "mean.npy")
    assert said in caught.value.message


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY", b"\xff" * 9, b"\x93NUMPY\x01\0\xff\xff{"])
@pytest.mark.parametrize("name", ["m.npy", "m.binaryproto"])
def test_a_damaged_mean_is_refused(tmp_path: Path, content: bytes, name: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BadInputError):
        network(tmp_path, tmp_path / name)
