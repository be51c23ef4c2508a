"""The requests that all others are made of, and the one right answer to them.

The network is the tests' for colours: scores are ten times the mean of each channel.
"""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image
from tritonclient.grpc import service_pb2

MODEL = "colours"
OTHER = "other"
"""A second model, which requests may unload and load."""
INFER = f"/v2/models/{MODEL}/infer"
CLASSIFY = f"/v1/classify?model={MODEL}&top=1"
SHAPE = (1, 3, 8, 8)
SCORES = (10.0, 0.0, 0.0)
LABEL = "red"
LENGTH = "Inference-Header-Content-Length"
FORM = "multipart/form-data; boundary=x"


@dataclass(frozen=True)
class Asked:
    """A request whose body has the length that it says.

    Attributes:
        path: With its query.
        body: As it travels.
        headers: Beside those that every request has.
        method: HTTP's.
    """

    path: str
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    method: str = "POST"

    def head(self, extent: str | None = None) -> bytes:
        """Everything before the body; ``extent`` is the header that says where that ends."""
        lines = [f"{self.method} {self.path} HTTP/1.1", "Host: localhost"]
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        lines += [extent or f"Content-Length: {len(self.body)}", "", ""]
        return "\r\n".join(lines).encode("latin-1", "replace")

    def bytes(self) -> bytes:
        """The request as it is sent."""
        return self.head() + self.body


def pixels() -> Any:
    """A red picture, float32 (1, 3, 8, 8)."""
    values = np.zeros(SHAPE, "<f4")
    values[:, 0] = 1
    return values


def as_json(**more: Any) -> dict[str, Any]:
    """The picture as a JSON request, with further members."""
    tensor = {"name": "image", "datatype": "FP32", "shape": list(SHAPE)}
    return {"inputs": [tensor | {"data": pixels().tolist()}], **more}


def as_binary(**more: Any) -> tuple[dict[str, Any], bytes]:
    """The JSON that announces the picture, and its bytes."""
    content = pixels().tobytes()
    tensor: dict[str, Any] = {"name": "image", "datatype": "FP32", "shape": list(SHAPE)}
    tensor["parameters"] = {"binary_data_size": len(content)}
    return {"inputs": [tensor], **more}, content


def binary(announced: dict[str, Any] | bytes, content: bytes) -> Asked:
    """A request of JSON with bytes after it."""
    text = announced if isinstance(announced, bytes) else json.dumps(announced).encode()
    return Asked(INFER, text + content, {LENGTH: str(len(text))})


def image(kind: str = "PNG", **options: Any) -> bytes:
    """The file of a red picture."""
    stream = BytesIO()
    Image.new("RGB", (12, 10), LABEL).save(stream, kind, **options)
    return stream.getvalue()


def form(images: list[bytes]) -> bytes:
    """Images as multipart/form-data."""
    part = b'--x\r\nContent-Disposition: form-data; name="i"; filename="i.png"\r\n\r\n%s\r\n'
    return b"".join(part % one for one in images) + b"--x--\r\n"


def message() -> Any:
    """The picture as a ``ModelInferRequest``."""
    request = service_pb2.ModelInferRequest(model_name=MODEL, id="known")
    request.inputs.add(name="image", datatype="FP32", shape=SHAPE)
    request.raw_input_contents.append(pixels().tobytes())
    return request


def known() -> list[Asked]:
    """One request of each form."""
    text = json.dumps(as_json()).encode()
    return [
        Asked(INFER, text),
        Asked(INFER, gzip.compress(text, mtime=0), {"Content-Encoding": "gzip"}),
        binary(*as_binary()),
        binary(*as_binary(parameters={"binary_data_output": True})),
        Asked(INFER, pixels().tobytes(), {LENGTH: "0"}),
        Asked(CLASSIFY, image()),
        Asked(CLASSIFY, form([image("JPEG"), image("BMP")]), {"Content-Type": FORM}),
    ]
