"""The zoo: networks of the LRN era, one readable file each.

This module lists them without importing torch; :meth:`ZooEntry.build` imports the network's file.
"""

from __future__ import annotations

import hashlib
import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lrn_deploy.bundle.preprocessing import Preprocessing
from lrn_deploy.lrn import LrnSpec

if TYPE_CHECKING:
    from torch import nn

WEIGHTS_FOLDER = Path(__file__).parent / "weights"
LABELS_FOLDER = Path(__file__).parent / "labels"
DIGITS_PREPROCESSING = Preprocessing(
    mode="L", resize=None, crop=(8, 8), interpolation="box", scale=1.0, mean=(78,), std=(1,)
)
"""How an image of a digit becomes an input: as Caffe has it, pixels minus the mean."""


@dataclass(frozen=True)
class ZooEntry:
    """One network of the zoo.

    Attributes:
        name: What ``lrn-deploy export`` calls it; also the factory function's name.
        summary: One line for the listing.
        module: The file in this folder that defines it.
        input_shape: Shape of one input without the batch.
        preprocessing: How an image becomes its input.
        parameters: Number of weights and biases.
        lrn: The LRN layers, in the order in which the input meets them.
        weights: File of trained weights in ``weights/``, if any are shipped.
        labels: File of class names in ``labels/``, if known.
    """

    name: str
    summary: str
    module: str
    input_shape: tuple[int, ...]
    preprocessing: Preprocessing
    parameters: int
    lrn: tuple[LrnSpec, ...] = ()
    weights: str | None = None
    labels: str | None = None

    def build(self) -> nn.Module:
        """The network, with PyTorch's default initialisation."""
        code = importlib.import_module(f"lrn_deploy.models.{self.module}")
        module: nn.Module = getattr(code, self.name)()
        return module

    def digest(self) -> str:
        """SHA-256 over the file that defines the network and its trained weights."""
        files = [Path(__file__).parent / f"{self.module}.py"]
        if self.weights is not None:
            files.append(WEIGHTS_FOLDER / self.weights)
        return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


def read_labels(entry: ZooEntry) -> tuple[str, ...] | None:
    """The class names of a network, or None if it has none."""
    if entry.labels is None:
        return None
    return tuple((LABELS_FOLDER / entry.labels).read_text().splitlines())


_RGB_227 = Preprocessing(resize=256, crop=(227, 227))
_RGB_224 = Preprocessing(resize=256, crop=(224, 224))
# Caffe's: BGR pixels of 0 to 255, minus the mean colour of ImageNet.
_BGR_227 = Preprocessing(
    mode="BGR", resize=256, crop=(227, 227), scale=1.0, mean=(104, 117, 123), std=(1, 1, 1)
)
_BGR_224 = _BGR_227.model_copy(update={"crop": (224, 224)})
_FACE_227 = _BGR_227.model_copy(update={"mean": (78.4263377603, 87.7689143744, 114.895847746)})
_FACE_96 = Preprocessing(resize=None, crop=(96, 96), mean=(0, 0, 0), std=(1, 1, 1))

_ARTICLE = LrnSpec(size=5, alpha=1e-4, beta=0.75, k=2)
_UNDIVIDED = LrnSpec(size=5, alpha=5e-4, beta=0.75, k=2)  # the paper's alpha, not divided by 5
_CAFFE = LrnSpec(size=5, alpha=1e-4, beta=0.75, k=1)

ZOO: dict[str, ZooEntry] = {
    entry.name: entry
    for entry in (
        ZooEntry(
            name="alexnet",
            summary="AlexNet in one tower, as in the article: LRN before the pool",
            module="alexnet",
            input_shape=(3, 227, 227),
            preprocessing=_RGB_227,
            parameters=62_378_344,
            lrn=(_ARTICLE, _ARTICLE),
        ),
        ZooEntry(
            name="alexnet_grouped",
            summary="AlexNet in two towers, Caffe's bvlc_alexnet: LRN before the pool",
            module="alexnet_grouped",
            input_shape=(3, 227, 227),
            preprocessing=_BGR_227,
            parameters=60_965_224,
            lrn=(_CAFFE, _CAFFE),
        ),
        ZooEntry(
            name="caffenet",
            summary="Caffe's bvlc_reference_caffenet: LRN after the pool",
            module="caffenet",
            input_shape=(3, 227, 227),
            preprocessing=_BGR_227,
            parameters=60_965_224,
            lrn=(_CAFFE, _CAFFE),
        ),
        ZooEntry(
            name="zfnet",
            summary="ZFNet-512 of the ONNX model zoo: LRN before the pool",
            module="zfnet",
            input_shape=(3, 224, 224),
            preprocessing=_BGR_224,
            parameters=87_250_536,
            lrn=(_UNDIVIDED, _UNDIVIDED),
        ),
        ZooEntry(
            name="vgg_cnn_s",
            summary="VGG CNN-S of Chatfield et al.: one LRN, for which Caffe got its k",
            module="vgg_cnn_s",
            input_shape=(3, 224, 224),
            preprocessing=_BGR_224,
            parameters=102_908_520,
            lrn=(_UNDIVIDED,),
        ),
        ZooEntry(
            name="googlenet",
            summary="GoogLeNet (Inception v1), Caffe's bvlc_googlenet",
            module="googlenet",
            input_shape=(3, 224, 224),
            preprocessing=_BGR_224,
            parameters=6_998_552,
            lrn=(_CAFFE, _CAFFE),
        ),
        ZooEntry(
            name="levi_hassner_age",
            summary="Age from a face, Levi and Hassner's age_net: LRN after the pool",
            module="levi_hassner",
            input_shape=(3, 227, 227),
            preprocessing=_FACE_227,
            parameters=11_415_048,
            lrn=(_CAFFE, _CAFFE),
            labels="levi_hassner_age.txt",
        ),
        ZooEntry(
            name="levi_hassner_gender",
            summary="Gender from a face, Levi and Hassner's gender_net: as its twin",
            module="levi_hassner",
            input_shape=(3, 227, 227),
            preprocessing=_FACE_227,
            parameters=11_411_970,
            lrn=(_CAFFE, _CAFFE),
            labels="levi_hassner_gender.txt",
        ),
        ZooEntry(
            name="nn4_small2",
            summary="OpenFace's nn4.small2: a face as 128 numbers, not as classes",
            module="nn4_small2",
            input_shape=(3, 96, 96),
            preprocessing=_FACE_96,
            parameters=3_733_968,
            lrn=(_CAFFE, _CAFFE),
        ),
        ZooEntry(
            name="alexnet_torchvision",
            summary="torchvision's AlexNet: narrower, LRN removed",
            module="alexnet_torchvision",
            input_shape=(3, 224, 224),
            preprocessing=_RGB_224,
            parameters=61_100_840,
        ),
        ZooEntry(
            name="digits",
            summary="Four layers with LRN, for scikit-learn's 8 x 8 digits",
            module="digits",
            input_shape=(1, 8, 8),
            preprocessing=DIGITS_PREPROCESSING,
            parameters=30_634,
            lrn=(_CAFFE, _CAFFE),
            weights="digits.safetensors",
            labels="digits.txt",
        ),
        ZooEntry(
            name="digits_no_lrn",
            summary="The twin of digits without LRN, for comparison",
            module="digits",
            input_shape=(1, 8, 8),
            preprocessing=DIGITS_PREPROCESSING,
            parameters=30_634,
            weights="digits_no_lrn.safetensors",
            labels="digits.txt",
        ),
    )
}
