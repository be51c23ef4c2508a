"""Bundles pushed to a folder that stands for a store, and pulled: what is sent, and when."""

from __future__ import annotations

import json
from pathlib import Path

import click
import pytest

from lrn_deploy.bundle import Bundle, write_atomic
from lrn_deploy.cli import run
from lrn_deploy.cli.common.places import copied_bundle, kept, told_on_stderr
from lrn_deploy.errors import BadInputError, CheckFailedError, DamagedError, MissingError
from lrn_deploy.stores import local_bundle, pull, push, working_copy
from lrn_deploy.stores.remote import Remote
from tests.support.digits_bundle import digits_bundle


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return digits_bundle(tmp_path / "digits")


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"file://{tmp_path}/store/digits"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LRN_DEPLOY_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the store is told to do."""
    done: list[str] = []
    put, remove = Remote.put, Remote.remove
    monkeypatch.setattr(
        Remote, "put", lambda self, file, name: (done.append(f"put {name}"), put(self, file, name))
    )
    monkeypatch.setattr(
        Remote, "remove", lambda self, name: (done.append(f"remove {name}"), remove(self, name))
    )
    return done


def relabelled(bundle: Bundle) -> Bundle:
    """Another bundle of the same network."""
    return bundle.update(labels=bundle.add_file("names.txt", b"\n".join([b"x"] * 10)))


def test_the_manifest_is_sent_last(bundle: Bundle, url: str, asked: list[str]) -> None:
    done = push(bundle.path, url)
    assert sorted(asked[:-1]) == ["put labels.txt", "put model.onnx"]
    assert asked[-1] == "put manifest.json"
    assert done.files == 3
    assert done.size == sum(path.stat().st_size for path in bundle.path.rglob("*"))
    assert Bundle.open(local_bundle(done.pinned)).manifest == bundle.manifest


def test_what_is_there_is_not_sent_again(bundle: Bundle, url: str, asked: list[str]) -> None:
    push(bundle.path, url)
    asked.clear()
    assert push(bundle.path, url).files == 0
    assert asked == []


def test_another_bundle_is_replaced_only_when_told_and_what_is_the_same_stays(
    bundle: Bundle, url: str, asked: list[str]
) -> None:
    push(bundle.path, url)
    asked.clear()
    other = relabelled(bundle)
    with pytest.raises(BadInputError, match="already holds a bundle") as caught:
        push(other.path, url)
    assert "--force" in caught.value.hint
    assert asked == []
    push(other.path, url, force=True)
    assert asked == [
        "remove manifest.json",
        "put names.txt",
        "put manifest.json",
        "remove labels.txt",
    ]
    assert Bundle.open(local_bundle(url)).manifest == other.manifest


def test_a_damaged_manifest_there_is_replaced_with_all_its_files(
    bundle: Bundle, url: str, asked: list[str], tmp_path: Path
) -> None:
    (tmp_path / "store/digits").mkdir(parents=True)
    (tmp_path / "store/digits/manifest.json").write_text("{")
    with pytest.raises(DamagedError, match=rf"'{url}/manifest.json' is damaged"):
        local_bundle(url)
    push(bundle.path, url, force=True)
    assert len(asked) == 4
    assert Bundle.open(local_bundle(url)).manifest == bundle.manifest


def test_a_push_that_breaks_off_leaves_no_bundle(
    bundle: Bundle, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    push(bundle.path, url)
    put = Remote.put

    def broken(self: Remote, file: Path, name: str) -> None:
        if name == "manifest.json":
            raise MissingError("The connection broke.")
        put(self, file, name)

    monkeypatch.setattr(Remote, "put", broken)
    with pytest.raises(MissingError, match="No bundle is there until push has run to its end"):
        push(relabelled(bundle).path, url, force=True)
    with pytest.raises(BadInputError, match="has no manifest"):
        local_bundle(url)


def test_a_damaged_bundle_is_not_pushed(bundle: Bundle, url: str, asked: list[str]) -> None:
    (bundle.path / "model.onnx").write_bytes(b"other")
    with pytest.raises(DamagedError, match=r"model\.onnx"):
        push(bundle.path, url)
    assert asked == []


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("https://h/x?sig=hush", r"Nothing can be pushed to 'https://h/x\?…'"),
        (f"s3://b/x#sha256={'0' * 64}", "this is to be written"),
        ("s4://b/x", "no scheme"),
    ],
)
def test_what_cannot_be_pushed_to_is_told(bundle: Bundle, target: str, said: str) -> None:
    with pytest.raises(BadInputError, match=said):
        push(bundle.path, target)


def test_a_pulled_bundle_is_of_its_own(bundle: Bundle, url: str, tmp_path: Path) -> None:
    """Files that are written in place are not those of the cache."""
    push(bundle.path, url)
    mine = pull(url, tmp_path / "mine")
    model = (bundle.path / "model.onnx").read_bytes()
    (mine.path / "model.onnx").write_bytes(b"other")
    assert (local_bundle(url) / "model.onnx").read_bytes() == model
    with pytest.raises(BadInputError, match="already holds a bundle"):
        pull(url, tmp_path / "mine")
    assert (pull(url, tmp_path / "mine", force=True).path / "model.onnx").read_bytes() == model


def test_nothing_is_left_where_a_pull_fails(bundle: Bundle, url: str, tmp_path: Path) -> None:
    push(bundle.path, url)
    (tmp_path / "store/digits/model.onnx").write_bytes(b"other")
    with pytest.raises(DamagedError):
        pull(url, tmp_path / "mine")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cache", "digits", "store"]


def test_a_folder_is_given_back_as_it_is(tmp_path: Path) -> None:
    assert local_bundle("nowhere") == Path("nowhere")
    with working_copy(str(tmp_path)) as folder:
        assert folder == tmp_path


@pytest.mark.parametrize(
    "files",
    [
        {"model.onnx": {"sha256": "../../x"}},
        {"model.onnx": {"size": -1}},
        {"model.onnx": {"file": "../model.onnx"}},
        {"model.onnx": {"file": "labels.txt"}},  # which is another file
    ],
    ids=str,
)
def test_a_manifest_that_cannot_be_is_not_followed(
    bundle: Bundle, url: str, tmp_path: Path, cache: Path, files: dict[str, dict[str, object]]
) -> None:
    push(bundle.path, url)
    file = tmp_path / "store/digits/manifest.json"
    content = json.loads(file.read_text())
    content["artifacts"]["model"] |= files["model.onnx"]
    file.write_text(json.dumps(content))
    with pytest.raises(DamagedError, match=r"cannot be|outside the bundle"):
        local_bundle(url)
    assert not cache.exists()


def test_push_and_pull_say_what_they_did(
    bundle: Bundle, url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["push", str(bundle.path), url]) == 0
    out = capsys.readouterr().out
    assert "Sent 3 files" in out
    pinned = out.rpartition("lrn-deploy serve ")[2].strip()
    assert pinned.startswith(f"{url}#sha256=")
    assert run(["push", str(bundle.path), url, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["files"], told["pinned"]) == (0, pinned)
    assert run(["pull", pinned, str(tmp_path / "mine"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["model"] == "digits"
    assert Bundle.open(tmp_path / "mine").manifest == bundle.manifest


@pytest.mark.parametrize("name", ["profile", "validate"])
def test_a_command_that_writes_a_report_has_a_copy_of_what_is_at_a_url(
    name: str, bundle: Bundle, url: str, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    push(bundle.path, url)
    before = local_bundle(url)
    seen: list[Path] = []

    def stand_in(opened: Bundle, *_: object) -> None:
        seen.append(opened.path)
        write_atomic(opened.path / "reports/it.json", b"{}")
        relabelled(opened)
        raise CheckFailedError("Enough.")

    monkeypatch.setattr(f"lrn_deploy.workflows.{name}.{name}.{name}", stand_in)
    assert run([name, url]) == 1
    assert seen[0].is_relative_to(cache)
    assert not seen[0].exists()
    assert not (before / "reports").exists()
    assert Bundle.open(local_bundle(url)).manifest == bundle.manifest
    assert run([name, str(bundle.path)]) == 1  # and a folder itself
    assert (bundle.path / "reports/it.json").exists()


def test_without_a_terminal_progress_is_a_line_now_and_then(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    times = iter([0.0, 9.0, 11.0, 12.0, 21.0])
    monkeypatch.setattr("lrn_deploy.cli.common.places.time.monotonic", lambda: next(times))
    with told_on_stderr("asking") as told:
        for done in range(4):
            told("fetching model.onnx", done, 240)
    assert capsys.readouterr().err.splitlines() == [
        "Fetching model.onnx: 1 of 240 MiB.",
        "Fetching model.onnx: 3 of 240 MiB.",
    ]


def test_where_a_report_is_kept_is_told(
    url: str, bundle: Bundle, capsys: pytest.CaptureFixture[str]
) -> None:
    @click.command()
    @copied_bundle
    def command(bundle: Path) -> None:
        click.echo(kept(bundle / "report.json"))

    push(bundle.path, url)
    assert run([url], command) == 0
    assert capsys.readouterr().out.startswith(f"not kept, since {url} is only read: --json prints")
    assert run(["folder"], command) == 0
    assert capsys.readouterr().out == "folder/report.json\n"


@pytest.mark.parametrize(
    ("command", "more"),
    [
        ("tune", []),
        ("optimize", ["--target", "cpu", "--precision", "fp32"]),
        ("report", []),
        ("preprocess", []),
    ],
)
def test_commands_that_add_to_a_bundle_say_how_it_goes_with_a_url(
    command: str, more: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    url = "s3://models/kept/digits"
    assert run([command, url, *more]) == 2
    err = capsys.readouterr().err
    assert f"'{command}' needs a folder, and '{url}' is only read." in err
    assert f"'lrn-deploy pull {url} FOLDER'" in err
