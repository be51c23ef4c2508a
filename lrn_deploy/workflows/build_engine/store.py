"""An engine's place in its bundle: found again by its key, written whole, and reported on."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

from lrn_deploy import __version__
from lrn_deploy.bundle import Artifact, Bundle, EngineLrn, EngineRecord, FileRecord, LrnLayer
from lrn_deploy.tensorrt.build import BuiltEngine
from lrn_deploy.tensorrt.flavor import Flavor
from lrn_deploy.tensorrt.layers import NetworkRecord


def report_lrn(layers: Iterable[LrnLayer], nodes: tuple[EngineLrn, ...]) -> tuple[EngineLrn, ...]:
    """One entry for each LRN layer of the network, in its order.

    The graph has an LRN node for each layer that the export did not write out, in the same order;
    where a pass has changed that, its nodes are listed as they are.
    """
    layers = tuple(layers)
    written = [layer for layer in layers if layer.form == "written out"]
    if len(written) + len(nodes) != len(layers):
        return nodes
    rest = iter(nodes)
    return tuple(
        EngineLrn(name=layer.name, form="written out", reason=f"by the export: {layer.reason}")
        if layer.form == "written out"
        else next(rest).model_copy(update={"name": layer.name})
        for layer in layers
    )


def store_engine(
    bundle: Bundle,
    name: str,
    key: str,
    source: str,
    flavor: Flavor,
    engine: EngineRecord,
    built: BuiltEngine,
    realised: NetworkRecord | None,
) -> Bundle:
    """Write the engine and what belongs to it, then the manifest, then remove what it replaces.

    The key in the files' names keeps them apart from those that the manifest still names, so that
    the bundle is whole at every moment.

    Raises:
        CannotWriteError: If that fails; what was written is then removed.
    """
    old = _files(bundle.manifest.artifacts.get(name))
    stem = f"engines/{name}.{key[:8]}"
    contents = {f"{stem}.engine": built.data}
    requested = NetworkRecord(kind="requested", engine=name, layers=built.layers)
    contents[f"{stem}.network.json"] = _json(requested)
    if realised is not None:
        contents[f"{stem}.layers.json"] = _json(realised)
    try:
        file, *companions = [bundle.add_file(path, data) for path, data in contents.items()]
        artifact = _artifact(file, companions, key, source, flavor, engine)
        bundle = bundle.add_artifact(name, artifact)
    except BaseException:
        _remove(bundle, set(contents) - old)
        raise
    _remove(bundle, old - set(contents))
    return bundle


def _artifact(
    file: FileRecord,
    companions: list[FileRecord],
    key: str,
    source: str,
    flavor: Flavor,
    engine: EngineRecord,
) -> Artifact:
    return Artifact(
        **file.model_dump(),
        companions=tuple(companions),
        format=flavor.format,
        precision=engine.precision,
        target="+".join(engine.targets),
        built_by={
            "command": "build-engine",
            "lrn-deploy": __version__,
            flavor.title: flavor.version,
        },
        source=source,
        key=key,
        options={"batch": list(engine.batch), "workspace": engine.workspace},
        engine=engine,
    )


def _files(artifact: Artifact | None) -> set[str]:
    return set() if artifact is None else {file.file for file in (artifact, *artifact.companions)}


def _remove(bundle: Bundle, files: set[str]) -> None:
    for file in files:
        with suppress(OSError):  # what is left over does no harm: no manifest names it
            (bundle.path / file).unlink()
    with suppress(OSError):  # it is not empty
        (bundle.path / "engines").rmdir()


def _json(record: NetworkRecord) -> bytes:
    return (record.model_dump_json(indent=2, exclude_none=True) + "\n").encode()
