"""Other ways to compute an LRN on a GPU, that the fused kernels are measured beside."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - PyTorch's own spelling
from torch import Tensor

from lrn_deploy.lrn import LrnSpec
from lrn_deploy.parity.graph import single_lrn
from lrn_deploy.plugins import gpu
from lrn_deploy.plugins.fusion import Fusion, Pool

SPEC = LrnSpec(5, 1e-4, 0.75, 2.0)
CALLS = 20
"""Calls between two events."""


def fusion_called(name: str) -> Fusion:
    """A fusion with AlexNet's parameters."""
    pool = Pool() if "maxpool" in name else None
    return Fusion(
        SPEC, relu=name.startswith("relu"), pool=pool, pool_first=name.endswith("maxpool_lrn")
    )


def in_torch(x: Tensor, fusion: Fusion) -> Tensor:
    """The same in PyTorch's own functions, in the type of ``x``."""
    spec, pool = fusion.spec, fusion.pool
    x = F.relu(x) if fusion.relu else x
    if pool and fusion.pool_first:
        x = F.max_pool2d(x, pool.kernel, pool.stride)
    x = F.local_response_norm(x, spec.size, spec.alpha, spec.beta, spec.k)
    return F.max_pool2d(x, pool.kernel, pool.stride) if pool and not fusion.pool_first else x


def unfused_pair(x: Tensor, fusion: Fusion) -> Tensor:
    """The fused LRN and PyTorch's max pool, one after the other."""
    norm = Fusion(SPEC, relu=fusion.relu)
    assert fusion.pool is not None
    if fusion.pool_first:
        return gpu.on_gpu(F.max_pool2d(x, fusion.pool.kernel, fusion.pool.stride), norm)
    return F.max_pool2d(gpu.on_gpu(x, norm), fusion.pool.kernel, fusion.pool.stride)


def lrn_graph(shape: tuple[int, ...], dtype: torch.dtype) -> bytes:
    """LRN alone, of a fixed shape."""
    from onnx import TensorProto

    model = single_lrn(SPEC)
    kind = TensorProto.FLOAT16 if dtype == torch.float16 else TensorProto.FLOAT
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.elem_type = kind
        for axis, size in zip(value.type.tensor_type.shape.dim, shape, strict=True):
            axis.dim_value = size
    return bytes(model.SerializeToString())


def onnx_runtime(inputs: list[Tensor]) -> Callable[[], None]:
    """ONNX Runtime's CUDA provider, on PyTorch's stream and memory."""
    import numpy as np
    import onnxruntime as ort

    x = inputs[0]
    kind = np.float16 if x.dtype == torch.float16 else np.float32
    stream = torch.cuda.current_stream().cuda_stream
    session = ort.InferenceSession(
        lrn_graph(tuple(x.shape), x.dtype),
        providers=[("CUDAExecutionProvider", {"user_compute_stream": str(stream)})],
    )
    if session.get_providers()[0] != "CUDAExecutionProvider":
        raise RuntimeError("the CUDA provider is not there")
    outputs = [torch.empty_like(item) for item in inputs]
    bindings = []
    for source, target in zip(inputs, outputs, strict=True):
        binding = session.io_binding()
        binding.bind_input("x", "cuda", 0, kind, list(source.shape), source.data_ptr())
        binding.bind_output("y", "cuda", 0, kind, list(target.shape), target.data_ptr())
        bindings.append((binding, target))
    options = ort.RunOptions()
    options.add_run_config_entry("disable_synchronize_execution_providers", "1")

    def run() -> None:
        for call in range(CALLS):
            session.run_with_iobinding(bindings[call % len(bindings)][0], options)

    return run


def tensorrt_layer(name: Any, inputs: list[Tensor]) -> Callable[[], None]:
    """TensorRT's own LRN layer, on PyTorch's stream and memory."""
    from lrn_deploy.tensorrt.build import BuildRequest, build_engine
    from lrn_deploy.tensorrt.flavor import find_flavor

    x, batch = inputs[0], inputs[0].shape[0]
    flavor = find_flavor(name)
    request = BuildRequest(targets=("current",), batch=(batch, batch, batch))
    plan = build_engine(flavor, lrn_graph(tuple(x.shape), x.dtype), request).data
    engine = flavor.open_engine(flavor.start_runtime(), plan)
    if engine is None:
        raise RuntimeError("the engine cannot be loaded here")
    context = engine.create_execution_context()
    outputs = [torch.empty_like(item) for item in inputs]

    def run() -> None:
        stream = torch.cuda.current_stream().cuda_stream
        for call in range(CALLS):
            at = call % len(inputs)
            context.set_tensor_address("x", inputs[at].data_ptr())
            context.set_tensor_address("y", outputs[at].data_ptr())
            context.execute_async_v3(stream)

    return run
