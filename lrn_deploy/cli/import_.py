"""``lrn-deploy import``."""

from __future__ import annotations

from pathlib import Path

import click

from lrn_deploy.cli.common.fields import takes
from lrn_deploy.cli.common.options import bundle_output
from lrn_deploy.cli.common.output import emit, json_option, people
from lrn_deploy.workflows.import_network.options import ImportOptions


@click.command("import")
@bundle_output
@takes(ImportOptions)
@json_option
def command(options: ImportOptions, output: Path, force: bool, as_json: bool) -> None:
    """Import a network that was trained elsewhere into a bundle.

    FILE is an ONNX file of any opset, with its weights inside or in a file beside it. Or it is the
    two files of a network of Caffe's: its deploy.prototxt or train_val.prototxt, of any age, and
    its caffemodel.

    What every LRN computes is printed with where it was read. An LRN that a converter took apart
    is made one operator again. 'lrn-deploy validate' then compares the bundle with these files, so
    leave them where they are.

    \b
    Example:
      lrn-deploy import net.onnx -o net
      lrn-deploy import net.onnx --labels names.txt --mean 0.5,0.5,0.5 --std 0.5,0.5,0.5 -o net
      lrn-deploy import deploy.prototxt net.caffemodel --mean-file mean.binaryproto -o net
    """
    from lrn_deploy.report.console.imported import describe_import
    from lrn_deploy.workflows.import_network.import_network import import_network

    done = import_network(options, output, force=force)
    manifest = done.bundle.manifest
    if as_json:
        emit(
            {
                "bundle": str(output),
                "lrn": list(done.lrn),
                "told": list(done.told),
                "manifest": manifest.model_dump(mode="json"),
            }
        )
        return
    say = people(as_json)
    describe_import(say, manifest, done.lrn, done.told, output)
    say.print(f"Next: lrn-deploy validate {output}")
