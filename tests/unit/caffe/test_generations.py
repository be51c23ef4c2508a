"""Texts and binaries of Caffe's three generations, in any mixture, are one and the same network."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from lrn_deploy.caffe import read, run
from lrn_deploy.errors import BadInputError
from lrn_deploy.lrn import LrnSpec, reference
from tests.support.caffe_files import (
    Generation,
    caffemodel,
    compare,
    layer,
    message,
    number,
    write,
)

RNG = np.random.default_rng(3)
BLOBS = {
    "c": [RNG.normal(0, 1, (4, 3, 3, 3)).astype(np.float32), np.ones(4, np.float32)],
    "f": [RNG.normal(0, 1, (5, 16)).astype(np.float32), np.zeros(5, np.float32)],
}
X = RNG.normal(0, 2, (2, 3, 5, 5)).astype(np.float32)

V0 = """
name: "net" input: "data" input_dim: 7 input_dim: 3 input_dim: 5 input_dim: 5
layers { layer { name: "pad" type: "padding" pad: 1 } bottom: "data" top: "wide" }
layers { layer { name: "c" type: "conv" num_output: 4 kernelsize: 3 stride: 2
  weight_filler { type: "gaussian" std: 0.01 } blobs_lr: 1. weight_decay: 1. }
  bottom: "wide" top: "c" }
layers { layer { name: "r" type: "relu" } bottom: "c" top: "c" }
layers { layer { name: "n" type: "lrn" local_size: 3 alpha: 0.5 beta: 0.6 } bottom: "c" top: "n" }
layers { layer { name: "p" type: "pool" pool: AVE kernelsize: 2 stride: 1 } bottom: "n" top: "p" }
layers { layer { name: "d" type: "dropout" dropout_ratio: 0.2 } bottom: "p" top: "p" }
layers { layer { name: "f" type: "innerproduct" num_output: 5 } bottom: "p" top: "f" }
layers { layer { name: "s" type: "softmax" } bottom: "f" top: "s" }
"""
V1 = """
name: "net" input: "data" input_dim: 7 input_dim: 3 input_dim: 5 input_dim: 5
layers { name: "c" type: CONVOLUTION bottom: "data" top: "c" blobs_lr: 1 blobs_lr: 2
  convolution_param { num_output: 4 kernel_size: 3 stride: 2 pad: 1 } }
layers { name: "r" type: RELU bottom: "c" top: "c" }
layers { name: "n" type: LRN bottom: "c" top: "n" lrn_param { local_size: 3 alpha: 0.5 beta: 0.6 } }
layers { name: "p" type: POOLING bottom: "n" top: "p"
  pooling_param { pool: AVE kernel_size: 2 stride: 1 } }
layers { name: "d" type: DROPOUT bottom: "p" top: "p" dropout_param { dropout_ratio: 0.2 } }
layers { name: "f" type: INNER_PRODUCT bottom: "p" top: "f" inner_product_param { num_output: 5 } }
layers { name: "s" type: 20 bottom: "f" top: "s" }
"""
V2 = """
name: "net"
layer { name: "data" type: "Input" top: "data"
  input_param { shape { dim: 7 dim: 3 dim: 5 dim: 5 } } }
layer { name: "c" type: "Convolution" bottom: "data" top: "c"
  param { lr_mult: 1 } param { name: "b" }
  convolution_param { num_output: 4 kernel_size: 3 stride: 2 pad: 1 } }
layer { name: "r" type: "ReLU" bottom: "c" top: "c" }
layer { name: "n" type: "LRN" bottom: "c" top: "n"
  lrn_param { local_size: 3 alpha: 0.5 beta: 0.6 } }
layer { name: "p" type: "Pooling" bottom: "n" top: "p"
  pooling_param { pool: AVE kernel_size: 2 stride: 1 } }
