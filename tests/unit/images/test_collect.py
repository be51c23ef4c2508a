"""Which images are meant by files, folders, globs and standard input; sample images."""

from __future__ import annotations

import importlib.util
import re
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest

from lrn_deploy.errors import BadInputError, MissingError
from lrn_deploy.extras import install
from lrn_deploy.images.collect import ImageSource, collect, evenly
from lrn_deploy.images.decode import ImageLimits
from lrn_deploy.images.examples import digits, photographs
from lrn_deploy.models.digits_data import digit_images


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("b.JPG", "a.png", "notes.txt", ".hidden.png", "x[1].gif", "sub/c.webp", "void/d"):
        path = tmp_path / "tree" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    (tmp_path / "tree" / "folder.png").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path / "tree"


def names(*arguments: str) -> list[str]:
    return [source.name for source in collect(arguments)]


def test_a_folder_stands_for_its_own_visible_images_by_name(tree: Path) -> None:
    assert names("tree") == ["tree/a.png", "tree/b.JPG", "tree/x[1].gif"]
    assert collect(["tree"])[0].content == Path("tree/a.png")
    assert names(str(tree / "sub")) == [str(tree / "sub/c.webp")]


@pytest.mark.usefixtures("tree")
def test_arguments_keep_their_order_and_may_repeat() -> None:
    assert names("tree/sub", "tree/a.png", "tree/sub/c.webp") == [
        "tree/sub/c.webp",
        "tree/a.png",
        "tree/sub/c.webp",
    ]


@pytest.mark.usefixtures("tree")
def test_a_file_that_is_named_is_taken_whatever_it_is_called() -> None:
    assert names("tree/notes.txt") == ["tree/notes.txt"]
    assert names("tree/x[1].gif") == ["tree/x[1].gif"]


def test_globs_match_files_only_sorted_and_reach_into_subfolders(tree: Path) -> None:
    assert names("tree/*.[pJ]*") == ["tree/a.png", "tree/b.JPG"]
    assert names("tree/**/*.webp") == ["tree/sub/c.webp"]
    assert names(f"{tree}/*.png") == [f"{tree}/a.png"]


def test_a_dash_reads_standard_input_but_no_more_than_the_limit() -> None:
    limits = ImageLimits(max_bytes=3)
    assert collect(["-"], stdin=BytesIO(b"ab"), limits=limits) == [ImageSource("stdin", b"ab")]
    assert collect(["-"], stdin=BytesIO(b"abcdefgh"), limits=limits)[0].content == b"abcd"


@pytest.mark.parametrize(
    ("arguments", "message", "hint"),
    [
        ([], "No image is given", "standard input"),
        (["-", "-"], "more than once", "one image"),
        (["-"], "no standard input", ""),
        (["tree/a.pgn"], "'tree/a.pgn' does not exist", "Did you mean 'tree/a.png'?"),
        (["tree/zzzzzzzz"], "does not exist", "Check the path"),
        (["nowhere/a.png"], "does not exist", "no folder 'nowhere'"),
        (["tree/*.bmp"], "No file matches 'tree/*.bmp'", "subfolders"),
        (["tree/void"], "The folder 'tree/void' has no images", "tree/void/**/*.jpg"),
        (["nul\0byte"], "does not exist", ""),
        (["a" * 5000], "cannot be read|does not exist", ""),
    ],
)
@pytest.mark.usefixtures("tree")
def test_what_names_no_image_is_refused(arguments: list[str], message: str, hint: str) -> None:
    with pytest.raises(BadInputError, match=message.replace("*", r"\*")) as caught:
        collect(arguments)
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    ("most", "taken"), [(1, "a"), (4, "acfh"), (5, "acegi"), (9, "abcdefghi"), (11, "abcdefghij")]
)
def test_of_many_images_some_are_taken_evenly(most: int, taken: str) -> None:
    sources = [ImageSource(letter, b"") for letter in "abcdefghij"]
    assert "".join(source.name for source in evenly(sources, most)) == taken


def test_a_broken_link_is_called_one(tree: Path) -> None:
    (tree / "link.png").symlink_to("gone.png")
    with pytest.raises(BadInputError, match="link to a file that does not exist"):
        collect([str(tree / "link.png")])


def test_an_unreadable_folder_is_refused(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(BadInputError, match="cannot be read: Permission denied"):
        collect([str(tree)])


def test_photographs_and_digits_are_scikit_learns() -> None:
    from sklearn.datasets import load_digits, load_sample_images

    for ours, theirs in zip(photographs(), load_sample_images().images, strict=True):
        assert np.array_equal(ours.pixels, theirs)
    images, labels = digits()
    assert np.array_equal(images, np.rint(load_digits().images * 255 / 16))
    assert np.array_equal(labels, load_digits().target)


def test_digit_images_are_named_for_what_they_show() -> None:
    from lrn_deploy.models.digits_data import load_split

    _, held_out = load_split()
    images = digit_images(3)
    for index, image in enumerate(images):
        assert image.name == f"digit-{index:03d}-shows-{held_out.labels[index]}.png"
        assert np.array_equal(image.pixels, held_out.images[index])


def test_samples_without_scikit_learn_name_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(MissingError, match=re.escape(install("samples"))):
        photographs()
