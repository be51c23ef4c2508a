"""Capture a PyTorch module as an ONNX graph in which every LRN is one node.

``F.local_response_norm`` is plain Python (a pad, a pool, a power), so the stock exporters take it
apart. Here a torch function mode stands in front of it while the module is traced and puts one
symbolic operator in its place, which :mod:`lrn_deploy.passes.legalize_lrn` then turns into
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
from collections.abc import Callable, Iterator
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
from lrn_deploy.passes import legalize_lrn as lrn_pass

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


def capture(module: nn.Module, example: Tensor, *, opset: int) -> ir.Model:
    """Trace ``module`` into an ONNX graph with symbolic LRN nodes and a dynamic batch.

    Args:
        module: In evaluation mode, with one tensor as input.
        example: An input with a batch of 2 (a batch of 1 would be specialised).
        opset: Opset of the default domain.

    Raises:
        BadInputError: If the module cannot be traced, or holds an operator that ONNX lacks.
    """
    _check_inputs(module)
    batch = {0: torch.export.Dim("batch")}
    try:
        with _quiet(), torch.no_grad():
            with KeepLrnWhole():
                program = torch.export.export(module, (example,), dynamic_shapes=(batch,))
            onnx_program = torch.onnx.export(
                program, dynamo=True, opset_version=opset, input_names=["input"], verbose=False
            )
    except BadInputError:
        raise
    except Exception as error:  # the exporter's exceptions are private and many
        raise _explain(error) from error
    assert onnx_program is not None
    for index, node in enumerate(_lrn_nodes(onnx_program.model)):
        node.name = node.outputs[0].name = f"local_response_norm_{index}"
    return onnx_program.model


def layer_values(model: ir.Model, module: nn.Module) -> list[tuple[str, ir.Value]]:
    """Path of each leaf module and the value of the graph that is its output.

    A module that runs more than once has no single output and is left out.
    """
    leaves = {name for name, child in module.named_modules() if not any(child.children())}
    runs: list[tuple[str, ir.Value]] = []
    for node in model.graph:
        scope = _module_path(node)
        if runs and runs[-1][0] == scope:
            runs.pop()
        runs.append((scope, node.outputs[0]))
    names = [scope for scope, _ in runs]
    return [run for run in runs if run[0] in leaves and names.count(run[0]) == 1]


def lrn_paths(model: ir.Model) -> list[str]:
    """Path of the torch module around each symbolic LRN node, in graph order."""
    return [_module_path(node) for node in _lrn_nodes(model)]


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
    axis = graph.inputs[0].shape[0] if graph.inputs[0].shape is not None else None
    if isinstance(axis, int) or axis is None:
        raise _fixed_batch()
    values = [*graph.inputs, *(value for node in graph for value in node.outputs)]
    for value in values:
        if value.shape is not None:
            value.shape = ir.Shape(["batch" if size == axis else size for size in value.shape])
    for index, value in enumerate(graph.outputs):
        value.name = "output" if len(graph.outputs) == 1 else f"output_{index}"


def _lrn_nodes(model: ir.Model) -> list[ir.Node]:
    return [node for node in model.graph if node.domain == lrn_pass.DOMAIN]


def _module_path(node: ir.Node) -> str:
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


_BRANCHES = frozenset({"GuardOnDataDependentSymNode", "UserError"})


def _check_inputs(module: nn.Module) -> None:
    """Refuse a forward() that needs more than one input.

    Raises:
        BadInputError: Naming its inputs.
    """
    parameters = inspect.signature(module.forward).parameters.values()
    needed = [
        item.name
        for item in parameters
        if item.default is item.empty and item.kind not in (item.VAR_POSITIONAL, item.VAR_KEYWORD)
    ]
    if len(needed) > 1:
        raise BadInputError(
            f"The network's forward() takes {len(needed)} inputs ({', '.join(needed)}), and only "
            "a network with one can be exported.",
            "Wrap it in a module that takes one tensor, and splits it or makes the others.",
        )


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
    text = " ".join(str(item) for item in chain)
    if "Constraints violated (batch)" in text:
        return _fixed_batch()
    if any(type(item).__name__ in _BRANCHES for item in chain):
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
        "Its forward() must take one tensor and branch on no values; "
        "'lrn-deploy --debug export' shows the whole error.",
    )
