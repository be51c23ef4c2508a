from __future__ import annotations

import os
import platform
from importlib import metadata

import pytest

from lrn_deploy import environment
from lrn_deploy.workflows.tune import tune


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity on this system")
def test_only_the_cores_that_this_process_may_use_are_counted_and_tuned_for() -> None:
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(allowed)})
    try:
        counted = environment.cores(), environment.machine()["cores"], tune.cores()
    finally:
        os.sched_setaffinity(0, allowed)
    assert counted == (1, "1", 1)


def test_versions_are_those_of_what_is_installed() -> None:
    found = environment.versions()
    assert found.pop("python") == platform.python_version()
    assert found == {name: metadata.version(name) for name in found}
    assert {"lrn-deploy", "numpy", "onnx"} <= found.keys()
