"""The judgements of ``make golden``, on a tiny network of Caffe's: no network, no other package."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import lrn_deploy
from benchmarks.golden.__main__ import cut, save, without_last
from benchmarks.golden.answers import Answers, compared, denominators
from benchmarks.golden.faults import (
    FAULTS,
    all_caught,
    caught,
    floor_pools_are_refused,
    planted,
)
from benchmarks.golden.fetch import check_digest
from benchmarks.golden.precisions import judged
from lrn_deploy.bundle import Bundle, Said, sha256
from lrn_deploy.caffe import read, run
from tests.support.caffe_files import write

TEXT = """name: "tiny" input: "data" input_dim: 10 input_dim: 3 input_dim: 16 input_dim: 16
layers { name: "conv1" type: CONVOLUTION bottom: "data" top: "conv1"
  convolution_param { num_output: 6 kernel_size: 3 } }
layers { name: "relu1" type: RELU bottom: "conv1" top: "conv1" }
layers { name: "pool1" type: POOLING bottom: "conv1" top: "pool1"
  pooling_param { pool: MAX kernel_size: 3 stride: 2 } }
layers { name: "norm1" type: LRN bottom: "pool1" top: "norm1"
  lrn_param { local_size: 5 alpha: 0.0001 beta: 0.75 } }
layers { name: "fc6" type: INNER_PRODUCT bottom: "norm1" top: "fc6"
  inner_product_param { num_output: 8 } }
layers { name: "fc8" type: INNER_PRODUCT bottom: "fc6" top: "fc8"
  inner_product_param { num_output: 5 } }
layers { name: "prob" type: SOFTMAX bottom: "fc8" top: "prob" }
"""
PIXELS = Said(
    colors="bgr", resize=(16, 16), crop=(16, 16), scale=1.0, mean=(120.0,) * 3, std=(1.0,) * 3
)


@dataclass(frozen=True)
class Tiny:
    prototxt: Path
    caffemodel: Path
    bundle: Bundle
    images: Path
    blobs: dict[str, Any]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    folder = tmp_path_factory.mktemp("tiny")
    draw = np.random.default_rng(7).standard_normal
    blobs = {
        "conv1": [0.3 * draw((6, 3, 3, 3)), draw(6)],
        "fc6": [0.1 * draw((8, 6 * 7 * 7)), draw(8)],
        "fc8": [0.02 * draw((5, 8)), draw(5)],
    }
    prototxt, caffemodel = write(folder, TEXT, blobs, 1)
    lrn_deploy.import_model((prototxt, caffemodel), folder / "bundle", preprocessing=PIXELS)
    pixels = np.random.default_rng(8).integers(0, 256, (2, 40, 40, 3)).astype(np.uint8)
    save({"one": pixels[0], "two": pixels[1]}, folder / "images")
    inputs = {name: 100 * draw((1, 3, 16, 16)).astype(np.float32) for name in ("one", "two")}
    bundle = Bundle.open(folder / "bundle")
    return Tiny(prototxt, caffemodel, bundle, folder / "images", inputs)


def theirs(tiny: Tiny, *, wrong: float = 1.0) -> dict[str, Answers]:
    """What Caffe's rules give, in float64; ``wrong`` is a factor of the logits."""
    network = read(tiny.prototxt, tiny.caffemodel)
    last = next(layer for layer in network.layers if layer.name == "fc8")
    found = {}
    for name, blob in tiny.blobs.items():
        logits = run(replace(network, outputs={"fc8": last.output_shapes[0]}), {"data": blob})
        powers = np.exp(logits["fc8"] - logits["fc8"].max())
        values = {"fc8": logits["fc8"] * wrong, "prob": powers / powers.sum()}
        found[name] = Answers(blob, values)
    return found


def test_answers_are_held_against_others_and_against_known_ones(tiny: Tiny) -> None:
    right = theirs(tiny)
    known = {"one": tuple(np.round(right["one"].values["prob"][0], 3))}
    told = compared(tiny.bundle, right, known)
    assert told["met"]
    assert told["worst_fc8_relative_l2"] < 1e-5
    assert told["images"]["two"]["class"] == right["two"].values["prob"].argmax()
    assert not compared(tiny.bundle, theirs(tiny, wrong=1.0001), known)["met"]
    off = {"one": tuple(value + 0.002 * (-1) ** at for at, value in enumerate(known["one"]))}
    assert not compared(tiny.bundle, right, off)["met"]
    assert not compared(tiny.bundle, right, {"a third": known["one"]})["met"], "it was not asked"


