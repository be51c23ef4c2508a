"""What is to be done before KServe's objects can run, by where the network is to come from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lrn_deploy.package.kserve import write
from lrn_deploy.progress import silent
from tests.support.packages import colours

APPLY = "Apply it with: kubectl apply -k {output}"
IMAGE = {"image": "registry.example/server:1"}


@pytest.mark.parametrize(
    ("chosen", "notes"),
    [
        (
            {"runtime": "triton", "storage_uri": "s3://nets/repository"},
            ["Put what 'package --to triton' made at s3://nets/repository first.", APPLY],
        ),
        (
            {**IMAGE, "storage_uri": "s3://nets/colours"},
            ["Put the bundle at s3://nets/colours first.", APPLY],
        ),
        (
            IMAGE,
            [APPLY, "The image must have the bundle in /bundle, as of 'package --to container'."],
        ),
    ],
)
def test_where_the_network_is_to_come_from_is_told(
    tmp_path: Path, chosen: dict[str, Any], notes: list[str]
) -> None:
    subject = colours(tmp_path / "colours", "kserve", memory="2Gi", **chosen)
    (tmp_path / "out").mkdir()
    assert list(write(subject, tmp_path / "out", silent).notes) == notes


def test_memory_that_was_worked_out_is_told(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    notes = write(colours(tmp_path / "colours", "kserve", **IMAGE), tmp_path / "out", silent).notes
    # 256 MiB each for the program and what waits, and the small network twice: a step of 128 more.
    assert notes[-1] == "Memory was worked out as 640Mi; --memory says otherwise."
