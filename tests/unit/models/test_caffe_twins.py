"""Networks of the zoo and their twins in Caffe's files: both ways in give the same answers."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from lrn_deploy.caffe import read, to_onnx
from lrn_deploy.errors import BadInputError
from lrn_deploy.models import ZOO
from lrn_deploy.network.fitting import find_weights
from tests.support.caffe_files import deploy, write

Array = NDArray[Any]
MAX = "pool: MAX kernel_size: 3 stride: 2"


@dataclass
class Twin:
    """A network that grows as Caffe's text, its blobs, and the same weights as an archive has them.

    Attributes:
        blobs: What a caffemodel holds.
        content: What an ``.npz`` holds, under the names that the zoo's table knows.
    """

    shape: tuple[int, ...]
    text: list[str] = field(default_factory=list)
    blobs: dict[str, list[Array]] = field(default_factory=dict)
    content: dict[str, torch.Tensor] = field(default_factory=dict)
    generator: np.random.Generator = field(default_factory=lambda: np.random.default_rng(5))

    def layer(self, kind: str, name: str, bottoms: str, words: str = "", top: str = "") -> str:
        read_from = " ".join(f'bottom: "{bottom}"' for bottom in bottoms.split())
        self.text.append(
            f'layer {{ name: "{name}" type: "{kind}" {read_from} top: "{top or name}" {words} }}\n'
        )
        return top or name

    def draw(self, *shape: int) -> tuple[Array, Array]:
        """He-normal weights and small biases."""
        scale = math.sqrt(2 / math.prod(shape[1:]))
        weight = self.generator.standard_normal(shape, dtype=np.float32) * np.float32(scale)
        return weight, 0.1 * self.generator.standard_normal(shape[0], dtype=np.float32)

    def conv(self, name: str, bottom: str, shape: tuple[int, ...], words: str = "") -> str:
        """A convolution that is called in the archive as in Caffe, and ReLU in place."""
        self._named(name, self.draw(*shape))
        self._convolution(name, bottom, shape, words)
        return self.layer("ReLU", f"relu_{name}", name, top=name)

    def _convolution(self, name: str, bottom: str, shape: tuple[int, ...], words: str) -> None:
        words = f"num_output: {shape[0]} kernel_size: {shape[2]} {words}"
        self.layer("Convolution", name, bottom, f"convolution_param {{ {words} }}")

    def _named(self, name: str, blobs: Iterable[Array]) -> None:
        self.blobs[name] = list(blobs)
        for place, blob in enumerate(self.blobs[name]):
            self.content[f"{name}/{place}"] = torch.from_numpy(blob)

    def linear(self, name: str, bottom: str, outputs: int, inputs: int) -> str:
        self._named(name, self.draw(outputs, inputs))
        words = f"inner_product_param {{ num_output: {outputs} }}"
        return self.layer("InnerProduct", name, bottom, words)

    def pool(self, name: str, bottom: str, words: str = MAX) -> str:
        return self.layer("Pooling", name, bottom, f"pooling_param {{ {words} }}")

    def norm(self, name: str, bottom: str, words: str) -> str:
        return self.layer("LRN", name, bottom, f"lrn_param {{ local_size: 5 {words} }}")

    def answer(self, folder: Path, x: Array) -> Array:
        """What the imported files answer in ONNX Runtime."""
        network = read(*write(folder, deploy(self.shape, "".join(self.text)), self.blobs))
        model = to_onnx(network).SerializeToString()
        session = ort.InferenceSession(model, providers=["CPUExecutionProvider"])
        return np.asarray(session.run(None, {"data": x})[0])


@functools.cache
def levi_hassner() -> tuple[Twin, nn.Module]:
    twin, usual = Twin((3, 227, 227)), "alpha: 0.0001 beta: 0.75"
    x = twin.conv("conv1", "data", (96, 3, 7, 7), "stride: 4")
    x = twin.norm("norm1", twin.pool("pool1", x), usual)
    x = twin.conv("conv2", x, (256, 96, 5, 5), "pad: 2")
    x = twin.norm("norm2", twin.pool("pool2", x), usual)
    x = twin.pool("pool5", twin.conv("conv3", x, (384, 256, 3, 3), "pad: 1"))
    for name, outputs, inputs in (("fc6", 512, 384 * 49), ("fc7", 512, 512)):
        x = twin.linear(name, x, outputs, inputs)
        twin.layer("ReLU", f"relu_{name}", x, top=x)
        twin.layer("Dropout", f"drop_{name}", x, top=x)
    twin.linear("fc8", x, 8, 512)
    return twin, ZOO["levi_hassner_age"].build()


@functools.cache
def vgg_cnn_s() -> tuple[Twin, nn.Module]:
    twin = Twin((3, 224, 224))
    x = twin.conv("conv1", "data", (96, 3, 7, 7), "stride: 2")
    x = twin.norm("norm1", x, "alpha: 0.0005 beta: 0.75 k: 2")
    x = twin.pool("pool1", x, "pool: MAX kernel_size: 3 stride: 3")
    x = twin.conv("conv2", x, (256, 96, 5, 5))
    x = twin.pool("pool2", x, "pool: MAX kernel_size: 2 stride: 2")
    for name, inputs in (("conv3", 256), ("conv4", 512), ("conv5", 512)):
        x = twin.conv(name, x, (512, inputs, 3, 3), "pad: 1")
    x = twin.pool("pool5", x, "pool: MAX kernel_size: 3 stride: 3")
    with torch.device("meta"):
        module = ZOO["vgg_cnn_s"].build()
    # 97 million of its weights are in fc6 to fc8, and would show nothing that a few do not.
    for name, outputs, inputs in (("fc6", 16, 512 * 36), ("fc7", 16, 16), ("fc8", 10, 16)):
        x = twin.linear(name, x, outputs, inputs)
        setattr(module, name, nn.Linear(inputs, outputs, device="meta"))
        if name != "fc8":
            twin.layer("ReLU", f"relu_{name}", x, top=x)
    return twin, module.to_empty(device="cpu")


class OpenFace(Twin):
    """nn4.small2 in layers of Caffe's, with the archive's names those of Torch."""

    def unit(self, name: str, bottom: str, theirs: tuple[str, str], *shape: int, words: str) -> str:
        """Convolution, BatchNorm, Scale and ReLU."""
        weight, bias = self.draw(*shape)
        mean, shift = (0.1 * self.generator.standard_normal((2, shape[0]))).astype(np.float32)
        var, gain = self.generator.uniform(0.5, 1.5, (2, shape[0])).astype(np.float32)
        self.blobs[name] = [weight, bias]
        self._convolution(name, bottom, shape, words)
        self.blobs[f"{name}/bn"] = [mean * 4, var * 4, np.full(1, 4, np.float32)]  # sums of 4
        self.layer("BatchNorm", f"{name}/bn", name)
        self.blobs[f"{name}/scale"] = [gain, shift]
        self.layer("Scale", f"{name}/scale", f"{name}/bn", "scale_param { bias_term: true }")
        convolution, normalization = theirs
        for key, value in {
            f"{convolution}.weight": weight,
            f"{convolution}.bias": bias,
            f"{normalization}.weight": gain,
            f"{normalization}.bias": shift,
            f"{normalization}.running_mean": mean,
            f"{normalization}.running_var": var,
        }.items():
            self.content[key] = torch.from_numpy(value)
        return self.layer("ReLU", f"{name}/relu", f"{name}/scale")

    def centred(self, name: str, bottom: str, channels: int, size: int, like: str, to: int) -> str:
        """Zeros around a plane, the odd one at the end: a padded 1 x 1 convolution, then cut."""
        after = (to - size + 1) // 2
        self.blobs[f"{name}/pad"] = [np.ones((channels, 1, 1, 1), np.float32)]
        words = f"num_output: {channels} group: {channels} kernel_size: 1 pad: {after}"
        words = f"convolution_param {{ {words} bias_term: false }}"
        padded = self.layer("Convolution", f"{name}/pad", bottom, words)
        offset = after - (to - size) // 2
        return self.layer(
            "Crop", f"{name}/crop", f"{padded} {like}", f"crop_param {{ axis: 2 offset: {offset} }}"
        )

    def inception(
        self,
        block: str,
        bottom: str,
        inputs: int,
        size: int,
        wide: list[tuple[int, int, int]],
        pooled: tuple[str, int | None],
        alone: int | None,
        stride: int = 1,
    ) -> tuple[str, int]:
        """One block, ``size`` pixels wide; returns its output and number of channels."""
        number = {"3a": 14, "3b": 15, "3c": 16, "4a": 17, "4e": 18, "5a": 19, "5b": 21}[block]
        at, theirs = f"{block}/", f"layer{number}.seq_list"
        tops, channels = [], 0
        for place, (kernel, reduced, outputs) in enumerate(wide):
            own = f"{theirs}.{place}"
            x = self.unit(
                f"{at}{kernel}r", bottom, (f"{own}.1_conv", f"{own}.2_bn"), reduced, inputs, 1, 1,
                words="",
            )  # fmt: skip
            tops.append(
                self.unit(
                    f"{at}{kernel}", x, (f"{own}.4_conv", f"{own}.5_bn"),
                    outputs, reduced, kernel, kernel,
                    words=f"pad: {kernel // 2} stride: {stride}",
                )
            )  # fmt: skip
            channels += outputs
        kind, projected = pooled
        own = f"{theirs}.{len(wide)}"
        if kind == "MAX":
            x = self.pool(f"{at}pool", bottom, f"{MAX} round_mode: FLOOR")
            less = (size - 3) // 2 + 1
        else:
            x = self.layer("Power", f"{at}square", bottom, "power_param { power: 2 }")
            x = self.pool(f"{at}pool", x, "pool: AVE kernel_size: 3 stride: 3")
            x = self.layer("Power", f"{at}root", x, "power_param { scale: 9 power: 0.5 }")
            less = size // 3
        outputs = projected or inputs
        if projected:
            x = self.unit(
                f"{at}p", x, (f"{own}.2_conv", f"{own}.3_bn"), projected, inputs, 1, 1, words=""
            )
        to = size if stride == 1 else (size - 1) // 2 + 1
        tops.append(self.centred(at, x, outputs, less, tops[0], to))
        channels += outputs
        if alone:
            own = f"{theirs}.{len(wide) + 1}"
            tops.append(
                self.unit(
                    f"{at}1", bottom, (f"{own}.1_conv", f"{own}.2_bn"), alone, inputs, 1, 1,
                    words="",
                )
            )  # fmt: skip
            channels += alone
        return self.layer("Concat", f"{at}out", " ".join(tops)), channels


def nn4_small2() -> tuple[Twin, nn.Module]:
    twin, usual = OpenFace((3, 96, 96)), "alpha: 0.0001 beta: 0.75"
    down = f"{MAX} pad: 1 round_mode: FLOOR"
    x = twin.unit("c1", "data", ("layer1", "layer2"), 64, 3, 7, 7, words="pad: 3 stride: 2")
    x = twin.norm("n1", twin.pool("p1", x, down), usual)
    x = twin.unit("c2", x, ("layer6", "layer7"), 64, 64, 1, 1, words="")
    x = twin.unit("c3", x, ("layer9", "layer10"), 192, 64, 3, 3, words="pad: 1")
    x = twin.pool("p2", twin.norm("n2", x, usual), down)
    # As models/openface/nn4.small2.def.lua has them: reduceSize and outputSize for each kernel.
    x, c = twin.inception("3a", x, 192, 12, [(3, 96, 128), (5, 16, 32)], ("MAX", 32), 64)
    x, c = twin.inception("3b", x, c, 12, [(3, 96, 128), (5, 32, 64)], ("L2", 64), 64)
    x, c = twin.inception("3c", x, c, 12, [(3, 128, 256), (5, 32, 64)], ("MAX", None), None, 2)
    x, c = twin.inception("4a", x, c, 6, [(3, 96, 192), (5, 32, 64)], ("L2", 128), 256)
    x, c = twin.inception("4e", x, c, 6, [(3, 160, 256), (5, 64, 128)], ("MAX", None), None, 2)
    x, c = twin.inception("5a", x, c, 3, [(3, 96, 384)], ("L2", 96), 256)
    x, c = twin.inception("5b", x, c, 3, [(3, 96, 384)], ("MAX", 96), 256)
    x = twin.pool("p5", x, "pool: AVE kernel_size: 3")
    x = twin.linear("embedding", x, 128, c)
    for place, part in enumerate(("weight", "bias")):
        twin.content[f"layer25.{part}"] = twin.content.pop(f"embedding/{place}")
    # The length: the sum of squares in each of 128 outputs, to the power -1/2.
    square = twin.layer("Power", "square", x, "power_param { power: 2 }")
    words = "inner_product_param { num_output: 128 bias_term: false }"
    twin.layer("InnerProduct", "sum", square, words)
    twin.blobs["sum"] = [np.ones((128, 128), np.float32)]
    length = twin.layer("Power", "inverse", "sum", "power_param { power: -0.5 }")
    twin.layer("Eltwise", "unit", f"{x} {length}", "eltwise_param { operation: PROD }")
    return twin, ZOO["nn4_small2"].build()


CASES: dict[str, tuple[Callable[[], tuple[Twin, nn.Module]], float]] = {
    "levi_hassner_age": (levi_hassner, 100.0),
    "vgg_cnn_s": (vgg_cnn_s, 100.0),
    "nn4_small2": (nn4_small2, 100.0),
}
"""Each network's twin, and an amplitude of inputs at which LRN acts."""


