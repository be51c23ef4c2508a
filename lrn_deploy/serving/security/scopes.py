"""What a key must allow for each thing that the server does: said here, for every transport."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, get_args

Scope = Literal["infer", "read", "control"]
"""``infer`` runs networks, ``read`` tells what there is and how it is, ``control`` changes it."""

SCOPES: tuple[Scope, ...] = get_args(Scope)

NEEDED: Mapping[str, Scope | None] = {
    # Probes cannot send a key, and what a browser loads first has none yet.
    "live": None,
    "ready": None,
    "health": None,
    "page": None,
    "description": None,
    "preflight": None,
    "server": "read",
    "model": "read",
    "model ready": "read",
    "config": "read",
    "statistics": "read",
    "index": "read",
    "metrics": "read",
    "regions": "read",
    "reflection": "read",
    "infer": "infer",
    "load": "control",
    "unload": "control",
    # A region is memory that the server's user can read and write.
    "register": "control",
    "unregister": "control",
}
"""The scope by operation; None where no key is asked for."""
