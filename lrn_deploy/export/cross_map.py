"""Keeping ``torch.nn.CrossMapLRN2d`` whole in a captured graph."""

from __future__ import annotations

from contextlib import AbstractContextManager

import torch
from torch import Tensor

from lrn_deploy.errors import BadInputError
from lrn_deploy.network.cross_map import Call, cross_map_calls
from lrn_deploy.passes.lrn import legalize_lrn as lrn_pass


def keep_cross_map_whole() -> AbstractContextManager[None]:
    """While active, each call traces as one ``lrn_deploy::LocalResponseNorm`` operator.

    Its ``convention`` tells :mod:`.lrn.legalize_lrn` to keep what PyTorch computes.
    """
    return cross_map_calls(_symbolic)


def _symbolic(_own: Call) -> Call:
    def call(
        input: Tensor,  # noqa: A002 - torch's signature
        size: int,
        alpha: float = 1e-4,
        beta: float = 0.75,
        k: float = 1.0,
    ) -> Tensor:
        if input.dim() != 4:
            raise BadInputError(
                f"CrossMapLRN2d takes an input of rank 4, got rank {input.dim()}.",
                "nn.LocalResponseNorm takes any rank from 3.",
            )
        return torch.onnx.ops.symbolic(
            f"{lrn_pass.DOMAIN}::{lrn_pass.OP_TYPE}",
            (input,),
            attrs={
                "size": int(size),
                "alpha": float(alpha),
                "beta": float(beta),
                "k": float(k),
                "convention": "cross-map",
            },
            dtype=input.dtype,
            shape=input.shape,
            version=1,
        )

    return call
