"""``lrn-deploy report``: where it writes, and how it ends."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from lrn_deploy import cli
from lrn_deploy.bundle import Bundle
from lrn_deploy.latency.schema import LatencyReport
from lrn_deploy.parity.schema import ParityReport


@pytest.fixture
def checked(bundle: Bundle, parity: ParityReport) -> Bundle:
    bundle.add_file("reports/parity.json", parity.model_dump_json().encode())
    return bundle


def test_a_bundle_without_reports_is_2_and_names_the_commands(
    bundle: Bundle, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["report", str(bundle.path)]) == 2
    told = capsys.readouterr().err
    assert "lrn-deploy validate" in told
    assert "lrn-deploy profile" in told
    assert not (bundle.path / "reports").exists()


def test_the_page_goes_into_the_bundle(checked: Bundle, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["report", str(checked.path)]) == 0
    page = checked.path / "reports/report.html"
    assert page.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    told = capsys.readouterr().out
    assert str(page) in told
    assert "lrn-deploy profile" in told


def test_or_where_it_is_asked_for(
    checked: Bundle, latency: LatencyReport, capsys: pytest.CaptureFixture[str]
) -> None:
    checked.add_file("reports/latency.json", latency.model_dump_json().encode())
    page = checked.path.parent / "page.html"
    assert cli.run(["report", str(checked.path), "-o", str(page), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told == {"page": str(page), "state": "pass", "missing": ["tune"]}
    assert page.is_file()
    assert not (checked.path / "reports/report.html").exists()


@pytest.mark.parametrize("data", [b"", b"{}", b"\xff\xfe", b'{"created": 3}'])
def test_a_report_that_is_none_is_damage_and_named(
    checked: Bundle, data: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    checked.add_file("reports/latency.json", data)
    assert cli.run(["report", str(checked.path)]) == 4
    told = capsys.readouterr().err
    assert "latency.json" in told
    assert "lrn-deploy profile" in told


def test_a_report_that_is_a_folder_is_damage(
    bundle: Bundle, capsys: pytest.CaptureFixture[str]
) -> None:
    (bundle.path / "reports/parity.json").mkdir(parents=True)
    assert cli.run(["report", str(bundle.path)]) == 4
    assert "cannot be read" in capsys.readouterr().err


def test_a_page_that_cannot_be_written_is_5(checked: Bundle) -> None:
    blocked = checked.path / "manifest.json" / "page.html"
    assert cli.run(["report", str(checked.path), "-o", str(blocked)]) == 5


def test_drawing_imports_no_runtime(checked: Bundle) -> None:
    code = (
        "import sys; from lrn_deploy.cli import run; run(sys.argv[1:]);"
        "print(sorted({'torch', 'onnxruntime', 'openvino', 'tensorrt'} & set(sys.modules)))"
    )
    words = [sys.executable, "-c", code, "report", str(checked.path)]
    done = subprocess.run(words, check=True, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "[]"
