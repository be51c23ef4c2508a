"""Fetch, import, check and measure; write ``results/trained.json``; 1 if an aim is missed."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import lrn_deploy
from benchmarks.golden import layers, openface
from benchmarks.golden.answers import (
    by_opencv,
    by_the_zoo,
    by_us,
    compared,
    denominators,
    error,
)
from benchmarks.golden.draw import RESULT
from benchmarks.golden.draw import main as draw
from benchmarks.golden.faults import all_caught, caught, floor_pools_are_refused
from benchmarks.golden.fetch import PACKAGES, fetched
from benchmarks.golden.importing import measured
from benchmarks.golden.precisions import judged, tuned
from benchmarks.harness import write_result
from lrn_deploy.backends.protocol import Array
from lrn_deploy.bundle import Bundle, Said
from lrn_deploy.models import ZOO
from lrn_deploy.workflows.optimize.calibration import crops

MEAN = ZOO["levi_hassner_age"].preprocessing.mean
PIXELS = Said(
    colors="bgr", resize=(227, 227), crop=(227, 227), scale=1.0, mean=MEAN, std=(1.0,) * 3
)
MAX_ERROR = 3e-2
"""What ``tune`` may cost."""
SAME = 1e-5
"""Relative L2 within which the two ways in give the same logits."""
FACE = (125, 10, 325, 240)
"""The face in the astronaut's photograph: left, top, right, bottom."""
OTHER_AIMS = {
    "openface": "OpenFace, the zoo's network answers as OpenCV",
    "layers": "Caffe's layers, one by one, answer as OpenCV",
}
PLACES = ((0.9, 2, 1), (0.65, 4, 2), (0.45, 5, 2))
"""How each photograph is cut into 20: share of the side, across, down."""


@dataclass(frozen=True)
class Net:
    """One of the networks.

    Attributes:
        name: What its files begin with.
        known: Probabilities that OpenCV gave elsewhere, with three digits, by image.
    """

    name: str
    known: Mapping[str, tuple[float, ...]]

    def files(self, found: Mapping[str, Path]) -> tuple[Path, Path]:
        """Its prototxt and its caffemodel."""
        return found[f"{self.name}_deploy.prototxt"], found[f"{self.name}_net.caffemodel"]


NETS = (
    Net("age", {"face": (0.014, 0.030, 0.278, 0.001, 0.008, 0.030, 0.100, 0.538)}),
    Net("gender", {"face": (0.837, 0.163)}),
)