@pytest.mark.parametrize("name", CASES)
def test_the_imported_files_and_the_zoos_network_answer_alike(name: str, tmp_path: Path) -> None:
    make, amplitude = CASES[name]
    twin, module = make()
    fit = find_weights(twin.content, module.state_dict(), "weights.npz", "", name)
    assert fit.renamed == ("Torch's names" if name == "nn4_small2" else "Caffe's names")
    module.load_state_dict(fit.state)
    x = twin.generator.standard_normal((2, *twin.shape), dtype=np.float32) * np.float32(amplitude)
    theirs = twin.answer(tmp_path, x)

    def error() -> float:
        with torch.inference_mode():
            ours = module.eval()(torch.from_numpy(x)).numpy()
        assert ours.shape == theirs.shape
        return float(np.linalg.norm(ours - theirs) / np.linalg.norm(theirs))

    assert error() <= 1e-5
    for layer in module.modules():
        if isinstance(layer, nn.LocalResponseNorm):
            layer.alpha *= 5
    assert error() > 1e-3, "such inputs would not have shown a wrong alpha"


@pytest.mark.parametrize(
    ("name", "make", "down", "right"),
    [("levi_hassner_age", levi_hassner, 13824, 18816), ("vgg_cnn_s", vgg_cnn_s, 12800, 18432)],
)
def test_pools_that_round_down_do_not_fit_fc6_on_either_way(
    name: str, make: Callable[[], tuple[Twin, nn.Module]], down: int, right: int, tmp_path: Path
) -> None:
    with torch.device("meta"):
        module = ZOO[name].build()
    for layer in module.modules():
        if isinstance(layer, nn.MaxPool2d):
            layer.ceil_mode = False
    with pytest.raises(RuntimeError, match=rf"{down}.*{right}"):
        module(torch.empty(1, *ZOO[name].input_shape, device="meta"))
    twin, _ = make()
    text = "".join(twin.text).replace("pool: MAX", "round_mode: FLOOR pool: MAX")
    with pytest.raises(BadInputError, match=rf"'fc6'.*{right}.*{down}|'fc6'.*{down}.*{right}"):
        read(*write(tmp_path, deploy(twin.shape, text), twin.blobs))


