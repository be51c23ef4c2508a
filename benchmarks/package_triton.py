"""Every network of the zoo, packaged for Triton and loaded in the real tritonserver.

Each is exported and packaged with the Python backend, the only one that runs without a container;
then tritonserver is asked for what the bundle answers itself: tensors over HTTP and over gRPC,
and photographs as JPEG files through the ensemble.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tritonclient.grpc
import tritonclient.http
from numpy.typing import NDArray

from benchmarks.harness import write_result
from benchmarks.peers.environments import REQUIREMENTS
from benchmarks.peers.triton import serving
from lrn_deploy.backends.onnxruntime import OnnxRuntimeBackend
from lrn_deploy.backends.protocol import Session
from lrn_deploy.bundle import Bundle
from lrn_deploy.datatypes import NAMES
from lrn_deploy.export import ExportOptions, export_bundle
from lrn_deploy.images import examples
from lrn_deploy.images.decode import decode
from lrn_deploy.images.preprocess import preprocess
from lrn_deploy.models import ZOO
from lrn_deploy.package.options import PackageOptions
from lrn_deploy.package.package import package
from lrn_deploy.progress import silent

Array = NDArray[Any]
TOLERANCE = 1e-5
"""Largest difference to the bundle's own answer, as a part of the largest number in it."""
_BATCHES = (1, 3)
_TIMEOUT = 300.0


def main() -> int:
    """Measure, print and write the result; returns 0 if every answer is the bundle's."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("networks", nargs="*", choices=[*ZOO, []], help="default: every one")
    parser.add_argument("--name", default="package_triton", help="of the result's file")
    chosen = parser.parse_args()
    rows = {}
    for name in chosen.networks or ZOO:
        rows[name] = measure(name)
        print(
            f"{name:<22} loads in {rows[name]['load_seconds']:5.1f} s; differs by "
            f"{rows[name]['worst_relative']:.1e} at most: {rows[name]['verdict']}",
            flush=True,
        )
    file = write_result(
        chosen.name,
        {
            "what": "packages of the zoo's networks in tritonserver 2.51.0, its Python backend, on "
            "the CPU: answers beside those of the bundle itself; a difference is relative to the "
            "largest number of the answer",
            "peers": list(REQUIREMENTS["triton"]),
            "tolerance": TOLERANCE,
            "networks": rows,
        },
    )
    print(f"wrote {file.relative_to(Path.cwd()) if file.is_relative_to(Path.cwd()) else file}")
    return int(any(row["verdict"] != "pass" for row in rows.values()))


def measure(name: str) -> dict[str, Any]:
    """Export, package, serve and ask one network."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        bundle = export_bundle(ExportOptions(name), folder / "bundle")
        start = time.perf_counter()
        options = PackageOptions("triton", triton_backend="python", name=name)
        made = package(bundle, folder / "repository", options, silent, force=False)
        packaged = time.perf_counter() - start
        beside = PackageOptions("triton", triton_backend="onnxruntime", name=name)
        other = package(bundle, folder / "for-onnxruntime", beside, silent, force=False)
        with serving(folder / "server", made.path, load="") as server:
            with contextlib.closing(
                tritonclient.http.InferenceServerClient(
                    server.http, connection_timeout=_TIMEOUT, network_timeout=_TIMEOUT
                )
            ) as client:
                start = time.perf_counter()
                client.load_model(name)
                loaded = time.perf_counter() - start
                images = bundle.manifest.preprocessing is not None
                if images:
                    client.load_model(f"{name}_preprocess")
                    client.load_model(f"{name}_image")
            answers = compare(bundle, server.http, server.grpc, name, images=images)
    worst = max(row["relative"] for row in answers)
    return {
        "verdict": "pass" if worst <= TOLERANCE else "fail",
        "worst_relative": worst,
        "worst_absolute": max(row["absolute"] for row in answers),
        "package_seconds": packaged,
        "load_seconds": loaded,
        "files": len(made.record.files),
        "artifact": made.record.artifact,
        "notes": list(made.record.notes),
        "notes_for_onnxruntime": list(other.record.notes),
        "answers": answers,
    }


