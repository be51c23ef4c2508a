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
