"""What preparing one image costs, which no latency of a network includes."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from lrn_deploy.bundle import Preprocessing
from lrn_deploy.images.decode import decode
from lrn_deploy.images.preprocess import preprocess
from lrn_deploy.latency.effort import Effort
from lrn_deploy.latency.sampling import interleave
from lrn_deploy.latency.schema import Preparation
from lrn_deploy.latency.statistics import summarize


def time_preparation(preprocessing: Preprocessing | None) -> Preparation | None:
    """Time what turns a file into an input, on a seeded picture of 640 x 427 pixels."""
    if preprocessing is None:
        return None
    coarse = np.random.default_rng(0).integers(0, 256, (27, 40, 3)).astype(np.uint8)
    stream = io.BytesIO()
    Image.fromarray(coarse).resize((640, 427)).save(stream, "JPEG", quality=90)
    content = stream.getvalue()
    image = decode(content, name="picture.jpg").image
    run = interleave(
        {
            "decode": lambda: decode(content, name="p"),
            "prepare": lambda: preprocess(image, preprocessing),
        },
        Effort(rounds=10, seconds=1.0),
    )
    if not run.complete:
        raise KeyboardInterrupt
    return Preparation(
        image="JPEG, 640 x 427 pixels",
        decode=summarize(run.samples["decode"].rounds),
        preprocess=summarize(run.samples["prepare"].rounds),
    )
