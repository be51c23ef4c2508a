"""The room of Caffe's files knows nothing of the package but errors and LRN."""

from __future__ import annotations

import ast
from pathlib import Path

import lrn_deploy.caffe

ALLOWED = ("lrn_deploy.caffe", "lrn_deploy.errors", "lrn_deploy.lrn")


def test_the_room_imports_no_other_room() -> None:
    files = sorted(Path(lrn_deploy.caffe.__file__).parent.rglob("*.py"))
    assert len(files) > 20
    for file in files:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("lrn_deploy"):
                assert node.module is not None
                assert node.module.startswith(ALLOWED), f"{file.name} imports {node.module}"


def test_the_reference_shares_no_computation_with_the_graph() -> None:
    folder = Path(lrn_deploy.caffe.__file__).parent
    for name in ("reference.py", "reference_windows.py"):
        text = (folder / name).read_text()
        assert "onnx" not in text.replace("ONNX", "")
        for module in ("shapes", "axes", "window_shapes", "ops"):
            assert f"caffe.{module} " not in text
