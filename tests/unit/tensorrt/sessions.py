"""Sessions of a fake GPU to test."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import numpy as np
import pytest

from lrn_deploy.tensorrt.device import cuda
from lrn_deploy.tensorrt.device.run import EngineRunner
from tests.support.engine_graphs import engine_artifact
from tests.support.fake_gpu import DEVICE, FEATURES, FakeGpu


def use(gpu: FakeGpu, monkeypatch: pytest.MonkeyPatch) -> FakeGpu:
    monkeypatch.setattr(cuda, "runtime", lambda: gpu.cuda)
    return gpu


@contextmanager
def session(gpu: Any, data: bytes = b"plan", limit: int | None = None) -> Iterator[EngineRunner]:
    with closing(EngineRunner(gpu, engine_artifact(data=data), DEVICE, limit)) as runner:
        yield runner


def batch(size: int) -> np.ndarray[Any, Any]:
    return np.random.default_rng(size).normal(size=(size, FEATURES)).astype(np.float32)
