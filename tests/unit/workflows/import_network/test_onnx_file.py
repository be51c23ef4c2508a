"""An LRN of an even size that a file has in other operators: recorded with its window, and held."""

from __future__ import annotations

from pathlib import Path

import pytest

from lrn_deploy.bundle import Bundle
from lrn_deploy.lrn import Convention, LrnSpec
from lrn_deploy.parity.schema import ParityReport
from lrn_deploy.workflows.import_network.import_network import import_network
from lrn_deploy.workflows.import_network.options import ImportOptions
from lrn_deploy.workflows.validate.options import ValidateOptions
from lrn_deploy.workflows.validate.validate import validate
from tests.support.onnx_graphs import save
from tests.support.torn_lrn import torn
from tests.support.torn_parts import Torn


def report_of(bundle: Bundle) -> ParityReport:
    return validate(bundle, ValidateOptions(batches=(1,), devices=("cpu",))).report


@pytest.mark.parametrize(("left", "right", "convention"), [(2, 1, "torch"), (1, 2, "onnx")])
def test_an_even_window_of_either_side_is_recorded_and_probed(
    left: int, right: int, convention: Convention, tmp_path: Path
) -> None:
    how = Torn("slices", "pow div", (8, 3, 3), left, right, alpha=1e-3, beta=0.75, k=2.0)
    made = torn(how)
    del made.graph.input[1]  # of another square, which this form has not
    done = import_network(ImportOptions(save(tmp_path, made)), tmp_path / "b")
    (layer,) = done.bundle.manifest.lrn_layers
    assert (layer.spec, layer.convention) == (LrnSpec(4, 1e-3, 0.75, 2.0), convention)
    assert (layer.origin, layer.form) == ("raised", "written out")
    assert "size 4 is even" in layer.reason
    report = report_of(done.bundle)
    assert report.verdict == "pass", report.caught_by
    assert {check.subject for check in report.checks if check.kind == "probe"} == {layer.name}

    other: Convention = "onnx" if convention == "torch" else "torch"
    wrong = layer.model_copy(update={"convention": other})
    assert report_of(done.bundle.update(lrn_layers=(wrong,))).verdict == "fail"
