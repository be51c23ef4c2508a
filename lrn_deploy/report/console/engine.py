"""An engine in sentences."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lrn_deploy.bundle import Artifact


def describe_engine(name: str, artifact: Artifact) -> list[str]:
    """What was built, line by line."""
    engine = artifact.engine
    assert engine is not None
    title = "TensorRT for RTX" if engine.flavor == "rtx" else "TensorRT"
    low, best, high = engine.batch
    peak = "" if engine.peak_memory is None else f", peak memory {engine.peak_memory / 1e6:.0f} MB"
    lines = [
        f"{name}: {artifact.file}, {artifact.size / 1e6:.1f} MB, by {title} {engine.version} "
        f"in {engine.build_seconds:.1f} s{peak}",
        f"  runs on: {', '.join(engine.targets)}; batch {low} to {high}, best at {best}; "
        f"TF32 {'on' if engine.precision == 'tf32' else 'off'}",
        f"  built from: {artifact.source} ({engine.source_sha256[:12]})",
    ]
    for layer in engine.lrn:
        reason = f": {layer.reason}" if layer.reason else ""
        lines.append(f"  LRN: {layer.name} {layer.form}{reason}")
    if engine.realised == "unknown":
        lines.append("  built, hashed and parsed; not run")
    else:
        difference = f": {engine.difference}" if engine.difference else ""
        lines.append(f"  what it computes in: {engine.realised}{difference}")
    return lines
