"""AlexNet in two towers, as Caffe's ``bvlc_alexnet`` ships it (Krizhevsky et al., 2012).

The paper split the network over two GPUs, so convolutions 2, 4 and 5 see only their own tower's
half of the channels (groups of 2). In the first two blocks LRN comes after ReLU and before the
pool. Caffe's LRN divides alpha by the window size and has k = 1, where the paper has k = 2.

The layers have Caffe's names and parameter shapes, so each blob of ``bvlc_alexnet.caffemodel``
fits the parameter of the same name. Input: BGR pixels minus (104, 117, 123).
"""

from __future__ import annotations

from collections import OrderedDict

from torch import nn


class AlexNetGrouped(nn.Sequential):
    """Five convolutions and three fully connected layers; (N, 3, 227, 227) -> (N, classes) logits.

    Args:
        classes: Number of classes.
    """

    input_shape = (3, 227, 227)

    def __init__(self, classes: int = 1000) -> None:
        super().__init__(
            OrderedDict(
                conv1=nn.Conv2d(3, 96, kernel_size=11, stride=4),  # 96 x 55 x 55
                relu1=nn.ReLU(),
                norm1=nn.LocalResponseNorm(size=5, alpha=1e-4, beta=0.75, k=1),
                pool1=nn.MaxPool2d(kernel_size=3, stride=2),  # 96 x 27 x 27
                conv2=nn.Conv2d(96, 256, kernel_size=5, padding=2, groups=2),  # 256 x 27 x 27
                relu2=nn.ReLU(),
                norm2=nn.LocalResponseNorm(size=5, alpha=1e-4, beta=0.75, k=1),
                pool2=nn.MaxPool2d(kernel_size=3, stride=2),  # 256 x 13 x 13
                conv3=nn.Conv2d(256, 384, kernel_size=3, padding=1),  # 384 x 13 x 13
                relu3=nn.ReLU(),
                conv4=nn.Conv2d(384, 384, kernel_size=3, padding=1, groups=2),  # 384 x 13 x 13
                relu4=nn.ReLU(),
                conv5=nn.Conv2d(384, 256, kernel_size=3, padding=1, groups=2),  # 256 x 13 x 13
                relu5=nn.ReLU(),
                pool5=nn.MaxPool2d(kernel_size=3, stride=2),  # 256 x 6 x 6
                flatten=nn.Flatten(),  # 9216
                fc6=nn.Linear(256 * 6 * 6, 4096),
                relu6=nn.ReLU(),
                drop6=nn.Dropout(p=0.5),
                fc7=nn.Linear(4096, 4096),
                relu7=nn.ReLU(),
                drop7=nn.Dropout(p=0.5),
                fc8=nn.Linear(4096, classes),
            )
        )


def alexnet_grouped() -> AlexNetGrouped:
    """The network as ``lrn-deploy export alexnet_grouped`` takes it."""
    return AlexNetGrouped()
