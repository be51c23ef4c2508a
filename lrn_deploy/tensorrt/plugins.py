"""LRN layers as plugins of full TensorRT: the graph's nodes fused, the plugins registered.

Not run yet on a machine with full TensorRT; see docs/plugins.md.
"""

from __future__ import annotations

import onnx
import onnx_ir as ir

from lrn_deploy.bundle import EngineLrn
from lrn_deploy.passes.lrn.fuse_plugin import fuse_plugin
from lrn_deploy.plugins import tensorrt as plugin
from lrn_deploy.plugins.compile import import_triton
from lrn_deploy.tensorrt.device.cuda import find_device


def use_plugins(graph: bytes) -> tuple[bytes, tuple[EngineLrn | None, ...]]:
    """Fuse a graph's LRN nodes and register the plugins that compute them in this process.

    Args:
        graph: A serialised ONNX model.

    Returns:
        What :func:`fuse` does.

    Raises:
        MissingError: If Triton, full TensorRT 10.9 or a GPU is not there.
    """
    import_triton()
    plugin.register(find_device().sm)
    return fuse(graph)


def fuse(graph: bytes) -> tuple[bytes, tuple[EngineLrn | None, ...]]:
    """A graph with its LRN nodes fused, and what became of each; None for one left as it is."""
    model = ir.from_proto(onnx.load_model_from_string(graph))
    done = fuse_plugin(model)
    records = tuple(
        EngineLrn(
            name=fused.output, form="plugin", reason=f"{fused.name} for {', '.join(fused.nodes)}"
        )
        if fused.name
        else None
        for fused in done
    )
    return ir.to_proto(model).SerializeToString(), records
