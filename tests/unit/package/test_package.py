"""Packages as such: what is checked, what is written, when, and what nobody can take away."""

from __future__ import annotations

import errno
import json
import os
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lrn_deploy import errors
from lrn_deploy.bundle import Artifact, Bundle, Choice, sha256
from lrn_deploy.package.check import check
from lrn_deploy.package.options import PackageOptions
from lrn_deploy.package.package import Packaged, package
from lrn_deploy.package.record import read_record
from lrn_deploy.package.subject import Subject, Written
from lrn_deploy.progress import Progress, silent
from tests.support.image_bundles import colour_bundle

Write = Callable[[Subject, Path, Progress], Written]


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return colour_bundle(tmp_path / "colours")


@pytest.fixture
def target(monkeypatch: pytest.MonkeyPatch) -> Callable[[Write], None]:
    """Let ``--to helm`` be a target of the test's own."""

    def put(write: Write) -> None:
        module = types.ModuleType("lrn_deploy.package.helm")
        module.write = write  # type: ignore[attr-defined] # a module made here
        monkeypatch.setitem(sys.modules, "lrn_deploy.package.helm", module)

    put(two_files)
    return put


def two_files(subject: Subject, folder: Path, _progress: Progress) -> Written:
    (folder / "deep").mkdir()
    (folder / "deep" / "graph").write_bytes(subject.bundle.read(subject.artifact))
    (folder / "name").write_text(subject.name)
    return Written(("Next: start {output}/name", "It was assumed that {this} is no place."))


def one_file(subject: Subject, folder: Path, _progress: Progress) -> Written:
    (folder / "scratch").write_text("not wanted")
    (folder / "server").write_text(f"serve {subject.name}")
    return Written(single="server")


def made(bundle: Bundle, output: Path, *, force: bool = False, **options: Any) -> Packaged:
    return package(bundle, output, PackageOptions("helm", **options), silent, force=force)


def content(folder: Path) -> dict[str, bytes]:
    return {
        file.relative_to(folder).as_posix(): file.read_bytes()
        for file in folder.rglob("*")
        if file.is_file()
    }


def full(*_args: Any, **_options: Any) -> Any:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.usefixtures("target")
def test_package_holds_what_the_target_wrote_and_what_it_was_made_of(
    bundle: Bundle, tmp_path: Path
) -> None:
    result = made(bundle, tmp_path / "out")
    graph = (bundle.path / "model.onnx").read_bytes()
    assert content(tmp_path / "out").keys() == {"deep/graph", "name", "package.json"}
    assert (tmp_path / "out" / "deep" / "graph").read_bytes() == graph
    record = json.loads((tmp_path / "out" / "package.json").read_text())
    assert record["files"] == {"deep/graph": sha256(graph), "name": sha256(b"colours")}
    assert record["manifest"] == sha256((bundle.path / "manifest.json").read_bytes())
    assert record["artifact"] == "model"
    assert record["options"]["max_batch_size"] == 16
    assert not result.reused
    assert result.notes == (
        f"Next: start {tmp_path / 'out'}/name",
        "It was assumed that {this} is no place.",
    )
    assert sorted(item.name for item in tmp_path.iterdir()) == ["colours", "out"]


