"""OpenVINO on the CPU: ONNX graphs, in the precision that was asked for and on no other device."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Literal

import numpy as np

from lrn_deploy.backends.protocol import Array, Probe, SessionBase, check_feeds
from lrn_deploy.bundle import ArtifactData, TensorSpec
from lrn_deploy.errors import DamagedError, MissingError

_INSTALL = "Install it with: pip install 'lrn-deploy[openvino]'"
_DEVICE = "CPU"
Precision = Literal["fp32", "bf16"]
_HINTS: dict[Precision, str] = {"fp32": "f32", "bf16": "bf16"}


class OpenVinoBackend:
    """Runs ONNX graphs with OpenVINO's CPU plugin.

    Args:
        threads: Threads of one run; 0 lets OpenVINO choose.
        precision: What float32 layers compute in. OpenVINO's own choice on a processor with bf16
            units is bf16, silently; here it is float32 unless asked otherwise. Quantized layers
            stay what they are.
    """

    formats = frozenset({"onnx"})
    device = "cpu"

    def __init__(self, *, threads: int = 0, precision: Precision = "fp32") -> None:
        self.threads = threads
        self.precision: Precision = precision
        self.name = "openvino" if precision == "fp32" else f"openvino-{precision}"

    def probe(self) -> Probe:
        """Whether OpenVINO is installed, and the processor has bf16 units if they are asked for."""
        if importlib.util.find_spec("openvino") is None:
            return Probe(False, None, "OpenVINO is not installed.", _INSTALL)
        try:
            import openvino

            core = openvino.Core()
            able = core.get_property(_DEVICE, "OPTIMIZATION_CAPABILITIES")
        except (ImportError, OSError, RuntimeError) as error:  # a wheel whose libraries do not load
            return Probe(False, _version(), f"OpenVINO does not start: {_reason(error)}", _INSTALL)
        if self.precision == "bf16" and "BF16" not in able:
            return Probe(
                False,
                _version(),
                "This processor has no bf16 units, and emulating them is slower than float32.",
                "Use float32 here.",
            )
        return Probe(True, _version(), f"{_DEVICE}, {self.precision}")

    def load(self, artifact: ArtifactData) -> OpenVinoSession:
        """Compile an ONNX graph; see :class:`lrn_deploy.backends.protocol.Backend`."""
        probe = self.probe()
        if not probe.available:
            raise MissingError(f"OpenVINO cannot run here: {probe.detail}", probe.hint)
        return OpenVinoSession(artifact, self.threads, _HINTS[self.precision])


class OpenVinoSession(SessionBase):
    """One ONNX graph compiled by OpenVINO for the CPU."""

    def __init__(self, artifact: ArtifactData, threads: int, hint: str) -> None:
        import openvino

        options: dict[str, Any] = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": hint,
        }
        if threads:
            options["INFERENCE_NUM_THREADS"] = threads
        core = openvino.Core()
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
        # Shared inputs are read where they lie, which takes them contiguous; outputs are copies.
        shared = {name: np.ascontiguousarray(values) for name, values in feeds.items()}
        try:
            results = self._request.infer(shared, share_inputs=True)
        except RuntimeError as error:
            raise DamagedError(
                f"OpenVINO could not run the graph: {_reason(error)}",
                "An operator of it does not take these shapes or types; see 'lrn-deploy inspect'.",
            ) from error
        return {spec.name: results[at] for at, spec in enumerate(self.outputs)}

    def close(self) -> None:
        """Release the compiled graph."""
        self._request = None


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
    return TensorSpec(name=port.get_any_name(), dtype=dtype, shape=shape)


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
