"""What requests weigh, and how many a link carries."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from lrn_deploy.bundle import Preprocessing, TensorSpec
from lrn_deploy.images.examples import photographs
from lrn_deploy.sizing.wire import (
    HEAD_BYTES,
    JPEG_BYTES_A_PIXEL,
    JPEG_HEAD_BYTES,
    Form,
    forms,
    sent,
)
from tests.support.image_bundles import colour_bundle


def test_a_link_carries_what_ethernet_leaves_of_it() -> None:
    """10 Gbit/s are 812,744 frames of 1538 bytes a second, with 1448 of payload each."""
    assert Form("fp32", 618_848, 4_500).per_second(10) == pytest.approx(1901.7, abs=0.1)
    assert Form("small", 100, 618_848).per_second(25) == pytest.approx(2.5 * 1901.7, abs=0.3)


def test_forms_of_an_image_weigh_their_values(tmp_path: Path) -> None:
    preprocessing = Preprocessing(crop=(8, 8))
    manifest = colour_bundle(tmp_path / "colours", preprocessing=preprocessing).manifest
    found = forms(manifest)
    assert list(found) == ["fp32", "uint8", "jpeg"]
    assert found["fp32"].request == HEAD_BYTES + 4 * 3 * 8 * 8
    assert found["uint8"].request == HEAD_BYTES + 3 * 8 * 8
    assert found["fp32"].answer == HEAD_BYTES + 4 * 3  # three scores
    assert forms(manifest, images=5)["uint8"].request == HEAD_BYTES + 5 * 3 * 8 * 8
    assert sent(manifest) == "fp32"
    # 500 bytes of head, and 620 and a third of a byte a pixel; 500 of labels.
    assert (found["jpeg"].request, found["jpeg"].answer) == (500 + 620 + 21, 500 + 500)
    several = forms(manifest, images=3)["jpeg"]
    assert (several.request, several.answer) == (500 + 3 * 641, 500 + 3 * 500)
    assert HEAD_BYTES == 500


def test_a_network_that_takes_uint8_is_sent_it(tmp_path: Path) -> None:
    preprocessing = Preprocessing(resize=None, crop=(8, 8), in_graph=True)
    manifest = colour_bundle(tmp_path / "colours", preprocessing=preprocessing).manifest
    assert sent(manifest) == "uint8"


def test_inputs_that_are_no_images_have_one_form(tmp_path: Path) -> None:
    bundle = colour_bundle(tmp_path / "colours")
    table = TensorSpec(name="table", dtype="int64", shape=("batch", 20))
    manifest = bundle.manifest.model_copy(update={"inputs": (*bundle.manifest.inputs, table)})
    (only,) = forms(manifest, 2).values()
    assert (only.name, only.request) == ("tensors", HEAD_BYTES + 2 * (4 * 3 * 8 * 8 + 8 * 20))
    assert sent(manifest) == "tensors"
    words = TensorSpec(name="words", dtype="int64", shape=("batch", "length"))
    flat = bundle.manifest.model_copy(
        update={
            "inputs": (words,),
            "model": bundle.manifest.model.model_copy(update={"input_shape": (20,)}),
        }
    )
    (only,) = forms(flat).values()  # an axis that is left open counts as one
    assert (only.name, only.request, sent(flat)) == ("tensors", 500 + 8, "tensors")


@pytest.mark.parametrize("side", [64, 227, 427])
def test_a_jpeg_is_as_large_as_photographs_of_that_size(side: int) -> None:
    sizes = []
    for photo in photographs():
        stream = io.BytesIO()
        photo.image.resize((side, side)).save(stream, "JPEG", quality=90)
        sizes.append(len(stream.getvalue()))
    said = JPEG_HEAD_BYTES + JPEG_BYTES_A_PIXEL * side * side
    assert said == pytest.approx(sum(sizes) / len(sizes), rel=0.3)
