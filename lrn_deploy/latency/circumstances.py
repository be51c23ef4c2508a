"""Under what circumstances times were taken: how loaded the machine was, before and meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from lrn_deploy.circumstances import Circumstances, Report
from lrn_deploy.latency.machine import (
    MAX_FOREIGN_CORES,
    Conditions,
    Usage,
    conditions,
    foreign_cores,
    usage,
)


class MeasuredReport(Report):
    """What every report of times says.

    Attributes:
        complete: False if it was interrupted: what is there was measured, and more was asked for.
        conditions: The machine before the run.
        load_after: Load average after the run.
        foreign_cores: Cores that other processes kept busy meanwhile; None where unknown.
    """

    complete: bool
    conditions: Conditions
    load_after: float | None
    foreign_cores: float | None


class Measurement(Circumstances):
    """The circumstances of a block in which times are taken.

    Attributes:
        began: Processor time used when the taking of times began.
    """

    def __enter__(self) -> Self:
        super().__enter__()
        self._before = conditions()
        self.began = usage()
        self._ended: Usage | None = None
        return self

    @contextmanager
    def timing(self) -> Iterator[None]:
        """The part of the block in which others disturb; without one it is all of it."""
        self.began = usage()
        yield
        self._ended = usage()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        busy = foreign_cores(self.began, self._ended or usage())
        super().__exit__(kind, error, trace)
        self.fields |= {
            "conditions": self._before,
            "load_after": conditions().load,
            "foreign_cores": busy,
        }

    def crowded(self, command: str) -> tuple[str, ...]:
        """A warning if other processes were busy meanwhile.

        Args:
            command: What to do again when they have ended, ``measure`` for instance.
        """
        busy = self.fields["foreign_cores"]
        if busy is None or busy <= MAX_FOREIGN_CORES:
            return ()
        return (
            f"Other processes kept {busy:.1f} of {self.fields['machine']['cores']} cores busy "
            f"meanwhile; {command} again when they have ended.",
        )
