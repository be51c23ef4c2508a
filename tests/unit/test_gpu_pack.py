"""Packs for a GPU machine: what stays in a trimmed library, and what the script refuses."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.trim_fatbin import TrimError, main, trim, trim_file

ROOT = Path(__file__).parent.parent.parent
SCRIPT = ROOT / "scripts" / "gpu_pack.sh"
PACKABLE = sys.platform == "linux" and os.uname().machine == "x86_64" and shutil.which("xz")

Entry = tuple[int, bytes]
"""Architecture and code."""


def entry(arch: int, code: bytes, header: int = 64) -> bytes:
    """An entry of a container: kind 2 is machine code."""
    fields = struct.pack("<HHIQIIHHI", 2, 0x101, header, len(code), 0, 0, 0, 1, arch)
    return fields.ljust(header, b"\xee") + code


def container(*entries: bytes) -> bytes:
    body = b"".join(entries)
    return struct.pack("<IHHQ", 0xBA55ED50, 1, 16, len(body)) + body


def elf(section: bytes, name: bytes = b".nv_fatbin") -> bytes:
    """A library with ``section`` between other bytes, and the table of sections at its end."""
    names = b"\0.text\0" + name + b"\0.shstrtab\0"
    text = b"\x90" * 24
    text_at, section_at = 64, 64 + len(text)
    names_at = section_at + len(section)
    table_at = names_at + len(names)

    def header(name_at: int, kind: int, start: int, size: int) -> bytes:
        return struct.pack("<IIQQQQIIQQ", name_at, kind, 0, 0, start, size, 0, 0, 8, 0)

    table = (
        header(0, 0, 0, 0)
        + header(1, 1, text_at, len(text))
        + header(7, 1, section_at, len(section))
        + header(8 + len(name), 3, names_at, len(names))
    )
    start = b"\x7fELF\x02\x01\x01".ljust(16, b"\0")
    start += struct.pack("<HHIQQQIHHHHHH", 3, 62, 1, 0, 0, table_at, 0, 64, 0, 0, 64, 4, 3)
    return start + text + section + names + table


OURS = bytes(range(1, 49))
OTHER = b"\xaa" * 40
SECTION = (
    container(entry(80, OTHER), entry(90, OURS), entry(120, OTHER, header=112))
    + bytes(16)
    + container(entry(90, OURS[::-1]))
    + container(entry(75, OTHER))
)


def test_own_code_stays_and_other_code_becomes_zeros_in_place() -> None:
    library = elf(SECTION)
    wanted = elf(SECTION.replace(OTHER, bytes(40)))
    assert library != wanted
    data = bytearray(library)
    assert trim(data, 90) == (96, 120)
    assert data == wanted  # headers, offsets and all other sections are as they were
    assert len(data) == len(library)
    assert data.count(OURS) == data.count(OURS[::-1]) == 1


def test_trimming_again_changes_nothing() -> None:
    data = bytearray(elf(SECTION))
    trim(data, 90)
    once = bytes(data)
    trim(data, 90)
    assert data == once


def test_a_file_can_be_trimmed_in_place_and_keeps_its_mode(tmp_path: Path) -> None:
    library = tmp_path / "lib.so"
    library.write_bytes(elf(SECTION))
    library.chmod(0o750)
    assert trim_file(library, library, 75) == (40, 176)
    assert library.read_bytes().count(OTHER) == 1
    assert library.stat().st_mode & 0o777 == 0o750
    assert list(tmp_path.iterdir()) == [library]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "is no ELF file"),
        (b"MZ and more", "is no ELF file"),
        (b"\x7fELF\x02\x01", "its ELF header is not whole"),
        (b"\x7fELF\x01\x01" + bytes(100), "is not a 64-bit little-endian ELF file"),
        (b"\x7fELF\x02\x01" + bytes(100), "has no table of sections"),
        (elf(SECTION, b".rodata"), "has no section .nv_fatbin"),
        (elf(SECTION, b".nv_fatbin2"), "has no section .nv_fatbin"),
        (elf(SECTION)[:-1], "its table of sections is not whole"),
        (elf(b""), "has no code for architecture 90, only for: none"),
        (elf(container(entry(80, OTHER))), "has no code for architecture 90, only for: 80"),
        (elf(b"unknown!" + SECTION), "that are no container"),
        (elf(container(entry(90, OURS))[:-8]), "a container at byte 88 that is not whole"),
        (elf(SECTION + b"\x50\xed\x55\xba"), "that is not whole"),
        (elf(container(entry(90, OURS)[:-8])), "an entry at byte 104 that is not whole"),
        (elf(container(b"\x02" * 24)), "an entry at byte 104 that is not whole"),
        (elf(container(entry(90, OURS, header=32)[:4] + bytes(60))), "an entry at byte 104"),
    ],
)
def test_what_is_not_understood_is_refused_and_leaves_no_output(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes, sentence: str
) -> None:
    source, target = tmp_path / "lib.so", tmp_path / "trimmed.so"
    source.write_bytes(content)
    assert main([str(source), str(target), "--arch", "90"]) == 2
    said = capsys.readouterr().err
    assert sentence in said
    assert str(source) in said
    assert list(tmp_path.iterdir()) == [source]
    assert source.read_bytes() == content


def test_every_truncation_is_refused() -> None:
    library = elf(SECTION)
    for length in range(len(library)):
        cut = bytearray(library[:length])
        with pytest.raises(TrimError):
            trim(cut, 90)
        assert cut == library[:length]


def test_a_section_beyond_the_end_is_refused() -> None:
    library = bytearray(elf(SECTION))
    table = struct.unpack_from("<Q", library, 40)[0]
    struct.pack_into("<Q", library, table + 2 * 64 + 32, 1 << 63)  # size of .nv_fatbin
    with pytest.raises(TrimError, match="a section reaches beyond its end"):
        trim(library, 90)


def test_a_missing_file_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "none.so"), str(tmp_path / "out.so")]) == 2
    assert "No such file or directory" in capsys.readouterr().err


def _only_our_error(data: bytes) -> None:
    changed = bytearray(data)
    try:
        trim(changed, 90)
    except TrimError:
        assert changed == data
    assert len(changed) == len(data)


@given(st.binary(max_size=300))
def test_arbitrary_bytes_raise_nothing_but_our_error(data: bytes) -> None:
    _only_our_error(data)
    _only_our_error(b"\x7fELF\x02\x01" + data)
    _only_our_error(elf(data))
    _only_our_error(elf(container(data)))


@given(st.integers(0, len(elf(SECTION)) - 1), st.binary(min_size=1, max_size=8))
def test_damaged_libraries_raise_nothing_but_our_error(at: int, damage: bytes) -> None:
    library = elf(SECTION)
    _only_our_error(library[:at] + damage[: len(library) - at] + library[at + len(damage) :])


# ---- the script ----


def pack(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", str(SCRIPT), *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def program(folder: Path, name: str, text: str) -> str:
    """A stand-in for a program; its path."""
    folder.mkdir(exist_ok=True)
    file = folder / name
    file.write_text(f"#!/usr/bin/env bash\n{text}\n")
    file.chmod(0o755)
    return str(file)


def python_whose_pip_installs(folder: Path, *files: str) -> str:
    """A Python whose pip makes these files in its ``--target`` and notes what it was asked for."""
    made = "\n".join(
        f'mkdir -p "$target/$(dirname {name})"; echo {name} >"$target/{name}"' for name in files
    )
    return program(
        folder,
        "python-stub",
        f"""
