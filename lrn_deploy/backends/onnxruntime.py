"""ONNX Runtime on the CPU or an NVIDIA GPU, without its silent fallback."""

from __future__ import annotations

import io
import json
import re
import shlex
import warnings
from collections.abc import Mapping
from contextlib import redirect_stdout, suppress
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from lrn_deploy.backends.layer_times import LayerTrace, timed_runs
from lrn_deploy.backends.onnxruntime_trace import kernel_times
from lrn_deploy.backends.protocol import Array, Probe, SessionBase, check_feeds
from lrn_deploy.bundle import ArtifactData, TensorSpec
from lrn_deploy.errors import CannotWriteError, DamagedError, MissingError, NoKernelError
from lrn_deploy.extras import install

_PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
_DTYPES = {
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(double)": "float64",
    "tensor(uint8)": "uint8",
    "tensor(int8)": "int8",
    "tensor(int32)": "int32",
    "tensor(int64)": "int64",
    "tensor(bool)": "bool",
}
_NO_KERNEL = (
    (re.compile(r"NOT_IMPLEMENTED\s*:\s*(.*)"), "{0}"),
    (re.compile(r"Provider type for (.*) is not set"), "{0}, which no provider takes"),
    (re.compile(r"assigned to the default CPU EP"), "it would run some of them on the CPU"),
)
"""How ONNX Runtime says that a provider lacks a kernel, and what of it is worth telling. The second
is an assertion of its, met on CUDA where the fallback to the CPU, which is off, would not help."""
_SHARED_WEIGHT = "AddInitializedOrtValue"


class OnnxRuntimeBackend:
    """Runs ONNX graphs with one execution provider.

    Args:
        device: ``cpu``, ``cuda`` or ``cuda:N``.
        threads: Threads of one run on the CPU; 0 lets ONNX Runtime choose.
        gpu_memory: Most bytes that it may take on a GPU; None for all that is free.
    """

    name = "onnxruntime"
    formats = frozenset({"onnx"})

    def __init__(
        self, device: str = "cpu", *, threads: int = 0, gpu_memory: int | None = None
    ) -> None:
        self.device = device
        self.threads = threads
        self.gpu_memory = gpu_memory
        self._kind, _, index = device.partition(":")
        self._index = int(index or 0)

    def probe(self) -> Probe:
        """Whether ONNX Runtime is installed with this device's provider."""
        try:
            import onnxruntime
        except ImportError:
            return Probe(False, None, "onnxruntime is not installed.", _hint(self._kind))
        version = str(onnxruntime.__version__)
        provider = _PROVIDERS[self._kind]
        if self._kind == "cuda":
            _load_cuda()
        if provider not in onnxruntime.get_available_providers():
            return Probe(
                False,
                version,
                f"The installed onnxruntime {version} has no {provider}.",
                _hint(self._kind),
            )
        if self._kind == "cuda" and not _provider_loads(provider, self._index):
            return Probe(
                False,
                version,
                f"{provider} does not start: no NVIDIA GPU, or its CUDA libraries are missing.",
                "Run 'nvidia-smi', and install CUDA and cuDNN of the versions that this "
                "onnxruntime was built for.",
            )
        return Probe(True, version, provider)

    def load(self, artifact: ArtifactData) -> OnnxRuntimeSession:
        """Make a session of an ONNX graph; see :class:`lrn_deploy.backends.protocol.Backend`."""
        return self._load(artifact, None)

    def layer_times(
        self, artifact: ArtifactData, feeds: Mapping[str, Array], runs: int
    ) -> LayerTrace | None:
        """Where the time goes; see :class:`lrn_deploy.backends.layer_times.TimesLayers`.

        Not on a GPU, where ONNX Runtime times how long it takes to launch a kernel.

        Raises:
            CannotWriteError: If the trace cannot be written into a temporary folder.
        """
        if self._kind != "cpu":
            return None
        try:
            with TemporaryDirectory(prefix="lrn-deploy-") as folder:
                with self._load(artifact, Path(folder) / "trace") as session:
                    whole = timed_runs(session, feeds, runs)
                    trace = session.end_trace()
                events = json.loads(trace.read_bytes())
        except OSError as error:
            raise CannotWriteError(
                f"ONNX Runtime's trace cannot be written: {error.strerror or error}.",
                "Free some space for temporary files, or set TMPDIR to a folder that has it.",
            ) from error
        return LayerTrace(whole, kernel_times(events))

    def _load(self, artifact: ArtifactData, trace: Path | None) -> OnnxRuntimeSession:
        probe = self.probe()
        if not probe.available:
            raise MissingError(
                f"ONNX Runtime cannot run on {self.device}: {probe.detail}", probe.hint
            )
        providers = _provider_options(_PROVIDERS[self._kind], self._index, self.gpu_memory)
        return OnnxRuntimeSession(artifact, providers, self.threads, trace)


