"""The reference of a network that was imported from an ONNX file: the file, as it was.

It is run by what runs it rightly: ONNX Runtime has no kernels for the operators of opsets before 7,
and OpenVINO has. Neither gets the graph that was made of the file, and ONNX Runtime is told to
leave this one as it is written.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx

from lrn_deploy.backends.onnxruntime import OnnxRuntimeBackend
from lrn_deploy.backends.openvino import OpenVinoBackend
from lrn_deploy.backends.protocol import Array, Probe, SessionBase, check_feeds
from lrn_deploy.backends.torch import Trace
from lrn_deploy.bundle import ArtifactData, Manifest, TensorSpec
from lrn_deploy.errors import BadInputError, DamagedError, MissingError
from lrn_deploy.onnx_files import OnnxFile, read_judged, runnable

Runtime = Literal["onnxruntime", "openvino"]

OPENVINO_BEFORE = 7
"""Files of an older opset are run by OpenVINO."""

_NAMES = {"onnxruntime": "ONNX Runtime", "openvino": "OpenVINO"}
_Run = Callable[[Mapping[str, Array], Sequence[str]], dict[str, Array]]
"""Runs a graph on feeds of its own batch, and gives the values of those names."""


def runtime_of(file: OnnxFile, opset: int) -> tuple[Runtime, str]:
    """What is to run a file as it is, and a sentence if that cannot be here.

    Args:
        file: The file, as it was judged.
        opset: The opset that it is written in.
    """
    if opset >= OPENVINO_BEFORE:
        why = _refuses_onnxruntime(runnable(file, weights=False).SerializeToString())
        if not why:
            return "onnxruntime", ""
        if not OpenVinoBackend().probe().available:
            return "onnxruntime", f"The file cannot be run as it is: {why}"
    probe = OpenVinoBackend().probe()
    if probe.available:
        return "openvino", ""
    return "openvino", (
        f"A file of opset {opset} is run as it is by OpenVINO, for 'validate' to compare with. "
        f"{probe.detail} {probe.hint}"
    )


def reopen(manifest: Manifest) -> OnnxSourceSession:
    """The file that a manifest says was imported, if it is still the same.

    Raises:
        BadInputError: If it, or a file of weights beside it, is gone or has changed.
        MissingError: If the runtime that it takes is not there.
    """
    source = manifest.model
    path = Path(source.factory)
    try:
        with path.open("rb") as stream:
            same = hashlib.file_digest(stream, "sha256").hexdigest() == source.sha256
    except OSError as error:
        raise BadInputError(
            f"'{path}', which '{source.name}' was imported from, cannot be read: {error.strerror}.",
            "Put it back, or import the network again.",
        ) from error
    file = read_judged(path)[0] if same else None
    if file is None or file.weights_sha256 != source.weights.sha256:
        raise BadInputError(
            f"'{path}' is no longer what '{source.name}' was imported from.",
            "Restore it, or import the network again.",
        )
    return OnnxSourceSession(file, source.runtime or "onnxruntime", manifest)


class OnnxSourceSession(SessionBase):
    """One ONNX file, run as it is, at the batch that it was written for.

    Args:
        file: The file, as it was judged.
        runtime: What runs it.
        manifest: Whose inputs and outputs the session has, for any batch.

    Raises:
        MissingError: If the runtime is not there.
        DamagedError: If it refuses the file.
    """

    device = "cpu"

    def __init__(self, file: OnnxFile, runtime: Runtime, manifest: Manifest) -> None:
        self.inputs = tuple(_any_batch(spec) for spec in manifest.inputs)
        self.outputs = tuple(_any_batch(spec) for spec in manifest.outputs)
        self.label = f"{runtime}:cpu"
        self._name = file.path.name
        self._as = f"in float32 for {file.types}" if file.types else "as it is"
        self._runtime = runtime
        self._model = runnable(file)
        self._tensors = {layer.module: layer.tensor for layer in manifest.layers}
        self._batch = _batch(self._model, self.inputs[0].name)
        self._run = _runner(runtime, self._model.SerializeToString(), self._name)

    @property
    def described(self) -> str:
        """What computes, for people."""
        probe = _probe(self._runtime)
        return f"{self._name} in {_NAMES[self._runtime]} {probe.version} on the CPU, {self._as}"

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Run the file; see :class:`lrn_deploy.backends.protocol.Session`."""
        return self._in_batches(self._run, feeds, [spec.name for spec in self.outputs])

    def trace(
        self, feeds: Mapping[str, Array], *, lrn_inputs: bool = False, modules: Sequence[str] = ()
    ) -> Trace:
        """Run the file and keep what it shows on the way.

        Args:
            feeds: As for :meth:`run`.
            lrn_inputs: Makes no difference: what enters an LRN is taken from the canonical graph.
            modules: Names of the manifest's layers whose values to keep.

        Raises:
            DamagedError: If the runtime cannot show one of them.
        """
        wanted = {name: self._tensors[name] for name in modules}
        del lrn_inputs
        if not modules:
            return Trace(outputs=self.run(feeds))
        marked = onnx.ModelProto()
        marked.CopyFrom(self._model)
        have = {value.name for value in marked.graph.output}
        marked.graph.output.extend(
            onnx.ValueInfoProto(name=name) for name in {*wanted.values()} - have
        )
        run = _runner(self._runtime, marked.SerializeToString(), self._name)
        names = list(dict.fromkeys([*(spec.name for spec in self.outputs), *wanted.values()]))
        made = self._in_batches(run, feeds, names)
        return Trace(
            outputs={spec.name: made[spec.name] for spec in self.outputs},
            modules={name: made[tensor] for name, tensor in wanted.items()},
        )

    def close(self) -> None:
        """Release the file's memory."""
        del self._run, self._model

    def _in_batches(
        self, run: _Run, feeds: Mapping[str, Array], names: Sequence[str]
    ) -> dict[str, Array]:
        check_feeds(self.inputs, feeds)
        if self._batch is None:
            return run(feeds, names)
        rows = len(feeds[self.inputs[0].name])
        parts: list[dict[str, Array]] = []
        for start in range(0, rows, self._batch):
            taken = np.arange(start, start + self._batch) % rows  # the last is filled up
            parts.append(run({name: values[taken] for name, values in feeds.items()}, names))
        return {name: np.concatenate([part[name] for part in parts])[:rows] for name in names}


