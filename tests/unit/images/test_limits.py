"""How much of a file is taken in: bytes before reading, pixels before decoding."""

from __future__ import annotations

import struct
import tracemalloc
import zlib
from pathlib import Path

import pytest
from PIL import Image

from lrn_deploy.errors import BadInputError
from lrn_deploy.images.decode import FORMATS, ImageLimits, decode
from tests.support.image_bundles import encode, png_file


@pytest.mark.parametrize("side", [10_000, 30_000])  # under and over Pillow's own limit
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_a_bomb_costs_no_memory(side: int) -> None:
    compressor, row = zlib.compressobj(1), b"\0" * (side * 3 + 1)
    body = b"".join(compressor.compress(row) for _ in range(side)) if side == 10_000 else b""
    stream = body + compressor.flush()
    data = png_file(struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0), stream, compressed=True)
    Image.init()
    tracemalloc.start()
    blocks = Image.core.get_stats()["allocated_blocks"]
    with pytest.raises(BadInputError, match=f"has {side * side:,} pixels, more than 64,000,000"):
        decode(data)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1_000_000 + len(data)
    assert Image.core.get_stats()["allocated_blocks"] == blocks  # no pixel was ever stored


def test_limits_are_the_callers() -> None:
    data = encode(Image.new("RGB", (10, 10)), "PNG")
    assert decode(data, limits=ImageLimits(max_pixels=100)).size == (10, 10)
    with pytest.raises(BadInputError, match="100 pixels, more than 99") as caught:
        decode(data, limits=ImageLimits(max_pixels=99))
    assert caught.value.hint.startswith("Scale the image down")
    assert decode(data, limits=ImageLimits(max_bytes=len(data))).size == (10, 10)
    with pytest.raises(BadInputError, match="larger than"):
        decode(data, limits=ImageLimits(max_bytes=len(data) - 1))
    for wrong in ({"max_bytes": 0}, {"max_pixels": 0}, {"max_pixels": 178_956_971}):
        with pytest.raises(BadInputError, match="max_"):
            ImageLimits(**wrong)


def test_a_file_over_the_limit_is_not_read_whole(tmp_path: Path) -> None:
    with (tmp_path / "huge.png").open("wb") as stream:
        stream.truncate(10**12)
    with pytest.raises(BadInputError, match=r"huge.png' is larger than 1,000 bytes"):
        decode(tmp_path / "huge.png", limits=ImageLimits(max_bytes=1000))


def test_pillows_own_limit_is_where_the_code_says() -> None:
    assert Image.MAX_IMAGE_PIXELS is not None
    ImageLimits(max_pixels=2 * Image.MAX_IMAGE_PIXELS)
    Image.init()
    assert set(FORMATS) <= set(Image.OPEN)