if [[ $1 != -m ]]; then exec {sys.executable} "$@"; fi
printf '%s\\n' "$@" >>{folder}/asked
while (($#)); do
  if [[ $1 == --target ]]; then target=$2; fi
  shift
done
[[ ${{target:-}} ]] || exit 0
{made}
""",
    )


RTX_FILES = (
    "tensorrt_rtx_bindings/__init__.py",
    "tensorrt_rtx_bindings/tensorrt_rtx.so",
    "tensorrt_rtx_libs/libtensorrt_rtx.so.1",
    "tensorrt_rtx_libs/libtensorrt_onnxparser_rtx.so.1",
)

on_linux = pytest.mark.skipif(not PACKABLE, reason="packs are made on Linux on x86-64, with xz")


def test_help_tells_all_options() -> None:
    done = pack("--help")
    assert done.returncode == 0
    assert done.stderr == ""
    for word in ("--rtx", "--arch", "--out", "1.6.1.120", "LIMIT", "Exit codes"):
        assert word in done.stdout


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--fast",), "There is no option '--fast'"),
        (("--rtx",), "--rtx needs a value"),
        (("openvino",), "There is no option 'openvino'"),
    ],
)
def test_wrong_usage_is_told(arguments: tuple[str, ...], sentence: str) -> None:
    done = pack(*arguments)
    assert done.returncode == 2
    assert sentence in done.stderr


def test_another_processor_is_refused(tmp_path: Path) -> None:
    program(tmp_path / "bin", "uname", "echo Darwin arm64")
    done = pack("--out", str(tmp_path), PATH=f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    assert done.returncode == 3
    assert done.stderr == "Packs are made on Linux on x86-64, and this is Darwin arm64.\n"


@on_linux
def test_a_full_disk_is_told_before_anything_is_fetched(tmp_path: Path) -> None:
    program(tmp_path / "bin", "df", "printf 'head\\nx 1 1 2048000 1 /\\n'")
    done = pack(
        "--out",
        str(tmp_path / "out"),
        PATH=f"{tmp_path / 'bin'}:{os.environ['PATH']}",
        PYTHON=python_whose_pip_installs(tmp_path),
        TMPDIR=str(tmp_path),
    )
    assert done.returncode == 3
    assert f"'{tmp_path}' has 2000 MiB free, and 3072 are needed" in done.stderr
    assert "install" not in (tmp_path / "asked").read_text()


@on_linux
def test_a_python_that_is_not_there_is_told(tmp_path: Path) -> None:
    done = pack("--out", str(tmp_path), PYTHON="python-nowhere")
    assert done.returncode == 3
    assert "There is no 'python-nowhere'" in done.stderr


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """A folder to work in that has room, whatever disk the tests run on."""
    program(tmp_path / "bin", "df", "printf 'head\\nx 1 1 99999999 1 /\\n'")
    (tmp_path / "work").mkdir()
    return tmp_path / "work"


def pack_rtx(work: Path, *files: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return pack(
        *("rtx", "--rtx", "1.4.0.76", "--out", str(work.parent / "out")),
        PATH=f"{work.parent / 'bin'}:{os.environ['PATH']}",
        PYTHON=python_whose_pip_installs(work.parent, *files),
        TMPDIR=str(work),
        **environment,
    )


@on_linux
def test_a_pack_holds_the_wheels_and_the_package_that_ties_them(work: Path, tmp_path: Path) -> None:
    done = pack_rtx(work, *RTX_FILES, "bin/tool")
    assert done.returncode == 0, done.stderr
    with tarfile.open(tmp_path / "out" / "rtx.tar.xz") as archive:
        archive.extractall(tmp_path / "site", filter="data")
        assert {member.mtime for member in archive} == {0}
    site = tmp_path / "site"
    assert all((site / name).is_file() for name in RTX_FILES)
    assert not (site / "bin").exists()
    assert "import *" in (site / "tensorrt_rtx" / "__init__.py").read_text()
    told = subprocess.run(
        [sys.executable, "-c", "import importlib.metadata as m; print(m.version('tensorrt-rtx'))"],
        env={**os.environ, "PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout == "1.4.0.76\n"
    asked = (tmp_path / "asked").read_text().splitlines()
    assert "tensorrt-rtx-cu13-libs==1.4.0.76" in asked
    assert "--no-deps" in asked
    assert list(work.iterdir()) == []  # cleaned up


@on_linux
def test_an_incomplete_pack_is_told(work: Path) -> None:
    done = pack_rtx(work, *RTX_FILES[1:])
    assert done.returncode == 1
    assert "is incomplete: it has no tensorrt_rtx_bindings/__init__.py." in done.stderr
    assert list(work.iterdir()) == []


@on_linux
def test_a_pack_over_the_limit_is_told(work: Path) -> None:
    done = pack_rtx(work, *RTX_FILES, LIMIT="100")
    assert done.returncode == 1
    assert "bytes, more than the limit of 100." in done.stderr


@on_linux
def test_what_pip_cannot_get_is_told(work: Path, tmp_path: Path) -> None:
    stub = program(tmp_path, "python-stub", '[[ "$*" != *install* ]]')
    done = pack(
        *("rtx", "--out", str(tmp_path / "out")),
        PATH=f"{tmp_path / 'bin'}:{os.environ['PATH']}",
        PYTHON=stub,
        TMPDIR=str(work),
    )
    assert done.returncode == 3
    assert "pip could not get tensorrt-rtx-cu13-libs==1.6.1.120" in done.stderr
    assert list((tmp_path / "out").iterdir()) == []


@on_linux
def test_ended_it_takes_its_processes_and_its_folder_along(work: Path, tmp_path: Path) -> None:
    started = tmp_path / "started"
    stub = program(
        tmp_path,
        "python-stub",
        f'[[ "$*" == *install* ]] || exit 0\nsleep 300 &\necho $! >{started}.new\n'
        f"mv {started}.new {started}\nwait",
    )
    environment = {"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}", "TMPDIR": str(work)}
    running = subprocess.Popen(
        ["bash", str(SCRIPT), "rtx", "--out", str(tmp_path / "out")],
        env={**os.environ, **environment, "PYTHON": stub},
        stderr=subprocess.DEVNULL,
    )
    try:
        assert _within_seconds(20, started.is_file)
    finally:
        running.terminate()
        running.wait(20)
    sleeper = int(started.read_text())
    assert _within_seconds(10, lambda: not _runs(sleeper))
    assert _within_seconds(10, lambda: list(work.iterdir()) == [])


def _within_seconds(seconds: float, condition: Callable[[], bool]) -> bool:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if condition():
            return True
        time.sleep(0.05)
    return False


def _runs(process: int) -> bool:
    try:  # one that has ended may not have been collected yet
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
