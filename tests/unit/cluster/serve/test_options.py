"""Options of replicas: what holds where nothing is said, and what a command line takes at most."""

from __future__ import annotations

from dataclasses import fields

from lrn_deploy.cluster.serve.options import RayOptions
from lrn_deploy.options import option_of


def test_they_have_their_defaults_and_ranges() -> None:
    found = {
        field.name: (field.default, option_of(field).least, option_of(field).most)
        for field in fields(RayOptions)
    }
    assert found == {
        "replicas": (1, 1, 10_000),
        "max_replicas": (0, 0, None),
        "target_requests": (32.0, 0.1, None),
        "replica_cpus": (1.0, 0.01, None),
        "replica_gpus": (1.0, 0.01, None),
        "ray_address": ("", None, None),
    }
