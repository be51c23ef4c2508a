"""The reference of a bundle: the network in PyTorch that it was exported from."""

from __future__ import annotations

from collections.abc import Mapping

from lrn_deploy.backends.protocol import Array
from lrn_deploy.backends.torch import TorchBackend, TorchSession
from lrn_deploy.bundle import Manifest
from lrn_deploy.errors import BadInputError
from lrn_deploy.parity.activity import layer_activity, layer_labels

WRAPPED = "network"
"""Where the network stands in the module that does its preprocessing as well."""
TOP = "(top)"
"""What a manifest calls a network that is one single layer."""


def open_reference(manifest: Manifest, backend: TorchBackend) -> TorchSession:
    """The network that the bundle was exported from, with the inputs of its graph.

    Raises:
        MissingError: If torch or the device is not there.
        BadInputError: If the network or its weights are gone or have changed.
    """
    from lrn_deploy.network import reload_network

    module = reload_network(manifest.model).module
    if manifest.preprocessing is not None and manifest.preprocessing.in_graph:
        from lrn_deploy.export.wrapper import with_preprocessing

        module = with_preprocessing(module, manifest.preprocessing)
    return backend.open(module, manifest.inputs, manifest.outputs)


def trace_activity(
    manifest: Manifest, session: TorchSession, feeds: Mapping[str, Array]
) -> tuple[dict[str, Array], dict[str, float]]:
    """The reference's outputs, and the activity of each LRN layer, by its label.

    Raises:
        BadInputError: If the network no longer has the LRN layers that the manifest lists.
    """
    trace = session.trace(feeds, lrn_inputs=True)
    if len(trace.lrn_inputs) != len(manifest.lrn_layers):
        raise BadInputError(
            f"The manifest lists {len(manifest.lrn_layers)} LRN layers, "
            f"the network in PyTorch has {len(trace.lrn_inputs)}.",
            "The network's code has changed: export the bundle again.",
        )
    activities = (
        layer_activity(x, layer.spec)
        for x, layer in zip(trace.lrn_inputs, manifest.lrn_layers, strict=True)
    )
    return trace.outputs, dict(zip(lrn_labels(manifest), activities, strict=True))


def lrn_labels(manifest: Manifest) -> tuple[str, ...]:
    """What to call the LRN layers of a manifest, each by another name."""
    return layer_labels([layer.name for layer in manifest.lrn_layers])


def trace_layers(
    manifest: Manifest, session: TorchSession, feeds: Mapping[str, Array]
) -> dict[str, Array]:
    """The output of every module that the manifest's ``layers`` name, by the name it has there.

    Raises:
        BadInputError: If the network no longer has one of them.
    """
    wrapped = manifest.preprocessing is not None and manifest.preprocessing.in_graph
    paths = {layer.module: _path(layer.module, wrapped=wrapped) for layer in manifest.layers}
    modules = session.trace(feeds, modules=tuple(paths.values())).modules
    return {name: modules[path] for name, path in paths.items()}


def _path(name: str, *, wrapped: bool) -> str:
    own = "" if name == TOP else name
    return ".".join(part for part in (WRAPPED if wrapped else "", own) if part)
