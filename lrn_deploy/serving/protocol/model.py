"""What the protocol tells of a model, whoever holds it."""

from __future__ import annotations

from typing import Protocol

from lrn_deploy.bundle import Bundle, TensorSpec
from lrn_deploy.serving.settings import ModelSettings


class Running(Protocol):
    """What runs it."""

    @property
    def backend(self) -> str:
        """Name of the backend."""
        ...

    @property
    def device(self) -> str:
        """``cpu`` or ``cuda:N``."""
        ...


class Model(Protocol):
    """A model that is served."""

    @property
    def name(self) -> str:
        """Name that callers ask for."""
        ...

    @property
    def version(self) -> str:
        """The only version that it has."""
        ...

    @property
    def bundle(self) -> Bundle:
        """Where it came from."""
        ...

    @property
    def artifact(self) -> str:
        """Name of the artifact of the bundle that runs."""
        ...

    @property
    def source(self) -> Running:
        """What runs it."""
        ...

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """What it takes."""
        ...

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """What it gives."""
        ...

    @property
    def labels(self) -> tuple[str, ...] | None:
        """Names of its classes."""
        ...

    @property
    def doubts(self) -> tuple[str, ...]:
        """What makes its answers doubtful, in sentences."""
        ...

    @property
    def fixed_batch(self) -> int | None:
        """The only batch that it takes; None if it takes any."""
        ...

    @property
    def max_batch(self) -> int:
        """Rows that run together at most."""
        ...

    @property
    def settings(self) -> ModelSettings:
        """How it is run and queued."""
        ...
