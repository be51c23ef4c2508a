"""Decoding: what each kind of file becomes, and what is refused without harm."""

from __future__ import annotations

import struct
import warnings
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile

from lrn_deploy.errors import BadInputError
from lrn_deploy.images.decode import decode
from tests.support.image_bundles import encode, png_file

R, G, B, W = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)
CORNERS = {  # EXIF orientation -> top left, top right, bottom left, bottom right, once upright
    1: (R, G, B, W),
    2: (G, R, W, B),
    3: (W, B, G, R),
    4: (B, W, R, G),
    5: (R, B, G, W),
    6: (B, R, W, G),
    7: (W, G, B, R),
    8: (G, W, R, B),
}


def four_colours() -> Image.Image:
    """24 x 16 pixels: red, green above blue, white."""
    pixels = np.empty((16, 24, 3), np.uint8)
    pixels[:8, :12], pixels[:8, 12:], pixels[8:, :12], pixels[8:, 12:] = R, G, B, W
    return Image.fromarray(pixels)


def exif(orientation: Any) -> Image.Exif:
    data = Image.Exif()
    data[0x0112] = orientation
    return data


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("JPEG", {"quality": 100, "subsampling": 0}),
        ("PNG", {}),
        ("WEBP", {"lossless": True}),
        ("TIFF", {}),
    ],
)
def test_exif_orientation_is_applied_once(
    kind: str, options: dict[str, Any], orientation: int
) -> None:
    decoded = decode(encode(four_colours(), kind, exif=exif(orientation), **options))
    assert decoded.size == ((24, 16) if orientation <= 4 else (16, 24))
    height, width = decoded.pixels.shape[:2]
    places = [(2, 2), (2, width - 3), (height - 3, 2), (height - 3, width - 3)]
    for place, colour in zip(places, CORNERS[orientation], strict=True):
        assert np.abs(decoded.pixels[place].astype(int) - colour).max() <= 2


@pytest.mark.parametrize("data", [b"Exif\0\0garbage", b"Exif\0\0II*\0\xff\xff\xff\xff"])
def test_damaged_or_impossible_exif_leaves_the_image_as_it_is(data: bytes) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert decode(encode(four_colours(), "JPEG", exif=data)).size == (24, 16)
    assert decode(encode(four_colours(), "PNG", exif=exif(9))).size == (24, 16)


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM"])  # Pillow's modes I;16, I;16 and I
def test_16_bit_grey_is_scaled_not_clipped(kind: str) -> None:
    values = np.array([[0, 128, 129, 32768, 65407, 65535]], np.uint16)
    decoded = decode(encode(Image.fromarray(values), kind))
    # value * 255 / 65535: 0, 0.498, 0.502, 127.502, 254.502, 255
    assert decoded.image.mode == "L"
    assert decoded.pixels.tolist() == [[0, 0, 1, 128, 255, 255]]


def test_16_bit_colour_is_scaled() -> None:
    header = struct.pack(">IIBBBBB", 2, 1, 16, 2, 0, 0, 0)  # 2 x 1, 16 bits, RGB
    pixels = struct.pack(">6H", 65535, 0, 32896, 0, 65535, 0)
    data = png_file(header, b"\0" + pixels)
    assert decode(data).pixels.tolist() == [[[255, 0, 128], [0, 255, 0]]]


@pytest.mark.parametrize("values", [[0, -1], [0, 65536]])
def test_32_bit_integers_beyond_16_bits_are_refused(values: list[int]) -> None:
    data = encode(Image.fromarray(np.array([values], np.int32)), "TIFF")
    with pytest.raises(BadInputError, match="outside 16 bits"):
        decode(data)


def test_floating_point_pixels_are_refused() -> None:
    data = encode(Image.fromarray(np.array([[0.5, 1]], np.float32)), "TIFF")
    with pytest.raises(BadInputError, match="floating-point"):
        decode(data)


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_cmyk_becomes_rgb(kind: str) -> None:
    inks = [(0, 0, 0, 0), (255, 0, 0, 0), (0, 0, 255, 0), (0, 0, 0, 255), (0, 0, 0, 127)]
    cmyk = np.array([inks], np.uint8).repeat(16, 0).repeat(16, 1)
    options = {"quality": 100, "subsampling": 0} if kind == "JPEG" else {}
    decoded = decode(encode(Image.fromarray(cmyk, "CMYK"), kind, **options))
    expected = [(255, 255, 255), (0, 255, 255), (255, 255, 0), (0, 0, 0), (128, 128, 128)]
    assert decoded.image.mode == "RGB"
    assert np.abs(decoded.pixels[8, 8::16].astype(int) - expected).max() <= 2


def test_transparency_is_composited_on_white() -> None:
    rgba = Image.new("RGBA", (3, 1))
    rgba.putdata([(255, 0, 0, 255), (255, 0, 0, 0), (255, 0, 0, 51)])
    # 51 / 255 = 0.2: 0.2 * (255, 0, 0) + 0.8 * (255, 255, 255)
    assert decode(encode(rgba, "PNG")).pixels.tolist() == [[list(R), list(W), [255, 204, 204]]]
    grey = Image.new("LA", (2, 1))
    grey.putdata([(100, 255), (100, 51)])
    decoded = decode(encode(grey, "PNG"))
    assert (decoded.image.mode, decoded.pixels.tolist()) == ("L", [[100, 224]])


def test_a_transparent_palette_colour_or_grey_level_becomes_white() -> None:
    palette = Image.new("P", (2, 1))
    palette.putpalette([255, 0, 0, 0, 0, 255])
    palette.putdata([0, 1])
    assert decode(encode(palette, "PNG")).pixels.tolist() == [[list(R), list(B)]]
    assert decode(encode(palette, "PNG", transparency=1)).pixels.tolist() == [[list(R), list(W)]]
    grey = Image.fromarray(np.array([[7, 9]], np.uint8))
    assert decode(encode(grey, "PNG", transparency=9)).pixels.tolist() == [[7, 255]]