def test_denominators_are_those_of_the_definition(tiny: Tiny) -> None:
    network = read(tiny.prototxt, tiny.caffemodel)
    pool = next(layer for layer in network.layers if layer.name == "pool1")
    blob = tiny.blobs["one"]
    x = run(replace(network, outputs={"pool1": pool.output_shapes[0]}), {"data": blob})["pool1"][0]
    largest = max(
        (1 + 1e-4 / 5 * (x[max(0, at - 2) : at + 3] ** 2).sum(axis=0).max()) ** 0.75
        for at in range(6)
    )
    (told,) = denominators(tiny.bundle, blob).values()
    assert told["max"] == pytest.approx(largest, rel=1e-5)
    assert 1 < told["median"] < told["p99"] < told["max"]


def test_every_planted_fault_is_caught_and_missing_one_is_told(tiny: Tiny) -> None:
    rows = caught(tiny.bundle, tiny.images, tiny.blobs, "fc8")
    assert [row["fault"] for row in rows] == ["none", *FAULTS]
    assert all_caught(rows)
    assert all(min(row["logits_relative_l2"].values()) > 1e-4 for row in rows[1:])
    missed = copy.deepcopy(rows)
    missed[3]["caught_by"] = ["LRN alone: norm1"]
    assert not all_caught(missed), "the layer alone is no photograph"
    dirty = copy.deepcopy(rows)
    dirty[0]["caught_by"] = ["outputs on images"]
    assert not all_caught(dirty), "the clean graph must pass"


def test_a_fault_is_planted_only_where_there_is_an_lrn(tiny: Tiny) -> None:
    with pytest.raises(ValueError, match="0 LRN nodes"):
        planted(tiny.bundle.load("model").data, "no LRN", {"conv1"})


def test_pools_that_round_down_are_refused_and_taking_them_is_an_error(
    tiny: Tiny, tmp_path: Path
) -> None:
    told = floor_pools_are_refused(tiny.prototxt, tiny.caffemodel, tmp_path)
    assert "'fc6'" in told
    assert str(tmp_path) not in told
    same = TEXT.replace("input_dim: 16", "input_dim: 17")  # 15 pixels give 7 either way
    other = tmp_path / "same.prototxt"
    other.write_text(same)
    with pytest.raises(AssertionError, match="were taken"):
        floor_pools_are_refused(other, tiny.caffemodel, tmp_path)


def test_precisions_are_judged_on_logits(tiny: Tiny, tmp_path: Path) -> None:
    logits = without_last(tiny.prototxt, "prob", tmp_path / "logits.prototxt")
    lrn_deploy.import_model((logits, tiny.caffemodel), tmp_path / "logits", preprocessing=PIXELS)
    bundle = Bundle.open(tmp_path / "logits")
    assert [output.name for output in bundle.manifest.outputs] == ["fc8"]
    rows = judged(bundle, tiny.images, [("tensorrt", "fp16")])
    assert {row["artifact"] for row in rows} == {"model", "trt-fp16"}
    errors = {row["artifact"]: row["relative_l2"] for row in rows}
    assert errors["model"] < 1e-5 < errors["trt-fp16"] < 1e-2
    with pytest.raises(ValueError, match="is not 'fc6'"):
        without_last(tiny.prototxt, "fc6", tmp_path / "none.prototxt")


def test_a_file_that_is_not_what_it_was_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "net.caffemodel"
    file.write_bytes(b"weights")
    check_digest(file, sha256(b"weights"))
    with pytest.raises(ValueError, match="remove it and try again"):
        check_digest(file, sha256(b"other weights"))


def test_cuttings_are_the_face_and_twenty_of_each_photograph(tmp_path: Path) -> None:
    image = np.zeros((40, 60, 3), np.uint8)
    parts = cut(dict.fromkeys(("face", "whole", "coffee", "cat"), image))
    assert len(parts) == 61
    assert all(part.shape[0] == part.shape[1] for name, part in parts.items() if name != "face")
    save(parts, tmp_path / "parts")
    with Image.open(tmp_path / "parts" / "cat-0.png") as saved:
        assert saved.size == (36, 36)
