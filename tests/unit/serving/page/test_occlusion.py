"""What is covered, what the network sees, and where that lies in the image."""

from __future__ import annotations

import numpy as np
import pytest

from lrn_deploy.bundle import Preprocessing, TensorSpec
from lrn_deploy.images.decode import DEFAULT_LIMITS
from lrn_deploy.serving.errors import InvalidRequestError
from lrn_deploy.serving.page.occlusion import GREY, patch, seen, study
from tests.support.image_bundles import picture

UNIT = Preprocessing(resize=None, crop=(8, 8), mean=(0, 0, 0), std=(1, 1, 1))


@pytest.mark.parametrize(
    ("cell", "cells", "size", "rows", "columns"),
    [
        # A cell of 8 / 4 = 2 pixels and 1 on each side of it, as far as the image goes.
        ((0, 0), 4, (8, 8), (0, 3), (0, 3)),
        ((1, 2), 4, (8, 8), (1, 5), (3, 7)),
        ((3, 3), 4, (8, 8), (5, 8), (5, 8)),
        ((0, 1), 2, (10, 4), (0, 8), (1, 4)),
        ((3, 4), 8, (8, 8), (3, 5), (4, 6)),
    ],
)
def test_a_patch_is_a_cell_and_half_of_one_around_it(
    cell: tuple[int, int],
    cells: int,
    size: tuple[int, int],
    rows: tuple[int, int],
    columns: tuple[int, int],
) -> None:
    assert patch(cell, cells, size) == (slice(*rows), slice(*columns))


@pytest.mark.parametrize("cells", [2, 3, 7, 8])
def test_every_pixel_is_covered_once_at_least(cells: int) -> None:
    covered = np.zeros((9, 13), int)
    for cell in np.ndindex(cells, cells):
        covered[patch(cell, cells, covered.shape)] += 1
    assert covered.min() >= 1
    assert covered.max() <= 9


@pytest.mark.parametrize(
    ("size", "resize", "region"),
    [
        ((400, 100), None, (0, 0, 1, 1)),
        # 400 x 200 becomes 20 x 10, of which 8 x 8 are kept in the middle.
        ((400, 200), 10, (0.3, 0.1, 0.4, 0.8)),
        ((50, 50), (16, 10), (0.1, 0.25, 0.8, 0.5)),
    ],
)
def test_the_part_that_is_seen(
    size: tuple[int, int],
    resize: int | tuple[int, int] | None,
    region: tuple[float, float, float, float],
) -> None:
    preprocessing = UNIT.model_copy(update={"resize": resize})
    assert seen(size, preprocessing) == pytest.approx(region)


def test_the_inputs_are_the_image_and_the_image_with_grey_patches() -> None:
    one = study(picture("white"), "white.png", UNIT, 4, DEFAULT_LIMITS)
    spec = TensorSpec(name="image", dtype="float16", shape=("batch", 3, 8, 8))
    array = one.inputs([0, 6], spec, 3)
    assert (one.rows, array.shape, array.dtype) == (17, (3, 3, 8, 8), np.float16)
    assert (array[0] == 1).all()
    covered = np.ones((3, 8, 8))
    covered[:, 1:5, 1:5] = GREY / 255  # 6 is row 1, column 1
    np.testing.assert_allclose(array[1], covered, atol=1e-3)
    assert (array[2] == 0).all()
    assert (one.pixels == 255).all()  # what is covered is a copy


def test_a_graph_that_takes_pixels_gets_pixels() -> None:
    inside = UNIT.model_copy(update={"in_graph": True})
    one = study(picture("red"), "red.png", inside, 2, DEFAULT_LIMITS)
    spec = TensorSpec(name="image", dtype="uint8", shape=("batch", 8, 8, 3))
    array = one.inputs(range(2), spec, 2)
    assert (array.dtype, array.shape) == (np.uint8, (2, 8, 8, 3))
    assert (array[0, 0, 0].tolist(), array[1, 0, 0].tolist()) == ([255, 0, 0], [GREY] * 3)


@pytest.mark.parametrize(
    ("content", "cells", "said"),
    [
        (picture("red"), 1, "'grid' must be from 2 to 8 for this network, got 1"),
        (picture("red"), 9, "'grid' must be from 2 to 8"),
        (b"no image", 4, "'x.png' is not an image"),
        (picture("red")[:60], 4, "damaged or cut short"),
    ],
)
def test_what_cannot_be_studied_is_refused(content: bytes, cells: int, said: str) -> None:
    with pytest.raises(InvalidRequestError, match=said):
        study(content, "x.png", UNIT, cells, DEFAULT_LIMITS)
