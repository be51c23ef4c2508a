"""Layers that Caffe would refuse, or that would mix the images of a batch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lrn_deploy.caffe import read
from lrn_deploy.errors import BadInputError
from tests.support.caffe_files import write
from tests.support.caffe_layers import both, one


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (one("Reshape", "reshape_param { shape { dim: 8 dim: -1 } }"), "the batch"),
        (one("Flatten", "flatten_param { axis: 0 }"), "is the batch"),
        (one("Softmax", "softmax_param { axis: 4 }"), "not one of the 4 axes"),
        (one("Softmax", "softmax_param { axis: -4 }"), "is the batch"),
        (both("Concat", "concat_param { axis: 0 }"), "is the batch"),
        (both("Scale", ""), "needs axis 0"),
        (one("Slice", "slice_param { slice_point: 9 }", 'top: "a" top: "b"'), "cannot be cut"),
        (one("Slice", "", 'top: "a" top: "b" top: "c"'), "3 equal parts"),
        (one("Slice", "slice_param { slice_point: 1 }", 'top: "a"'), "1 tops need 0"),
        (one("Eltwise"), "1 bottoms and takes 2 or more"),
        (one("ReLU", tops='top: "a" top: "b"'), "2 tops and makes 1"),
        (one("ReLU", bottoms='bottom: "nothing"'), "'nothing', which no layer before it makes"),
        (one("ReLU", bottoms='bottom: "data" bottom: "data"'), "2 bottoms and takes 1"),
        (both("Eltwise", "eltwise_param { operation: PROD coeff: 1 }"), "for SUM only"),
        (both("Eltwise", "eltwise_param { coeff: 1 }"), "1 coefficients are given for 2"),
        (both("Concat", "concat_param { axis: 1 concat_dim: 1 }"), "given both"),
        (one("BatchNorm", "batch_norm_param { use_global_stats: false }"), "mixes the images"),
        (one("Convolution", "convolution_param { kernel_size: 3 }"), "'num_output' is missing"),
        (one("Convolution", "convolution_param { num_output: 3 }"), "'kernel_size' is missing"),
        (one("Convolution", "convolution_param { num_output: 3 kernel_h: 3 }"), "needed both"),
        (one("Convolution", "convolution_param { num_output: 3 kernel_size: 9 }"), "does not fit"),
        (one("Convolution", "convolution_param { num_output: 3 kernel_size: 3 stride: 0 }"),
         "must be 1 or more"),
        (one("Convolution", "convolution_param { num_output: 3 kernel_size: 3 group: 2 }"),
         "in 2 groups"),
        (one("Convolution", "convolution_param { num_output: 3 kernel_size: [1, 2, 3] }"),
         "3 sizes are given for 2"),
        (one("ArgMax", "argmax_param { top_k: 9 axis: 1 }"), "more than the 4"),
        (one("Exp", "exp_param { base: 0 }"), "must be positive"),
        (one("Tile", ""), "'tiles' is missing"),
        (one("LSTM", ""), "layers of type 'LSTM' cannot be imported"),
    ],
)  # fmt: skip
def test_what_caffe_or_a_batch_would_refuse_is_named_with_its_line(
    tmp_path: Path, text: str, said: str
) -> None:
    with pytest.raises(BadInputError, match=r"deploy\.prototxt:\d+") as caught:
        read(*write(tmp_path, text, {"l": [np.ones(4, np.float32)]}))
    assert said in caught.value.message
