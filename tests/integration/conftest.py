from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest

from tests.support.warm import WarmedServers


@pytest.fixture(scope="module")
def forked_servers() -> Iterator[None]:
    """The servers that benchmarks start are forked: where no test asks how long a start takes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(subprocess, "Popen", WarmedServers)
        yield


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """So small a network is slower with more, most of all when tests run side by side."""
    torch = pytest.importorskip("torch")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
