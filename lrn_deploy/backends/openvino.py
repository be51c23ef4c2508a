"""OpenVINO on the CPU: ONNX graphs, in the artifact's precision and on no other device.

OpenVINO computes the float layers of one and the same graph in float32 or in bf16, as it is told.
Its own choice on a processor with bf16 units is bf16, silently; here the artifact decides. Layers
that are quantized in the graph stay so in either.
"""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

from lrn_deploy.backends.layer_times import LayerTrace, timed_runs
from lrn_deploy.backends.openvino_layers import COUNTING, Averages, averages, trace
from lrn_deploy.backends.protocol import Array, Probe, SessionBase, check_feeds
from lrn_deploy.bundle import ArtifactData, TensorSpec
from lrn_deploy.errors import DamagedError, MissingError
from lrn_deploy.extras import install
from lrn_deploy.precision import half

_DEVICE = "CPU"


class OpenVinoBackend:
    """Runs ONNX graphs with OpenVINO's CPU plugin.

    Args:
        threads: Threads of one run; 0 lets OpenVINO choose.
    """

    name = "openvino"
    formats = frozenset({"onnx"})
    device = "cpu"

    def __init__(self, *, threads: int = 0) -> None:
        self.threads = threads

    def probe(self) -> Probe:
        """Whether OpenVINO is installed and starts."""
        if importlib.util.find_spec("openvino") is None:
            return Probe(False, None, "OpenVINO is not installed.", _hint())
        try:
            able = _capabilities()
        except (ImportError, OSError, RuntimeError) as error:  # a wheel whose libraries do not load
            return Probe(False, _version(), f"OpenVINO does not start: {_reason(error)}", _hint())
        units = "with" if "BF16" in able else "without"
        return Probe(True, _version(), f"{_DEVICE}, {units} bf16 units")

    def load(self, artifact: ArtifactData) -> OpenVinoSession:
        """Compile an ONNX graph; see :class:`lrn_deploy.backends.protocol.Backend`."""
        return self._load(artifact, {})

    def layer_times(
        self, artifact: ArtifactData, feeds: Mapping[str, Array], runs: int
    ) -> LayerTrace | None:
        """Where the time goes; see :class:`lrn_deploy.backends.layer_times.TimesLayers`."""
        seen: list[Averages] = []
        with self._load(artifact, COUNTING) as session:
            whole = timed_runs(session, feeds, runs, lambda: seen.append(session.averages()))
        return trace(whole, seen)

    def _load(self, artifact: ArtifactData, more: Mapping[str, Any]) -> OpenVinoSession:
        probe = self.probe()
        if not probe.available:
            raise MissingError(f"OpenVINO cannot run here: {probe.detail}", probe.hint)
        bf16 = artifact.target == "openvino" and half(artifact.precision) == "bf16"
        if bf16 and "BF16" not in _capabilities():
            raise MissingError(
                f"This processor has no bf16 units for '{artifact.name}', and emulating them is "
                "slower than float32.",
                "Use the precision fp32 or int8 here.",
            )
        return OpenVinoSession(artifact, self.threads, "bf16" if bf16 else "f32", more)


class OpenVinoSession(SessionBase):
    """One ONNX graph compiled by OpenVINO for the CPU.

    Args:
        artifact: The graph.
        threads: Threads of one run; 0 lets OpenVINO choose.
        hint: What float layers compute in, ``f32`` or ``bf16``.
        more: Further options of the compiled graph.
    """

    def __init__(
        self, artifact: ArtifactData, threads: int, hint: str, more: Mapping[str, Any]
    ) -> None:
        options: dict[str, Any] = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": hint,
            "INFERENCE_NUM_THREADS": threads,  # its own word for its own choice is 0, too
            **more,
        }
        core = _core()
        try:
            compiled = core.compile_model(core.read_model(artifact.data), _DEVICE, options)
        except RuntimeError as error:
            raise DamagedError(
                f"OpenVINO refuses the graph of '{artifact.name}': {_reason(error)}",
                "Check the graph with 'lrn-deploy inspect', or export it again.",
            ) from error
        _check_realised(compiled, hint)
        self._request: Any = compiled.create_infer_request()
        self.inputs = tuple(_spec(port) for port in compiled.inputs)
        self.outputs = tuple(_spec(port) for port in compiled.outputs)

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Run the graph; see :class:`lrn_deploy.backends.protocol.Session`."""
        check_feeds(self.inputs, feeds)
        # Shared inputs are read where they lie, or copied if not contiguous; outputs are copies.
        shared = dict(feeds)
        try:
            results = self._request.infer(shared, share_inputs=True)
        except RuntimeError as error:
            raise DamagedError(
                f"OpenVINO could not run the graph: {_reason(error)}",
                "An operator of it does not take these shapes or types; see 'lrn-deploy inspect'.",
            ) from error
        return {spec.name: results[at] for at, spec in enumerate(self.outputs)}

    def averages(self) -> Averages:
        """Average seconds of each kernel so far, if it was compiled to count them."""
        return averages(self._request)

    def close(self) -> None:
        """Release the compiled graph."""
        self._request = None


@functools.cache
def _core() -> Any:
    """OpenVINO itself, once for the process and never unloaded.

    Its CPU plugin gives the thread that first uses it a stack for signals, and frees it when the
    last user is gone. If that happens in another thread, as when a server unloads a model, the
    first thread's next signal, a Ctrl-C for instance, crashes the process.
    """
    import openvino

    return openvino.Core()


def _capabilities() -> list[str]:
    """What the processor has units for, ``BF16`` for instance."""
    return list(_core().get_property(_DEVICE, "OPTIMIZATION_CAPABILITIES"))


def _check_realised(compiled: Any, hint: str) -> None:
    """Refuse another device or precision than was asked for.

    Raises:
        MissingError: If OpenVINO chose one.
    """
    devices = list(compiled.get_property("EXECUTION_DEVICES"))
    if devices != [_DEVICE]:
        raise MissingError(f"OpenVINO would run on {', '.join(devices)} instead of {_DEVICE}.")
    realised = compiled.get_property("INFERENCE_PRECISION_HINT").to_string()
    if realised != hint:
        raise MissingError(
            f"OpenVINO would compute in {realised} instead of {hint}.",
            "This processor may lack the units for it.",
        )


def _spec(port: Any) -> TensorSpec:
    """Name, dtype and shape; OpenVINO forgets the names of dynamic axes, so the first is batch."""
    shape = tuple(
        ("batch" if at == 0 else f"dynamic_{at}") if axis.is_dynamic else axis.get_length()
        for at, axis in enumerate(port.partial_shape)
    )
    dtype = np.dtype(port.element_type.to_dtype()).name
    return TensorSpec(name=_name(port), dtype=dtype, shape=shape)


def _name(port: Any) -> str:
    """The graph's own name; a value that several names were given to has them all on its port."""
    friendly = str(port.get_node().get_friendly_name()).removesuffix("/sink_port_0")
    return friendly if friendly in port.get_names() else str(port.get_any_name())


def _reason(error: Exception) -> str:
    """The sentence in OpenVINO's several lines, which begin with where in its source it threw."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    places = (
        "Exception from ",
        "Check '",
        "While validating",
        "FrontEnd API failed",
        "Model wasn't fully converted",
        "Summary:",
    )
    telling = [line for line in lines if not line.startswith(places)] or lines or ["no reason"]
    return telling[0].removeprefix("-- ").rstrip(".:") + "."


def _version() -> str | None:
    try:
        return version("openvino")
    except PackageNotFoundError:
        return None


def _hint() -> str:
    return f"Install it with: {install('openvino')}"
