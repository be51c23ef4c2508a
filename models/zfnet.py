"""ZFNet-512 as the ONNX model zoo ships it (after Zeiler and Fergus, 2014).

Zeiler and Fergus found AlexNet's first layer too coarse: 7 x 7 filters at stride 2 instead of
11 x 11 at stride 4, and stride 2 in the second. This is the Caffe2 variant, deployed most often:
it widens convolutions 3 to 5 to 512 channels, narrows fc7 to 1024, pads no convolution before the
third, and keeps AlexNet's order of ReLU, LRN, pool (the paper normalises after the pool).

alpha = 5e-4 here is the AlexNet paper's 1e-4, which that paper does not divide by the window
size 5; k = 2 as there. Input: BGR pixels minus (104, 117, 123).
"""

from __future__ import annotations

from collections import OrderedDict

from torch import nn


class ZFNet(nn.Sequential):
    """Five convolutions and three fully connected layers; (N, 3, 224, 224) -> (N, classes) logits.

    Args:
        classes: Number of classes.
    """

    input_shape = (3, 224, 224)

    def __init__(self, classes: int = 1000) -> None:
        super().__init__(
            OrderedDict(
                conv1=nn.Conv2d(3, 96, kernel_size=7, stride=2),  # 96 x 109 x 109
                relu1=nn.ReLU(),
                norm1=nn.LocalResponseNorm(size=5, alpha=5e-4, beta=0.75, k=2),
                pool1=nn.MaxPool2d(kernel_size=3, stride=2),  # 96 x 54 x 54
                conv2=nn.Conv2d(96, 256, kernel_size=5, stride=2),  # 256 x 25 x 25
                relu2=nn.ReLU(),
                norm2=nn.LocalResponseNorm(size=5, alpha=5e-4, beta=0.75, k=2),
                pool2=nn.MaxPool2d(kernel_size=3, stride=2),  # 256 x 12 x 12
                conv3=nn.Conv2d(256, 512, kernel_size=3, padding=1),  # 512 x 12 x 12
                relu3=nn.ReLU(),
                conv4=nn.Conv2d(512, 512, kernel_size=3, padding=1),  # 512 x 12 x 12
                relu4=nn.ReLU(),
                conv5=nn.Conv2d(512, 512, kernel_size=3, padding=1),  # 512 x 12 x 12
                relu5=nn.ReLU(),
                pool5=nn.MaxPool2d(kernel_size=2, stride=2),  # 512 x 6 x 6
                flatten=nn.Flatten(),  # 18432
                fc6=nn.Linear(512 * 6 * 6, 4096),
                relu6=nn.ReLU(),
                fc7=nn.Linear(4096, 1024),
                relu7=nn.ReLU(),
                fc8=nn.Linear(1024, classes),
            )
        )


def zfnet() -> ZFNet:
    """The network as ``lrn-deploy export zfnet`` takes it."""
    return ZFNet()
