"""What every way to run an artifact has in common: a backend that loads, a session that runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from lrn_deploy.bundle import ArtifactData, TensorSpec
from lrn_deploy.errors import BadInputError

Array = NDArray[Any]


@dataclass(frozen=True)
class Probe:
    """Whether a backend can run on this machine.

    Attributes:
        available: True if it can.
        version: Version of the runtime, or None if it is not installed.
        detail: The device it would use, or why it cannot run.
        hint: How to enable it; empty if it is available.
    """

    available: bool
    version: str | None
    detail: str
    hint: str = ""


class Session(Protocol):
    """A loaded network. A context manager; not to be used from two threads at once.

    Attributes:
        inputs: Names, dtypes and shapes of the inputs, with the dynamic batch.
        outputs: The same of the outputs.
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Run the network on arrays in host memory.

        Args:
            feeds: One array for each input, of its dtype and its shape with any batch.

        Returns:
            One array for each output.

        Raises:
            BadInputError: If a name, dtype or shape does not fit.
        """
        ...

    def close(self) -> None:
        """Release the network's memory; the session cannot run afterwards."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


class Backend(Protocol):
    """A way to run artifacts on one device.

    Attributes:
        name: ``onnxruntime`` for instance.
        device: ``cpu`` or ``cuda:N``.
        formats: Formats of artifacts that it loads.
    """

    name: str
    device: str
    formats: frozenset[str]

    def probe(self) -> Probe:
        """Say whether it can run here; never raises."""
        ...

    def load(self, artifact: ArtifactData) -> Session:
        """Make a session of verified bytes.

        Raises:
            MissingError: If the runtime or the device is not there. It never falls back.
            DamagedError: If the runtime refuses the artifact.
        """
        ...


class SessionBase:
    """The context manager and the input check that sessions share."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]

    def close(self) -> None:
        """Release what the session holds."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def check_feeds(inputs: tuple[TensorSpec, ...], feeds: Mapping[str, Array]) -> None:
    """Refuse feeds that do not fit the inputs.

    Raises:
        BadInputError: Saying which name, dtype or shape is wrong and what it should be.
    """
    expected = {spec.name for spec in inputs}
    if set(feeds) != expected:
        raise BadInputError(
            f"The network takes the inputs {sorted(expected)}, got {sorted(feeds)}."
        )
    for spec in inputs:
        array = np.asarray(feeds[spec.name])
        if array.dtype != np.dtype(spec.dtype):
            raise BadInputError(f"Input '{spec.name}' takes {spec.dtype}, got {array.dtype}.")
        fits = len(array.shape) == len(spec.shape) and all(
            isinstance(want, str) or want == have
            for want, have in zip(spec.shape, array.shape, strict=True)
        )
        if not fits:
            raise BadInputError(
                f"Input '{spec.name}' takes shape {list(spec.shape)}, got {list(array.shape)}."
            )
