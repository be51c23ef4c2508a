"""What all records of a bundle have in common."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Record(BaseModel):
    """Base of everything in a manifest: frozen, and strict about unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")
