"""The rows of several requests as one batch, and the batch's answers as each request's own rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lrn_deploy.serving.batching.job import Job

Array = NDArray[Any]


def join(batch: Sequence[Job]) -> dict[str, Array]:
    """The inputs of all jobs, one after the other; one job's own arrays if it is alone."""
    if len(batch) == 1:
        return {
            name: np.require(array, requirements=["C", "A"])
            for name, array in batch[0].inputs.items()
        }
    return {name: np.concatenate([job.inputs[name] for job in batch]) for name in batch[0].inputs}


def split(outputs: Mapping[str, Array], batch: Sequence[Job]) -> list[dict[str, Array]]:
    """For each job its own rows of every output, as views.

    Raises:
        ValueError: If an output has not exactly one row for each row of the batch.
    """
    rows = sum(job.rows for job in batch)
    for name, array in outputs.items():
        if array.shape[:1] != (rows,):
            raise ValueError(
                f"output '{name}' has shape {list(array.shape)} for a batch of {rows} rows"
            )
    parts = []
    start = 0
    for job in batch:
        stop = start + job.rows
        parts.append({name: array[start:stop] for name, array in outputs.items()})
        start = stop
    return parts
