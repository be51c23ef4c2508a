"""Options of packages: what holds where nothing is said, and what a command line takes at most."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest

from lrn_deploy.options import option_of
from lrn_deploy.package.options import PackageOptions

# By name: the default, the smallest and the largest value.
NUMBERS: dict[str, tuple[int, int | None, int | None]] = {
    "max_batch_size": (16, 1, 4096),
    "instances": (1, 1, 64),
    "threads": (0, 0, None),
    "max_queue_delay_us": (0, 0, None),
    "max_queue_requests": (1024, 0, None),
    "default_timeout_us": (0, 0, None),
    "cpus": (2, 1, None),
    "min_replicas": (1, 0, None),
    "max_replicas": (4, 1, None),
    "scale_target": (0, 0, None),
}
WORDS = {"device": "cpu", "runtime": "lrn-server", "scale_metric": "cpu", "triton_backend": None}


def test_numbers_have_their_defaults_and_ranges() -> None:
    found: dict[str, Any] = {}
    for field in fields(PackageOptions):
        told = option_of(field)
        if isinstance(field.default, int) and not isinstance(field.default, bool):
            found[field.name] = (field.default, told.least, told.most)
    assert found == NUMBERS


@pytest.mark.parametrize(("name", "default"), WORDS.items())
def test_words_have_their_defaults_which_are_among_their_choices(
    name: str, default: str | None
) -> None:
    (field,) = (one for one in fields(PackageOptions) if one.name == name)
    assert field.default == default
    assert default in (*option_of(field).choices, None)


def test_what_else_nobody_said_is_empty() -> None:
    said = PackageOptions("triton")
    rest = {field.name for field in fields(PackageOptions)} - {*NUMBERS, *WORDS, "to"}
    assert {name: getattr(said, name) for name in rest if getattr(said, name)} == {}
