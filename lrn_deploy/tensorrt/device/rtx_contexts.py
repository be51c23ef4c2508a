"""How TensorRT for RTX makes execution contexts: with a configuration and a cache of kernels.

It compiles an engine's kernels where the engine is to run; the cache keeps them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from lrn_deploy.errors import DamagedError
from lrn_deploy.tensorrt.callbacks import LOG_VARIABLE
from lrn_deploy.tensorrt.messages import reason


def rtx_contexts(
    trt: Any, engine: Any, kernels: bytes, errors: Sequence[str]
) -> tuple[Callable[[bool], Any], Callable[[], bytes]]:
    """See :meth:`lrn_deploy.tensorrt.flavor.Flavor.contexts`.

    Args:
        trt: The module ``tensorrt_rtx``.
        engine: The engine.
        kernels: Content of an earlier runtime cache, may be empty.
        errors: What TensorRT has complained about so far.

    Raises:
        DamagedError: If TensorRT does not make the configuration or the cache.
    """

    def made(result: Any, what: str) -> Any:
        if result is None:
            raise DamagedError(
                f"TensorRT for RTX makes no {what} for the engine: {reason(errors)}.",
                f"Set {LOG_VARIABLE}=FILE to keep all that it says, and run it again.",
            )
        return result

    configs = {
        graphs: _configure(
            trt, made(engine.create_runtime_config(), "runtime configuration"), graphs
        )
        for graphs in (True, False)
    }
    store = made(configs[True].create_runtime_cache(), "runtime cache")
    if kernels:
        store.deserialize(kernels)
    for config in configs.values():
        made(config.set_runtime_cache(store) or None, "use of its runtime cache")

    def compiled() -> bytes:
        content = store.serialize()
        return b"" if content is None else bytes(content)

    return (lambda graphs: engine.create_execution_context(configs[graphs])), compiled


def _configure(trt: Any, config: Any, graphs: bool) -> Any:
    config.set_execution_context_allocation_strategy(
        trt.ExecutionContextAllocationStrategy.USER_MANAGED
    )
    # Its own capture knows when a shape's kernels are final; a capture of ours would not.
    strategies = trt.CudaGraphStrategy
    config.cuda_graph_strategy = strategies.WHOLE_GRAPH_CAPTURE if graphs else strategies.DISABLED
    # Each context has one shape, so its kernels can be final at once. Lazily, the first runs use
    # others, and results and times change when a thread of TensorRT's has compiled.
    config.dynamic_shapes_kernel_specialization_strategy = (
        trt.DynamicShapesKernelSpecializationStrategy.EAGER
    )
    return config
