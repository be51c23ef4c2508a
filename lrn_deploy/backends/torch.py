"""PyTorch, the reference: runs a module and looks inside it while it runs.

PyTorch runs modules, not artifacts, so :meth:`TorchBackend.load` refuses every artifact and
:meth:`TorchBackend.open` takes a module instead.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

import numpy as np

from lrn_deploy.backends.protocol import Array, Probe, SessionBase, check_feeds
from lrn_deploy.bundle import ArtifactData, TensorSpec
from lrn_deploy.errors import BadInputError, MissingError
from lrn_deploy.extras import install
from lrn_deploy.network import require_torch
from lrn_deploy.network.cross_map import Call, cross_map_calls
from lrn_deploy.network.inputs import arguments

if TYPE_CHECKING:
    import torch
    from torch import nn


@dataclass(frozen=True)
class Trace:
    """What one run showed.

    Attributes:
        outputs: The outputs, by name.
        lrn_inputs: What entered each LRN call, in call order.
        modules: The outputs of the modules that were asked for, by path. One that ran more than
            once shows its last.
    """

    outputs: dict[str, Array]
    lrn_inputs: tuple[Array, ...] = ()
    modules: dict[str, Array] = field(default_factory=dict)


class TorchBackend:
    """Runs PyTorch modules on one device.

    Args:
        device: ``cpu``, ``cuda`` or ``cuda:N``.
    """

    name = "torch"
    formats: frozenset[str] = frozenset()

    def __init__(self, device: str = "cpu") -> None:
        self.device = device

    def probe(self) -> Probe:
        """Whether torch is installed, and sees the GPU if one is asked for."""
        if importlib.util.find_spec("torch") is None:
            return Probe(False, None, "PyTorch is not installed.", _hint())
        try:
            require_torch()
            import torch
        except (ImportError, OSError) as error:  # a wheel whose libraries do not load
            return Probe(False, _version(), f"PyTorch does not import: {error}.", _hint())
        found = str(torch.__version__)
        if self.device == "cpu":
            return Probe(True, found, "CPU")
        if not torch.cuda.is_available():
            return Probe(
                False,
                found,
                f"PyTorch {found} sees no CUDA device.",
                "Run 'nvidia-smi', and install a CUDA build of torch that the driver can run.",
            )
        index = int(self.device.partition(":")[2] or 0)
        if index >= torch.cuda.device_count():
            return Probe(
                False,
                found,
                f"There is no {self.device}; PyTorch sees {torch.cuda.device_count()} GPU.",
                "Choose one of those.",
            )
        return Probe(True, found, torch.cuda.get_device_name(index))

    def load(self, artifact: ArtifactData) -> TorchSession:
        """Refuse: an artifact is no module.

        Raises:
            BadInputError: Always.
        """
        raise BadInputError(
            f"PyTorch cannot run the artifact '{artifact.name}' ({artifact.format}): it runs the "
            "network that the bundle was exported from."
        )

    def open(
        self, module: nn.Module, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]
    ) -> TorchSession:
        """Make a session of a module.

        Args:
            module: Takes one tensor for each input, by its name or in order, and returns a tensor,
                or a tuple, list or dictionary of tensors in the order of ``outputs``. Moved to the
                device.
            inputs: The inputs' specs.
            outputs: The outputs' specs.

        Raises:
            MissingError: If torch or the device is not there.
        """
        probe = self.probe()
        if not probe.available:
            raise MissingError(f"PyTorch cannot run on {self.device}: {probe.detail}", probe.hint)
        return TorchSession(module, tuple(inputs), tuple(outputs), self.device)


class TorchSession(SessionBase):
    """One module in evaluation mode, run without gradients and without TF32."""

    def __init__(
        self,
        module: nn.Module,
        inputs: tuple[TensorSpec, ...],
        outputs: tuple[TensorSpec, ...],
        device: str,
    ) -> None:
        self.inputs = inputs
        self.outputs = outputs
        self.device = device
        self._module: nn.Module | None = module.to(device).eval()

    @property
    def described(self) -> str:
        """What computes, for people."""
        return f"PyTorch {_version()}, float32 on {self.device}"

    @property
    def label(self) -> str:
        """What reports call it."""
        return f"torch:{self.device}"

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Run the module; see :class:`lrn_deploy.backends.protocol.Session`."""
        return self.trace(feeds).outputs

    def trace(
        self, feeds: Mapping[str, Array], *, lrn_inputs: bool = False, modules: Sequence[str] = ()
    ) -> Trace:
        """Run the module and keep what it shows on the way.

        Args:
            feeds: As for :meth:`run`.
            lrn_inputs: Keep what enters every LRN call, module or function.
            modules: Paths of the modules whose outputs to keep; ``""`` is the whole module.

        Raises:
            BadInputError: If the feeds do not fit, or there is no module of such a path.
        """
        import torch

        check_feeds(self.inputs, feeds)
        assert self._module is not None, "the session is closed"
        tensors = {
            spec.name: torch.from_numpy(np.ascontiguousarray(feeds[spec.name])).to(self.device)
            for spec in self.inputs
        }
        args, kwargs = arguments(self._module, tensors)
        seen: list[Array] = []
        kept: dict[str, Array] = {}
        with ExitStack() as stack:
            stack.enter_context(torch.no_grad())
            stack.enter_context(_without_tf32())
            for path in modules:
                stack.enter_context(_keeping(self._module, path, kept))
            if lrn_inputs:
                stack.enter_context(_watching_lrn(seen))
                stack.enter_context(_watching_cross_map(seen))
            result = self._module(*args, **kwargs)
        values = [_array(value) for value in _flatten(result)]
        if len(values) != len(self.outputs):
            raise BadInputError(
                f"The module returns {len(values)} tensors, expected {len(self.outputs)}."
            )
        outputs = {spec.name: value for spec, value in zip(self.outputs, values, strict=True)}
        return Trace(outputs, tuple(seen), kept)

    def close(self) -> None:
        """Let go of the module."""
        self._module = None


