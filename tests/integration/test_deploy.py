"""The whole chain: deploy, its reuse, and what inspect says of the result."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lrn_deploy.cli import run
from lrn_deploy.errors import CHECK_FAILED, DONE, MissingError
from lrn_deploy.workflows import deploy as deploy_workflow
from tests.support.exported import exported


def as_json(capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    capsys.readouterr()
    assert run([*words, "--json"]) == DONE
    return json.loads(capsys.readouterr().out)


@pytest.mark.tensorrt
def test_deploy_exports_builds_validates_and_reuses(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    pytest.importorskip("tensorrt_rtx", reason="builds its engine with tensorrt-rtx")
    path = tmp_path / "digits"
    assert run(["deploy", "digits", "-o", str(path), "--json"]) == DONE
    told = capsys.readouterr()
    assert "built, hashed and parsed; not run" in told.err
    assert "PASS" in told.err
    first = json.loads(told.out)
    assert first["reused"] is False
    assert first["parity"]["verdict"] == "pass"
    engine = first["engine"]
    assert {"sm86", "sm89", "sm120"} <= set(engine.split("-"))
    before = {file: file.stat().st_mtime_ns for file in path.rglob("*.engine")}
    assert len(before) == 1
    second = as_json(capsys, "deploy", "digits", "-o", str(path))
    assert second["reused"] is True
    assert {file: file.stat().st_mtime_ns for file in path.rglob("*.engine")} == before


def test_deploy_without_tensorrt_says_so_and_goes_on(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(*_: Any) -> None:
        raise MissingError("TensorRT is not installed.", "Install it.")

    monkeypatch.setattr(deploy_workflow, "build_bundle_engine", missing)
    path = exported("digits", tmp_path / "b").path
    assert run(["deploy", "digits", "-o", str(path)]) == DONE
    out = capsys.readouterr().out
    assert "No TensorRT engine: TensorRT is not installed." in out
    assert "PASS" in out


def test_inspect_tells_the_graph_the_layers_and_the_files(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = str(exported("levi_hassner_age", tmp_path / "b").path)
    told = as_json(capsys, "inspect", path)
    assert told["operators"]["LRN"] == 2
    assert sum(told["operators"].values()) <= 22
    assert [layer["form"] for layer in told["manifest"]["lrn_layers"]] == ["kept", "kept"]
    assert all(file["problem"] == "" for file in told["files"])
    assert run(["inspect", path]) == DONE
    out = capsys.readouterr().out
    assert "float32 [batch, 3, 227, 227]" in out
    assert "random He-normal weights" in out


def test_deploy_ends_with_1_when_validation_fails(tmp_path: Path) -> None:
    from lrn_deploy.export import ExportOptions
    from lrn_deploy.parity.budgets import Budgets
    from lrn_deploy.workflows.deploy import DeployOptions, deploy
    from lrn_deploy.workflows.validate.options import ValidateOptions

    options = DeployOptions(
        source=ExportOptions("digits"),
        engine=None,
        validate=ValidateOptions(budgets=Budgets(max_error=1e-12)),
    )
    result = deploy(options, exported("digits", tmp_path / "b").path)
    assert result.report.verdict == "fail"
    assert result.no_engine == "none was asked for"
    assert CHECK_FAILED == 1
