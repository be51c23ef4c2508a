"""What candidates are called in sentences about them, and which version reports have."""

from __future__ import annotations

import pytest

from lrn_deploy.latency import schema as latency
from lrn_deploy.parity import schema as parity
from lrn_deploy.tuning import schema as tuning
from lrn_deploy.tuning.schema import Candidate


@pytest.mark.parametrize(
    ("backend", "threads", "name"),
    [
        ("", 0, "int8"),
        ("openvino:cpu", 0, "int8 on openvino:cpu"),
        ("openvino:cpu", 1, "int8 on openvino:cpu, 1 thread"),
        ("openvino:cpu", 2, "int8 on openvino:cpu, 2 threads"),
    ],
)
def test_names(backend: str, threads: int, name: str) -> None:
    candidate = Candidate.model_construct(artifact="int8", backend=backend, threads=threads)
    assert candidate.name == name
    assert candidate.placement.threads == threads


def test_a_report_of_the_first_version_is_one_of_this() -> None:
    """Whoever raises it must say what becomes of the reports that lie in bundles."""
    assert (latency.SCHEMA_VERSION, parity.SCHEMA_VERSION, tuning.SCHEMA_VERSION) == (1, 1, 1)