def compare(bundle: Bundle, http: str, grpc: str, name: str, *, images: bool) -> list[Any]:
    """A row for each question, with how far the server's answer is from the bundle's own."""
    rows: list[dict[str, Any]] = []
    with OnnxRuntimeBackend().load(bundle.load("model")) as session:
        for batch in _BATCHES:
            feeds = _inputs(bundle, batch)
            own = session.run(feeds)
            for transport, address in (("http", http), ("grpc", grpc)):
                answer = ask(transport, address, name, feeds, list(own))
                rows += differences(f"tensors, batch {batch}", transport, own, answer)
        if images:
            files = photographs()
            own = _of_images(bundle, session, files)
            column = {"image": np.array(files, np.object_)[:, None]}
            for transport, address in (("http", http), ("grpc", grpc)):
                answer = ask(transport, address, f"{name}_image", column, list(own))
                rows += differences(f"{len(files)} photographs", transport, own, answer)
    return rows


def ask(
    transport: str, address: str, model: str, feeds: dict[str, Array], outputs: Sequence[str]
) -> dict[str, Array]:
    """One request through tritonclient.

    Args:
        transport: ``http`` or ``grpc``.
        address: Host and port.
        model: Name of the model.
        feeds: The inputs; bytes where they are objects.
        outputs: The outputs that are wanted.
    """
    library: Any = tritonclient.http if transport == "http" else tritonclient.grpc
    more = {"network_timeout": _TIMEOUT} if transport == "http" else {}
    with contextlib.closing(library.InferenceServerClient(address, **more)) as client:
        inputs = []
        for key, array in feeds.items():
            kind = "BYTES" if array.dtype == np.object_ else NAMES[array.dtype]
            inputs.append(library.InferInput(key, array.shape, kind))
            inputs[-1].set_data_from_numpy(array)
        wanted = [library.InferRequestedOutput(output) for output in outputs]
        result = client.infer(model, inputs, outputs=wanted)
        return {output: result.as_numpy(output) for output in outputs}


def photographs() -> list[bytes]:
    """Two photographs as JPEG files."""
    files = []
    for photo in examples.photographs():
        stream = io.BytesIO()
        photo.image.save(stream, "JPEG", quality=90)
        files.append(stream.getvalue())
    return files


def _inputs(bundle: Bundle, batch: int) -> dict[str, Array]:
    draw = np.random.default_rng(batch)
    made: dict[str, Array] = {}
    for spec in bundle.manifest.inputs:
        shape, dtype = spec.at_batch(batch), np.dtype(spec.dtype)
        if dtype.kind == "f":
            made[spec.name] = draw.standard_normal(shape).astype(dtype)
        else:
            low, high = (spec.values.low, spec.values.high) if spec.values else (0, 255)
            made[spec.name] = draw.integers(low, high, shape, dtype, endpoint=True)
    return made


def _of_images(bundle: Bundle, session: Session, files: list[bytes]) -> dict[str, Array]:
    told = bundle.manifest.preprocessing
    assert told is not None
    rows = [preprocess(decode(content).image, told) for content in files]
    return session.run({session.inputs[0].name: np.stack(rows)})


def differences(
    question: str, transport: str, own: dict[str, Array], answer: dict[str, Array]
) -> list[dict[str, Any]]:
    """How far an answer is from the bundle's own, a row for each output."""
    rows = []
    for output, expected in own.items():
        found = answer[output]
        same = found.shape == expected.shape and found.dtype == expected.dtype
        absolute = float(np.abs(found - expected).max()) if same else float("inf")
        largest = float(np.abs(expected).max())
        rows.append(
            {
                "question": question,
                "transport": transport,
                "output": output,
                "absolute": absolute,
                "relative": absolute / largest if largest else absolute,
                "equal": bool(np.array_equal(found, expected)),
            }
        )
    return rows


if __name__ == "__main__":
    raise SystemExit(main())
