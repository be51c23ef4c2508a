"""``lrn-deploy models``."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from lrn_deploy.cli import run
from lrn_deploy.errors import DONE
from lrn_deploy.models import ZOO


def test_each_network_has_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["models"]) == DONE
    lines = capsys.readouterr().out.splitlines()
    rows = {line.split()[0]: line.split()[1:5] for line in lines[1:]}
    assert list(rows) == list(ZOO)
    assert rows["alexnet"] == ["3x227x227", "62,378,344", "2", "random"]
    assert rows["alexnet_torchvision"] == ["3x224x224", "61,100,840", "0", "random"]
    assert rows["digits"] == ["1x8x8", "30,634", "2", "trained"]


def test_no_line_is_cut_in_a_narrow_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    assert run(["models"]) == DONE
    out = capsys.readouterr().out
    assert "…" not in out
    assert all(entry.summary in out for entry in ZOO.values())


def test_json_gives_each_lrn_layers_parameters(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["models", "--json"]) == DONE
    networks = {entry["name"]: entry for entry in json.loads(capsys.readouterr().out)}
    assert list(networks) == list(ZOO)
    assert networks["caffenet"]["lrn_layers"] == 2 * [
        {"size": 5, "alpha": 1e-4, "beta": 0.75, "k": 1}
    ]
    assert networks["caffenet"]["input_shape"] == [3, 227, 227]
    assert networks["caffenet"]["preprocessing"]["mode"] == "BGR"
    assert networks["digits"]["weights"] == "trained"
    assert networks["digits"]["labels"] is True
    assert networks["digits_no_lrn"]["lrn_layers"] == []


def test_the_help_has_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["models", "--help"]) == DONE
    assert "Example:\n    lrn-deploy models\n" in capsys.readouterr().out


def test_listing_imports_no_torch() -> None:
    code = (
        "import sys; from lrn_deploy.cli import run; run(['models']); "
        "sys.exit('torch' in sys.modules or 'onnxruntime' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True)
    assert done.returncode == 0
