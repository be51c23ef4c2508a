"""``fuse_lrn(model)``: a PyTorch network with its LRN layers replaced by the fused operators."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lrn_deploy.errors import LrnDeployError
from lrn_deploy.lrn import LrnSpec
from lrn_deploy.plugins.fusion import Fusion, Pool, why_not_covered
from lrn_deploy.plugins.gpu import DTYPES
from lrn_deploy.plugins.operators import arguments, operator

_NEW_TENSOR = (nn.Conv2d, nn.BatchNorm2d)
"""Layers whose output nobody else holds, so that what follows need not write into it."""


@dataclass(frozen=True)
class Rewritten:
    """What became of one LRN layer of a network.

    Attributes:
        path: Its path, ``net.2`` for instance.
        name: The operator that computes it now; None if it was left alone.
        modules: Paths of all modules that the operator stands for, in order.
        reason: Why it, or a layer beside it, was left alone; empty if nothing was.
    """

    path: str
    name: str | None
    modules: tuple[str, ...]
    reason: str


class FusedLrn(nn.Module):
    """Some layers in one operator, or one by one where the operator cannot stand for them.

    That is: while gradients are recorded, for other types than fp32, fp16 and bf16, and, with a
    pool, for a single image without a batch axis.

    Args:
        fusion: What they compute.
        stages: The layers, in order.
    """

    def __init__(self, fusion: Fusion, stages: list[nn.Module]) -> None:
        super().__init__()
        self.stages = nn.Sequential(*stages)
        self._arguments = arguments(fusion)
        self._operator = operator(fusion.name)
        self._ranks = (4,) if fusion.pool else (3, 4, 5, 6)
        self._name = fusion.name

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C, H', W')."""
        recording = torch.is_grad_enabled() and x.requires_grad
        if recording or x.dtype not in DTYPES or x.dim() not in self._ranks or 0 in x.shape:
            y: Tensor = self.stages(x)
            return y
        last = x.dim() == 4 and x.is_contiguous(memory_format=torch.channels_last)
        return self._operator(x if last else x.contiguous(), *self._arguments)

    def extra_repr(self) -> str:
        """The operator's name."""
        return self._name


def fuse_lrn(model: nn.Module) -> tuple[Rewritten, ...]:
    """Replace LRN layers, with the ReLU before them and the max pool beside them, in place.

    A layer beside an LRN is taken along if both are neighbours in one ``nn.Sequential``, where
    nothing else can see what passes between them; its place then holds an ``nn.Identity``. Calls of
    ``torch.nn.functional`` in a network's own code are not found.

    Args:
        model: Changed in place; its parameters and their names stay the same.

    Returns:
        What became of each ``nn.LocalResponseNorm``, in the network's order.
    """
    parents = {
        id(child): (f"{path}.{name}".strip("."), parent, name)
        for path, parent in model.named_modules()
        for name, child in parent.named_children()
    }
    seen = Counter(
        id(child) for parent in model.modules() for child in parent._modules.values() if child
    )
    norms = [module for module in model.modules() if type(module) is nn.LocalResponseNorm]
    done = []
    for norm in norms:
        if id(norm) not in parents:
            done.append(Rewritten("", None, (), "it is the whole model, which has no place for it"))
            continue
        path, parent, name = parents[id(norm)]
        done.append(_fuse(path, parent, name, norm, seen))
    return tuple(done)


def _fuse(
    path: str,
    parent: nn.Module,
    name: str,
    norm: nn.LocalResponseNorm,
    seen: Counter[int],
) -> Rewritten:
    reason = _why_not_alone(norm, seen)
    try:
        spec = LrnSpec(int(norm.size), float(norm.alpha), float(norm.beta), float(norm.k))
    except LrnDeployError as error:
        return Rewritten(path, None, (), error.message)
    reason = reason or why_not_covered(spec, None)
    if reason:
        return Rewritten(path, None, (), reason)
    row = list(parent.named_children()) if type(parent).forward is nn.Sequential.forward else []
    names = [child for child, _ in row]
    at = names.index(name) if name in names else 0
    row = row or [(name, norm)]
    first, last, pool, pool_first = at, at, None, False
    reasons = []
    for beside, before in ((at - 1, True), (at + 1, False)):
        layer = row[beside][1] if 0 <= beside < len(row) else None
        if pool is None and type(layer) is nn.MaxPool2d:
            found, why = _pool(layer, spec, seen)
            if found is None:
                reasons.append(f"{row[beside][0]}: {why}")
            else:
                pool, pool_first = found, before
                first, last = min(first, beside), max(last, beside)
    relu = False
    if first > 0 and type(layer := row[first - 1][1]) is nn.ReLU:
        why = _why_not_alone(layer, seen)
        if layer.inplace and (first < 2 or not isinstance(row[first - 2][1], _NEW_TENSOR)):
            why = why or "it writes into a tensor that others may hold"
        if why:
            reasons.append(f"{row[first - 1][0]}: {why}")
        else:
            relu, first = True, first - 1
    fusion = Fusion(spec, relu=relu, pool=pool, pool_first=pool_first)
    taken = row[first : last + 1]
    for child, _ in taken:
        setattr(parent, child, nn.Identity())
    setattr(parent, taken[0][0], FusedLrn(fusion, [module for _, module in taken]))
    above = path.rpartition(".")[0]
    paths = tuple(f"{above}.{child}".strip(".") for child, _ in taken)
    return Rewritten(path, fusion.name, paths, "; ".join(reasons))


def _pool(layer: nn.MaxPool2d, spec: LrnSpec, seen: Counter[int]) -> tuple[Pool | None, str]:
    def pair(value: int | tuple[int, ...]) -> tuple[int, int]:
        return (value, value) if isinstance(value, int) else (value[0], value[1])

    if layer.return_indices or pair(layer.dilation) != (1, 1):
        return None, "it returns indices or is dilated"
    pool = Pool(
        pair(layer.kernel_size), pair(layer.stride), pair(layer.padding), bool(layer.ceil_mode)
    )
    reason = _why_not_alone(layer, seen) or why_not_covered(spec, pool)
    return (None, reason) if reason else (pool, "")


def _why_not_alone(module: nn.Module, seen: Counter[int]) -> str:
    if seen[id(module)] > 1:
        return "it stands at several places of the network"
    if module._forward_hooks or module._forward_pre_hooks or module._backward_hooks:
        return "it has hooks"
    return ""