@pytest.mark.usefixtures("target")
def test_what_is_being_done_is_told(bundle: Bundle, tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    for _ in range(2):  # the second time it is there already
        options = PackageOptions("helm")
        package(bundle, tmp_path / "out", options, lambda *step: told.append(step), force=False)
    checked = [("checking", 0, 2), ("checking", 1, 2)]
    assert told == [*checked, ("writing", 0, 1), *checked]


@pytest.mark.usefixtures("target")
def test_same_bundle_and_options_make_the_same_bytes(bundle: Bundle, tmp_path: Path) -> None:
    made(bundle, tmp_path / "a")
    made(bundle, tmp_path / "b")
    assert content(tmp_path / "a") == content(tmp_path / "b")


def test_asked_again_it_is_up_to_date_and_nothing_is_written(
    bundle: Bundle, tmp_path: Path, target: Callable[[Write], None]
) -> None:
    first = made(bundle, tmp_path / "out")

    def never(*_args: Any) -> Written:
        raise AssertionError("it was written again")

    target(never)
    again = made(bundle, tmp_path / "out")
    assert again.reused
    assert (again.record, again.notes) == (first.record, first.notes)


@pytest.mark.usefixtures("target")
def test_what_python_keeps_of_a_module_is_no_change(bundle: Bundle, tmp_path: Path) -> None:
    made(bundle, tmp_path / "out")
    (tmp_path / "out" / "deep" / "__pycache__").mkdir()
    (tmp_path / "out" / "deep" / "__pycache__" / "model.pyc").touch()
    assert made(bundle, tmp_path / "out").reused


@pytest.mark.usefixtures("target")
@pytest.mark.parametrize("change", ["bundle", "options", "file", "file added", "file gone"])
def test_another_package_takes_force(bundle: Bundle, tmp_path: Path, change: str) -> None:
    output = tmp_path / "out"
    made(bundle, output)
    options: dict[str, Any] = {}
    if change == "bundle":
        bundle = bundle.update(labels=None)
    elif change == "options":
        options = {"max_batch_size": 4}
    elif change == "file":
        (output / "name").write_text("another")
    elif change == "file added":
        (output / "more").touch()
    else:
        (output / "name").unlink()
    before = content(output)
    with pytest.raises(errors.BadInputError, match="already holds a package") as caught:
        made(bundle, output, **options)
    assert "--force" in caught.value.hint
    assert content(output) == before
    assert not made(bundle, output, force=True, **options).reused
    assert made(bundle, output, **options).reused
    assert content(output).keys() == {"deep/graph", "name", "package.json"}


@pytest.mark.usefixtures("target")
@pytest.mark.parametrize("kind", ["file", "folder", "npm"])
def test_what_is_no_package_is_left_alone_even_by_force(
    bundle: Bundle, tmp_path: Path, kind: str
) -> None:
    output = tmp_path / "precious"
    if kind == "file":
        output.write_text("the only copy")
    else:
        output.mkdir()
        name = "package.json" if kind == "npm" else "thesis.txt"
        (output / name).write_text('{"name": "left-pad", "version": "1.0.0"}')
    with pytest.raises(errors.BadInputError, match="is not a package"):
        made(bundle, output, force=True)
    if kind == "file":
        assert output.read_text() == "the only copy"
    else:
        assert len(list(output.iterdir())) == 1


@pytest.mark.usefixtures("target")
@pytest.mark.parametrize("file", ["model.onnx", "labels.txt"])
def test_damaged_bundle_is_refused(bundle: Bundle, tmp_path: Path, file: str) -> None:
    with (bundle.path / file).open("ab") as stream:
        stream.write(b"!")
    with pytest.raises(errors.DamagedError, match=f"'{file}' of bundle .* is damaged"):
        made(bundle, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_full_disk_leaves_nothing_behind(
    bundle: Bundle, tmp_path: Path, target: Callable[[Write], None]
) -> None:
    def fill(subject: Subject, folder: Path, progress: Progress) -> Written:
        two_files(subject, folder, progress)
        return full()  # type: ignore[no-any-return] # it raises

    target(fill)
    with pytest.raises(errors.CannotWriteError, match="No space left on device") as caught:
        made(bundle, tmp_path / "out")
    assert caught.value.exit_code == 5
    assert [item.name for item in tmp_path.iterdir()] == ["colours"]


@pytest.mark.usefixtures("target")
def test_full_disk_leaves_the_package_that_is_there(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made(bundle, tmp_path / "out")
    before = content(tmp_path)
    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(errors.CannotWriteError):
        made(bundle, tmp_path / "out", force=True, instances=2)
    assert content(tmp_path) == before


def test_one_file_stands_at_the_output_with_its_record_beside(
    bundle: Bundle, tmp_path: Path, target: Callable[[Write], None]
) -> None:
    target(one_file)
    output = tmp_path / "run" / "colours"
    made(bundle, output)
    assert output.read_text() == "serve colours"
    assert sorted(content(output.parent)) == ["colours", "colours.json"]
    assert read_record(output).files == {"server": sha256(b"serve colours")}
    assert made(bundle, output).reused
    assert not made(bundle, output, force=True, name="other").reused
    assert output.read_text() == "serve other"
    output.write_text("changed")
    assert check(output).files == {"server": "changed"}
    with pytest.raises(errors.BadInputError, match="already holds a package"):
        made(bundle, output, name="other")


def test_what_lies_where_the_record_is_to_be_is_left_alone(
    bundle: Bundle, tmp_path: Path, target: Callable[[Write], None]
) -> None:
    target(one_file)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "colours.json").write_text('{"made_by": "hand"}')
    before = content(tmp_path / "run")
    with pytest.raises(errors.BadInputError, match="is something else"):
        made(bundle, tmp_path / "run" / "colours", force=True)
    assert content(tmp_path / "run") == before


def test_one_file_that_cannot_be_put_in_place_leaves_the_old_one(
    bundle: Bundle,
    tmp_path: Path,
    target: Callable[[Write], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    target(one_file)
    output = tmp_path / "run" / "colours"
    made(bundle, output)
    before = content(output.parent)
    rename = Path.rename

    def fail_once(self: Path, to: Path) -> Path:
        if self.name == "server":
            full()  # raises
        return rename(self, to)

    monkeypatch.setattr(Path, "rename", fail_once)
    with pytest.raises(errors.CannotWriteError):
        made(bundle, output, force=True, name="other")
    assert content(output.parent) == before
    with pytest.raises(errors.CannotWriteError):
        made(bundle, tmp_path / "new" / "colours")
    assert content(tmp_path / "new") == {}


@pytest.mark.usefixtures("target")
@pytest.mark.parametrize("name", ["a/b", "..", "a b", "", ".hidden", "ü"])
def test_name_that_is_no_folders_and_no_addresss_is_refused(
    bundle: Bundle, tmp_path: Path, name: str
) -> None:
    bundle = bundle.update(model=bundle.manifest.model.model_copy(update={"name": name}))
    with pytest.raises(errors.BadInputError) as caught:
        made(bundle, tmp_path / "out")
    assert "--name" in caught.value.hint
    assert made(bundle, tmp_path / "out", name="fine-1.0").record.name == "fine-1.0"


@pytest.mark.usefixtures("target")
def test_unknown_artifact_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    with pytest.raises(errors.BadInputError, match="no artifact named 'fast'"):
        made(bundle, tmp_path / "out", artifact="fast")


@pytest.mark.usefixtures("target")
def test_artifact_is_what_was_tuned_for_the_device_though_nothing_of_it_is_here(
    bundle: Bundle, tmp_path: Path
) -> None:
    model = bundle.manifest.artifact("model")
    engine = model.model_copy(update={"format": "tensorrt", "source": "model"})
    bundle = bundle.update(
        artifacts={"model": model, "trt-fp16-sm89": engine},
        choices=(
            Choice(artifact="trt-fp16-sm89", sha256="0" * 64, backend="tensorrt:cuda:0"),
            Choice(artifact="trt-fp16-sm89", sha256=engine.sha256, backend="tensorrt:cuda:0"),
        ),
    )
    assert made(bundle, tmp_path / "gpu", device="cuda").record.artifact == "trt-fp16-sm89"
    assert made(bundle, tmp_path / "cpu").record.artifact == "model"
    stale = bundle.update(choices=bundle.manifest.choices[:1])
    assert made(stale, tmp_path / "stale", device="cuda").record.artifact == "model"


@pytest.mark.usefixtures("target")
def test_check_tells_files_and_the_bundle_apart(bundle: Bundle, tmp_path: Path) -> None:
    output = tmp_path / "out"
    made(bundle, output)
    assert (check(output).files, check(output, bundle).parts) == ({}, ())
    (output / "name").write_text("another")
    (output / "deep" / "graph").unlink()
    (output / "2").mkdir()
    (output / "2" / "model.onnx").touch()
    assert check(output).files == {
        "name": "changed",
        "deep/graph": "missing",
        "2/model.onnx": "added",
    }
    more = bundle.update(outdated={"reports/parity.json": "0" * 64})
    found = check(output, more)
    assert (found.parts, found.rest) == ((), True)
    labels = more.update(labels=more.add_file("labels.txt", b"one\ntwo\nthree\n"))
    assert check(output, labels).parts == ("labels",)
    preprocessing = bundle.manifest.preprocessing
    assert preprocessing is not None
    scaled = preprocessing.model_copy(update={"scale": 1.0})
    graph = more.add_file("model.onnx", b"another graph")
    artifact = Artifact(**graph.model_dump(), format="onnx")
    other = labels.update(preprocessing=scaled, artifacts={"model": artifact})
    assert check(output, other).parts == ("labels", "network", "preprocessing")
    gone = other.update(artifacts={"another": artifact})
    assert "network" in check(output, gone).parts


def test_check_of_what_is_no_package(bundle: Bundle, tmp_path: Path) -> None:
    for path in (bundle.path, tmp_path / "nowhere", bundle.path / "model.onnx"):
        with pytest.raises(errors.BadInputError, match="is not a package"):
            check(path)
    (bundle.path / "package.json").write_text('{"made_by": "lrn-deploy", "version": 1}')
    with pytest.raises(errors.DamagedError, match="is not what 'lrn-deploy package' writes"):
        check(bundle.path)
