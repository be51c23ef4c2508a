"""What a batcher needs of a network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from numpy.typing import NDArray

Array = NDArray[Any]


class Runner(Protocol):
    """What runs a batch; a backend's session is one."""

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Outputs of the network, each with as many rows as the feeds have."""
        ...

    def close(self) -> None:
        """Release the network."""
        ...
