"""``lrn-deploy classify``."""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lrn_deploy.cli.common import output
from lrn_deploy.cli.common.options import gpu_memory_option
from lrn_deploy.cli.common.output import emit, json_option, people
from lrn_deploy.cli.common.places import any_bundle
from lrn_deploy.errors import CHECK_FAILED, DONE
from lrn_deploy.report.console.export import warn_assumed

if TYPE_CHECKING:
    from rich.table import Table

    from lrn_deploy.workflows.classify import ImageResult


@click.command("classify")
@any_bundle
@click.argument("images", nargs=-1, required=True, metavar="IMAGE...")
@click.option(
    "--top", default=5, show_default=True, type=click.IntRange(1), help="Classes to report."
)
@click.option(
    "--batch-size",
    default=8,
    show_default=True,
    type=click.IntRange(1),
    help="Images that the network takes at once.",
)
@click.option("--device", default="cpu", show_default=True, help="cpu, cuda or cuda:N.")
@gpu_memory_option
@click.option(
    "--artifact", metavar="NAME", help="Run this artifact, not what the bundle was tuned to."
)
@click.option("--jsonl", is_flag=True, help="Print one JSON object for each image, as they come.")
@click.option(
    "--max-pixels",
    default=64_000_000,
    show_default=True,
    type=click.IntRange(1),
    help="Refuse larger images, before decoding them.",
)
@click.option(
    "--max-bytes",
    default=64 * 2**20,
    show_default=True,
    type=click.IntRange(1),
    help="Refuse larger files.",
)
@click.option(
    "--engine",
    type=click.Choice(["own", "ray"]),
    default="own",
    show_default=True,
    help="ray classifies with many processes, or machines, to --out; see docs/ray.md.",
)
@click.option(
    "--out",
    metavar="FOLDER",
    help="With --engine ray: where the Parquet files go; a further run does what is missing.",
)
@click.option(
    "--column",
    default="image",
    show_default=True,
    help="With --engine ray: the column of images of Parquet files.",
)
@click.option(
    "--workers",
    default=0,
    type=click.IntRange(0),
    help="With --engine ray: processes; 0: one for each CPU or GPU.",
)
@click.option(
    "--ray-address",
    default="",
    help="Ray cluster to run on, auto for this machine's; else one is started here.",
)
@json_option
def command(
    bundle: Path,
    images: tuple[str, ...],
    top: int,
    batch_size: int,
    device: str,
    gpu_memory: int | None,
    artifact: str | None,
    jsonl: bool,
    max_pixels: int,
    max_bytes: int,
    engine: str,
    out: str | None,
    column: str,
    workers: int,
    ray_address: str,
    as_json: bool,
) -> int:
    """Classify images with a bundle's network.

    IMAGE is a file, a folder (the images directly in it), a quoted glob, or - for an image on
    standard input. An image that cannot be read is reported, the rest go on, and the exit code
    is 1.

    \b
    Example:
      lrn-deploy classify alexnet photo.jpg
      lrn-deploy classify alexnet photos 'more/**/*.png' --top 3 --jsonl > labels.jsonl
    """
    from lrn_deploy.bundle import Bundle
    from lrn_deploy.bundle.staleness import artifact_note
    from lrn_deploy.errors import BadInputError
    from lrn_deploy.images.collect import collect
    from lrn_deploy.images.decode import ImageLimits
    from lrn_deploy.workflows.choice import pick_named
    from lrn_deploy.workflows.classify import classify, weights_note

    if jsonl and as_json:
        raise BadInputError("--json and --jsonl exclude each other.", "Choose one of them.")
    if (engine == "ray") != bool(out):
        raise BadInputError(
            "--engine ray and --out FOLDER need each other.",
            "Without both, --jsonl prints a line for each image.",
        )
    if out:
        return _on_ray(
            images,
            as_json=as_json or jsonl,
            out=out,
            column=column,
            artifact=artifact,
            device=device,
            gpu_memory=gpu_memory,
            batch_size=batch_size,
            top=top,
            limits=ImageLimits(max_bytes=max_bytes, max_pixels=max_pixels),
            workers=workers,
            address=ray_address,
        )
    opened = Bundle.open(bundle)
    manifest = opened.manifest
    limits = ImageLimits(max_bytes=max_bytes, max_pixels=max_pixels)
    sources = collect(images, stdin=sys.stdin.buffer, limits=limits)
    picked = pick_named(opened, device, artifact=artifact, gpu_memory=gpu_memory)
    name, backend = picked.artifact, picked.backend

    results = []
    stdout = sys.stdout  # before the bar puts its own in that place
    bar = output.bar()
    bar.disable |= jsonl and stdout.isatty()  # there the lines themselves show the progress
    with _pillow_quiet(), bar:
        task = bar.add_task("Classifying", total=len(sources))
        for result in classify(
            opened,
            sources,
            backend=backend,
            artifact=name,
            batch_size=batch_size,
            top=top,
            limits=limits,
            on_batch=lambda count: bar.advance(task, count),
        ):
            results.append(result)
            if jsonl:
                click.echo(json.dumps(_line(result, manifest.model.weights.kind)), file=stdout)

    failed = [result for result in results if result.error]
    say, complain = people(as_json or jsonl), people(as_json=True)
    note = weights_note(manifest)
    doubts = [warn_assumed(manifest.preprocessing, bundle), artifact_note(manifest, name)]
    if as_json:
        emit(
            {
                "bundle": str(bundle),
                "model": manifest.model.name,
                "artifact": name,
                "backend": backend.name,
                "device": backend.device,
                "weights": manifest.model.weights.kind,
                "note": note,
                "warnings": [doubt for doubt in doubts if doubt],
                "failed": len(failed),
                "results": [_line(result, manifest.model.weights.kind) for result in results],
            }
        )
    elif not jsonl and len(failed) < len(results):
        if not say.is_terminal:
            say.width = 1000  # a table in a file or a pipe is cut nowhere
        say.print(_table(results))
    for result in failed:
        complain.print(f"Error: {_printable(result.error)}", style="red", markup=False)
        complain.print(f"Hint: {_printable(result.hint)}", markup=False)
    for doubt in doubts:
        if doubt:
            complain.print(f"Warning: {doubt}", style="yellow", markup=False)
    if note:
        say.print(f"Note: {note}", style="yellow", markup=False)
    count = len(results) - len(failed)
    say.print(
        f"Classified {count} of {len(results)} images with {manifest.model.name} "
        f"({name}, {backend.name} on {backend.device})"
        + (f"; {len(failed)} failed." if failed else "."),
        markup=False,
    )
    return CHECK_FAILED if failed else DONE


