"""Modules made without the random weights that PyTorch draws for them, to be filled afterwards."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch.nn import init
from torch.overrides import TorchFunctionMode

_DRAW = frozenset({init.uniform_, init.normal_, init.kaiming_uniform_})
"""Those that layers are made with and that hand what they fill to a mode."""


class Undrawn(TorchFunctionMode):
    """Within it what :mod:`torch.nn.init` would draw is left as memory happens to be.

    AlexNet's 62 million take half a second, more than what they are then replaced by. Constants,
    as those of batch normalisation, are written as ever.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """What a function of PyTorch does, unless it draws."""
        kwargs = kwargs or {}
        if func in _DRAW:
            return kwargs["tensor"]
        return func(*args, **kwargs)