def test_black_and_white_becomes_grey() -> None:
    bits = Image.fromarray(np.array([[0, 255]], np.uint8)).convert("1")
    assert decode(encode(bits, "PNG")).pixels.tolist() == [[0, 255]]


@pytest.mark.parametrize(
    ("kind", "part"), [("GIF", "frame"), ("PNG", "frame"), ("WEBP", "frame"), ("TIFF", "page")]
)
def test_the_first_frame_of_an_animation_is_taken_and_that_is_said(kind: str, part: str) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    options = {"lossless": True} if kind == "WEBP" else {}
    data = encode(frames[0], kind, save_all=True, append_images=frames[1:], **options)
    decoded = decode(data)
    assert decoded.note == f"only the first {part} was used"
    assert decoded.pixels[4, 4].tolist() == list(R)
    assert decode(encode(frames[0], kind, **options)).note == ""


def test_a_second_picture_in_a_photograph_is_not_worth_a_note() -> None:
    data = encode(four_colours(), "MPO", save_all=True, append_images=[four_colours()])
    assert decode(data).note == ""


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("empty.png", b"", "'.*empty.png' is empty"),
        ("text.jpg", b"Dear diary, ", "is not an image"),
        ("page.svg", b"<svg xmlns='http://www.w3.org/2000/svg'/>", "is not an image"),
        ("flat.png", b"P6 0 4 255\n", "is not an image"),
    ],
)
def test_what_is_no_image_is_refused(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BadInputError, match=message) as caught:
        decode(tmp_path / name)
    assert caught.value.hint


def test_a_format_that_is_not_allowed_is_refused() -> None:
    data = encode(four_colours(), "TGA")
    with Image.open(BytesIO(data)) as known_to_pillow:
        assert known_to_pillow.format == "TGA"
    with pytest.raises(BadInputError, match="not of a format"):
        decode(data)


def test_a_folder_a_missing_file_and_an_impossible_path_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="is a folder"):
        decode(tmp_path)
    with pytest.raises(BadInputError, match="does not exist"):
        decode(tmp_path / "nothing.png")
    with pytest.raises(BadInputError, match="cannot be read"):
        decode(Path("nul\0byte.png"))


def test_an_unreadable_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(BadInputError, match="cannot be read: Permission denied"):
        decode(tmp_path / "secret.png")


FILES = {
    "JPEG": encode(four_colours(), "JPEG", exif=exif(6)),
    "progressive JPEG": encode(four_colours(), "JPEG", progressive=True),
    "PNG": encode(four_colours(), "PNG", exif=exif(3)),
    "16-bit PNG": encode(Image.fromarray(np.arange(96, dtype=np.uint16).reshape(8, 12)), "PNG"),
    "WebP": encode(four_colours(), "WEBP", exif=exif(3)),
    "BMP": encode(four_colours(), "BMP"),
    "GIF": encode(four_colours(), "GIF", save_all=True, append_images=[Image.new("RGB", (24, 16))]),
    "TIFF": encode(four_colours(), "TIFF", exif=exif(5)),
    "PPM": encode(four_colours(), "PPM"),
}


@pytest.mark.parametrize("kind", FILES)
@pytest.mark.filterwarnings("ignore:::PIL")
def test_a_truncated_file_is_refused_at_every_cut_or_lacks_nothing(kind: str) -> None:
    whole = decode(FILES[kind]).pixels
    refused = 0
    for cut in range(len(FILES[kind])):
        try:
            assert np.array_equal(decode(FILES[kind][:cut]).pixels, whole), f"cut at {cut}"
        except BadInputError:
            refused += 1
    assert refused > len(FILES[kind]) / 2
    assert not ImageFile.LOAD_TRUNCATED_IMAGES


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ValueError("broken stream.\nSee the manual"), "cut short: broken stream."),
        (EOFError(), "cut short: EOFError."),
    ],
)
def test_why_a_file_is_damaged_is_said_in_one_line(
    error: Exception, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: Image.Image) -> None:
        raise error

    monkeypatch.setattr(ImageFile.ImageFile, "load", fail)
    with pytest.raises(BadInputError) as caught:
        decode(FILES["PNG"])
    assert caught.value.message == f"'image' is damaged or {said}"
    assert caught.value.hint.startswith("Copy or download the file again")


@settings(max_examples=120, deadline=None)
@given(st.binary(max_size=200), st.sampled_from(sorted(FILES)), st.integers(0, 64))
@pytest.mark.filterwarnings("ignore:::PIL")
def test_any_bytes_give_an_image_or_a_bad_input_error(junk: bytes, kind: str, kept: int) -> None:
    for data in (junk, FILES[kind][:kept] + junk):
        with suppress(BadInputError):
            assert decode(data).image.mode in ("RGB", "L")


@settings(max_examples=120, deadline=None)
@given(
    st.sampled_from(sorted(FILES)),
    st.lists(st.tuples(st.integers(0, 500), st.integers(0, 255)), min_size=1, max_size=5),
)
@pytest.mark.filterwarnings("ignore:::PIL")
def test_flipped_bytes_give_an_image_or_a_bad_input_error(
    kind: str, changes: list[tuple[int, int]]
) -> None:
    data = bytearray(FILES[kind])
    for place, value in changes:
        data[place % len(data)] = value
    with suppress(BadInputError):
        assert decode(bytes(data)).image.mode in ("RGB", "L")
