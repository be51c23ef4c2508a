"""Results as Parquet, and what could not be classified as lines of JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import Any

from lrn_deploy.workflows.classify import ImageResult


def schema(told: Mapping[str, str]) -> Any:
    """The columns of the results.

    Args:
        told: What is said of all rows: the network, the artifact, its digest.
    """
    import pyarrow as pa

    prediction = pa.struct(
        [("index", pa.int32()), ("label", pa.string()), ("probability", pa.float64())]
    )
    columns = [
        ("image", pa.string()),
        ("label", pa.string()),
        ("probability", pa.float64()),
        ("predictions", pa.list_(prediction)),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("note", pa.string()),
        *((name, pa.string()) for name in told),
    ]
    return pa.schema(columns, metadata={f"lrn_deploy.{name}": text for name, text in told.items()})


def parquet(results: Sequence[ImageResult], told: Mapping[str, str]) -> bytes:
    """A Parquet file with a row for each result that is no error; it may have none.

    ``label`` and ``probability`` are the likeliest class's; a class without a name is called
    ``class N``.

    Args:
        results: What became of each image.
        told: Columns that have one value throughout.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [_row(result, told) for result in results if not result.error]
    file = BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema(told)), file, compression="zstd")
    return file.getvalue()


def lines(results: Sequence[ImageResult]) -> bytes:
    """A line of JSON for each result that is an error: the image, why, and what to do."""
    bad = (
        {"image": result.name, "error": result.error, "hint": result.hint}
        for result in results
        if result.error
    )
    return "".join(f"{json.dumps(line)}\n" for line in bad).encode()


def _row(result: ImageResult, told: Mapping[str, str]) -> dict[str, Any]:
    predictions = [
        {
            "index": prediction.index,
            "label": prediction.label or f"class {prediction.index}",
            "probability": prediction.probability,
        }
        for prediction in result.predictions
    ]
    width, height = result.size or (None, None)
    return {
        "image": result.name,
        "label": predictions[0]["label"],
        "probability": predictions[0]["probability"],
        "predictions": predictions,
        "width": width,
        "height": height,
        "note": result.note or None,
        **told,
    }
