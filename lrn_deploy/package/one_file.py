"""The server as one executable file: built by PyInstaller, and given files to carry afterwards.

PyInstaller follows imports; what it cannot see is named here: commands that are imported by name,
extension modules that import others, and packages whose data they read. What serving never touches
is left out. NVIDIA's libraries stay outside. Nothing is stripped: strip breaks the alignment of
numpy's libraries.

Such a file ends with an archive: contents, a table of contents, and a cookie that says where both
are, counted from the archive's begin. The program at its front looks for the last cookie in the
file. So files are added by writing them, a longer table and a new cookie behind everything that was
there; no byte of the server changes, and nothing is compressed again.
"""

from __future__ import annotations

import mmap
import shutil
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import lrn_deploy
from lrn_deploy.errors import BadInputError, LrnDeployError, MissingError
from lrn_deploy.extras import install, install_package

_HIDDEN = (
    "lrn_deploy.cli.serve",
    "lrn_deploy.serving.server",
    "lrn_deploy.serving.http.server",
    "lrn_deploy.serving.grpc.server",
    "grpc._cython.cygrpc",
    "httptools.parser.parser",
    "httptools.parser.url_parser",
)
_WITH_DATA = ("lrn_deploy.serving.page",)
_LEFT_OUT = (
    "IPython",
    "PIL.ImageQt",
    "PIL.ImageTk",
    "aiohttp",
    "anyio",
    "cryptography",
    "cuda",
    "fsspec",
    "gevent",
    "geventhttpclient",
    "google.api_core",
    "google.auth",
    "hypothesis",
    "jinja2",
    "matplotlib",
    "mypy",
    "nncf",
    "onnx.backend.test",
    "onnx.reference",
    "onnxruntime.quantization",
    "onnxruntime.tools",
    "onnxruntime.transformers",
    "onnxscript",
    "openvino",
    "pandas",
    "pyarrow",
    "pytest",
    "ray",
    "s3fs",
    "scipy",
    "setuptools",
    "sklearn",
    "starlette",
    "sympy",
    "tensorrt",
    "tensorrt_rtx",
    "tkinter",
    "torch",
    "triton",
    "tritonclient.http",
    "uvloop",
    "yaml",
)
_NEEDED = ("grpc", "grpc_health", "httptools", "multipart", "onnxruntime", "tritonclient")
_ENTRY = "from lrn_deploy.lrn_server import main\n\nmain()\n"

_BUILT = "'make binary' in a checkout builds dist/lrn-server; without --server one is built here."

_MAGIC = b"MEI\x0c\x0b\x0a\x0b\x0e"
_COOKIE = struct.Struct("!8sIIII64s")
"""Magic, length of the archive, begin and length of its table, Python's version and library."""
_ENTRY_HEAD = struct.Struct("!IIIIBc")
"""Length of the entry, begin of the file, its length packed and not, whether it is, its kind."""
_DATA = b"x"  # the kind of a file that is unpacked as it is
_LARGEST = 2**32 - 1  # places in the archive are of 32 bits


@dataclass(frozen=True)
class _Archive:
    """Where the archive of a one-file program is."""

    start: int
    table: bytes
    cookie: tuple[bytes, int, int, int, int, bytes]


def build_server(file: Path) -> None:
    """Build the server with the CPU's runtime.

    Args:
        file: The executable to be.

    Raises:
        MissingError: If PyInstaller or what the server needs is not installed.
        LrnDeployError: If PyInstaller fails; it has said why.
    """
    if find_spec("PyInstaller") is None:
        raise MissingError(
            "PyInstaller, which makes the server one file, is not installed.",
            f"Install it with: {install_package('pyinstaller>=6.10')}; or give a server that was "
            "built before with --server.",
        )
    if absent := [name for name in _NEEDED if find_spec(name) is None]:
        raise MissingError(
            f"The server needs {', '.join(absent)}, which is not installed.",
            f"Install it with: {install('cpu', 'serve')}",
        )
    sources = Path(lrn_deploy.__file__).parent.parent
    with tempfile.TemporaryDirectory() as folder:
        entry = Path(folder) / "lrn_server.py"
        entry.write_text(_ENTRY)
        words = [sys.executable, "-m", "PyInstaller", str(entry), "--onefile", "--noconfirm"]
        words += ["--name", file.name, "--log-level", "ERROR", "--paths", str(sources)]
        words += ["--distpath", str(file.parent), "--workpath", folder, "--specpath", folder]
        words += [f"--hidden-import={name}" for name in _HIDDEN]
        words += [f"--collect-data={name}" for name in _WITH_DATA]
        words += [f"--exclude-module={name}" for name in _LEFT_OUT]
        done = subprocess.run(words, cwd=folder, check=False, capture_output=True, text=True)
    if done.returncode:
        sys.stderr.write(done.stderr)
        raise LrnDeployError(
            f"PyInstaller could not build the server; it ended with code {done.returncode}.",
            "What it said stands above.",
        )


