"""What is known of the tools that write files, and of what in them is often not as it seems."""

from __future__ import annotations

_REMARKS = (
    (
        "chainer",
        "onnx-chainer's first releases left LRN's alpha undivided: if the network is less accurate "
        "than in Chainer, multiply alpha by the size and import it again.",
    ),
    (
        "caffe2",
        "Networks that came by Caffe2 mostly take pixels in the order BGR from 0 to 255 less a "
        "mean: say so with --colors bgr --scale 1 --mean 104,117,123 --std 1 if this one does.",
    ),
    (
        "tf2onnx",
        "TensorFlow's networks take (N, H, W, C): to classify images, convert with "
        "--inputs-as-nchw.",
    ),
)


def remarks(producer: str) -> tuple[str, ...]:
    """What to look at in a file of this producer, a sentence each."""
    return tuple(text for name, text in _REMARKS if name in producer.lower())
