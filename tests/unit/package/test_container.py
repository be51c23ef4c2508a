"""The folder that builds an image: by hadolint, by the server, and run without being built."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
import sysconfig
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from benchmarks.peers.environments import FOLDER, is_made
from lrn_deploy import __version__
from lrn_deploy.bundle import Bundle
from lrn_deploy.errors import BadInputError
from lrn_deploy.package.container import _same_as, write
from lrn_deploy.package.requirements import pinned
from lrn_deploy.package.subject import Subject
from lrn_deploy.placement import Placement
from lrn_deploy.progress import silent
from tests.support.engine_graphs import engine_record
from tests.support.packages import colours, how_to_make, subject_of, understood
from tests.support.servers import serving


def written(folder: Path, **chosen: Any) -> Path:
    out = folder / "out"
    out.mkdir(parents=True)
    write(colours(folder / "colours", "container", **chosen), out, silent)
    return out


@pytest.fixture
def _without_sources(monkeypatch: pytest.MonkeyPatch) -> None:
    """The package's own modules are many, and left out where nobody looks at them."""
    monkeypatch.setattr("lrn_deploy.package.container.shutil.copytree", lambda *_, **__: None)


@pytest.mark.usefixtures("_without_sources")
def test_it_is_told_what_is_copied(tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    (tmp_path / "out").mkdir()
    subject = colours(tmp_path / "colours", "container")
    write(subject, tmp_path / "out", lambda *step: told.append(step))
    assert told == [("copying the server", 0, 1), ("copying", 0, 2), ("copying", 1, 2)]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("container"), instances=2, max_batch_size=8)


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_hadolint_finds_no_fault(tmp_path: Path, device: str) -> None:
    assert hadolint(written(tmp_path, device=device) / "Containerfile") == []


def test_hadolint_finds_faults(made: Path, tmp_path: Path) -> None:
    text = (made / "Containerfile").read_text()
    (tmp_path / "Containerfile").write_text(text.replace("--no-cache-dir ", ""))
    assert "DL3042" in hadolint(tmp_path / "Containerfile")


def hadolint(file: Path) -> list[str]:
    """The codes of what it finds."""
    if not is_made("packaging"):
        pytest.skip(f"no hadolint here: {how_to_make('packaging')}")
    done = subprocess.run(
        [FOLDER / "packaging" / "bin" / "hadolint", "--format", "json", file],
        capture_output=True,
        text=True,
        check=False,
    )
    return [fault["code"] for fault in json.loads(done.stdout)]


def variables(containerfile: str) -> dict[str, str]:
    (block,) = re.findall(r"^ENV (.+?[^\\])$", containerfile, re.MULTILINE | re.DOTALL)
    return dict(re.findall(r"(\w+)=(\S+)", block))


def test_the_server_understands_its_environment(made: Path) -> None:
    said = understood([], variables((made / "Containerfile").read_text()))
    assert said["bundles"] == ("colours=/bundle",)
    assert (said["host"], said["http_port"], said["grpc_port"]) == ("0.0.0.0", 8000, 8001)
    assert (said["instances"], said["max_batch_size"], said["device"]) == (2, 8, "cpu")


def test_every_variable_is_one_of_the_servers(made: Path) -> None:
    ours = {
        name
        for name in variables((made / "Containerfile").read_text())
        if name.startswith("LRN_SERVER_")
    }
    assert ours <= {f"LRN_SERVER_{name.upper()}" for name in understood(["colours"])}


def test_nothing_in_it_runs_as_root(made: Path) -> None:
    text = (made / "Containerfile").read_text()
    assert re.findall(r"^USER (\S+)$", text, re.MULTILINE) == ["65532:65532"]
    assert text.rindex("USER ") > text.rindex("COPY ")


def test_all_that_it_copies_is_there_and_not_ignored(made: Path) -> None:
    text = (made / "Containerfile").read_text()
    copied = re.findall(r"^COPY (?!--from)(\S+) ", text, re.MULTILINE)
    assert copied == ["requirements.txt", "lrn_deploy", "health.py", "bundle"]
    for file in (".containerignore", ".dockerignore"):
        first, *kept = (made / file).read_text().splitlines()
        assert first == "*"
        assert {f"!{name}" for name in copied} <= set(kept)
    assert all((made / name).exists() for name in copied)


@pytest.mark.usefixtures("unmeasured")
def test_what_is_copied_serves_is_found_alive_and_writes_nothing(
    made: Path, tmp_path: Path
) -> None:
    """The image without the building: its files, this Python, and no installation of ours."""
    assert list((made / "lrn_deploy").rglob("__pycache__")) == []
    paths = [str(made), sysconfig.get_path("purelib")]
    code = f"import sys; sys.path[:0] = {paths!r}\nfrom lrn_deploy.lrn_server import main\nmain()"
    environment = variables((made / "Containerfile").read_text()) | {
        "LRN_SERVER_BUNDLES": f"colours={made / 'bundle'}",
        "PATH": "/usr/bin:/bin",
        "HOME": str(tmp_path),
        "TMPDIR": str(tmp_path),
    }
    start = [sys.executable, "-I", "-S", "-c", code]
    with serving(start=start, env=environment) as running:
        assert running.ports["models"] == ["colours"]
        port = str(running.ports["http_port"])
        alive = [sys.executable, made / "health.py"]
        environment = {"LRN_SERVER_HTTP_PORT": port}
        assert subprocess.run(alive, env=environment, check=False).returncode == 0
        running.process.terminate()
        assert running.finish() == 0
        asked = subprocess.run(alive, env=environment, check=False, capture_output=True)
        assert asked.returncode != 0
    assert list(tmp_path.iterdir()) == []  # nor anywhere else, where the root is read-only


