"""What writing a bundle leaves behind, whether it succeeds or not."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lrn_deploy.bundle import Bundle, Manifest, check_target, dump, new_bundle, write_atomic
from lrn_deploy.errors import BadInputError, CannotWriteError


def fill(folder: Path, manifest: Manifest, graph: bytes = b"the bytes of a graph") -> None:
    write_atomic(folder / "model.onnx", graph)
    write_atomic(folder / "manifest.json", dump(manifest))


def build(path: Path, manifest: Manifest, *, force: bool, then: Callable[[], object]) -> None:
    """Make a bundle that differs from the fixture's, and do ``then`` before it is complete."""
    with new_bundle(path, force=force) as folder:
        fill(folder, manifest, b"newer")
        then()


def full_disk(*_args: Any) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_write_makes_folders_and_replaces_content(tmp_path: Path) -> None:
    file = tmp_path / "a" / "b" / "c.bin"
    write_atomic(file, b"one")
    write_atomic(file, b"two")
    assert file.read_bytes() == b"two"
    assert list(file.parent.iterdir()) == [file]


def test_written_file_can_be_read_by_others(tmp_path: Path) -> None:
    write_atomic(tmp_path / "file", b"")
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o644


def test_full_disk_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "file"
    write_atomic(file, b"old")
    monkeypatch.setattr(Path, "replace", full_disk)
    with pytest.raises(CannotWriteError, match=r"file': No space left on device\.") as caught:
        write_atomic(file, b"new")
    assert caught.value.exit_code == 5
    assert file.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [file]


def test_interrupted_write_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "file"
    write_atomic(file, b"old")

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_atomic(file, b"new")
    assert file.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [file]


def unwritable(tmp_path: Path) -> list[Path]:
    """Places where not even root can write: below a file, in /proc, under too long a name."""
    (tmp_path / "file").write_text("")
    return [tmp_path / "file" / "bundle", Path("/proc/bundle"), tmp_path / ("x" * 300)]


@pytest.mark.parametrize("index", [0, 1, 2])
def test_unwritable_place_is_refused(tmp_path: Path, manifest: Manifest, index: int) -> None:
    path = unwritable(tmp_path)[index]
    with pytest.raises(CannotWriteError):
        write_atomic(path / "file", b"data")
    with pytest.raises(CannotWriteError), new_bundle(path, force=False) as folder:
        fill(folder, manifest)


def test_update_leaves_the_old_manifest_on_a_full_disk(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = (bundle.path / "manifest.json").read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", full_disk)
        with pytest.raises(CannotWriteError):
            bundle.update(default="other")
    assert (bundle.path / "manifest.json").read_bytes() == before


def test_update_returns_and_writes_the_new_manifest(bundle: Bundle) -> None:
    updated = bundle.update(default="other")
    assert updated.manifest.default == "other"
    assert Bundle.open(bundle.path).manifest == updated.manifest
    assert bundle.manifest.default == "model"


def test_new_bundle_appears_only_when_complete(tmp_path: Path, manifest: Manifest) -> None:
    path = tmp_path / "deep" / "tiny"
    with new_bundle(path, force=False) as folder:
        fill(folder, manifest)
        assert not path.exists()
    assert Bundle.open(path).manifest == manifest
    assert list(path.parent.iterdir()) == [path]
    assert path.stat().st_mode & 0o777 == 0o755


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
@pytest.mark.parametrize("force", [False, True])
def test_body_that_raises_leaves_everything_as_it_was(
    bundle: Bundle, manifest: Manifest, error: type[BaseException], force: bool
) -> None:
    path = bundle.path if force else bundle.path.with_name("other")

    def fail() -> None:
        raise error

    with pytest.raises(error):
        build(path, manifest, force=force, then=fail)
    assert bundle.load("model").data == b"the bytes of a graph"
    assert list(bundle.path.parent.iterdir()) == [bundle.path]


def test_rename_that_fails_brings_the_old_bundle_back(
    bundle: Bundle, manifest: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename = Path.rename

    def fail_once(self: Path, target: Path) -> Path:
        if target == bundle.path and not self.name.endswith("-old"):
            raise OSError(errno.EIO, "Input/output error")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fail_once)
    with pytest.raises(CannotWriteError), new_bundle(bundle.path, force=True) as folder:
        fill(folder, manifest, b"newer")
    assert bundle.load("model").data == b"the bytes of a graph"
    assert list(bundle.path.parent.iterdir()) == [bundle.path]


def test_existing_bundle_is_replaced_by_force_only(bundle: Bundle, manifest: Manifest) -> None:
    with pytest.raises(BadInputError, match="already holds a bundle") as caught:
        check_target(bundle.path, force=False)
    assert "--force" in caught.value.hint
    with new_bundle(bundle.path, force=True) as folder:
        fill(folder, manifest)
    assert {item.name for item in bundle.path.iterdir()} == {"model.onnx", "manifest.json"}
    assert list(bundle.path.parent.iterdir()) == [bundle.path]


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("kind", ["folder", "file"])
def test_what_is_no_bundle_is_never_replaced(tmp_path: Path, kind: str, force: bool) -> None:
    path = tmp_path / "precious"
    if kind == "folder":
        path.mkdir()
        (path / "thesis.txt").write_text("the only copy")
    else:
        path.write_text("the only copy")
    with pytest.raises(BadInputError, match="is not a bundle"), new_bundle(path, force=force):
        pytest.fail("the body must not run")
    assert (path / "thesis.txt" if kind == "folder" else path).read_text() == "the only copy"


def test_empty_folder_becomes_the_bundle(tmp_path: Path, manifest: Manifest) -> None:
    (tmp_path / "tiny").mkdir()
    with new_bundle(tmp_path / "tiny", force=False) as folder:
        fill(folder, manifest)
    assert Bundle.open(tmp_path / "tiny").manifest == manifest


def test_what_came_meanwhile_is_not_replaced(tmp_path: Path, manifest: Manifest) -> None:
    path = tmp_path / "tiny"
    with pytest.raises(BadInputError):
        build(path, manifest, force=False, then=lambda: path.write_text("came while the body ran"))
    assert path.read_text() == "came while the body ran"
    assert list(tmp_path.iterdir()) == [path]


def test_bundle_behind_a_link_is_replaced_and_the_link_stays(
    bundle: Bundle, manifest: Manifest
) -> None:
    link = bundle.path.with_name("current")
    link.symlink_to(bundle.path)
    with new_bundle(link, force=True) as folder:
        fill(folder, manifest)
    assert link.is_symlink()
    assert not (bundle.path / "labels.txt").exists()
    assert {item.name for item in bundle.path.parent.iterdir()} == {"current", "tiny"}


def test_what_replaces_a_bundle_behind_a_link_is_made_on_its_own_disk(
    bundle: Bundle, manifest: Manifest, tmp_path: Path
) -> None:
    (tmp_path / "elsewhere").mkdir()
    link = tmp_path / "elsewhere" / "current"
    link.symlink_to(bundle.path)
    with new_bundle(link, force=True) as folder:
        assert folder.parent == bundle.path.parent
        fill(folder, manifest)


def test_a_manifest_is_indented_by_two_spaces_and_ends_with_a_line(manifest: Manifest) -> None:
    written = dump(manifest).decode()
    assert written == json.dumps(json.loads(written), indent=2) + "\n"
