"""Exports whose capture is traced: our own code stands in the middle of it."""

from __future__ import annotations

import pytest
import torch


@pytest.fixture
def traced_capture(monkeypatch: pytest.MonkeyPatch) -> None:
    """``torch.export.export`` as it is."""
    export = torch.export.export
    monkeypatch.setattr(torch.export, "export", getattr(export, "__wrapped__", export))
