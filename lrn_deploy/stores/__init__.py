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


def __getattr__(name: str) -> object:
    """What reads bundles is imported when it is used: whether a text is a URL tells a help, too."""
    if name in ("local_bundle", "working_copy"):
        from lrn_deploy.stores import fetch

        return getattr(fetch, name)
    if name in ("pull", "push"):
        from lrn_deploy.stores import transfer

        return getattr(transfer, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
