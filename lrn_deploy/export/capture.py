"""Capture a PyTorch module as an ONNX graph in which every LRN is one node.

``F.local_response_norm`` is plain Python (a pad, a pool, a power), so the stock exporters take it
apart. Here a torch function mode stands in front of it while the module is traced and puts one
symbolic operator in its place, which :mod:`lrn_deploy.passes.lrn.legalize_lrn` then turns into
standard operators. ``nn.LocalResponseNorm`` calls the same function.
"""

from __future__ import annotations

import ast
import inspect
import io
import logging
import re
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stderr
from pathlib import Path
from typing import Any

import onnx_ir as ir
import torch
import torch.nn.functional as F  # noqa: N812 - PyTorch's own spelling
from onnx_ir.passes import common as ir_passes
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

import lrn_deploy
from lrn_deploy.errors import BadInputError
from lrn_deploy.export.cross_map import keep_cross_map_whole
from lrn_deploy.export.exact_constants import optimize
from lrn_deploy.network.inputs import arguments
from lrn_deploy.passes.lrn import legalize_lrn as lrn_pass

_SCOPES = "pkg.torch.onnx.name_scopes"
_CHATTER = ("torch.onnx", "torch.export", "torch._export", "torch.fx", "torch._dynamo", "torch")
_LIBRARIES = (str(Path(torch.__file__).parent), str(Path(lrn_deploy.__file__).parent))


class KeepLrnWhole(TorchFunctionMode):
    """While active, each LRN call traces as one ``lrn_deploy::LocalResponseNorm`` operator."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        if func is F.local_response_norm:
            return _symbolic_lrn(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))


def _symbolic_lrn(
    input: Tensor,  # noqa: A002 - torch's signature, which callers may name
    size: int,
    alpha: float = 1e-4,
    beta: float = 0.75,
    k: float = 1.0,
) -> Tensor:
    if input.dim() < 3:
        raise BadInputError(f"LRN takes an input of rank 3 or more, got rank {input.dim()}.")
    return torch.onnx.ops.symbolic(
        f"{lrn_pass.DOMAIN}::{lrn_pass.OP_TYPE}",
        (input,),
        attrs={"size": int(size), "alpha": float(alpha), "beta": float(beta), "k": float(k)},
        dtype=input.dtype,
        shape=input.shape,
        version=1,
    )


def capture(module: nn.Module, examples: Mapping[str, Tensor], *, opset: int) -> ir.Model:
    """Trace ``module`` into an ONNX graph with symbolic LRN nodes and a dynamic batch.

    Args:
        module: In evaluation mode.
        examples: Its inputs by name, as the graph is to call them, in the order of ``forward()``;
            with a batch of 2 (a batch of 1 would be specialised).
        opset: Opset of the default domain.

    Raises:
        BadInputError: If the module cannot be traced, makes no use of an input, or holds an
            operator that ONNX lacks.
    """
    args, kwargs = arguments(module, examples)
    shapes = _with_batch(inspect.signature(module.forward).bind(*args, **kwargs).arguments)
    try:
        with _quiet(), torch.no_grad():
            with KeepLrnWhole(), keep_cross_map_whole():
                program = torch.export.export(module, args, kwargs, dynamic_shapes=shapes)
            onnx_program = torch.onnx.export(
                program,
                dynamo=True,
                opset_version=opset,
                input_names=list(examples),
                optimize=False,
                verbose=False,
            )
            assert onnx_program is not None
            optimize(onnx_program)
    except BadInputError:
        raise
    except Exception as error:  # the exporter's exceptions are private and many
        raise _explain(error) from error
    _check_used(onnx_program.model.graph)
    for index, node in enumerate(_lrn_nodes(onnx_program.model)):
        node.name = node.outputs[0].name = f"local_response_norm_{index}"
    return onnx_program.model


def _with_batch(bound: Mapping[str, Any]) -> dict[str, Any]:
    """The dynamic axes of what a call binds to each parameter; ``*args`` has a tuple of them."""
    batch = {0: torch.export.Dim("batch")}
    return {
        name: (batch,) * len(value) if isinstance(value, tuple) else batch
        for name, value in bound.items()
    }


def layer_values(model: ir.Model, module: nn.Module) -> list[tuple[str, ir.Value]]:
    """Path of each leaf module and the value of the graph that is its output.

    A module that runs more than once has no single output and is left out.
    """
    leaves = {name for name, child in module.named_modules() if not any(child.children())}
    runs: list[tuple[str, ir.Value]] = []
    for node in model.graph:
        scope = module_path(node)
        if runs and runs[-1][0] == scope:
            runs.pop()
        runs.append((scope, node.outputs[0]))
    names = [scope for scope, _ in runs]
    return [run for run in runs if run[0] in leaves and names.count(run[0]) == 1]


def lrn_paths(model: ir.Model) -> list[str]:
    """Path of the torch module around each symbolic LRN node, in graph order."""
    return [module_path(node) for node in _lrn_nodes(model)]


def clean(model: ir.Model, metadata: dict[str, str]) -> None:
    """Give values plain names, name the dynamic axis ``batch``, and replace all metadata.

    The exporter's own metadata holds stack traces with paths of the machine it ran on.
    """
    ir_passes.ClearMetadataAndDocStringPass()(model)
    ir_passes.RemoveUnusedOpsetsPass()(model)
    graph = model.graph
    graph.name = metadata.get("model", "network")
    graph.metadata_props.clear()
    model.metadata_props.clear()
    model.metadata_props.update(metadata)
    model.producer_name = "lrn-deploy"
    model.producer_version = metadata.get("lrn_deploy", "")
    axes = {value.shape[0] if value.shape is not None else None for value in graph.inputs}
    if any(isinstance(axis, int) or axis is None for axis in axes):
        raise _fixed_batch()
    values = [*graph.inputs, *(value for node in graph for value in node.outputs)]
    for value in values:
        if value.shape is not None:
            value.shape = ir.Shape(["batch" if size in axes else size for size in value.shape])
    single = len(graph.outputs) == 1 and all(value.name != "output" for value in graph.inputs)
    for index, value in enumerate(graph.outputs):
        value.name = "output" if single else f"output_{index}"


def _lrn_nodes(model: ir.Model) -> list[ir.Node]:
    return [node for node in model.graph if node.domain == lrn_pass.DOMAIN]


def module_path(node: ir.Node) -> str:
    """Path of the torch module that a node comes from; before :func:`clean`."""
    scopes: list[str] = ast.literal_eval(node.metadata_props.get(_SCOPES, "[]"))
    return scopes[-2] if len(scopes) > 1 else ""


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the exporter's chatter: what matters of it is told by the error that it ends with."""
    loggers = [logging.getLogger(name) for name in _CHATTER]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        # torch.export prints the graph that it could not finish, past all loggers.
        with warnings.catch_warnings(), redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)