def check_server(file: Path) -> None:
    """Ask a one-file program whether it is this version of the server.

    Raises:
        BadInputError: If it is not, or cannot run here.
    """
    try:
        done = subprocess.run(
            [str(file.resolve()), "--version"], capture_output=True, text=True, timeout=60
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BadInputError(f"'{file}' cannot be run as a server: {error}.", _BUILT) from error
    said = done.stdout.strip()
    if done.returncode or said != f"lrn-server, version {lrn_deploy.__version__}":
        raise BadInputError(
            f"'{file}' is not the lrn-server of version {lrn_deploy.__version__}: it says "
            f"'{said[:60]}'.",
            _BUILT,
        )


def contents(program: Path) -> dict[str, int]:
    """The files that a one-file program carries, with their sizes.

    Raises:
        BadInputError: If it is no such program.
    """
    found, table, at = {}, _archive(program).table, 0
    while at < len(table):
        length, _, _, size, _, _ = _ENTRY_HEAD.unpack_from(table, at)
        name = table[at + _ENTRY_HEAD.size : at + length].rstrip(b"\0")
        found[name.decode()] = size
        at += length
    return found


def add_files(program: Path, files: Iterable[tuple[str, Path]]) -> None:
    """Let a one-file program carry more files; it finds them below ``sys._MEIPASS`` when it runs.

    Args:
        program: It, which is changed.
        files: What each is called there, and where it is now.

    Raises:
        BadInputError: If it is no such program, or would be larger than one can be.
        OSError: If it cannot be written.
    """
    archive = _archive(program)
    table = archive.table
    with program.open("r+b") as out:
        out.seek(0, 2)
        for name, file in files:
            begin = out.tell() - archive.start
            with file.open("rb") as stream:
                shutil.copyfileobj(stream, out, 2**20)
            size = out.tell() - archive.start - begin
            table += _entry(name, begin, size)
        begin = out.tell() - archive.start
        length = begin + len(table) + _COOKIE.size
        if length > _LARGEST:
            raise BadInputError(
                f"With its bundle, the file would have {length / 2**30:.1f} GiB; 4 is the most.",
                "Choose with --artifact the one that is to go along.",
            )
        magic, _, _, _, *rest = archive.cookie
        out.write(table)
        out.write(_COOKIE.pack(magic, length, begin, len(table), *rest))


def _entry(name: str, begin: int, size: int) -> bytes:
    if begin + size > _LARGEST:
        begin = size = 0  # it is refused as a whole
    text = name.encode() + b"\0"
    text += b"\0" * (-(_ENTRY_HEAD.size + len(text)) % 16)
    return _ENTRY_HEAD.pack(_ENTRY_HEAD.size + len(text), begin, size, size, 0, _DATA) + text


def _archive(program: Path) -> _Archive:
    try:
        with program.open("rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as data:
            at = data.rfind(_MAGIC)
            if at < 0:
                raise ValueError("it has no archive of PyInstaller's")
            cookie = _COOKIE.unpack_from(data, at)
            _, length, begin, size, _, _ = cookie
            start = at + _COOKIE.size - length
            table = data[start + begin : start + begin + size] if start >= 0 else b""
            if start < 0 or len(table) != size:
                raise ValueError("its archive is cut off")
    except (OSError, ValueError, struct.error) as error:
        reason = (isinstance(error, OSError) and error.strerror) or error
        raise BadInputError(f"'{program}' is not a one-file server: {reason}.", _BUILT) from error
    return _Archive(start, table, cookie)
