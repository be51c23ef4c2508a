"""VGG CNN-S, the slow one of "Return of the Devil in the Details" (Chatfield et al., 2014).

The layers are those of the Caffe files that the authors published. Its one LRN is why Caffe's has
the parameter ``k``: alpha = 5e-4, divided by the window of 5, and k = 2 are the AlexNet paper's
numbers. What reads these files and leaves out ``k`` gives other answers.

Caffe rounds the size after a pool up; hence ``ceil_mode``. (Rounded down, pool5 would give 5 x 5
values, and fc6 would not fit.) Layer names and parameter shapes are Caffe's, so each blob of
``VGG_CNN_S.caffemodel`` fits the parameter of the same name. Input: BGR pixels minus the mean
image, of which (104, 117, 123) are ImageNet's averages.
"""

from __future__ import annotations

from collections import OrderedDict

from torch import nn


class VggCnnS(nn.Sequential):
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
                pool1=nn.MaxPool2d(kernel_size=3, stride=3, ceil_mode=True),  # 96 x 37 x 37
                conv2=nn.Conv2d(96, 256, kernel_size=5),  # 256 x 33 x 33
                relu2=nn.ReLU(),
                pool2=nn.MaxPool2d(kernel_size=2, stride=2, ceil_mode=True),  # 256 x 17 x 17
                conv3=nn.Conv2d(256, 512, kernel_size=3, padding=1),  # 512 x 17 x 17
                relu3=nn.ReLU(),
                conv4=nn.Conv2d(512, 512, kernel_size=3, padding=1),  # 512 x 17 x 17
                relu4=nn.ReLU(),
                conv5=nn.Conv2d(512, 512, kernel_size=3, padding=1),  # 512 x 17 x 17
                relu5=nn.ReLU(),
                pool5=nn.MaxPool2d(kernel_size=3, stride=3, ceil_mode=True),  # 512 x 6 x 6
                flatten=nn.Flatten(),  # 18432
                fc6=nn.Linear(512 * 6 * 6, 4096),
                relu6=nn.ReLU(),
                drop6=nn.Dropout(p=0.5),
                fc7=nn.Linear(4096, 4096),
                relu7=nn.ReLU(),
                drop7=nn.Dropout(p=0.5),
                fc8=nn.Linear(4096, classes),
            )
        )


def vgg_cnn_s() -> VggCnnS:
    """The network as ``lrn-deploy export vgg_cnn_s`` takes it."""
    return VggCnnS()
