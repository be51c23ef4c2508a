"""Which LRN layers TensorRT can hold as its own LRN layer.

The limits of ``ILRNLayer`` were read from the parser's answers (tests/unit/tensorrt compares them
again): an odd window of 1 to 15, k of 1e-5 to 1e10, beta of 0.01 to 1e5, alpha within 1e20. Its
documentation tells neither upper limit. Out of range is an error there, not a clamp. A rank above
4 is accepted, but then the third axis from the last is normalised instead of the channels, so
only rank 4 is handed over.
"""

from __future__ import annotations

import numpy as np

from lrn_deploy.bundle import EngineLrn
from lrn_deploy.lrn import LrnSpec
from lrn_deploy.passes.lrn.legalize_lrn import Legalized

MAX_WINDOW = 15
MAX_ALPHA = np.float32(1e20)
K_RANGE = (np.float32(1e-5), np.float32(1e10))
BETA_RANGE = (np.float32(0.01), np.float32(1e5))


def why_not_native(spec: LrnSpec, rank: int) -> str:
    """Why TensorRT's LRN layer cannot hold an LRN on an input of ``rank`` axes; empty if it can.

    Parameters are compared as fp32, in which ONNX stores them: 1e-5 itself is allowed for k,
    although its fp32 value lies below the decimal one.
    """
    if spec.size % 2 == 0 or spec.size > MAX_WINDOW:
        return f"its window of {spec.size} is not odd and at most {MAX_WINDOW}"
    for name, value, (low, high) in (("k", spec.k, K_RANGE), ("beta", spec.beta, BETA_RANGE)):
        if not low <= np.float32(value) <= high:
            return f"{name} {value:g} is not from {low:g} to {high:g}"
    if abs(np.float32(spec.alpha)) > MAX_ALPHA:
        return f"alpha {spec.alpha:g} is not within {MAX_ALPHA:g}"
    if rank != 4:
        return f"its input has rank {rank}, and only rank 4 is normalised over the channels"
    return ""


def record(item: Legalized) -> EngineLrn:
    """What became of an LRN node, for an engine's record."""
    producer = item.output.producer()
    name = str(item.output.name if producer is None else producer.name)
    return EngineLrn(name=name, form="written out" if item.reason else "native", reason=item.reason)
