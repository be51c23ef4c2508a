"""What a request weighs on the wire in each form, and how many a network card carries.

Of 1538 bytes that an Ethernet frame of 1500 takes on the wire, 1448 are a TCP stream's. Requests
come in on one direction of the card and answers leave on the other, so the heavier of both counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np

from lrn_deploy.bundle import Manifest, TensorSpec

PAYLOAD = 1448 / 1538
HEAD_BYTES = 500
"""Of the request line, headers and the JSON before binary tensors; likewise of an answer."""
JPEG_HEAD_BYTES, JPEG_BYTES_A_PIXEL = 620, 0.33
"""At Pillow's quality 90, of scikit-learn's two photographs from 64 to 427 pixels a side."""
_LABELS_BYTES = 500
"""Of the five best labels as JSON, which an image is answered with."""


@dataclass(frozen=True)
class Form:
    """A way to send images.

    Attributes:
        name: ``fp32``, ``uint8``, ``jpeg``, or ``tensors`` for inputs that are no images.
        request: Bytes of a request.
        answer: Bytes of its answer.
    """

    name: str
    request: int
    answer: int

    def per_second(self, gbps: float) -> float:
        """Requests a second that a link of so many Gbit/s carries, when it does nothing else."""
        return gbps * 1e9 / 8 * PAYLOAD / max(self.request, self.answer)


def forms(manifest: Manifest, images: int = 1) -> dict[str, Form]:
    """Every form of a bundle's requests, by name.

    Args:
        manifest: The bundle's.
        images: In a request.
    """
    answer = HEAD_BYTES + images * sum(map(_nbytes, manifest.outputs))
    prepared = manifest.preprocessing
    if len(manifest.inputs) != 1 or len(manifest.model.input_shape) != 3:
        size = HEAD_BYTES + images * sum(map(_nbytes, manifest.inputs))
        return {"tensors": Form("tensors", size, answer)}
    values = prod(manifest.model.input_shape)
    found = {
        "fp32": Form("fp32", HEAD_BYTES + images * 4 * values, answer),
        "uint8": Form("uint8", HEAD_BYTES + images * values, answer),
    }
    if prepared is not None:
        each = JPEG_HEAD_BYTES + round(JPEG_BYTES_A_PIXEL * prod(prepared.crop))
        labels = HEAD_BYTES + images * _LABELS_BYTES
        found["jpeg"] = Form("jpeg", HEAD_BYTES + images * each, labels)
    return found


def sent(manifest: Manifest) -> str:
    """The form in which clients send tensors of the bundle's own type."""
    if len(manifest.inputs) != 1 or len(manifest.model.input_shape) != 3:
        return "tensors"
    return "uint8" if manifest.inputs[0].dtype == "uint8" else "fp32"


def _nbytes(spec: TensorSpec) -> int:
    """Of one row; an axis that is left open counts as one."""
    row = [axis if isinstance(axis, int) else 1 for axis in spec.shape[1:]]
    return prod(row) * np.dtype(spec.dtype).itemsize
