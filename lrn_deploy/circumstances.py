"""Under what circumstances a report was made: when, where, with what, and how long it took.

Every report says so in the same words. :class:`Circumstances` finds them out.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self

from pydantic import BaseModel, ConfigDict

from lrn_deploy.environment import machine, versions


class Record(BaseModel):
    """Base of everything in a report."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")


class Report(Record):
    """What every report says.

    Attributes:
        schema_version: Version of the report's format.
        created: Time in UTC, ISO 8601.
        model: Name of the network.
        warnings: Why not to trust the report, and what could not be seen or was left out.
        machine: Processor, number of cores, operating system.
        versions: Versions of Python and of the tools.
        seconds: How long it took.
    """

    schema_version: int
    created: str
    model: str
    warnings: tuple[str, ...] = ()
    machine: dict[str, str]
    versions: dict[str, str]
    seconds: float


class Circumstances:
    """Those of the block that it stands around, in a ``with``; known when that has ended."""

    def __enter__(self) -> Self:
        self._started = time.monotonic()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.fields: dict[str, Any] = {
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "machine": machine(),
            "versions": versions(),
            "seconds": round(time.monotonic() - self._started, 3),
        }
        """What :class:`Report` says of them."""
