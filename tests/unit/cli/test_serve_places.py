"""What ``serve`` is told to serve: folders and URLs, with names and artifacts of their own."""

from __future__ import annotations

from pathlib import Path

import pytest

from lrn_deploy.cli import serve
from lrn_deploy.errors import BadInputError, MissingError
from lrn_deploy.stores import push
from tests.support.digits_bundle import digits_bundle


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("alexnet", ("", "alexnet", "")),
        ("a=alexnet", ("a", "alexnet", "")),
        ("a=alexnet:cpu-int8", ("a", "alexnet", "cpu-int8")),
        ("a=s3://b/x:cpu-int8", ("a", "s3://b/x", "cpu-int8")),
        ("s3://b/x", ("", "s3://b/x", "")),
    ],
)
def test_what_is_written_is_read_and_written_again(text: str, parts: tuple[str, str, str]) -> None:
    assert serve._named(text) == parts
    if "://" not in text:
        name, place, artifact = parts
        assert serve._written(name, Path(place), artifact) == text


def test_a_folder_with_signs_in_its_name_is_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a=b:c").mkdir()
    assert serve._named("a=b:c") == ("", "a=b:c", "")


def test_one_that_cannot_be_fetched_does_not_stop_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LRN_DEPLOY_CACHE", str(tmp_path / "cache"))
    url = push(digits_bundle(tmp_path / "digits").path, f"file://{tmp_path}/store/digits").url
    said: list[str] = []
    found = serve._located(
        [("x", "gs://b/x", ""), ("d", url, "model"), ("f", "dir", "")], said.append
    )
    assert [(name, artifact) for name, _, artifact in found] == [("d", "model"), ("f", "")]
    assert found[0][1].is_relative_to(tmp_path / "cache")
    assert found[1][1] == Path("dir")
    assert len(said) == 1
    assert "gcsfs" in said[0]
    with pytest.raises(MissingError, match="gcsfs"):
        serve._located([("x", "gs://b/x", "")], said.append)
    with pytest.raises(BadInputError):
        serve._located([("x", "gs://b/x", ""), ("y", f"file://{tmp_path}/none", "")], said.append)
    assert len(said) == 3