def _fixed_batch() -> BadInputError:
    return BadInputError(
        "The network works for one batch size only.",
        "Keep the first axis free in forward(): use x.size(0) or torch.flatten(x, 1).",
    )


def _check_used(graph: ir.Graph) -> None:
    """Refuse an input that changes nothing: some runtimes drop it and then know no such input."""
    for value in graph.inputs:
        if not value.uses() and not value.is_graph_output():
            raise BadInputError(
                f"The network makes no use of its input '{value.name}'.",
                f"Give it a default in forward(), '{value.name}=None', and do not name it.",
            )


_BRANCHES = frozenset({"GuardOnDataDependentSymNode", "UserError"})


def _user_line(chain: list[BaseException]) -> str:
    """The innermost line of the user's own code that an error passed through, in words."""
    frames = [
        frame
        for error in chain
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith((*_LIBRARIES, "<"))
        and "site-packages" not in frame.filename
    ]
    if not frames:
        return ""
    last = frames[-1]
    return f", in {Path(last.filename).name}, line {last.lineno}: '{last.line}'"


def _explain(error: BaseException) -> BadInputError:
    """The exporter's error as one sentence: a missing operator by its name, else its cause."""
    chain = [error]
    while (cause := chain[-1].__cause__ or chain[-1].__context__) is not None:
        chain.append(cause)
    text = " ".join(str(link) for link in chain)
    if "Constraints violated (batch)" in text:
        return _fixed_batch()
    if any(type(link).__name__ in _BRANCHES for link in chain):
        where = _user_line(chain)
        return BadInputError(
            f"The network cannot be exported: it branches on a value that it computes{where}.",
            "Every input must take the same way: use torch.where, or decide when the network is "
            "made.",
        )
    missing = re.search(r"No ONNX function found for <OpOverload\(op='([\w.]+)'", text)
    if missing:
        return BadInputError(
            f"The network uses {missing.group(1)}, which has no ONNX translation.",
            "Write that step with other PyTorch operators.",
        )
    root = chain[-1]
    line = next((line for line in str(root).splitlines() if line.strip()), type(root).__name__)
    return BadInputError(
        f"The network cannot be exported: {line.strip().rstrip('.')}{_user_line(chain)}.",
        "Its forward() must take tensors of the given shapes and branch on no values; "
        "'lrn-deploy --debug export' shows the whole error.",
    )
