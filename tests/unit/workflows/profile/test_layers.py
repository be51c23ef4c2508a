from __future__ import annotations

from typing import Any, cast

import pytest

from lrn_deploy.backends.layer_times import KernelTimes, LayerTrace
from lrn_deploy.bundle import Artifact
from lrn_deploy.workflows.profile.layer_names import Layer, LayerNames
from lrn_deploy.workflows.profile.layers import summarize_layers
from lrn_deploy.workflows.profile.subjects import Subject


class Names:
    """Kernels named ``lrn...`` belong to one LRN layer."""

    def find(self, name: str, kind: str) -> Layer:
        return Layer("norm", "LRN") if name.startswith("lrn") else Layer(name, kind)


def test_kernels_of_a_layer_are_added_run_by_run_and_slow_runs_are_left_out() -> None:
    trace = LayerTrace(
        whole=(10.0, 12.0, 11.0, 90.0, 80.0),  # the quicker half: the first three
        kernels=(
            KernelTimes("conv", "Conv", (5.0, 4.0, 6.0, 50.0, 70.0)),
            KernelTimes("lrn_squares", "Mul", (1.0, 3.0, 0.0, 9.0, 9.0)),
            KernelTimes("lrn_quotient", "Div", (2.0, 1.0, 1.0, 9.0, 1.0)),
        ),
    )
    artifact = Artifact(file="m.onnx", sha256="ab" * 32, size=1, format="onnx")
    subject = Subject("this", "model", artifact, cast(Any, None))
    found = summarize_layers(subject, 4, trace, cast(LayerNames, Names()))
    assert (found.batch, found.runs, found.whole) == (4, 3, 11.0)
    assert [(item.name, item.kind, item.seconds) for item in found.layers] == [
        ("conv", "Conv", 5.0),
        ("norm", "LRN", 3.0),  # the median of 3, 4 and 1
    ]
    assert found.layers[1].share == pytest.approx(3 / 11)
    assert found.rest == 4.0  # the median of 2, 4 and 4
