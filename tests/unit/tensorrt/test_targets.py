"""On which GPUs which tensorrt-rtx runs."""

from __future__ import annotations

import pytest

from lrn_deploy.tensorrt.targets import RTX_BEFORE_CHECK, RTX_TARGETS, rtx_refuses


@pytest.mark.parametrize("sm", [*RTX_TARGETS, "sm130"])
def test_its_targets_and_newer_gpus_are_never_refused(sm: str) -> None:
    assert not rtx_refuses("1.7.1.116", sm)


@pytest.mark.parametrize("sm", ["sm90", "sm100"])
@pytest.mark.parametrize(
    ("version", "refused"),
    [
        ("1.4.0.76", False),
        (RTX_BEFORE_CHECK, False),
        ("1.7.0", True),
        ("1.7.1.116", True),
        ("1.10.0", True),
    ],
)
def test_hopper_and_the_large_blackwell_are_refused_since_1_7(
    version: str, refused: bool, sm: str
) -> None:
    assert rtx_refuses(version, sm) is refused


def test_a_version_of_two_numbers_is_the_first_of_its_kind() -> None:
    assert rtx_refuses("1.7", "sm90")
    assert not rtx_refuses("1.6", "sm90")
