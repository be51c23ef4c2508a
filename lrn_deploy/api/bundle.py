"""A bundle with a method for each command; what a method adds, the bundle has."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

from lrn_deploy.api.network import LoadedNetwork
from lrn_deploy.api.options import takes
from lrn_deploy.bundle import Artifact, Bundle, Manifest, write_atomic
from lrn_deploy.package.options import PackageOptions
from lrn_deploy.progress import Progress, silent
from lrn_deploy.workflows.build_engine.options import EngineOptions
from lrn_deploy.workflows.choice import pick_named
from lrn_deploy.workflows.optimize.options import OptimizeOptions
from lrn_deploy.workflows.outcome import Added
from lrn_deploy.workflows.profile.options import ProfileOptions
from lrn_deploy.workflows.tune.options import TuneOptions
from lrn_deploy.workflows.validate.options import ValidateOptions

if TYPE_CHECKING:
    from torch import nn

    from lrn_deploy.latency.schema import LatencyReport
    from lrn_deploy.parity.schema import ParityReport
    from lrn_deploy.tuning.schema import TuneReport


@dataclass(frozen=True)
class Made:
    """An artifact that a method made, or found made.

    Attributes:
        name: Its name in the bundle.
        artifact: What the manifest says of it.
        reused: Whether the bundle had it, of the same graph, options and tools.
    """

    name: str
    artifact: Artifact
    reused: bool

    @classmethod
    def of(cls, added: Added) -> Made:
        """What a command says of an artifact that the bundle has now."""
        return cls(added.name, added.artifact, added.reused)


@dataclass(frozen=True)
class PackageArguments(PackageOptions):
    """What to package, and where.

    Attributes:
        output: Where the package is to be; empty: beside the bundle, with ``-`` and what it is for
            after its name.
        force: Replace a package that is there.
    """

    output: Path | str = ""
    force: bool = False


class OpenBundle:
    """A bundle's folder, as :func:`lrn_deploy.open` gives it.

    The folder is what it knows: :attr:`manifest` is read anew each time, so it has what a method or
    another program added. Each method does what the command of its name does, takes its options as
    keyword arguments, and raises an :class:`lrn_deploy.LrnDeployError`.

    Args:
        path: The folder.
        progress: Told what a method does, and how many of how many steps are done.
        module: The network, where the bundle was exported from one that no factory makes again; it
            is kept for :meth:`validate` and :meth:`tune`.
        told: What was cut, chosen or is not known, a sentence each, of a network that was imported.

    Example:
        >>> import lrn_deploy
        >>> bundle = lrn_deploy.open("digits")
        >>> bundle
        <bundle 'digits': model>
        >>> [layer.name for layer in bundle.manifest.lrn_layers]
        ['norm1', 'norm2']
    """

    def __init__(
        self,
        path: Path,
        *,
        progress: Progress | None = None,
        module: nn.Module | None = None,
        told: tuple[str, ...] = (),
    ) -> None:
        self.path = path
        self.progress = progress or silent
        self.told = told
        self._module = module  # held here, since the reference holds it weakly

    def __repr__(self) -> str:
        return f"<bundle '{self.path}': {', '.join(self.artifacts)}>"

    @property
    def manifest(self) -> Manifest:
        """All that the bundle says about itself now."""
        return self._bundle.manifest

    @property
    def artifacts(self) -> dict[str, Artifact]:
        """What a backend can run, by name."""
        return self.manifest.artifacts

    @property
    def _bundle(self) -> Bundle:
        return Bundle.open(self.path)

    @takes(OptimizeOptions)
    def optimize(self, options: OptimizeOptions) -> Made:
        """Make a variant of the graph for one target in one precision.

        Example:
            >>> import lrn_deploy
            >>> bundle = lrn_deploy.open("digits")
            >>> bundle.optimize(target="cpu", precision="fp32").name
            'cpu-fp32'
            >>> list(bundle.artifacts)
            ['model', 'cpu-fp32']
        """
        from lrn_deploy.workflows.optimize.optimize import optimize

        return Made.of(optimize(self._bundle, options, self.progress))

    @takes(EngineOptions)
    def build_engine(self, options: EngineOptions) -> Made:
        """Build a TensorRT engine; without a GPU TensorRT for RTX builds it.

        Example:
            >>> import lrn_deploy
            >>> bundle = lrn_deploy.open("digits")
            >>> bundle.build_engine(precision="fp16", targets=("sm89",))  # doctest: +SKIP
            Made(name='rtx-fp16-sm89', artifact=..., reused=False)
        """
        from lrn_deploy.workflows.build_engine.build_engine import build_bundle_engine

        return Made.of(build_bundle_engine(self._bundle, options, self.progress))

    @takes(ValidateOptions)
    def validate(self, options: ValidateOptions) -> ParityReport:
        """Compare every artifact with the reference; the report's verdict is ``pass`` or ``fail``.

        Example:
            >>> import lrn_deploy
            >>> bundle = lrn_deploy.open("digits")
            >>> bundle.validate(batches=(1, 3), devices=("cpu",)).verdict
            'pass'
        """
        from lrn_deploy.workflows.validate.validate import validate

        return validate(self._bundle, options, self.progress).report

    @takes(ProfileOptions)
    def profile(self, options: ProfileOptions) -> LatencyReport:
        """Measure every artifact on every backend that is here, in turns.

        Example:
            >>> import lrn_deploy
            >>> bundle = lrn_deploy.open("digits")
            >>> short = lrn_deploy.Effort(rounds=5, seconds=0.1)
            >>> report = bundle.profile(batches=(1,), effort=short, first_run=False, layers=False)
            >>> sorted({row.artifact for row in report.rows})
            ['model']
        """
        from lrn_deploy.workflows.profile.profile import profile

        return profile(self._bundle, options, self.progress).report

    @takes(TuneOptions)
    def tune(self, options: TuneOptions) -> TuneReport:
        """Find the fastest way to run it here that is accurate enough, which :meth:`load` takes.

        Example:
            >>> import lrn_deploy
            >>> bundle = lrn_deploy.open("digits")
            >>> report = bundle.tune(max_error=0.03)  # doctest: +SKIP
            >>> report.choice.artifact  # doctest: +SKIP
            'cpu-int8'
        """
        from lrn_deploy.workflows.tune.tune import tune

        return tune(self._bundle, options, self.progress).report

    @takes(PackageArguments)
    def package(self, options: PackageArguments) -> Path:
        """Make it ready for where it is to run: Triton's model repository for instance.

        Returns:
            Where the package is.

        Example:
            >>> import lrn_deploy
            >>> lrn_deploy.open("digits").package("triton", triton_backend="python")
            PosixPath('digits-triton')
        """
        from lrn_deploy.package.package import package

        told = {field.name: getattr(options, field.name) for field in fields(PackageOptions)}
        output = Path(options.output or f"{self.path}-{options.to}")
        chosen = PackageOptions(**told)
        return package(self._bundle, output, chosen, self.progress, force=options.force).path

    def report(self, output: Path | str | None = None) -> Path:
        """Draw the reports as one HTML page that needs no other file.

        Args:
            output: Where to write it; None: ``reports/report.html`` in the bundle.

        Returns:
            Where it was written.

        Example:
            >>> import lrn_deploy
            >>> lrn_deploy.open("digits").report().name
            'report.html'
        """
        from lrn_deploy.report.page.page import FILE, draw

        page = self.path / FILE if output is None else Path(output)
        write_atomic(page, draw(self._bundle).encode())
        return page

    def load(
        self,
        artifact: str | None = None,
        *,
        device: str = "cpu",
        threads: int = 0,
        gpu_memory: int | None = None,
    ) -> LoadedNetwork:
        """Load the network, to be called.

        Args:
            artifact: Name of the artifact to run; None takes what the bundle was tuned to, else
                what computes exactly what was exported.
            device: ``cpu``, ``cuda`` or ``cuda:N``.
            threads: Threads of one run on the CPU; 0 takes what was tuned, or the runtime's choice.
            gpu_memory: Most bytes of GPU memory that it may take; None for all that is free.

        Raises:
            BadInputError: If there is no such artifact or device.
            MissingError: If nothing can run here.
            DamagedError: If the artifact is not what the manifest says.

        Example:
            >>> import lrn_deploy
            >>> import numpy as np
            >>> with lrn_deploy.open("digits").load("model") as network:
            ...     network(np.zeros((2, 1, 8, 8), np.float32)).shape
            (2, 10)
        """
        bundle = self._bundle
        picked = pick_named(
            bundle, device, artifact=artifact, threads=threads, gpu_memory=gpu_memory
        )
        session = picked.backend.load(bundle.load(picked.artifact))
        return LoadedNetwork(bundle, picked, session)


def open_bundle(
    path: Path | str, *, progress: Progress | None = None, module: nn.Module | None = None
) -> OpenBundle:
    """Open the bundle in a folder.

    Args:
        path: The folder.
        progress: Told what a method does, and how many of how many steps are done.
        module: The network that it was exported from, where no factory makes it again; a copy of it
            is the reference of ``validate``.

    Raises:
        BadInputError: If there is no bundle, or the module has other weights than were exported.
        DamagedError: If its manifest is damaged.

    Example:
        >>> import lrn_deploy
        >>> lrn_deploy.open("digits").manifest.model.weights.kind
        'shipped'
        >>> lrn_deploy.open("nowhere")
        Traceback (most recent call last):
        ...
        lrn_deploy.errors.BadInputError: 'nowhere' is not a bundle: it has no manifest.json. ...
    """
    path = Path(path)
    manifest = Bundle.open(path).manifest
    held = None
    if module is not None:
        from lrn_deploy.network import reload_network
        from lrn_deploy.workflows.validate.reference import hold

        held = reload_network(manifest.model, own_copy(module)).module
        hold(manifest, held)
    return OpenBundle(path, progress=progress, module=held)


def own_copy(module: object) -> nn.Module:
    """A copy of a module; see :func:`lrn_deploy.network.factory.own_copy`."""
    from lrn_deploy.network import require_torch

    require_torch()
    from lrn_deploy.network import factory

    return factory.own_copy(module)
