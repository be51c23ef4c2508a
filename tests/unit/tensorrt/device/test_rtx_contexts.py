"""How contexts of TensorRT for RTX are asked for: the real names, on an engine that is none."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from lrn_deploy.errors import DamagedError
from lrn_deploy.tensorrt.flavor import Flavor

pytestmark = pytest.mark.tensorrt


class Cache:
    def __init__(self, content: bytes | None) -> None:
        self.content = content
        self.read: list[bytes] = []

    def deserialize(self, data: bytes) -> None:
        self.read.append(data)

    def serialize(self) -> bytes | None:
        return self.content


class Config:
    """A runtime configuration that remembers what is set."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def set_execution_context_allocation_strategy(self, strategy: Any) -> None:
        self.allocation = strategy

    def create_runtime_cache(self) -> Cache | None:
        return self._engine.cache

    def set_runtime_cache(self, cache: Cache) -> bool:
        self.cache = cache
        return self._engine.takes_cache


class Engine:
    def __init__(
        self, *, configures: bool = True, cache: Cache | None = None, takes_cache: bool = True
    ) -> None:
        self.configures, self.cache, self.takes_cache = configures, cache, takes_cache

    def create_runtime_config(self) -> Config | None:
        return Config(self) if self.configures else None

    def create_execution_context(self, config: Config) -> Any:
        return SimpleNamespace(config=config)


def test_the_names_are_those_of_the_real_one(rtx: Flavor) -> None:
    used = {
        "create_runtime_cache",
        "cuda_graph_strategy",
        "dynamic_shapes_kernel_specialization_strategy",
        "set_execution_context_allocation_strategy",
        "set_runtime_cache",
    }
    assert used <= set(dir(rtx.trt.IRuntimeConfig))
    assert {"deserialize", "serialize"} <= set(dir(rtx.trt.IRuntimeCache))


@pytest.mark.parametrize(("graphs", "name"), [(True, "WHOLE_GRAPH_CAPTURE"), (False, "DISABLED")])
def test_kernels_are_final_at_once_and_graphs_a_choice(
    rtx: Flavor, graphs: bool, name: str
) -> None:
    trt = rtx.trt
    make, compiled = rtx.contexts(Engine(cache=Cache(b"kernels")), b"")
    config = make(graphs).config
    assert config.cuda_graph_strategy == trt.CudaGraphStrategy.__members__[name]
    eager = trt.DynamicShapesKernelSpecializationStrategy.EAGER
    assert config.dynamic_shapes_kernel_specialization_strategy == eager
    assert config.allocation == trt.ExecutionContextAllocationStrategy.USER_MANAGED
    assert compiled() == b"kernels"


def test_contexts_of_both_kinds_share_one_cache(rtx: Flavor) -> None:
    cache = Cache(None)
    make, compiled = rtx.contexts(Engine(cache=cache), b"earlier")
    assert make(True).config.cache is make(False).config.cache is cache
    assert cache.read == [b"earlier"]
    assert compiled() == b""


@pytest.mark.parametrize(
    ("engine", "what"),
    [
        (Engine(configures=False), "runtime configuration"),
        (Engine(cache=None), "runtime cache"),
        (Engine(cache=Cache(b""), takes_cache=False), "use of its runtime cache"),
    ],
)
def test_what_it_does_not_make_is_told(rtx: Flavor, engine: Engine, what: str) -> None:
    rtx.errors[:] = ["Out of memory."]
    with pytest.raises(DamagedError, match=f"makes no {what} for the engine: Out of memory") as it:
        rtx.contexts(engine, b"")
    assert "LRN_DEPLOY_TENSORRT_LOG=FILE" in it.value.hint