def _runner(runtime: Runtime, data: bytes, name: str) -> _Run:
    probe = _probe(runtime)
    if not probe.available:
        raise MissingError(
            f"'{name}' is run as it is by {_NAMES[runtime]}: {probe.detail}", probe.hint
        )
    if runtime == "openvino":
        artifact = ArtifactData(name=name, format="onnx", data=data)
        compiled = OpenVinoBackend().load(artifact)

        def by_openvino(feeds: Mapping[str, Array], names: Sequence[str]) -> dict[str, Array]:
            made = compiled.run(feeds)
            return {key: np.array(made[key]) for key in names}

        return by_openvino
    try:
        session = _onnxruntime(data)
    except Exception as error:  # ONNX Runtime's own exceptions share no other base class
        raise DamagedError(
            f"ONNX Runtime refuses '{name}': {_sentence(error)}",
            "Export the network again, in an opset that it takes.",
        ) from error

    def by_onnxruntime(feeds: Mapping[str, Array], names: Sequence[str]) -> dict[str, Array]:
        try:
            values = session.run(list(names), dict(feeds))
        except Exception as error:  # as above
            raise DamagedError(
                f"ONNX Runtime could not run '{name}': {_sentence(error)}",
                "Export the network again, in an opset that it takes.",
            ) from error
        return dict(zip(names, values, strict=True))

    return by_onnxruntime


def _onnxruntime(data: bytes) -> Any:
    """A session that computes each node by its own kernel, as the file has it."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # its errors are raised, and told once
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])


def _refuses_onnxruntime(data: bytes) -> str:
    """Why ONNX Runtime does not take a graph; empty if it does, or is not there to be asked."""
    if not _probe("onnxruntime").available:
        return ""
    try:
        _onnxruntime(data)
    except Exception as error:  # as above
        return _sentence(error)
    return ""


def _probe(runtime: Runtime) -> Probe:
    return (OnnxRuntimeBackend() if runtime == "onnxruntime" else OpenVinoBackend()).probe()


def _any_batch(spec: TensorSpec) -> TensorSpec:
    return spec.model_copy(update={"shape": ("batch", *spec.shape[1:])})


def _batch(model: onnx.ModelProto, name: str) -> int | None:
    """The batch that a file is written for; None if it is of any."""
    value = next(entry for entry in model.graph.input if entry.name == name)
    first = value.type.tensor_type.shape.dim[0]
    return first.dim_value if first.HasField("dim_value") else None


def _sentence(error: Exception) -> str:
    return str(error).strip().splitlines()[0].rstrip(".") + "."
