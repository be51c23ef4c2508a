"""Files that a one-file program carries, as PyInstaller's own reader and a server find them."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from contextlib import nullcontext
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from PyInstaller.archive.readers import CArchiveReader
from PyInstaller.archive.writers import CArchiveWriter

from lrn_deploy import __version__
from lrn_deploy.bundle import Bundle
from lrn_deploy.errors import BadInputError, LrnDeployError, MissingError
from lrn_deploy.package import binary, one_file
from lrn_deploy.package.binary import write
from lrn_deploy.package.inside import bundles_inside, settings_inside
from lrn_deploy.package.one_file import add_files, build_server, check_server, contents
from lrn_deploy.package.options import PackageOptions
from lrn_deploy.package.package import package
from lrn_deploy.progress import silent
from tests.support.image_bundles import colour_bundle
from tests.support.packages import colours, understood

MAGIC = b"MEI\x0c\x0b\x0a\x0b\x0e"
SAYS = f"#!/bin/sh\necho 'lrn-server, version {__version__}'\nexit 0\n"


def program(folder: Path, says: str = SAYS) -> Path:
    """A program with an archive of PyInstaller's in it, and something behind that, as in ELF."""
    folder.mkdir(exist_ok=True)
    (folder / "inner").write_bytes(b"what was there" * 1000)
    entries = [("inner", str(folder / "inner"), True, "x")]
    CArchiveWriter(str(folder / "archive"), entries, "libpython3.11.so")
    made = folder / "server"
    made.write_bytes(says.encode() + (folder / "archive").read_bytes() + b"sections" * 50)
    made.chmod(0o755)
    return made


def test_pyinstallers_own_reader_finds_what_was_there_and_what_was_added(tmp_path: Path) -> None:
    made = program(tmp_path)
    before = made.read_bytes()
    (tmp_path / "empty").touch()
    (tmp_path / "large").write_bytes(bytes(range(256)) * 5000)
    added = [("a/empty", tmp_path / "empty"), ("a/x" * 9, tmp_path / "large")]
    add_files(made, added)
    reader = CArchiveReader(str(made))
    assert reader.extract("inner") == b"what was there" * 1000
    assert reader.extract("a/empty") == b""
    assert reader.extract("a/x" * 9) == bytes(range(256)) * 5000
    assert contents(made) == {"inner": 14_000, "a/empty": 0, "a/x" * 9: 1_280_000}
    assert made.read_bytes()[: len(before)] == before  # not a byte of the server is another


def test_its_cookie_is_the_last_thing_in_it(tmp_path: Path) -> None:
    made = program(tmp_path)
    add_files(made, [("inside", tmp_path / "inner")])
    assert made.read_bytes()[-88:].startswith(MAGIC)


def test_the_archive_may_be_all_that_there_is(tmp_path: Path) -> None:
    program(tmp_path)
    assert contents(tmp_path / "archive") == {"inner": 14_000}


def test_more_can_be_added_later(tmp_path: Path) -> None:
    made = program(tmp_path)
    for name in ("one", "two"):
        add_files(made, [(name, tmp_path / "inner")])
    assert set(contents(made)) == {"inner", "one", "two"}
    assert CArchiveReader(str(made)).extract("one") == (tmp_path / "inner").read_bytes()


def test_what_places_of_32_bits_cannot_reach_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(one_file, "_LARGEST", 20_000)
    made = program(tmp_path)
    (tmp_path / "large").write_bytes(bytes(30_000))
    with pytest.raises(BadInputError, match="4 is the most"):
        add_files(made, [("large", tmp_path / "large")])


