"""What cannot be captured is told in one sentence about the user's own code."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from lrn_deploy.errors import BadInputError
from lrn_deploy.export.capture import capture
from lrn_deploy.network import load_network

CODE = """
import torch
from torch import nn

class Branching(nn.Module):
    def forward(self, x):
        y = self.helper(x)
        return y

    def helper(self, x):
        if x.mean() > 0:
            x = x * 2
        return x

class Reading(nn.Module):
    def forward(self, x):
        return x * float(x.sum().item() > 1 and 2)

class TwoInputs(nn.Module):
    def forward(self, a, b, scale=1.0):
        return (a + b) * scale

class Broken(nn.Module):
    def forward(self, x):
        return x.no_such_thing()

class Optional(nn.Module):
    def forward(self, x, scale=2.0, *more, **others):
        return x * scale
"""


@pytest.fixture
def code(tmp_path: Path) -> Path:
    file = tmp_path / "mine.py"
    file.write_text(CODE)
    return file


def refusal(code: Path, name: str) -> BadInputError:
    module = load_network(f"{code}:{name}", input_shape=(3, 4, 4)).module
    with pytest.raises(BadInputError) as caught:
        capture(module, {"input": torch.randn(2, 3, 4, 4)}, opset=18)
    return caught.value


def test_a_branch_on_a_value_names_the_line(code: Path, capfd: pytest.CaptureFixture[str]) -> None:
    error = refusal(code, "Branching")
    line = CODE.splitlines().index("        if x.mean() > 0:") + 1
    assert error.message == (
        "The network cannot be exported: it branches on a value that it computes, in mine.py, "
        f"line {line}: 'if x.mean() > 0:'."
    )
    assert "torch.where" in error.hint
    assert capfd.readouterr() == ("", "")  # none of torch's own log


def test_a_value_that_becomes_a_number_names_the_line(code: Path) -> None:
    assert "in mine.py, line" in refusal(code, "Reading").message


def test_any_other_failure_names_the_line(code: Path) -> None:
    message = refusal(code, "Broken").message
    assert "no_such_thing" in message
    assert message.endswith("'return x.no_such_thing()'.")


def test_a_network_of_several_inputs_is_named(code: Path) -> None:
    with pytest.raises(BadInputError, match=r"takes 2 inputs \(a, b\), and nothing is said of 'b'"):
        load_network(f"{code}:TwoInputs", input_shape=(3, 4, 4))


def test_further_inputs_that_need_not_be_given_do_no_harm(code: Path) -> None:
    module = load_network(f"{code}:Optional", input_shape=(3, 4, 4)).module
    model = capture(module, {"input": torch.randn(2, 3, 4, 4)}, opset=18)
    assert [node.op_type for node in model.graph] == ["Mul"]
