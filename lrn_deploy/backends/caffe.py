"""The reference of a network that was imported from Caffe: its own files, in float64 NumPy."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from lrn_deploy.backends.protocol import Array, SessionBase, check_feeds
from lrn_deploy.backends.torch import Trace
from lrn_deploy.bundle import Manifest, TensorSpec
from lrn_deploy.caffe import CaffeNetwork, read, run
from lrn_deploy.errors import BadInputError


def reopen(manifest: Manifest) -> CaffeSession:
    """The network that a manifest says was imported, from the very same files.

    Raises:
        BadInputError: If a file is gone or has changed.
    """
    source = manifest.model
    prototxt, weights = Path(source.factory), Path(source.weights.file or "")
    for path, digest in ((prototxt, source.sha256), (weights, source.weights.sha256)):
        try:
            with path.open("rb") as file:
                same = hashlib.file_digest(file, "sha256").hexdigest() == digest
        except OSError as error:
            raise BadInputError(
                f"'{path}', which '{source.name}' was imported from, cannot be read: "
                f"{error.strerror}.",
                "Put it back, or import the network again.",
            ) from error
        if not same:
            raise BadInputError(
                f"'{path}' is no longer what '{source.name}' was imported from.",
                "Restore it, or import the network again.",
            )
    network = read(prototxt, weights, input_shape=source.input_shape, stages=source.stages)
    return CaffeSession(network, manifest.inputs, manifest.outputs)


class CaffeSession(SessionBase):
    """One network, computed in float64 and given in float32."""

    device = "cpu"
    label = "numpy:cpu"

    def __init__(
        self,
        network: CaffeNetwork,
        inputs: tuple[TensorSpec, ...],
        outputs: tuple[TensorSpec, ...],
    ) -> None:
        self.inputs = inputs
        self.outputs = outputs
        self._network = network

    @property
    def described(self) -> str:
        """What computes, for people."""
        return f"Caffe's rules in NumPy {np.__version__}, float64 on the CPU"

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Run the network; see :class:`lrn_deploy.backends.protocol.Session`."""
        return self.trace(feeds).outputs

    def trace(
        self, feeds: Mapping[str, Array], *, lrn_inputs: bool = False, modules: Sequence[str] = ()
    ) -> Trace:
        """Run the network and keep what it shows on the way.

        Args:
            feeds: As for :meth:`run`.
            lrn_inputs: Keep what enters every LRN across channels.
            modules: Names of the layers whose first outputs to keep.

        Raises:
            BadInputError: If the feeds do not fit, or there is no layer of such a name.
        """
        check_feeds(self.inputs, feeds)
        values = run(self._network, feeds, everything=True)
        layers = {layer.name: layer for layer in self._network.layers}
        absent = [name for name in modules if name not in layers]
        if absent:
            raise BadInputError(f"The network has no layer '{absent[0]}'.")
        across = [layer for layer, own in self._network.lrns if own.spec is not None]
        return Trace(
            outputs={spec.name: _single(values[spec.name]) for spec in self.outputs},
            lrn_inputs=tuple(_single(values[layer.inputs[0]]) for layer in across if lrn_inputs),
            modules={name: _single(values[layers[name].outputs[0]]) for name in modules},
        )


def _single(values: Array) -> Array:
    with np.errstate(over="ignore"):
        return values.astype(np.float32)