def test_each_requirement_is_pinned_to_what_is_installed(made: Path) -> None:
    lines = (made / "requirements.txt").read_text().splitlines()
    pins = dict(re.sub(r"\[.*\]", "", line).split("==") for line in lines)
    assert {"onnxruntime", "grpcio", "httptools", "numpy", "pydantic-core", "click"} <= set(pins)
    assert not {"torch", "pytest", "lrn-deploy", "onnxruntime-gpu", "openvino"} & set(pins)
    assert all(metadata.version(name).partition("+")[0] == pins[name] for name in pins)


@pytest.mark.usefixtures("_without_sources")
def test_what_openvino_runs_brings_openvino(tmp_path: Path) -> None:
    found = Placement("model", "openvino", "cpu", 2)
    plain = colours(tmp_path / "colours", "container")
    subject = Subject(plain.bundle, plain.name, "model", plain.options, found)
    (tmp_path / "out").mkdir()
    write(subject, tmp_path / "out", silent)
    assert "openvino==" in (tmp_path / "out" / "requirements.txt").read_text()


@pytest.mark.usefixtures("_without_sources")
def test_an_engine_brings_its_runtime_to_an_image_with_a_gpu_only(tmp_path: Path) -> None:
    plain = colours(tmp_path / "colours", "container")
    model = plain.bundle.manifest.artifact("model")
    engine = model.model_copy(update={"format": "tensorrt-rtx", "engine": engine_record()})
    bundle = plain.bundle.add_artifact("engine", engine)
    (tmp_path / "out").mkdir()
    write(Subject(bundle, plain.name, "model", plain.options), tmp_path / "out", silent)
    assert "rtx" not in (tmp_path / "out" / "requirements.txt").read_text()
    chosen = subject_of(bundle, "container", device="cuda", artifact="engine")
    (tmp_path / "gpu").mkdir()
    notes = write(chosen, tmp_path / "gpu", silent).notes
    # The version that it was built with: no other loads it.
    pin = f"tensorrt-rtx=={engine.engine.version}"
    assert pin in (tmp_path / "gpu" / "requirements.txt").read_text().splitlines()
    assert "--device nvidia.com/gpu=all colours:" in notes[2]
    with pytest.raises(BadInputError, match="'engine' is an engine for a GPU"):
        write(subject_of(bundle, "container", artifact="engine"), tmp_path / "cpu", silent)


@pytest.mark.usefixtures("_without_sources")
def test_what_openvino_alone_takes_brings_openvino(tmp_path: Path) -> None:
    plain = colours(tmp_path / "colours", "container")
    model = plain.bundle.manifest.artifact("model")
    other = model.model_copy(update={"format": "openvino"})
    subject = subject_of(plain.bundle.add_artifact("ir", other), "container", artifact="ir")
    (tmp_path / "out").mkdir()
    write(subject, tmp_path / "out", silent)
    assert "openvino==" in (tmp_path / "out" / "requirements.txt").read_text()


def test_a_runtime_that_is_not_installed_here_is_of_the_release_of_another() -> None:
    assert _same_as("no-such-package", "numpy") == f"=={metadata.version('numpy')}"
    assert _same_as("no-such-package") == ">=1.21"  # which was the first with NVIDIA's libraries


@pytest.mark.usefixtures("_without_sources")
def test_how_it_is_built_and_run_is_told(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    subject = colours(tmp_path / "colours", "container", name="My.Net")
    tag = f"my.net:{__version__}"
    assert write(subject, tmp_path / "out", silent).notes == (
        f"Build it with: podman build --format docker -t {tag} {{output}}",
        f"or with: docker build -f {{output}}/Containerfile -t {tag} {{output}}",
        f"Run it with: podman run --read-only --cap-drop all -p 8000:8000 {tag}",
    )


@pytest.mark.usefixtures("_without_sources")
def test_a_gpu_brings_its_libraries_and_its_driver(tmp_path: Path) -> None:
    out = written(tmp_path, device="cuda")
    lines = (out / "requirements.txt").read_text().splitlines()
    version = metadata.version("onnxruntime")
    assert f"onnxruntime-gpu[cuda,cudnn]=={version}" in lines
    assert not any(line.startswith("onnxruntime==") for line in lines)
    assert variables((out / "Containerfile").read_text())["NVIDIA_VISIBLE_DEVICES"] == "all"


def test_what_is_asked_for_stands_instead_of_what_an_extra_says() -> None:
    assert "onnxruntime==1.2.3" in pinned(["cpu"], ["onnxruntime==1.2.3"])


def test_the_image_is_labelled_with_what_is_in_it(made: Path) -> None:
    text = (made / "Containerfile").read_text()
    bundle = Bundle.open(made / "bundle")
    digest = re.findall(r'io\.lrn-deploy\.manifest="sha256:([0-9a-f]{64})"', text)
    assert digest == [hashlib.sha256((bundle.path / "manifest.json").read_bytes()).hexdigest()]
    assert 'org.opencontainers.image.title="colours"' in text