def test_pytorchs_ceil_mode_is_caffes_rule_while_windows_overlap_or_touch() -> None:
    """A window that begins behind the image is PyTorch's to leave out, and Caffe's to compute."""
    differing = set()
    for kernel in (1, 2, 3, 7):
        for stride in (1, 2, 3):
            for pad in range(kernel // 2 + 1):
                pool = nn.MaxPool2d(kernel, stride, pad, ceil_mode=True)
                for size in range(kernel, 30):
                    caffe = math.ceil((size + 2 * pad - kernel) / stride) + 1
                    if pad and (caffe - 1) * stride >= size + pad:
                        caffe -= 1
                    got = pool(torch.empty(1, 1, size, size, device="meta")).shape[-1]
                    if got != caffe:
                        differing.add((kernel, stride, pad))
    assert differing == {(1, 2, 0), (1, 3, 0), (2, 3, 0)}
    pools = [
        layer
        for entry in ZOO.values()
        for layer in _pools(entry.name)
        if layer.ceil_mode and layer.stride > layer.kernel_size
    ]
    assert pools == [], "none of the zoo's has a stride over its kernel"


def _pools(name: str) -> list[nn.MaxPool2d]:
    with torch.device("meta"):
        module = ZOO[name].build()
    return [layer for layer in module.modules() if isinstance(layer, nn.MaxPool2d)]
