"""``torch.nn.CrossMapLRN2d``: standing in front of PyTorch's older LRN, whose calls no mode sees.

It is an autograd function in Python, which loops over the channels and writes into buffers whose
size it takes from the input, so it traces for one batch only. Nor is it LRN: its loop begins to
take channels out of the sum one step late, and channel 0 is never taken out
(``lrn_deploy.lrn.Convention``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

Call = Callable[..., "Tensor"]
"""Takes input, size, alpha=1e-4, beta=0.75, k=1, as torch's own function does."""


@contextmanager
def cross_map_calls(stand_in: Callable[[Call], Call]) -> Iterator[None]:
    """While active, each call of the function goes to ``stand_in(torch's own)`` instead.

    Modules and their subclasses stay as they are, since all of them call that function.
    """
    from torch.nn.modules._functions import CrossMapLRN2d

    # To put another function in a method's place is the point here, which mypy cannot know.
    before = vars(CrossMapLRN2d).get("apply")
    CrossMapLRN2d.apply = staticmethod(stand_in(CrossMapLRN2d.apply))  # type: ignore[method-assign]
    try:
        yield
    finally:
        if before is None:
            del CrossMapLRN2d.apply
        else:
            CrossMapLRN2d.apply = before  # type: ignore[method-assign]