layer { name: "d" type: "Dropout" bottom: "p" top: "p" dropout_param { dropout_ratio: 0.2 } }
layer { name: "f" type: "InnerProduct" bottom: "p" top: "f" inner_product_param { num_output: 5 } }
layer { name: "s" type: "Softmax" bottom: "f" top: "s" }
"""


def expected() -> np.ndarray:
    weight, bias = (torch.from_numpy(blob).double() for blob in BLOBS["c"])
    x = torch.from_numpy(X).double()
    y = functional.conv2d(x, weight, bias, 2, 1).relu()
    y = torch.from_numpy(reference(y.numpy(), LrnSpec(3, 0.5, 0.6, 1.0)))
    y = functional.avg_pool2d(y, 2, 1).flatten(1)
    y = y @ torch.from_numpy(BLOBS["f"][0]).double().T
    return y.softmax(1).numpy()


@pytest.mark.parametrize("text", [V0, V1, V2], ids=["V0", "V1", "V2"])
@pytest.mark.parametrize("generation", [0, 1, 2])
def test_any_text_with_any_binary(tmp_path: Path, text: str, generation: Generation) -> None:
    network = read(*write(tmp_path, text, BLOBS, generation))
    np.testing.assert_allclose(run(network, {"data": X})["s"], expected(), rtol=1e-10)
    assert network.inputs[0].shape == (3, 5, 5)
    assert network.inputs[0].batch == 7


@pytest.mark.parametrize("text", [V0, V1, V2], ids=["V0", "V1", "V2"])
def test_the_graph_of_each_generation(tmp_path: Path, text: str) -> None:
    network = compare(tmp_path, text, BLOBS, {"data": X}, expected())
    assert [layer.type for layer in network.layers] == [
        "Convolution", "ReLU", "LRN", "Pooling", "Dropout", "InnerProduct", "Softmax",
    ]  # fmt: skip


def test_one_binary_may_hold_layers_of_two_generations(tmp_path: Path) -> None:
    data = layer("c", BLOBS["c"], 1) + layer("f", BLOBS["f"], 2) + layer("unused", [], 0)
    network = read(*write(tmp_path, V1, data))
    np.testing.assert_allclose(run(network, {"data": X})["s"], expected(), rtol=1e-10)


def test_the_first_generation_pads_poolings_too_and_by_nothing_if_nothing_is_said(
    tmp_path: Path,
) -> None:
    pool = V0.replace('type: "padding" pad: 1', 'type: "padding"').replace(
        'layers { layer { name: "p"',
        'layers { layer { name: "q" type: "padding" pad: 1 } bottom: "n" top: "q" }\n'
        'layers { layer { name: "p"',
    )
    pool = pool.replace('bottom: "n" top: "p"', 'bottom: "q" top: "p"')
    blobs = {**BLOBS, "f": [np.ones((5, 36), np.float32), np.zeros(5, np.float32)]}
    network = read(*write(tmp_path, pool, blobs))
    found = {layer.name: layer.parameters for layer in network.layers}
    assert (found["c"].pad, found["p"].pad) == ((0,), (1, 1))  # type: ignore[union-attr]  # both have windows
    # (5 - 3) / 2 + 1 = 2 pixels, and with the pooling's padding (2 + 2 - 2) / 1 + 1 = 3
    assert [layer.output_shapes[0] for layer in network.layers if layer.name in "cp"] == [
        (4, 2, 2), (4, 3, 3),
    ]  # fmt: skip


def test_the_first_generations_data_layers_tell_their_transform(tmp_path: Path) -> None:
    data = (
        'layers { layer { name: "data" type: "images" source: "/data" scale: 0.5 cropsize: 5 '
        'meanfile: "/x/mean" new_height: 6 new_width: 7 batchsize: 9 mirror: true } '
        'top: "data" top: "label" }'
    )
    text = data + V0.partition("input_dim: 5 input_dim: 5\n")[2]
    network = read(*write(tmp_path, text, BLOBS))
    assert network.inputs[0].shape == (3, 5, 5)
    assert network.transform is not None
    assert network.transform.scale == 0.5
    assert network.transform.origins["mean"].startswith("it was in '/x/mean', says deploy.prototxt")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (V2 + 'layers { name: "x" type: RELU bottom: "s" top: "x" }', "both 'layer' and 'layers'"),
        (V0.replace('"lrn"', '"norm"'), "no type of layer that Caffe had"),
        (V0.replace("local_size: 3", "kernelsize: 3"), "type 'lrn' has no 'kernelsize'"),
        (V0.replace('bottom: "wide"', 'bottom: "wide" bottom: "data"'), "can only be merged"),
        (V0.replace('type: "conv"', 'type: "innerproduct"').replace("kernelsize: 3 stride: 2", ""),
         "can only be merged"),
        (V1.replace("type: RELU", "type: ReLU"), "'type' is 'ReLU'"),
        (V1.replace("type: RELU", "type: 99"), "'type' is '99'"),
    ],
)  # fmt: skip
def test_mixtures_that_caffe_refuses(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(BadInputError, match=r"deploy\.prototxt:\d+:\d+: ") as caught:
        read(*write(tmp_path, text, BLOBS))
    assert said in caught.value.message


def test_old_data_layers_tell_their_transform(tmp_path: Path) -> None:
    crop = number(5, 5) + message(3, "/home/someone/mean.binaryproto")
    data = message(2, message(4, "data") + number(5, 5) + message(11, crop))
    network = read(*write(tmp_path, V1, data + caffemodel(BLOBS, 1)))
    assert network.transform is not None
    assert network.transform.mean is None
    assert "mean.binaryproto" in network.transform.origins["mean"]