def _watching_lrn(seen: list[Array]) -> Any:
    """A mode that appends what enters each ``F.local_response_norm`` to ``seen``.

    ``nn.LocalResponseNorm`` calls that function, so it is seen as well.
    """
    from torch.nn.functional import local_response_norm
    from torch.overrides import TorchFunctionMode

    class Watch(TorchFunctionMode):
        def __torch_function__(
            self,
            func: Callable[..., Any],
            types: Any,
            args: tuple[Any, ...] = (),
            kwargs: dict[str, Any] | None = None,
        ) -> Any:
            if func is local_response_norm:
                seen.append(_array(args[0]))  # where it is handed over, its input comes first
            return func(*args, **(kwargs or {}))

    return Watch()


def _watching_cross_map(seen: list[Array]) -> AbstractContextManager[None]:
    """The same for ``nn.CrossMapLRN2d``, whose function no mode sees."""

    def watch(own: Call) -> Call:
        def call(x: torch.Tensor, *parameters: Any) -> torch.Tensor:
            seen.append(_array(x))
            return own(x, *parameters)

        return call

    return cross_map_calls(watch)


@contextmanager
def _keeping(module: nn.Module, path: str, kept: dict[str, Array]) -> Iterator[None]:
    """While active, the output of the submodule ``path`` goes to ``kept``."""
    try:
        target = module.get_submodule(path)
    except AttributeError as error:
        raise BadInputError(f"The network has no module '{path}'.") from error

    def keep(_module: nn.Module, _inputs: Any, output: Any) -> None:
        kept[path] = _array(_flatten(output)[0])

    handle = target.register_forward_hook(keep)
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def _without_tf32() -> Iterator[None]:
    """Keep float32 what it says: cuDNN's default would round to TF32 (onnxruntime#19288)."""
    import torch

    matmul, cudnn = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32 = matmul
        torch.backends.cudnn.allow_tf32 = cudnn


def _flatten(value: Any) -> list[torch.Tensor]:
    """The tensors in a module's result, in order."""
    if isinstance(value, Mapping):
        value = tuple(value.values())
    if isinstance(value, tuple | list):
        return [tensor for part in value for tensor in _flatten(part)]
    return [value]


def _array(tensor: torch.Tensor) -> Array:
    # A later layer may work in place (ReLU(inplace=True)), so what is kept must be a copy.
    array: Array = tensor.detach().cpu().numpy().copy()
    return array


def _version() -> str | None:
    try:
        return version("torch")
    except PackageNotFoundError:
        return None


def _hint() -> str:
    return f"Install it with: {install('export')}"
