"""The unit and its settings: by systemd, by the server, and installed into a folder."""

from __future__ import annotations

import configparser
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from lrn_deploy.bundle import Bundle
from lrn_deploy.errors import BadInputError
from lrn_deploy.package.subject import Subject
from lrn_deploy.package.systemd import write
from lrn_deploy.placement import Placement
from lrn_deploy.progress import silent
from tests.support.packages import colours, understood

UNIT = "lrn-server-colours.service"
needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="apt-get install systemd"
)


def written(folder: Path, **chosen: Any) -> Path:
    out = folder / "out"
    out.mkdir()
    write(colours(folder / "colours", "systemd", **chosen), out, silent)
    return out


def service(out: Path, unit: str = UNIT) -> dict[str, str]:
    """The section [Service]; of what stands there twice, the last."""
    parser = configparser.RawConfigParser(strict=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # names keep their case
    parser.read(out / unit)
    return dict(parser["Service"])


def settings(out: Path, name: str = "colours") -> dict[str, str]:
    lines = (out / f"{name}.env").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if not line.startswith("#"))


@needs_systemd
@pytest.mark.parametrize(
    "chosen",
    [{}, {"device": "cuda"}, {"keys_secret": "/etc/keys.json", "tls_secret": "/etc/server.pem"}],
    ids=["cpu", "cuda", "secrets"],
)
def test_systemd_finds_no_fault(tmp_path: Path, chosen: dict[str, Any]) -> None:
    out = written(tmp_path, server="/bin/true", **chosen)
    done = subprocess.run(
        ["systemd-analyze", "verify", "--recursive-errors=no", str(out / UNIT)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, faults(done.stderr)) == (0, [])


@needs_systemd
def test_systemd_finds_faults(tmp_path: Path) -> None:
    out = written(tmp_path, server="/bin/true")
    text = (out / UNIT).read_text().replace("ProtectClock=yes", "ProtectClocks=yes")
    (out / UNIT).write_text(text)
    done = subprocess.run(
        ["systemd-analyze", "verify", "--recursive-errors=no", str(out / UNIT)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "ProtectClocks" in "".join(faults(done.stderr))


def faults(said: str) -> list[str]:
    """What is said of our unit, and not of others of the machine."""
    return [line for line in said.splitlines() if UNIT in line]


@needs_systemd
@pytest.mark.parametrize(("device", "most"), [("cpu", 1.5), ("cuda", 1.8)])
def test_little_is_exposed(tmp_path: Path, device: str, most: float) -> None:
    out = written(tmp_path, device=device)
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=yes", "--no-pager", str(out / UNIT)],
        capture_output=True,
        text=True,
        check=True,
    )
    found = re.search(r"Overall exposure level for \S+: ([0-9.]+)", done.stdout)
    assert found is not None
    assert float(found[1]) <= most


def test_the_server_understands_its_command_line_and_its_settings(tmp_path: Path) -> None:
    out = written(tmp_path, threads=3, instances=2, max_batch_size=8)
    program, *words = service(out)["ExecStart"].split()
    assert program == "/usr/local/bin/lrn-server"
    said = understood(words, settings(out))
    assert said["bundles"] == ("colours=/usr/local/share/lrn-server/colours",)
    assert said["supervise"] is False
    assert (said["threads"], said["instances"], said["max_batch_size"]) == (3, 2, 8)
    assert (said["host"], said["http_port"], said["grpc_port"]) == ("127.0.0.1", 8000, 8001)


def test_every_setting_is_one_of_the_servers(tmp_path: Path) -> None:
    known = {f"LRN_SERVER_{name.upper()}" for name in understood(["colours"])}
    assert set(settings(written(tmp_path))) <= known


def test_it_is_killed_later_than_it_ends(tmp_path: Path) -> None:
    out = written(tmp_path)
    said = understood(service(out)["ExecStart"].split()[1:], settings(out))
    seconds = int(service(out)["TimeoutStopSec"])
    assert seconds > said["pre_drain_seconds"] + said["drain_seconds"]
    assert seconds == 10 + said["drain_seconds"]  # nobody is to wait for longer than that


def test_what_installs_it_can_be_started(tmp_path: Path) -> None:
    assert (written(tmp_path) / "install.sh").stat().st_mode & 0o7777 == 0o755


def test_secrets_are_credentials(tmp_path: Path) -> None:
    out = written(tmp_path, keys_secret="/etc/keys.json", tls_secret="/etc/server.pem")
    text = (out / UNIT).read_text()
    assert "LoadCredential=keys.json:/etc/keys.json\n" in text
    assert "LoadCredential=tls.pem:/etc/server.pem\n" in text
    variables = dict(re.findall(r"^Environment=(\w+)=%d/(\S+)$", text, re.MULTILINE))
    said = understood(["colours"], variables)
    assert (said["keys"], said["tls_cert"]) == ("keys.json", "tls.pem")


def test_a_gpu_is_let_in_and_code_may_be_written(tmp_path: Path) -> None:
    section = service(written(tmp_path, device="cuda"))
    assert section["DeviceAllow"] == "char-nvidia* rw"
    assert not {"PrivateDevices", "MemoryDenyWriteExecute"} & set(section)


def test_what_openvino_runs_may_make_code(tmp_path: Path) -> None:
    plain = colours(tmp_path / "colours", "systemd")
    found = Placement("model", "openvino", "cpu", 2)
    (tmp_path / "out").mkdir()
    subject = Subject(plain.bundle, plain.name, "model", plain.options, found)
    write(subject, tmp_path / "out", silent)
    assert "MemoryDenyWriteExecute" not in service(tmp_path / "out")


def test_the_script_installs_all_of_it_and_keeps_settings(tmp_path: Path) -> None:
    out, root = written(tmp_path), tmp_path / "root"

    def install() -> None:
        subprocess.run(["sh", out / "install.sh"], check=True, env={"DESTDIR": str(root)})

    install()
    (root / "etc/lrn-server/colours.env").write_text("LRN_SERVER_HTTP_PORT=9000\n")
    install()
    assert (root / "etc/lrn-server/colours.env").read_text() == "LRN_SERVER_HTTP_PORT=9000\n"
    assert (root / "etc/systemd/system" / UNIT).read_text() == (out / UNIT).read_text()
    (only,) = (root / "usr/local/share/lrn-server").iterdir()
    assert only.name == "colours"
    assert Bundle.open(only).load("model").format == "onnx"


@pytest.mark.parametrize("path", ["lrn-server", "/opt/my server", "/opt/100%", '/opt/"x"'])
def test_a_path_that_a_unit_cannot_have_is_refused(tmp_path: Path, path: str) -> None:
    subject = colours(tmp_path / "colours", "systemd", server=path)
    (tmp_path / "out").mkdir()
    with pytest.raises(BadInputError, match="A unit cannot have") as caught:
        write(subject, tmp_path / "out", silent)
    assert "--server" in caught.value.hint
    assert list((tmp_path / "out").iterdir()) == []


def test_only_a_chosen_artifact_goes_along(tmp_path: Path) -> None:
    bundle = Bundle.open(written(tmp_path, artifact="model") / "bundle")
    assert bundle.manifest.default == "model"
    assert json.loads((bundle.path / "manifest.json").read_text())["samples"] == {}
