"""``lrn-deploy export``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from lrn_deploy.cli.common.fields import takes
from lrn_deploy.cli.common.options import bundle_output
from lrn_deploy.cli.common.output import emit, json_option, people
from lrn_deploy.export.options import ExportOptions


@click.command("export")
@bundle_output
@takes(ExportOptions)
@json_option
def command(options: ExportOptions, output: Path, force: bool, as_json: bool) -> None:
    """Export a PyTorch network to a bundle with a standard ONNX graph.

    MODEL is a network that 'lrn-deploy models' lists, or package.module:factory or
    file.py:factory, where factory() returns a torch.nn.Module. Every LRN becomes one standard
    ONNX LRN node wherever that is right; elsewhere an equivalent is written out.

    \b
    Example:
      lrn-deploy export alexnet -o alexnet
      lrn-deploy export mynet.py:build --shape 3,224,224 --weights mynet.pt -o mynet
      lrn-deploy export two.py:build --shape image=3,64,64 --shape tokens=8:int64 -o two
    """
    from lrn_deploy.export import current_bundle, export_bundle
    from lrn_deploy.report.console.export import describe_export

    current = None if force else current_bundle(options, output)
    bundle = current or export_bundle(options, output, force=force)
    say = people(as_json)
    describe_export(say, bundle.manifest, output, reused=current is not None)
    if as_json:
        summary: dict[str, Any] = {"bundle": str(output), "reused": current is not None}
        emit(summary | {"manifest": bundle.manifest.model_dump(mode="json")})
    else:
        say.print(f"Next: lrn-deploy validate {output}")
