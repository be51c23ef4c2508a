"""The two TensorRTs behind one door: ``tensorrt`` (10.0 to 11.x) and ``tensorrt-rtx``.

No other module imports either. What differs, and is hidden here:

==================  ======================================  ====================================
                    tensorrt                                tensorrt-rtx
==================  ======================================  ====================================
builds              on the GPU it builds for                anywhere, for named GPUs
targets             the GPU that is there                   several at once, or those it chooses
without a driver    ``Builder()`` raises a bare TypeError   builds; cannot deserialise
timing cache        yes                                     none
kernels             in the engine                           compiled at the first run, and kept
                                                            in a runtime cache
==================  ======================================  ====================================

Both keep the first logger that any of their objects was given, for as long as the process lives,
so each flavor has one, which passes messages on to Python's ``logging``. Networks are always
strongly typed: TensorRT 11 and tensorrt-rtx know no other way, and TensorRT 10 is asked for it.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, Literal

from lrn_deploy.errors import BadInputError, MissingError
from lrn_deploy.extras import install
from lrn_deploy.tensorrt.callbacks import make_logger, make_monitor, make_profiler
from lrn_deploy.tensorrt.device.rtx_contexts import rtx_contexts
from lrn_deploy.tensorrt.messages import reason
from lrn_deploy.tensorrt.targets import CURRENT, PORTABLE, RTX_TARGETS

FlavorName = Literal["tensorrt", "rtx"]
EngineFormat = Literal["tensorrt", "tensorrt-rtx"]

_MODULES: dict[FlavorName, str] = {"tensorrt": "tensorrt", "rtx": "tensorrt_rtx"}
_CHOICES: tuple[FlavorName, ...] = ("tensorrt", "rtx")
_CHOICES_NAMED: tuple[FlavorName, ...] = ("rtx",)
_TITLES: dict[FlavorName, str] = {"tensorrt": "TensorRT", "rtx": "TensorRT for RTX"}
_FORMATS: dict[FlavorName, EngineFormat] = {"tensorrt": "tensorrt", "rtx": "tensorrt-rtx"}
_HINT_DRIVER = "Run 'nvidia-smi' to see whether an NVIDIA driver is installed"


class Flavor:
    """One installed TensorRT. Made by :func:`find_flavor`.

    Attributes:
        name: ``tensorrt`` or ``rtx``, as in ``--flavor``.
        title: Its name in sentences.
        format: The format of its engines in a manifest.
        version: Its version.
        errors: Error messages since :meth:`start_builder`, oldest first.
    """

    def __init__(self, name: FlavorName, module: Any) -> None:
        self.name = name
        self.title = _TITLES[name]
        self.format = _FORMATS[name]
        self.version = str(module.__version__)
        self.errors: list[str] = []
        self.trt = module
        self._logger = make_logger(module, self.errors)

    @property
    def has_timing_cache(self) -> bool:
        """Whether a build can start from the measurements of earlier ones."""
        return self.name == "tensorrt"

    def check_targets(self, targets: Sequence[str]) -> None:
        """Refuse targets that this flavor cannot build for.

        Raises:
            BadInputError: Listing those that it can.
        """
        if self.name == "tensorrt":
            if tuple(targets) != (CURRENT,):
                raise BadInputError(
                    f"TensorRT builds only for the GPU that it runs on, not for "
                    f"{', '.join(targets)}.",
                    "Add '--flavor rtx' to build for other GPUs, or use '--target current'.",
                )
            return
        known = (*RTX_TARGETS, CURRENT, PORTABLE)
        for target in targets:
            if target not in known:
                raise BadInputError(
                    f"TensorRT for RTX has no target '{target}'.",
                    f"Choose from {', '.join(known)}.",
                )
        alone = next((target for target in (CURRENT, PORTABLE) if target in targets), None)
        if alone and len(targets) > 1:
            raise BadInputError(
                f"The target '{alone}' cannot be combined with others.",
                "Name compute capabilities alone, sm89 for instance.",
            )

    def start_builder(self) -> Any:
        """A builder.

        Raises:
            MissingError: If TensorRT needs an NVIDIA driver and there is none.
        """
        self.errors.clear()
        try:
            return self.trt.Builder(self._logger)
        except TypeError as error:  # "factory function returned nullptr": all that it says
            raise MissingError(
                f"TensorRT {self.version} is installed, but it cannot start without an NVIDIA "
                "GPU and driver.",
                f"{_HINT_DRIVER}, or build with '--flavor rtx', which needs no GPU: "
                f"{install('rtx')}",
            ) from error

    def create_network(self, builder: Any) -> Any:
        """An empty, strongly typed network."""
        flag = getattr(self.trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED", None)
        return builder.create_network(0 if flag is None else 1 << int(flag))

    def create_parser(self, network: Any) -> Any:
        """A parser that adds an ONNX graph to ``network``."""
        return self.trt.OnnxParser(network, self._logger)

    def create_config(
        self,
        builder: Any,
        *,
        targets: Sequence[str],
        tf32: bool,
        workspace: int | None,
    ) -> Any:
        """The builder's options: TF32 only if asked for, all layers named and detailed.

        Raises:
            BadInputError: If TensorRT for RTX does not take a target.
        """
        config = builder.create_builder_config()
        if not tf32:
            config.clear_flag(self.trt.BuilderFlag.TF32)
        config.profiling_verbosity = self.trt.ProfilingVerbosity.DETAILED
        if workspace is not None:
            config.set_memory_pool_limit(self.trt.MemoryPoolType.WORKSPACE, workspace)
        if self.name == "rtx" and tuple(targets) != (PORTABLE,):
            config.num_compute_capabilities = len(targets)
            for index, target in enumerate(targets):
                capability = getattr(self.trt.ComputeCapability, target.upper())
                if not config.set_compute_capability(capability, index):
                    raise BadInputError(
                        f"TensorRT for RTX {self.version} does not take the target '{target}': "
                        f"{reason(self.errors)}.",
                        "Choose another, or '--target portable', which names none.",
                    )
        return config

    def set_timing_cache(self, config: Any, data: bytes) -> Any:
        """Start from the timing cache ``data`` (may be empty); returns the cache to serialise."""
        timings = config.create_timing_cache(data)
        config.set_timing_cache(timings, False)
        return timings

    def monitor(self, on_step: Callable[[str, int, int], bool]) -> Any:
        """A progress monitor that calls ``on_step(phase, done, total)`` after each step.

        The build is cancelled if that returns False.
        """
        return make_monitor(self.trt, on_step)

    def start_runtime(self) -> Any:
        """A runtime that refuses engines with host code in them.

        Raises:
            MissingError: If there is no NVIDIA driver.
        """
        self.errors.clear()
        try:
            runtime = self.trt.Runtime(self._logger)
        except TypeError as error:  # as for the builder
            raise MissingError(
                f"{self.title} {self.version} cannot start without an NVIDIA GPU and driver.",
                f"{_HINT_DRIVER}.",
            ) from error
        runtime.engine_host_code_allowed = False  # a plan could carry code for this process
        return runtime

    def open_engine(self, runtime: Any, plan: bytes) -> Any:
        """The engine in ``plan``, whose hash has been checked; None if TensorRT refuses it."""
        return runtime.deserialize_cuda_engine(plan)

    def contexts(
        self, engine: Any, kernels: bytes
    ) -> tuple[Callable[[bool], Any], Callable[[], bytes]]:
        """How to make execution contexts, which take their scratch memory from the caller.

        Args:
            engine: The engine.
            kernels: Content of the runtime cache of an earlier process, may be empty; TensorRT for
                RTX itself refuses one that does not fit.

        Returns:
            A function that makes a context, or None if TensorRT cannot, and one that gives the
            runtime cache's content: empty for ``tensorrt``, whose engines hold their kernels. The
            first takes whether the context is to run as a CUDA graph of its own; contexts of
            ``tensorrt`` have none, and do not differ. The cache must outlive the contexts, and
            lives as long as the second function.

        Raises:
            DamagedError: If TensorRT for RTX cannot make what a context needs.
        """
        if self.name == "tensorrt":
            strategy = self.trt.ExecutionContextAllocationStrategy.USER_MANAGED
            return (lambda _graphs: engine.create_execution_context(strategy)), (lambda: b"")
        return rtx_contexts(self.trt, engine, kernels, self.errors)

    @property
    def captures_graphs(self) -> bool:
        """Whether contexts capture CUDA graphs by themselves."""
        return self.name == "rtx"

    def inspect(self, engine: Any) -> str:
        """What the engine's layers are, as the engine inspector's JSON."""
        inspector = engine.create_engine_inspector()
        return str(inspector.get_engine_information(self.trt.LayerInformationFormat.JSON))

    def tensors(self, engine: Any) -> list[tuple[str, bool, Any, tuple[int, ...]]]:
        """Name, whether it is an input, numpy type and shape (-1: dynamic) of each tensor."""
        names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
        return [
            (
                name,
                engine.get_tensor_mode(name) == self.trt.TensorIOMode.INPUT,
                self.trt.nptype(engine.get_tensor_dtype(name)),
                tuple(engine.get_tensor_shape(name)),
            )
            for name in names
        ]

    def profiler(self, report: Callable[[str, float], None]) -> Any:
        """A profiler that calls ``report(layer name, milliseconds)`` for each layer of a run."""
        return make_profiler(self.trt, report)


def find_flavor(
    choice: Literal["auto", "tensorrt", "rtx"] = "auto", *, named: bool = False
) -> Flavor:
    """The TensorRT to use.

    Args:
        choice: Which; ``auto`` takes ``tensorrt`` where it is installed and starts, which needs an
            NVIDIA driver, and else ``rtx``.
        named: GPUs are named as targets, for which only ``rtx`` builds.

    Raises:
        MissingError: If it is not installed, or cannot start.
    """
    if choice != "auto":
        return _installed(choice)
    failures: list[MissingError] = []
    for name in _CHOICES_NAMED if named else _CHOICES:
        try:
            flavor = _installed(name)
            if name == "tensorrt":
                flavor.start_builder()
        except MissingError as error:
            failures.append(error)
        else:
            return flavor
    raise MissingError(" ".join(error.message for error in failures), failures[-1].hint)


@cache
def _installed(name: FlavorName) -> Flavor:
    try:
        module = importlib.import_module(_MODULES[name])
    except (ImportError, OSError, RuntimeError) as error:  # a wheel may lack its libraries
        package = _MODULES[name].replace("_", "-")
        cause = "" if isinstance(error, ModuleNotFoundError) else f" ({error})"
        raise MissingError(
            f"{package} is not installed{cause}.", f"Install it with: {install(name)}"
        ) from error
    return Flavor(name, module)
