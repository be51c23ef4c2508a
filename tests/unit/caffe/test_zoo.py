"""The networks of Caffe's own zoo, by their structure: layers, sizes and LRN, written anew."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest

from lrn_deploy.caffe import CaffeNetwork, read, to_onnx
from lrn_deploy.errors import BadInputError
from lrn_deploy.lrn import LrnSpec
from tests.support.caffe_files import deploy, sparse

Shapes = dict[str, list[tuple[int, ...]]]
LRN = LrnSpec(5, 1e-4, 0.75, 1.0)


class Text:
    """A prototxt that grows, with the shapes of its weights."""

    def __init__(self) -> None:
        self.layers: list[str] = []
        self.shapes: Shapes = {}

    def layer(self, kind: str, name: str, bottoms: str, top: str, parameters: str = "") -> str:
        read = " ".join(f'bottom: "{bottom}"' for bottom in bottoms.split())
        self.layers.append(
            f'layer {{ name: "{name}" type: "{kind}" {read} top: "{top}" {parameters} }}\n'
        )
        return top

    def conv(
        self, name: str, bottom: str, into: int, out: int, k: int, more: str = "", group: int = 1
    ) -> str:
        self.shapes[name] = [(out, into // group, k, k), (out,)]
        groups = f"group: {group}" if group > 1 else ""
        words = f"convolution_param {{ num_output: {out} kernel_size: {k} {groups} {more} }}"
        self.layer("Convolution", name, bottom, name, words)
        return self.layer("ReLU", f"relu_{name}", name, name)

    def pool(self, name: str, bottom: str, words: str = "kernel_size: 3 stride: 2") -> str:
        return self.layer("Pooling", name, bottom, name, f"pooling_param {{ {words} }}")

    def norm(self, name: str, bottom: str) -> str:
        words = "lrn_param { local_size: 5 alpha: 0.0001 beta: 0.75 }"
        return self.layer("LRN", name, bottom, name, words)

    def dense(self, name: str, bottom: str, into: int, out: int, relu: bool = True) -> str:
        self.shapes[name] = [(out, into), (out,)]
        words = f"inner_product_param {{ num_output: {out} }}"
        self.layer("InnerProduct", name, bottom, name, words)
        if relu:
            self.layer("ReLU", f"relu_{name}", name, name)
            self.layer("Dropout", f"drop_{name}", name, name)
        return name


def alexnet(norm_first: bool, classes: int, last: str, softmax: bool) -> Text:
    """AlexNet, with LRN before the pooling, or CaffeNet, with it behind."""
    text = Text()
    x = "data"
    for number, (into, out, k, more, group) in enumerate(
        ((3, 96, 11, "stride: 4", 1), (96, 256, 5, "pad: 2", 2)), 1
    ):
        x = text.conv(f"conv{number}", x, into, out, k, more, group)
        if norm_first:
            x = text.pool(f"pool{number}", text.norm(f"norm{number}", x))
        else:
            x = text.norm(f"norm{number}", text.pool(f"pool{number}", x))
    x = text.conv("conv3", x, 256, 384, 3, "pad: 1")
    x = text.conv("conv4", x, 384, 384, 3, "pad: 1", 2)
    x = text.conv("conv5", x, 384, 256, 3, "pad: 1", 2)
    x = text.dense("fc6", text.pool("pool5", x), 9216, 4096)
    x = text.dense(last, text.dense("fc7", x, 4096, 4096), 4096, classes, relu=False)
    if softmax:
        text.layer("Softmax", "prob", x, "prob")
    return text


INCEPTIONS = {
    "3a": (192, 64, 96, 128, 16, 32, 32), "3b": (256, 128, 128, 192, 32, 96, 64),
    "4a": (480, 192, 96, 208, 16, 48, 64), "4b": (512, 160, 112, 224, 24, 64, 64),
    "4c": (512, 128, 128, 256, 24, 64, 64), "4d": (512, 112, 144, 288, 32, 64, 64),
    "4e": (528, 256, 160, 320, 32, 128, 128), "5a": (832, 256, 160, 320, 32, 128, 128),
    "5b": (832, 384, 192, 384, 48, 128, 128),
}  # fmt: skip


def googlenet() -> Text:
    text = Text()
    x = text.conv("conv1/7x7_s2", "data", 3, 64, 7, "pad: 3 stride: 2")
    x = text.norm("pool1/norm1", text.pool("pool1/3x3_s2", x))
    x = text.conv("conv2/3x3", text.conv("conv2/3x3_reduce", x, 64, 64, 1), 64, 192, 3, "pad: 1")
    x = text.pool("pool2/3x3_s2", text.norm("conv2/norm2", x))
    for name, (into, one, less3, three, less5, five, proj) in INCEPTIONS.items():
        at = f"inception_{name}/"
        parts = [
            text.conv(f"{at}1x1", x, into, one, 1),
            text.conv(
                f"{at}3x3",
                text.conv(f"{at}3x3_reduce", x, into, less3, 1), less3, three, 3, "pad: 1",
            ),
            text.conv(
                f"{at}5x5",
                text.conv(f"{at}5x5_reduce", x, into, less5, 1), less5, five, 5, "pad: 2",
            ),
            text.conv(
                f"{at}pool_proj",
                text.pool(f"{at}pool", x, "kernel_size: 3 stride: 1 pad: 1"),
                into, proj, 1,
            ),
        ]  # fmt: skip
        x = text.layer("Concat", f"{at}output", " ".join(parts), f"{at}output")
        if name in ("3b", "4e"):
            x = text.pool(f"pool{int(name[0])}/3x3_s2", x)
    x = text.pool("pool5/7x7_s1", x, "pool: AVE kernel_size: 7 stride: 1")
    x = text.layer("Dropout", "pool5/drop", x, x)
    x = text.dense("loss3/classifier", x, 1024, 1000, relu=False)
    text.layer("Softmax", "prob", x, "prob")
    return text


def imported(folder: Path, text: Text, size: int) -> CaffeNetwork:
    prototxt = folder / "deploy.prototxt"
    prototxt.write_text(deploy((3, size, size), "".join(text.layers), batch=10))
    weights = folder / "net.caffemodel"
    sparse(weights, text.shapes)
    return read(prototxt, weights)


@pytest.mark.parametrize(
    ("build", "output", "classes"),
    [
        (lambda: alexnet(True, 1000, "fc8", True), "prob", 1000),
        (lambda: alexnet(False, 1000, "fc8", True), "prob", 1000),
        (lambda: alexnet(False, 20, "fc8_flickr", True), "prob", 20),
        (lambda: alexnet(False, 200, "fc-rcnn", False), "fc-rcnn", 200),
    ],
    ids=["alexnet", "caffenet", "flickr_style", "rcnn_ilsvrc13"],
)
def test_alexnet_and_its_kin(
    tmp_path: Path, build: Callable[[], Text], output: str, classes: int
) -> None:
    start = time.perf_counter()
    network = imported(tmp_path, build(), 227)
    assert time.perf_counter() - start < 5
    assert network.outputs == {output: (classes,)}
    shapes = {layer.name: layer.output_shapes[0] for layer in network.layers}
    assert [shapes[name][1:] for name in ("conv1", "pool1", "pool2", "pool5")] == [
        (55, 55), (27, 27), (13, 13), (6, 6),
    ]  # fmt: skip
    assert [lrn.spec for _, lrn in network.lrns] == [LRN, LRN]


def test_googlenet_s_pools_round_up(tmp_path: Path) -> None:
    network = imported(tmp_path, googlenet(), 224)
    assert len(network.layers) == 142  # and its data layer
    assert network.outputs == {"prob": (1000,)}
    shapes = {layer.name: layer.output_shapes[0] for layer in network.layers}
    assert [
        shapes[name]
        for name in ("pool1/3x3_s2", "pool2/3x3_s2", "pool3/3x3_s2", "pool4/3x3_s2", "pool5/7x7_s1")
    ] == [(64, 56, 56), (192, 28, 28), (480, 14, 14), (832, 7, 7), (1024, 1, 1)]
    assert [(layer.name, lrn.spec) for layer, lrn in network.lrns] == [
        ("pool1/norm1", LRN),
        ("conv2/norm2", LRN),
    ]
    model = to_onnx(network)
    onnx.checker.check_model(model, full_check=True)
    assert sum(node.op_type == "LRN" for node in model.graph.node) == 2


def test_pools_that_round_down_do_not_fit_the_weights(tmp_path: Path) -> None:
    """The age and gender networks: planes of 28, 14, 7, or with floor 27, 13, 6."""
    text = Text()
    x = "data"
    for number, (into, out, k, more) in enumerate(
        ((3, 96, 7, "stride: 4"), (96, 256, 5, "pad: 2"), (256, 384, 3, "pad: 1")), 1
    ):
        x = text.pool(f"pool{number}", text.conv(f"conv{number}", x, into, out, k, more))
    text.dense("fc6", x, 384 * 7 * 7, 512)
    assert imported(tmp_path, text, 227).outputs == {"fc6": (512,)}
    floor = "stride: 2 ceil_mode: false }"
    text.layers = [layer.replace("stride: 2 }", floor) for layer in text.layers]
    with pytest.raises(BadInputError, match="'fc6' needs blob 0 of 512 x 13824") as caught:
        imported(tmp_path, text, 227)
    assert caught.value.message.endswith("the caffemodel has 512 x 18816.")
