"""``lrn-deploy serve``, the same as ``lrn-server``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click


@click.command("serve")
@click.argument("bundles", nargs=-1, required=True, metavar="BUNDLE...")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--http-port", default=8000, show_default=True, type=click.IntRange(0, 65535), help="0: any."
)
def command(bundles: tuple[str, ...], **options: Any) -> int:
    """Serve bundles over HTTP with the Open Inference Protocol.

    BUNDLE is a folder, or NAME=FOLDER to serve it under another name. Images are classified by
    POST /v1/classify.

    \b
    Example:
      lrn-deploy serve alexnet
      curl --data-binary @photo.jpg http://127.0.0.1:8000/v1/classify
    """
    from lrn_deploy.serving.run import serve
    from lrn_deploy.serving.settings import ModelSettings, ServerSettings

    return serve([_named(one) for one in bundles], ModelSettings(), ServerSettings(**options))


def _named(text: str) -> tuple[str, Path]:
    """NAME=FOLDER as a pair; a folder that is there is taken as it is, even with a = in it."""
    name, equals, folder = text.partition("=")
    if equals and name and not Path(text).exists():
        return name, Path(folder)
    return "", Path(text)
