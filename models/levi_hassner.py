"""Age and gender from a face, two networks of one structure (Levi and Hassner, 2015).

Three convolutions, each followed by ReLU and a pool, the first two also by LRN, and two fully
connected layers of 512: CaffeNet made small, for few photographs. With the authors' weights LRN
matters: without it the logits move by 0.3 to 2.7 times their length.

Caffe rounds the size after a pool up, which gives 28, 14 and 7; hence ``ceil_mode``. (Rounded
down, 27, 13 and 6, and fc6 would not fit.) Layer names and parameter shapes are Caffe's, so each
blob of ``age_net.caffemodel`` and ``gender_net.caffemodel`` fits the parameter of the same name.
Input: BGR pixels minus the averages of the authors' mean image.
"""

from __future__ import annotations

from collections import OrderedDict

from torch import nn


class LeviHassner(nn.Sequential):
    """Three convolutions and three fully connected layers; (N, 3, 227, 227) -> (N, classes) logits.

    Args:
        classes: Number of classes: 8 ages, or 2 genders.
    """

    input_shape = (3, 227, 227)

    def __init__(self, classes: int) -> None:
        super().__init__(
            OrderedDict(
                conv1=nn.Conv2d(3, 96, kernel_size=7, stride=4),  # 96 x 56 x 56
                relu1=nn.ReLU(),
                pool1=nn.MaxPool2d(kernel_size=3, stride=2, ceil_mode=True),  # 96 x 28 x 28
                norm1=nn.LocalResponseNorm(size=5, alpha=1e-4, beta=0.75, k=1),
                conv2=nn.Conv2d(96, 256, kernel_size=5, padding=2),  # 256 x 28 x 28
                relu2=nn.ReLU(),
                pool2=nn.MaxPool2d(kernel_size=3, stride=2, ceil_mode=True),  # 256 x 14 x 14
                norm2=nn.LocalResponseNorm(size=5, alpha=1e-4, beta=0.75, k=1),
                conv3=nn.Conv2d(256, 384, kernel_size=3, padding=1),  # 384 x 14 x 14
                relu3=nn.ReLU(),
                pool5=nn.MaxPool2d(kernel_size=3, stride=2, ceil_mode=True),  # 384 x 7 x 7
                flatten=nn.Flatten(),  # 18816
                fc6=nn.Linear(384 * 7 * 7, 512),
                relu6=nn.ReLU(),
                drop6=nn.Dropout(p=0.5),
                fc7=nn.Linear(512, 512),
                relu7=nn.ReLU(),
                drop7=nn.Dropout(p=0.5),
                fc8=nn.Linear(512, classes),
            )
        )


def levi_hassner_age() -> LeviHassner:
    """The network as ``lrn-deploy export levi_hassner_age`` takes it."""
    return LeviHassner(classes=8)


def levi_hassner_gender() -> LeviHassner:
    """The network as ``lrn-deploy export levi_hassner_gender`` takes it."""
    return LeviHassner(classes=2)
