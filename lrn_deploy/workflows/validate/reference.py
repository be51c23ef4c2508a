"""The reference of a bundle: the network that it was made of, in PyTorch or from its own files."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

import numpy as np

from lrn_deploy.backends import caffe, onnx_source
from lrn_deploy.backends.caffe import CaffeSession
from lrn_deploy.backends.onnx_source import OnnxSourceSession
from lrn_deploy.backends.onnxruntime import OnnxRuntimeBackend
from lrn_deploy.backends.protocol import Array, Session
from lrn_deploy.backends.torch import TorchBackend, TorchSession
from lrn_deploy.bundle import Bundle, Manifest
from lrn_deploy.errors import BadInputError
from lrn_deploy.parity import graph
from lrn_deploy.parity.activity import layer_activity, layer_labels
from lrn_deploy.placement import MODEL

if TYPE_CHECKING:
    from torch import nn

ReferenceSession = TorchSession | CaffeSession | OnnxSourceSession

_held: WeakValueDictionary[str, nn.Module] = WeakValueDictionary()
"""Modules that programs exported or gave, by the digest of the canonical graph."""

WRAPPED = "network"
"""Where the network stands in the module that does its preprocessing as well."""
TOP = "(top)"
"""What a manifest calls a network that is one single layer."""


def open_reference(manifest: Manifest, backend: TorchBackend) -> ReferenceSession:
    """The network that the bundle was made of, with the inputs of its graph.

    Raises:
        MissingError: If torch or the device is not there.
        BadInputError: If the network or its weights are gone or have changed.
    """
    if manifest.model.origin == "caffe":
        return caffe.reopen(manifest)
    if manifest.model.origin == "onnx":
        return onnx_source.reopen(manifest)
    from lrn_deploy.network import reload_network

    held = _held.get(_exported(manifest))
    # A copy: a session moves its module to its device.
    module = reload_network(manifest.model).module if held is None else copy.deepcopy(held)
    if manifest.preprocessing is not None and manifest.preprocessing.in_graph:
        from lrn_deploy.export.wrapper import with_preprocessing

        module = with_preprocessing(module, manifest.preprocessing)
    return backend.open(module, manifest.inputs, manifest.outputs)


def reference_names(manifest: Manifest) -> tuple[str, str]:
    """What the reference of a bundle is called, and what computes it."""
    if manifest.model.origin == "caffe":
        return "Caffe's files", "numpy"
    if manifest.model.origin == "onnx":
        return "The file that was imported", str(manifest.model.runtime)
    return "PyTorch", "torch"


def hold(manifest: Manifest, module: nn.Module) -> None:
    """Take ``module`` for the reference of a bundle, as long as the caller keeps it.

    For a bundle that was exported from a module that a program had made: no factory makes it again.
    """
    _held[_exported(manifest)] = module


def _exported(manifest: Manifest) -> str:
    return manifest.artifact(MODEL).sha256


@contextmanager
def open_raised(bundle: Bundle) -> Iterator[Session | None]:
    """The canonical graph, which also gives what enters the LRN layers that were raised.

    The reference cannot tell: they are some operators among others there. None if there are none.
    """
    raised = [layer.input for layer in bundle.manifest.lrn_layers if not layer.traced]
    names = set(raised) - {spec.name for spec in bundle.manifest.inputs}
    if not names:
        yield None
        return
    whole = bundle.load(MODEL)
    data = graph.with_outputs(graph.parse(whole.data), sorted(names))
    with OnnxRuntimeBackend().load(replace(whole, data=data)) as session:
        yield session


def trace_activity(
    manifest: Manifest,
    session: ReferenceSession,
    feeds: Mapping[str, Array],
    raised: Session | None = None,
) -> tuple[dict[str, Array], dict[str, float]]:
    """The reference's outputs, and the activity of each LRN layer, by its label.

    Args:
        manifest: The bundle's.
        session: The reference.
        feeds: Inputs by name.
        raised: As :func:`open_raised` gives it; the layers that need it.

    Raises:
        BadInputError: If the network no longer has the LRN layers that the manifest lists.
    """
    trace = session.trace(feeds, lrn_inputs=True)
    called = [layer for layer in manifest.lrn_layers if layer.traced]
    if len(trace.lrn_inputs) != len(called):
        raise BadInputError(
            f"The manifest lists {len(called)} LRN layers that PyTorch was called for, "
            f"the network in PyTorch has {len(trace.lrn_inputs)}.",
            "The network's code has changed: export the bundle again.",
        )
    seen = iter(trace.lrn_inputs)
    inside = {**feeds, **(_inside(raised, feeds) if raised is not None else {})}
    activities = (
        layer_activity(
            next(seen) if layer.traced else inside[layer.input],
            layer.spec,
            layer.convention,
        )
        for layer in manifest.lrn_layers
    )
    return trace.outputs, dict(zip(lrn_labels(manifest), activities, strict=True))


def _inside(session: Session, feeds: Mapping[str, Array]) -> dict[str, Array]:
    """What a session makes of any number of rows, whatever batch it takes."""
    batch = session.inputs[0].shape[0]
    if not isinstance(batch, int):
        return session.run(feeds)
    rows = len(next(iter(feeds.values())))
    parts = [
        session.run({name: values[at : at + batch] for name, values in feeds.items()})
        for at in range(0, rows, batch)
    ]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def lrn_labels(manifest: Manifest) -> tuple[str, ...]:
    """What to call the LRN layers of a manifest, each by another name."""
    return layer_labels([layer.name for layer in manifest.lrn_layers])


def trace_layers(
    manifest: Manifest, session: ReferenceSession, feeds: Mapping[str, Array]
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
