"""How far two arrays are apart: pure functions on numpy arrays, computed in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import BaseModel, ConfigDict

from lrn_deploy.errors import BadInputError

Floats = NDArray[np.float64]

NEGLIGIBLE = 1e-35
"""Root mean square below which a float32 result counts as zero: it has few or no digits left."""


class Metrics(BaseModel):
    """The distance of an output ``y`` from its reference ``r`` over a whole set of inputs.

    Attributes:
        relative_l2: ``‖y - r‖ / ‖r‖`` over all inputs together.
        worst_relative_l2: The largest ``‖y - r‖ / ‖r‖`` of one input; never below relative_l2.
        worst_input: The input that it belongs to, counted from 0.
        error_over_signal: ``‖y - r‖ / ‖r - mean of r over the inputs‖``: an error that hides
            behind a constant offset shows here. None for a single input, which has no signal.
        max_abs: Largest absolute difference.
        cosine: Cosine of the angle between y and r.
        top1_agreement: Share of the inputs whose largest output is the same; None unless y is of
            shape (N, classes).
        top5_overlap: Mean share of the five largest outputs that both have; None likewise.
        nonfinite: Number of NaN and infinite values in y.
        nonfinite_mismatches: Positions where y and r do not have the same NaN or infinity; with
            any of them both relative figures are infinite.
        inputs: Number of inputs compared.
    """

    model_config = ConfigDict(frozen=True, ser_json_inf_nan="strings")

    relative_l2: float
    worst_relative_l2: float
    worst_input: int
    error_over_signal: float | None
    max_abs: float
    cosine: float
    top1_agreement: float | None
    top5_overlap: float | None
    nonfinite: int
    nonfinite_mismatches: int
    inputs: int


def compare(y: ArrayLike, r: ArrayLike) -> Metrics:
    """Compare an output with its reference.

    Args:
        y: Output of shape (N, *), one row for each input, any real dtype.
        r: Reference of the same shape.

    Raises:
        BadInputError: If the shapes differ or there is nothing to compare.
    """
    output, reference = np.asarray(y), np.asarray(r)
    if output.shape != reference.shape:
        raise BadInputError(
            f"The output has shape {list(output.shape)}, the reference {list(reference.shape)}."
        )
    if output.ndim == 0 or output.size == 0:
        raise BadInputError(f"There is nothing to compare in an output of shape {output.shape}.")
    rows = output.astype(np.float64).reshape(len(output), -1)
    truth = reference.astype(np.float64).reshape(len(reference), -1)
    mismatches = nonfinite_mismatches(rows, truth)
    nonfinite = int(np.count_nonzero(~np.isfinite(rows)))
    both = np.isfinite(rows) & np.isfinite(truth)
    rows, truth = np.where(both, rows, 0.0), np.where(both, truth, 0.0)
    each = [relative_l2(a, b) for a, b in zip(rows, truth, strict=True)]
    worst = int(np.argmax(each))
    broken = float("inf") if mismatches else 0.0
    classes = reference.ndim == 2 and reference.shape[1] >= 2
    signal = error_over_signal(rows, truth)
    return Metrics(
        relative_l2=max(relative_l2(rows, truth), broken),
        worst_relative_l2=max(each[worst], broken),
        worst_input=worst,
        error_over_signal=None if signal is None else max(signal, broken),
        max_abs=float(np.max(np.abs(rows - truth))),
        cosine=cosine(rows, truth),
        top1_agreement=top_overlap(rows, truth, 1) if classes else None,
        top5_overlap=top_overlap(rows, truth, 5) if classes else None,
        nonfinite=nonfinite,
        nonfinite_mismatches=mismatches,
        inputs=len(rows),
    )


def relative_l2(y: Floats, r: Floats) -> float:
    """``‖y - r‖ / ‖r‖``; 0 if both are negligible, infinite if only ``r`` is zero."""
    return _ratio(y - r, r)


def error_over_signal(y: Floats, r: Floats) -> float | None:
    """``‖y - r‖ / ‖r - mean of r over axis 0‖``; None for a single row."""
    return None if len(r) < 2 else _ratio(y - r, r - r.mean(axis=0))


def cosine(y: Floats, r: Floats) -> float:
    """Cosine of the angle between ``y`` and ``r``; 1 if both are zero, 0 if one of them is."""
    norms = _norm(y), _norm(r)
    if 0.0 in norms:
        return float(norms[0] == norms[1])
    return float(np.clip(np.vdot(y / norms[0], r / norms[1]), -1.0, 1.0))


def top_overlap(y: Floats, r: Floats, count: int) -> float:
    """Mean over the rows of the share of their ``count`` largest values that both have.

    Args:
        y: Shape (N, classes).
        r: Shape (N, classes).
        count: How many to compare, cut to the number of classes. Of equal values the first wins.
    """
    count = min(count, r.shape[1])
    mine, theirs = (np.argsort(-values, axis=1, kind="stable")[:, :count] for values in (y, r))
    shared = (mine[:, :, np.newaxis] == theirs[:, np.newaxis, :]).sum(axis=(1, 2))
    return float(np.mean(shared / count))


def nonfinite_mismatches(y: Floats, r: Floats) -> int:
    """Positions where one is NaN or infinite and the other is not the very same."""
    special = ~(np.isfinite(y) & np.isfinite(r))
    same = (y == r) | (np.isnan(y) & np.isnan(r))
    return int(np.count_nonzero(special & ~same))


def _ratio(error: Floats, scale: Floats) -> float:
    errors, scales = _norm(error), _norm(scale)
    negligible = NEGLIGIBLE * float(np.sqrt(error.size))
    if errors <= negligible:
        return 0.0
    return errors / scales if scales else float("inf")


def _norm(values: NDArray[Any]) -> float:
    """Euclidean norm that neither overflows nor underflows on the way."""
    largest = float(np.max(np.abs(values)))
    return largest * float(np.linalg.norm(values / largest)) if largest else 0.0