def _on_ray(images: tuple[str, ...], *, as_json: bool, out: str, **said: Any) -> int:
    """Classify to a folder of Parquet files, and tell what came of it."""
    from lrn_deploy.cluster.classify.run import classify_on_ray

    bundle = str(click.get_current_context().params["bundle"])  # a URL as it was written
    with output.progress("Starting Ray") as progress:
        tally = classify_on_ray(bundle, images, out=out, progress=progress, **said)
    if as_json:
        emit({"bundle": bundle, "out": out, **asdict(tally)})
    people(as_json).print(
        f"Classified {tally.classified} of {tally.images} images to '{out}'"
        + (f"; {tally.before} were done before" if tally.before else "")
        + (f"; {tally.bad} could not be, '{out}/_bad' says why." if tally.bad else "."),
        markup=False,
    )
    return CHECK_FAILED if tally.bad else DONE


def _line(result: ImageResult, weights: str) -> dict[str, Any]:
    """One result as JSON; every field is always there."""
    width, height = result.size or (None, None)
    return {
        "image": result.name,
        "width": width,
        "height": height,
        "weights": weights,
        "predictions": [asdict(prediction) for prediction in result.predictions],
        "note": result.note or None,
        "error": result.error or None,
        "hint": result.hint or None,
    }


def _table(results: Iterable[ImageResult]) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD)
    table.add_column("Image", overflow="fold")
    table.add_column("Class", overflow="fold")
    table.add_column("Probability", justify="right")
    for result in results:
        name = f"{result.name} ({result.note})" if result.note else result.name
        for prediction in result.predictions:
            label = prediction.label or f"class {prediction.index}"
            table.add_row(
                Text(_printable(name)), Text(_printable(label)), f"{prediction.probability:7.2%}"
            )
            name = ""
    return table


def _printable(text: str) -> str:
    """``text`` without what a terminal would obey or could not print: a file may have any name."""
    legible = text.encode("utf-8", "backslashreplace").decode()
    return "".join(char if char.isprintable() else f"\\x{ord(char):02x}" for char in legible)


@contextmanager
def _pillow_quiet() -> Iterator[None]:
    """Silence Pillow's warnings, which name neither the file nor what to do; our errors do."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\.")
        yield
