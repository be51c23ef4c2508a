"""Images as a caller has them: paths, bytes and pictures become files in memory."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from lrn_deploy.client.images import image_files
from lrn_deploy.errors import BadInputError


def test_each_has_a_name_and_its_bytes_in_the_order_they_were_given(tmp_path: Path) -> None:
    file = tmp_path / "a.jpg"
    file.write_bytes(b"jpeg")
    picture = Image.new("RGB", (2, 3), (255, 0, 0))
    *first, last = image_files([b"raw", file, str(file), picture])
    assert first == [("image-0", b"raw"), (str(file), b"jpeg"), (str(file), b"jpeg")]
    assert last[0] == "image-3.png"
    with Image.open(io.BytesIO(last[1])) as back:
        assert (back.format, back.size, back.getpixel((1, 2))) == ("PNG", (2, 3), (255, 0, 0))


@pytest.mark.parametrize(
    ("image", "said"),
    [
        (b"", "Image 1 is empty"),
        ("empty", "'empty' is empty"),
        ("none", "'none' cannot be read: No such file"),
        (7, "Image 1 is a int"),
    ],
)
def test_what_is_no_image_file_is_told_by_its_name_or_place(
    image: Any, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("empty").touch()
    with pytest.raises(BadInputError, match=said) as caught:
        image_files([b"first", image])
    assert caught.value.hint
