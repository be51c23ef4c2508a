"""Sizes of a pool's output are PyTorch's."""

from __future__ import annotations

import itertools

import pytest

from lrn_deploy.plugins.fusion import Pool

torch = pytest.importorskip("torch")


@pytest.mark.parametrize("ceil_mode", [False, True])
def test_as_many_windows_as_pytorch_has(ceil_mode: bool) -> None:
    """Among them the last one in ceil mode, which PyTorch drops if it begins behind the image."""
    for kernel, stride, size in itertools.product((1, 2, 3), (1, 2, 3, 4), range(3, 9)):
        for padding in range(kernel // 2 + 1):
            pool = Pool((kernel, kernel), (stride, stride), (padding, padding), ceil_mode)
            image = torch.zeros(1, 1, size, size)
            y = torch.nn.functional.max_pool2d(image, kernel, stride, padding, ceil_mode=ceil_mode)
            assert pool.output_size(size, size) == tuple(y.shape[2:]), pool
    assert Pool((1, 1), (2, 2), (0, 0), ceil_mode=True).output_size(4, 6) == (2, 3)
