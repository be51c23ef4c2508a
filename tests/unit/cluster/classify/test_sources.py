"""Which images are meant, each once, and where their bytes come from."""

from __future__ import annotations

import weakref
from pathlib import Path
from typing import Any

import pytest

from lrn_deploy.cluster.classify import sources
from lrn_deploy.cluster.classify.sources import Place, find, opened, read_back, written
from lrn_deploy.errors import BadInputError
from lrn_deploy.images.decode import DEFAULT_LIMITS
from tests.support.image_bundles import picture

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")
fsspec = pytest.importorskip("fsspec")


def table(path: Path, values: list[Any], *, column: str = "image", group: int = 2) -> Path:
    pq.write_table(pa.table({column: values, "other": list(range(len(values)))}), path, group)
    return path


def contents(words: list[str]) -> dict[str, bytes]:
    found = opened(read_back(written(find(words, "image"))), "image", DEFAULT_LIMITS)
    return {
        source.name: source.content.read_bytes()
        if isinstance(source.content, Path)
        else source.content
        for source in found
    }


def test_files_folders_and_globs_name_each_image_once_by_its_path(tmp_path: Path) -> None:
    for name in ("b.png", "a.png"):
        (tmp_path / name).write_bytes(name.encode())
    (tmp_path / "notes.txt").touch()
    words = [str(tmp_path), str(tmp_path / "*.png"), str(tmp_path / "a.png")]
    places = find(words, "image")
    assert [place.name for place in places] == [str(tmp_path / "a.png"), str(tmp_path / "b.png")]


def test_a_file_here_is_read_by_who_decodes_it(tmp_path: Path) -> None:
    (tmp_path / "a.png").touch()
    (only,) = opened([Place(str(tmp_path / "a.png"))], "image", DEFAULT_LIMITS)
    assert (only.name, only.content) == (str(tmp_path / "a.png"), tmp_path / "a.png")


def test_a_path_means_the_same_from_every_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.png").touch()
    monkeypatch.chdir(tmp_path)
    assert find(["a.png"], "image") == find([str(tmp_path / "a.png")], "image")


def test_rows_of_parquet_are_named_by_file_and_row_over_all_groups(tmp_path: Path) -> None:
    file = table(tmp_path / "t.parquet", [b"0", b"1", b"2", b"3", b"4"])
    wanted = {f"{file}#{row}": str(row).encode() for row in range(5)}
    assert contents([str(file)]) == wanted
    assert contents([str(tmp_path)]) == wanted  # the Parquet files of a folder
    assert contents([str(tmp_path / "*.parquet")]) == wanted


def test_each_row_group_is_read_once_and_one_is_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[tuple[int, int]] = []
    before: list[Any] = [lambda: None]
    group = sources._group

    def seen(place: Place, column: str) -> Any:
        assert before[-1]() is None
        read.append((place.group, place.first))
        found = group(place, column)
        before.append(weakref.ref(found))
        return found

    monkeypatch.setattr(sources, "_group", seen)
    assert len(contents([str(table(tmp_path / "t.parquet", [b"x"] * 5))])) == 5
    assert read == [(0, 0), (1, 2), (2, 4)]


def test_a_table_is_called_the_same_whatever_it_was_found_by(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "real").mkdir()
    table(tmp_path / "real/t.parquet", [b"0", b"1"])
    (tmp_path / "link").symlink_to("real")
    monkeypatch.chdir(tmp_path)
    words = ["link", "link/*.parquet", "link/t.parquet"]
    for found in (*([word] for word in words), words):
        assert [place.name for place in find(found, "image")] == [
            f"{tmp_path}/link/t.parquet#{row}" for row in range(2)
        ]


def test_a_row_may_have_bytes_a_path_or_both(tmp_path: Path) -> None:
    (tmp_path / "near.png").write_bytes(b"near")
    values = [{"bytes": b"in", "path": "x.png"}, {"bytes": None, "path": "near.png"}]
    assert list(contents([str(table(tmp_path / "a.parquet", values))]).values()) == [b"in", b"near"]
    paths = [str(tmp_path / "near.png"), None]
    assert list(contents([str(table(tmp_path / "b.parquet", paths))]).values()) == [b"near", b""]


def test_a_store_is_listed_and_read(tmp_path: Path) -> None:
    memory = fsspec.filesystem("memory")
    memory.pipe({"/shop/a.png": picture("red"), "/shop/notes.txt": b"", "/shop/_old.png": b""})
    memory.pipe_file("/rows/t.parquet", table(tmp_path / "t.parquet", [b"0"]).read_bytes())
    assert list(contents(["memory://shop"]).values()) == [picture("red")]
    assert list(contents(["memory://shop/*.png"]))[-1].endswith("/shop/a.png")
    assert list(contents(["memory://rows"]).values()) == [b"0"]
    assert list(contents(["memory://shop/notes.txt"]).values()) == [b""]  # one that is named itself
    memory.pipe_file("/words/notes.txt", b"")
    with pytest.raises(BadInputError, match="'memory://words' has no images"):
        find(["memory://words"], "image")
    gone = Place("memory://shop/gone.png")
    assert [one.content for one in opened([gone], "image", DEFAULT_LIMITS)] == [b""]


def test_a_name_that_is_no_text_can_still_be_written_down() -> None:
    place = Place("/photos/\udcff.png")
    assert place.name == "/photos/\\udcff.png"
    assert read_back(written([place])) == [place]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["-"], "Standard input"),
        (["memory://empty"], "memory://empty"),
        (["nosuchscheme://x"], "cannot be used"),
        (["gone"], "does not exist"),
        (["{tmp}"], "has no images"),
        (["{tmp}/t.parquet"], "has no column 'image'; it has picture, other"),
        (["{tmp}/broken.parquet"], "cannot be read as Parquet"),
    ],
)
def test_what_is_no_source_is_said(tmp_path: Path, words: list[str], says: str) -> None:
    if words == ["{tmp}"]:
        (tmp_path / "notes.txt").touch()
    else:
        table(tmp_path / "t.parquet", [b"0"], column="picture")
        (tmp_path / "broken.parquet").write_bytes(b"no")
    with pytest.raises(BadInputError, match=says):
        find([word.format(tmp=tmp_path) for word in words], "image")