class OnnxRuntimeSession(SessionBase):
    """One ONNX graph loaded in ONNX Runtime.

    Args:
        artifact: The graph.
        providers: What runs it, as ONNX Runtime wants it told.
        threads: Threads of one run; 0 lets ONNX Runtime choose.
        trace: First part of the path of a trace to write; None for no trace.
    """

    def __init__(
        self,
        artifact: ArtifactData,
        providers: list[Any],
        threads: int,
        trace: Path | None = None,
    ) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        if trace is not None:
            options.enable_profiling = True
            options.profile_file_prefix = str(trace)
        options.intra_op_num_threads = threads
        options.log_severity_level = 4  # its errors are raised, and told once
        try:
            self._session: Any = _make_session(artifact.file or artifact.data, options, providers)
        except Exception as error:  # ONNX Runtime's own exceptions share no other base class
            lacking = _lacking(error)
            if lacking:
                raise _no_kernel(artifact, providers, lacking) from error
            raise DamagedError(
                f"ONNX Runtime refuses the graph of '{artifact.name}': {_first_line(error)}",
                "Check the graph with 'lrn-deploy inspect', or export it again.",
            ) from error
        # It would keep the bytes for falling back to another provider, which is never wanted here.
        self._session._model_bytes = None
        provider = providers[0][0] if isinstance(providers[0], tuple) else providers[0]
        if self._session.get_providers()[0] != provider:
            raise MissingError(
                f"ONNX Runtime fell back to {self._session.get_providers()[0]} "
                f"instead of {provider}.",
                _hint("cuda"),
            )
        self.inputs = tuple(_spec(node) for node in self._session.get_inputs())
        self.outputs = tuple(_spec(node) for node in self._session.get_outputs())

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Run the graph; see :class:`lrn_deploy.backends.protocol.Session`."""
        check_feeds(self.inputs, feeds)
        names = [spec.name for spec in self.outputs]
        try:
            values = self._session.run(names, dict(feeds))
        except Exception as error:  # as above
            raise DamagedError(
                f"ONNX Runtime could not run the graph: {_first_line(error)}",
                "An operator of it does not take these shapes or types; see 'lrn-deploy inspect'.",
            ) from error
        return dict(zip(names, values, strict=True))

    def end_trace(self) -> Path:
        """Write the trace, and tell where it is."""
        return Path(self._session.end_profiling())

    def close(self) -> None:
        """Release the session."""
        self._session = None


def _make_session(model: Path | bytes, options: Any, providers: list[Any]) -> Any:
    """A session that runs on the first provider, or on none.

    ONNX Runtime registers the CPU beside every provider, gives it the nodes that the other cannot
    run, and is told here not to; its Python part would also make, or go on with, a session on the
    CPU when the provider fails.
    """
    import onnxruntime

    def make() -> Any:
        return onnxruntime.InferenceSession(model, options, providers=providers, enable_fallback=0)

    if providers[0] != _PROVIDERS["cpu"]:
        options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
        return make()
    # On x86 without VNNI the sums of two int8 products are held in 16 bits, and saturate: digits in
    # int8 were 4e-2 off instead of 1e-2. So there, and only there, weights are turned into uint8.
    options.add_session_config_entry("session.x64quantprecision", "1")
    try:
        return make()
    except Exception as error:  # ONNX Runtime's own exceptions share no other base class
        if _SHARED_WEIGHT not in str(error):
            raise
        # It cannot turn a weight that two layers share: those compute in fp32 on the same values.
        options.add_session_config_entry("session.disable_quant_qdq", "1")
        return make()


@cache
def _load_cuda() -> None:
    """Load CUDA and cuDNN from where pip puts them, where the provider itself does not look.

    Without them, a provider that is a plug-in is not even listed. Whether it starts is what counts
    in the end, so nothing that goes wrong here is told.
    """
    import onnxruntime

    load = getattr(onnxruntime, "preload_dlls", None)  # since 1.21
    if load is not None:
        with suppress(Exception), redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            load()


def _provider_options(provider: str, index: int, gpu_memory: int | None = None) -> list[Any]:
    if provider == "CUDAExecutionProvider":
        # TF32 would break fp32 parity; the plain names are what every version understands.
        # Of the algorithms that an exhaustive search finds, some are faster and far less exact.
        options = {
            "device_id": index,
            "use_tf32": 0,
            "cudnn_conv_algo_search": "HEURISTIC",
        }
        limit = {} if gpu_memory is None else {"gpu_mem_limit": gpu_memory}
        return [(provider, options | limit)]
    return [provider]


def _hint(kind: str) -> str:
    if kind == "cpu":
        return f"Install it with: {install('cpu')}"
    return (
        "In an environment without onnxruntime, on a machine with an NVIDIA GPU and driver: "
        f"{install('gpu')}"
    )


def _provider_loads(provider: str, index: int) -> bool:
    """Whether the provider survives making a session, since its mere listing proves nothing."""
    import onnx
    import onnxruntime
    from onnx import helper

    value = helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1])
    other = helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1])
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "probe", [value], [other])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    try:
        providers = _provider_options(provider, index)
        session = _make_session(model.SerializeToString(), options, providers)
        session.run(None, {"x": np.zeros(1, np.float32)})
    except Exception:  # whatever it is, the provider cannot be used
        return False
    return bool(session.get_providers()[0] == provider)


def _lacking(error: Exception) -> str:
    """What has no kernel, if that is what a refusal says; else empty."""
    for pattern, sentence in _NO_KERNEL:
        found = pattern.search(str(error))
        if found is not None:
            return sentence.format(*found.groups()).rstrip(".") + "."
    return ""


def _no_kernel(artifact: ArtifactData, providers: list[Any], lacking: str) -> NoKernelError:
    here, other = ("CPU", "GPU") if providers[0] == _PROVIDERS["cpu"] else ("GPU", "CPU")
    target = {"CPU": "cpu", "GPU": "cuda"}[here]
    return NoKernelError(
        f"ONNX Runtime has no kernel on the {here} for a node of '{artifact.name}': {lacking}",
        f"Run it on the {other}, or make a graph for the {here}: lrn-deploy optimize "
        f"{shlex.quote(artifact.bundle)} --target {target}",
    )


def _spec(item: Any) -> TensorSpec:
    shape = tuple(axis if isinstance(axis, int) else str(axis or "dynamic") for axis in item.shape)
    return TensorSpec(name=item.name, dtype=_DTYPES.get(item.type, item.type), shape=shape)


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0].rstrip(".") + "."
