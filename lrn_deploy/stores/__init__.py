"""Bundles in object stores and elsewhere, by the URLs that fsspec knows: S3, HTTPS, memory.

``place`` reads what a user wrote, ``remote`` asks the store, ``refusals`` says what it refused and
why, ``cache`` keeps every file by its digest, ``fetch`` makes a folder of a URL, and ``transfer``
copies bundles there and back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lrn_deploy.stores.place import is_url, shown

if TYPE_CHECKING:
    from lrn_deploy.stores.fetch import local_bundle, working_copy
    from lrn_deploy.stores.transfer import pull, push

__all__ = ["is_url", "local_bundle", "pull", "push", "shown", "working_copy"]

_HOMES = {"local_bundle": "fetch", "working_copy": "fetch", "pull": "transfer", "push": "transfer"}


def __getattr__(name: str) -> object:
    """What reads bundles is imported when it is used: whether a text is a URL tells a help, too."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