def main() -> int:
    """Measure and write; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    instead = parser.add_mutually_exclusive_group()
    instead.add_argument(
        "--speed",
        action="store_true",
        help="time imports and tune instead, and add that to what was checked; takes minutes",
    )
    instead.add_argument(
        "--openface",
        action="store_true",
        help="check OpenFace's network instead, and add that to what was checked",
    )
    instead.add_argument(
        "--layers",
        action="store_true",
        help="hold Caffe's layers one by one against OpenCV instead, and add that",
    )
    options = parser.parse_args()
    parts = json.loads(RESULT.read_text(encoding="utf-8")) if RESULT.exists() else {}
    nets = parts.get("networks", {})
    others = {name: parts[name] for name in ("openface", "layers") if name in parts}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if options.layers:
            return written(nets, others | {"layers": layers.compared(folder)})
        files = fetched()
        if options.openface:
            faces = openface.checked(files["openface_nn4.small2.v1.t7"], pictures(files), folder)
            return written(nets, others | {"openface": faces})
        measure = timed if options.speed else checked
        nets = {net.name: nets.get(net.name, {}) | measure(net, files, folder) for net in NETS}
    return written(nets, others)


def written(nets: Mapping[str, Any], others: Mapping[str, Any]) -> int:
    """Write the result and draw it; 1 if an aim is missed."""
    aims = {
        f"{net}, {aim}": met for net, result in nets.items() for aim, met in result["aims"].items()
    }
    for what, aim in OTHER_AIMS.items():
        if what in others:
            aims[aim] = others[what]["met"]
    result: dict[str, Any] = {
        "what": "networks that were really trained: Levi and Hassner's, imported from Caffe's "
        "files, with answers beside OpenCV's, faults of LRN that validate catches, precisions and "
        "speed; OpenFace's, in the zoo's network; Caffe's layers one by one",
        "licence": "of Levi and Hassner's open: whoever runs this fetches the files, and nothing "
        "of them is shipped",
        "files": {name: digest for package in PACKAGES for name, digest in package.files.items()},
        "aims": aims,
        "networks": nets,
    }
    file = write_result("trained", {**result, **others})
    print("\n".join(f"{'met' if met else 'MISSED'}: {aim}" for aim, met in aims.items()))
    print(f"wrote {file}")
    draw()
    return int(not all(aims.values()))


def checked(net: Net, files: Mapping[str, Path], folder: Path) -> dict[str, Any]:
    """What one network answers, and what validate finds."""
    prototxt, caffemodel = net.files(files)
    images = pictures(files)
    originals, cuttings = folder / f"{net.name}-originals", folder / f"{net.name}-cuttings"
    save(images, originals)
    save(cut(images), cuttings)
    print(f"{net.name}: answers ...", flush=True)
    bundle = imported(prototxt, caffemodel, folder / net.name)
    version, theirs = by_opencv(
        prototxt,
        caffemodel,
        {**images, "face as RGB": images["face"][:, :, ::-1]},
        size=(227, 227),
        mean=MEAN,
        outputs=("fc8", "prob"),
    )
    answers = compared(bundle, theirs, net.known)
    blobs = {image: theirs[image].blob for image in images}
    zoo = {
        image: error(logits, by_us(bundle, blobs[image], ["fc8"])["fc8"])
        for image, logits in by_the_zoo(
            f"levi_hassner_{net.name}", prototxt, caffemodel, blobs, folder
        ).items()
    }
    print(f"{net.name}: faults ...", flush=True)
    rows = caught(bundle, originals, blobs, "fc8")
    refused = floor_pools_are_refused(prototxt, caffemodel, folder)
    print(f"{net.name}: precisions ...", flush=True)
    logits = without_last(prototxt, "prob", folder / f"{net.name}_logits.prototxt")
    bare = imported(logits, caffemodel, folder / f"{net.name}-logits")
    precisions = judged(bare, cuttings)
    return {
        "opencv": version,
        "answers": answers,
        "zoo_relative_l2": zoo,
        "denominators": {image: denominators(bundle, blob) for image, blob in blobs.items()},
        "faults": rows,
        "floor_pools": refused,
        "precisions": precisions,
        "aims": {
            "answers as known and as OpenCV's": answers["met"],
            "every fault of LRN caught on photographs": all_caught(rows),
            "pools that round down refused at fc6": "fc6" in refused,
            "the zoo's network answers alike": max(zoo.values()) <= SAME,
        },
    }


def timed(net: Net, files: Mapping[str, Path], folder: Path) -> dict[str, Any]:
    """How long one network's import takes, and what tune chooses for it."""
    prototxt, caffemodel = net.files(files)
    cuttings = folder / f"{net.name}-cuttings"
    save(cut(pictures(files)), cuttings)
    print(f"{net.name}: import ...", flush=True)
    importing = measured(prototxt, caffemodel, folder / f"{net.name}-timed")
    print(f"{net.name}: tune ...", flush=True)
    logits = without_last(prototxt, "prob", folder / f"{net.name}_logits.prototxt")
    bundle = imported(logits, caffemodel, folder / f"{net.name}-tuned")
    return {"import": importing, "tune": tuned(bundle, cuttings, MAX_ERROR)}


def imported(prototxt: Path, caffemodel: Path, path: Path) -> Bundle:
    """The network as a new bundle, with the pixels that it was trained on."""
    lrn_deploy.import_model((prototxt, caffemodel), path, preprocessing=PIXELS)
    return Bundle.open(path)


def pictures(files: Mapping[str, Path]) -> dict[str, Array]:
    """Four photographs, of shape (H, W, 3), uint8, RGB; the first is a face."""
    astronaut, coffee, cat = (
        Image.open(files[f"{name}.png"]).convert("RGB")
        for name in ("astronaut", "coffee", "chelsea")
    )
    images = {"face": astronaut.crop(FACE), "whole": astronaut, "coffee": coffee, "cat": cat}
    return {name: np.asarray(image) for name, image in images.items()}


def cut(images: Mapping[str, Array]) -> dict[str, Array]:
    """The face, and 20 square cuttings of each of the three photographs."""
    taken = {"face": images["face"]}
    for name in ("whole", "coffee", "cat"):
        for number, part in enumerate(crops(Image.fromarray(images[name]), PLACES)):
            taken[f"{name}-{number}"] = np.asarray(part)
    return taken


def save(images: Mapping[str, Array], folder: Path) -> None:
    """Write each image as a PNG of its name."""
    folder.mkdir()
    for name, image in images.items():
        Image.fromarray(image).save(folder / f"{name}.png")


def without_last(prototxt: Path, name: str, target: Path) -> Path:
    """The network without its last layer, so that its output is the logits."""
    text = prototxt.read_text(encoding="utf-8")
    before, layers, last = text.rpartition("layers")
    if f'"{name}"' not in last or not layers:
        raise ValueError(f"The last layer of '{prototxt}' is not '{name}'.")
    target.write_text(before, encoding="utf-8")
    return target


if __name__ == "__main__":
    sys.exit(main())