@pytest.mark.parametrize("room", [0, -1])
def test_the_largest_is_as_large_as_its_places_reach(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    assert one_file._LARGEST == 2**32 - 1
    added = [("inside", tmp_path / "inner")]
    first = program(tmp_path)
    add_files(first, added)
    archive = first.stat().st_size - len(SAYS)  # which follows the script
    monkeypatch.setattr(one_file, "_LARGEST", archive + room)
    again = program(tmp_path)
    with nullcontext() if room == 0 else pytest.raises(BadInputError, match="4 is the most"):
        add_files(again, added)


def test_entries_of_the_table_begin_at_multiples_of_sixteen(tmp_path: Path) -> None:
    """As PyInstaller's own do, whose program reads them in place."""
    made = program(tmp_path)
    add_files(made, [("n" * length, tmp_path / "inner") for length in range(1, 18)])
    table, at = one_file._archive(made).table, 0
    while at < len(table):
        assert at % 16 == 0
        at += int.from_bytes(table[at : at + 4], "big")
    assert at == len(table)


@pytest.mark.parametrize("content", [b"", b"#!/bin/sh\n", MAGIC, MAGIC + b"\xff" * 80])
def test_what_is_no_one_file_program_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(BadInputError, match="is not a one-file server"):
        contents(tmp_path / "file")


@pytest.mark.parametrize(
    ("says", "sentence"),
    [
        (
            "#!/bin/sh\necho 'lrn-server, version 0.0.0'\nexit 0\n",
            "says 'lrn-server, version 0.0.0'",
        ),
        ("#!/bin/sh\nexit 1\n", "is not the lrn-server"),
        ("#!/nowhere\n", "cannot be run"),
    ],
)
def test_another_program_or_version_is_refused(tmp_path: Path, says: str, sentence: str) -> None:
    with pytest.raises(BadInputError, match=sentence):
        check_server(program(tmp_path, says))


@pytest.fixture
def packaged(tmp_path: Path) -> Path:
    server = program(tmp_path / "made")
    subject = colours(tmp_path / "colours", "binary", server=str(server))
    (tmp_path / "out").mkdir()
    assert write(subject, tmp_path / "out", silent).single == "colours-server"
    (only,) = (tmp_path / "out").iterdir()
    return only


def test_the_program_carries_the_bundle(packaged: Path, tmp_path: Path) -> None:
    reader = CArchiveReader(str(packaged))
    graph = (tmp_path / "colours" / "model.onnx").read_bytes()
    assert reader.extract("bundles/colours/model.onnx") == graph
    assert json.loads(reader.extract("bundles.json"))["bundles"] == {"colours": ""}
    check_server(packaged)  # it still runs


def test_another_server_makes_another_package(tmp_path: Path) -> None:
    server = program(tmp_path / "made")
    bundle = colour_bundle(tmp_path / "colours")
    options = PackageOptions(to="binary", server=str(server))

    def made() -> bool:
        return package(bundle, tmp_path / "out", options, silent, force=True).reused

    assert [made(), made()] == [False, True]
    server.write_bytes(server.read_bytes() + b"built again")
    assert [made(), made()] == [False, True]


def test_one_that_carries_a_bundle_takes_no_other(packaged: Path, tmp_path: Path) -> None:
    subject = colours(tmp_path / "again", "binary", server=str(packaged))
    with pytest.raises(BadInputError, match="carries a bundle already"):
        write(subject, tmp_path, silent)


def unpacked(program: Path, folder: Path) -> None:
    """What the program at its front does when it starts."""
    reader = CArchiveReader(str(program))
    for name in contents(program):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(reader.extract(name))


def test_a_server_finds_what_it_carries(
    packaged: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unpacked(packaged, tmp_path / "unpacked")
    monkeypatch.setattr(sys, "_MEIPASS", str(tmp_path / "unpacked"), raising=False)
    (found,) = bundles_inside()
    name, _, folder = found.partition("=")
    assert name == "colours"
    assert Bundle.open(folder).labels() == ("red", "green", "blue")
    assert understood([found])["bundles"] == (found,)
    assert settings_inside() == {"threads": 0, "instances": 1, "max_batch_size": 16}


def test_a_server_that_carries_nothing_finds_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (bundles_inside(), settings_inside()) == ((), {})
    monkeypatch.setattr(sys, "_MEIPASS", str(tmp_path), raising=False)
    assert (bundles_inside(), settings_inside()) == ((), {})


def test_what_was_packaged_is_what_everything_else_overrides(tmp_path: Path) -> None:
    """A file of settings wins over it, the environment over that, and an option over all."""
    (tmp_path / "settings.toml").write_text("instances = 5\nthreads = 5\n")
    packaged = {"max_batch_size": 3, "instances": 3, "threads": 3, "http_port": 1234}
    said = understood(
        ["colours", "--config", str(tmp_path / "settings.toml"), "--http-port", "80"],
        {"LRN_SERVER_THREADS": "7"},
        default_map=packaged,
    )
    found = (said["max_batch_size"], said["instances"], said["threads"], said["http_port"])
    assert found == (3, 5, 7, 80)


def test_a_chosen_artifact_is_the_one_that_is_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = program(tmp_path / "made")
    subject = colours(tmp_path / "colours", "binary", server=str(server), artifact="model")
    (tmp_path / "out").mkdir()
    write(subject, tmp_path / "out", silent)
    unpacked(tmp_path / "out" / "colours-server", tmp_path / "unpacked")
    monkeypatch.setattr(sys, "_MEIPASS", str(tmp_path / "unpacked"), raising=False)
    assert bundles_inside() == (f"colours={tmp_path}/unpacked/bundles/colours:model",)


def test_without_pyinstaller_the_hint_says_how(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def found(name: str) -> Any:
        return None if name == "PyInstaller" else object()

    monkeypatch.setattr(one_file, "find_spec", found)
    with pytest.raises(MissingError, match="PyInstaller") as caught:
        build_server(tmp_path / "server")
    assert "pip install" in caught.value.hint
    assert "--server" in caught.value.hint


def test_what_the_server_lacks_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    absent = ("grpc", "httptools")
    monkeypatch.setattr(one_file, "find_spec", lambda name: None if name in absent else object())
    with pytest.raises(MissingError, match="needs grpc, httptools"):
        build_server(tmp_path / "server")


@pytest.mark.parametrize("code", [0, 1])
def test_pyinstaller_is_asked_for_one_file_in_its_place(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    code: int,
) -> None:
    asked: list[list[str]] = []

    def run(words: list[str], **_options: Any) -> subprocess.CompletedProcess[str]:
        asked.append(words)
        return subprocess.CompletedProcess(words, code, "", "125 INFO: PyInstaller\n")

    monkeypatch.setattr(one_file.subprocess, "run", run)
    if code:
        with pytest.raises(LrnDeployError, match="ended with code 1"):
            build_server(tmp_path / "server")
    else:
        build_server(tmp_path / "server")
    assert ("PyInstaller" in capsys.readouterr().err) == bool(code)  # what it says helps only then
    ((_, _, module, _, *words),) = asked
    assert module == "PyInstaller"
    assert "--onefile" in words
    assert words[words.index("--name") + 1] == "server"
    assert words[words.index("--distpath") + 1] == str(tmp_path)
    hidden = [word.partition("=")[2] for word in words if word.startswith("--hidden-import=")]
    assert all(find_spec(name) for name in hidden)  # one that was renamed would be left out


def test_without_a_server_one_is_built_and_that_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = program(tmp_path / "made")
    monkeypatch.setattr(binary, "build_server", lambda file: shutil.copyfile(made, file))
    told: list[tuple[str, int, int]] = []
    (tmp_path / "out").mkdir()
    subject = colours(tmp_path / "colours", "binary")
    write(subject, tmp_path / "out", lambda *step: told.append(step))
    assert told[0] == ("building the server", 0, 1)
    assert [(done, total) for what, done, total in told if what == "copying"] == [(0, 2), (1, 2)]
    assert (tmp_path / "out" / "colours-server").stat().st_mode & 0o777 == 0o755


def test_a_gpu_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="nothing for a GPU"):
        write(colours(tmp_path / "colours", "binary", device="cuda"), tmp_path, silent)
