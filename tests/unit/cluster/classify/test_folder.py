"""The folder of results: what is done stays done, and nothing is there twice or by halves."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lrn_deploy.cluster.classify.folder import Folder, part_name
from lrn_deploy.cluster.classify.table import lines, parquet
from lrn_deploy.errors import BadInputError, CannotWriteError
from lrn_deploy.workflows.classify import ImageResult, Prediction

pq = pytest.importorskip("pyarrow.parquet")

_TOLD = {"model": "net", "artifact_sha256": "a" * 64}
_GOOD = ImageResult("x.png", (4, 3), (Prediction(1, "cat", 0.75), Prediction(0, None, 0.25)))
_BAD = ImageResult("y.png", error="'y.png' is empty.", hint="Copy it again.")


def put(folder: Folder, *results: ImageResult) -> None:
    names = [result.name for result in results]
    folder.commit(names, parquet(results, _TOLD), lines(results))


def test_rows_say_what_was_found_and_by_what(tmp_path: Path) -> None:
    folder = Folder(str(tmp_path / "out"))
    assert folder.begin(_TOLD) == (set(), set())
    put(folder, _GOOD, _BAD)
    table = pq.read_table(tmp_path / "out")  # which passes over _bad and _run.json
    assert table.to_pylist() == [
        {
            "image": "x.png",
            "label": "cat",
            "probability": 0.75,
            "predictions": [
                {"index": 1, "label": "cat", "probability": 0.75},
                {"index": 0, "label": "class 0", "probability": 0.25},
            ],
            "width": 4,
            "height": 3,
            "note": None,
            **_TOLD,
        }
    ]
    assert table.schema.metadata[b"lrn_deploy.model"] == b"net"
    (bad,) = (tmp_path / "out/_bad").iterdir()
    assert json.loads(bad.read_text()) == {
        "image": "y.png",
        "error": "'y.png' is empty.",
        "hint": "Copy it again.",
    }


def test_a_further_run_knows_what_is_done(tmp_path: Path) -> None:
    before = Folder(str(tmp_path))
    before.begin(_TOLD)
    put(before, _GOOD, _BAD)
    assert Folder(str(tmp_path)).begin(_TOLD) == ({"x.png"}, {"y.png"})


def test_bad_ones_of_a_part_that_was_never_there_are_not_done(tmp_path: Path) -> None:
    before = Folder(str(tmp_path))
    before.begin(_TOLD)
    (tmp_path / "_bad").mkdir()
    orphan = tmp_path / "_bad" / f"{part_name(['y.png'])}.jsonl"
    orphan.write_bytes(lines([_BAD]))  # as if killed between the two files of a part
    assert Folder(str(tmp_path)).begin(_TOLD) == (set(), set())
    assert not orphan.exists()


def test_a_process_of_the_run_before_writes_no_more(tmp_path: Path) -> None:
    before = Folder(str(tmp_path))
    before.begin(_TOLD)
    Folder(str(tmp_path)).begin(_TOLD)
    with pytest.raises(CannotWriteError, match="Another run has taken over"):
        put(before, _GOOD)
    assert list(tmp_path.glob("*.parquet")) == []


def test_results_of_something_else_are_left_alone(tmp_path: Path) -> None:
    Folder(str(tmp_path)).begin(_TOLD)
    said = (tmp_path / "_run.json").read_bytes()
    with pytest.raises(BadInputError, match="other options: artifact_sha256") as caught:
        Folder(str(tmp_path)).begin(_TOLD | {"artifact_sha256": "b" * 64})
    assert "--out" in caught.value.hint
    assert (tmp_path / "_run.json").read_bytes() == said


def test_a_folder_with_other_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(BadInputError, match="has files in it"):
        Folder(str(tmp_path)).begin(_TOLD)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CannotWriteError, match="cannot be written"):
        Folder(str(tmp_path / "file" / "out")).begin(_TOLD)
    with pytest.raises(BadInputError, match="cannot be used"):
        Folder("nosuchscheme://out").begin(_TOLD)


def test_a_full_disk_leaves_no_half_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Folder(str(tmp_path))
    folder.begin(_TOLD)

    def full(*_: object) -> None:
        raise CannotWriteError("Cannot write: No space left on device.")

    monkeypatch.setattr("pathlib.Path.replace", full)
    with pytest.raises(CannotWriteError):
        put(folder, _GOOD)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["_run.json"]


def test_a_store_is_written_as_a_folder_is() -> None:
    folder = Folder("memory://results/one")
    assert folder.begin(_TOLD) == (set(), set())
    put(folder, _GOOD, _BAD)
    assert Folder("memory://results/one").begin(_TOLD) == ({"x.png"}, {"y.png"})
