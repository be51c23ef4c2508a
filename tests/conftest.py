from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests.support.exporter import make_its_table_once

# A machine that runs two workers under coverage is slow at times: that is no failure. In continuous
# integration every run tries the same examples, elsewhere each run tries new ones.
settings.register_profile("lrn-deploy", deadline=None, derandomize=bool(os.environ.get("CI")))
settings.load_profile("lrn-deploy")

# Beside other workers, threads of PyTorch and NumPy only wait for each other, which they do by
# spinning: with one each, a file of tests that run networks takes half the time of the processor.
if os.environ.get("PYTEST_XDIST_WORKER"):
    os.environ.setdefault("OMP_NUM_THREADS", "1")

# A shell starts what it runs in the background with Ctrl-C ignored, and so would all our children.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    make_its_table_once()


@pytest.fixture(scope="module")
def unmeasured() -> Iterator[None]:
    """Processes that are started here are not traced for coverage: benchmarks would be slow."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)
        yield
