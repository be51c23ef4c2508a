"""What is said of a file by who made it."""

from __future__ import annotations

from lrn_deploy.onnx_files.producers import remarks


def test_only_those_whose_files_need_a_look_are_remarked_on() -> None:
    assert remarks("pytorch") == ()
    (caffe2,) = remarks("onnx-Caffe2")
    assert "--colors bgr" in caffe2
    (tensorflow,) = remarks("tf2onnx 1.16")
    assert "--inputs-as-nchw" in tensorflow
