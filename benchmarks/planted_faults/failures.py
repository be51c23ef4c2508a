"""A plugin of pytest that notes which tests failed, and which files could not be collected."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

NOTES = "PLANTED_FAULTS_NOTES"


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Note a test that failed."""
    if report.failed:
        _note(report.nodeid)


def pytest_collectreport(report: pytest.CollectReport) -> None:
    """Note a file that cannot be collected."""
    if report.failed:
        _note(report.nodeid)


def _note(name: str) -> None:
    with Path(os.environ[NOTES]).open("a") as file:
        file.write(f"{name}\n")
