"""Where a new bundle comes from: a network that is exported or imported."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lrn_deploy.api.bundle import OpenBundle, own_copy
from lrn_deploy.api.options import takes_after
from lrn_deploy.errors import BadInputError
from lrn_deploy.export.bundle import current_bundle, export_bundle
from lrn_deploy.export.options import ExportOptions
from lrn_deploy.progress import Progress
from lrn_deploy.workflows.import_network.import_network import import_network
from lrn_deploy.workflows.import_network.options import ImportOptions
from lrn_deploy.workflows.validate.reference import hold


@dataclass(frozen=True)
class ExportArguments(ExportOptions):
    """What to export.

    Attributes:
        example_inputs: A tensor, or a tuple or dict of tensors, which say what a module takes;
            each with the batch as its first axis.
        force: Replace a bundle that is there.
        progress: As for :func:`lrn_deploy.open`.
    """

    example_inputs: Any = None
    force: bool = False
    progress: Progress | None = None


@dataclass(frozen=True)
class ImportArguments(ImportOptions):
    """What to import.

    Attributes:
        force: Replace a bundle that is there.
        progress: As for :func:`lrn_deploy.open`.
    """

    force: bool = False
    progress: Progress | None = None


@takes_after(ExportArguments)
def export(path: Path | str, options: ExportArguments) -> OpenBundle:
    """Export a network into a new bundle at ``path``.

    A module is copied first, so the program's own stays as it is. What was exported is kept with
    the bundle that is returned: nothing else can make it again, so ``validate`` on a bundle that
    is opened later needs the outputs that it stored, or the module.

    A network of the zoo that the bundle at ``path`` holds already is not exported again.

    Raises:
        BadInputError: If the network cannot be loaded or exported, or ``path`` is taken.
        MissingError: If PyTorch is not installed.
        CannotWriteError: If the bundle cannot be written; nothing is left behind.

    Example:
        >>> import lrn_deploy
        >>> lrn_deploy.export("digits", "digits")
        <bundle 'digits': model>

        >>> from torch import nn
        >>> net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.LocalResponseNorm(5))
        >>> bundle = lrn_deploy.export(net, "mine", input_shape=(3, 16, 16))
        >>> bundle.manifest.outputs[0].shape
        ('batch', 8, 14, 14)
    """
    path = Path(path)
    if isinstance(options.factory, str):
        if options.example_inputs is not None:
            raise BadInputError(
                "example_inputs go with a module, not with the name of a network.",
                "Give the factory's module an example_inputs attribute instead.",
            )
        known = None if options.force else current_bundle(options, path)
        if known is None:
            export_bundle(options, path, force=options.force)
        return OpenBundle(path, progress=options.progress)
    module = own_copy(options.factory)
    if options.example_inputs is not None:
        module.__dict__["example_inputs"] = options.example_inputs
    made = export_bundle(replace(options, factory=module), path, force=options.force)
    hold(made.manifest, module)
    return OpenBundle(path, progress=options.progress, module=module)


@takes_after(ImportArguments)
def import_model(path: Path | str, options: ImportArguments) -> OpenBundle:
    """Import a network that was trained elsewhere into a new bundle at ``path``.

    Its files are an ONNX file of any opset, or the prototxt and the caffemodel of a network of
    Caffe's. The bundle's ``told`` says what each LRN is, and what was cut, chosen or is not known.

    Raises:
        BadInputError: If the files are of no network that can be imported, or ``path`` is taken.
        CannotWriteError: If the bundle cannot be written; nothing is left behind.

    Example:
        >>> import lrn_deploy
        >>> lrn_deploy.import_model("net.onnx", "imported")  # doctest: +SKIP
        <bundle 'imported': model>
        >>> files = ("deploy.prototxt", "net.caffemodel")
        >>> lrn_deploy.import_model(files, "of-caffe")  # doctest: +SKIP
        <bundle 'of-caffe': model>
    """
    path = Path(path)
    done = import_network(options, path, force=options.force)
    return OpenBundle(path, progress=options.progress, told=(*done.lrn, *done.told))
