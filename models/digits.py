"""A small CNN for scikit-learn's 8 x 8 digits, and its twin without LRN.

In the spirit of the AlexNet paper's four-layer CIFAR-10 network (Krizhevsky et al., 2012, section
3.3: "three convolutional layers and one fully connected", test error 13 % without LRN and 11 %
with it), shrunk to images of 8 x 8 pixels. LRN stands where AlexNet has it: after ReLU, before the
pool, in the first two blocks.

Its parameters are those of Caffe's AlexNet, alpha = 1e-4 and k = 1, and so is its input: pixels of
0 to 255 minus their mean, 78. At that amplitude LRN is at work, its denominator moves by as much
as k (see docs/digits.md), so a fault in a deployed LRN changes the answers.
"""

from __future__ import annotations

from collections import OrderedDict

from torch import nn


class Digits(nn.Sequential):
    """Three convolutions and one fully connected layer; (N, 1, 8, 8) -> (N, 10) logits.

    Args:
        lrn: False leaves the two LRN layers out; the other layers and their names stay the same.
    """

    input_shape = (1, 8, 8)

    def __init__(self, lrn: bool = True) -> None:
        layers: OrderedDict[str, nn.Module] = OrderedDict(
            conv1=nn.Conv2d(1, 32, kernel_size=3, padding=1),  # 32 x 8 x 8
            relu1=nn.ReLU(),
            norm1=nn.LocalResponseNorm(size=5, alpha=1e-4, beta=0.75, k=1),
            pool1=nn.MaxPool2d(kernel_size=2, stride=2),  # 32 x 4 x 4
            conv2=nn.Conv2d(32, 32, kernel_size=3, padding=1),  # 32 x 4 x 4
            relu2=nn.ReLU(),
            norm2=nn.LocalResponseNorm(size=5, alpha=1e-4, beta=0.75, k=1),
            pool2=nn.MaxPool2d(kernel_size=2, stride=2),  # 32 x 2 x 2
            conv3=nn.Conv2d(32, 64, kernel_size=3, padding=1),  # 64 x 2 x 2
            relu3=nn.ReLU(),
            flatten=nn.Flatten(),  # 256
            fc4=nn.Linear(64 * 2 * 2, 10),
        )
        if not lrn:
            del layers["norm1"], layers["norm2"]
        super().__init__(layers)


def digits() -> Digits:
    """The network as ``lrn-deploy export digits`` takes it."""
    return Digits()


def digits_no_lrn() -> Digits:
    """The twin without LRN, as ``lrn-deploy export digits_no_lrn`` takes it."""
    return Digits(lrn=False)
