"""What a manifest says in words, and what it means where little is written in it."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from lrn_deploy.bundle import Artifact, Bundle, Choice, LrnLayer, Manifest, TensorSpec
from lrn_deploy.bundle.staleness import (
    artifact_note,
    digest_of,
    is_calibrated,
    stale_artifacts,
    stale_reports,
)
from lrn_deploy.errors import BadInputError


def test_what_a_network_without_preprocessing_takes(manifest: Manifest) -> None:
    assert manifest.no_image == "takes inputs of shape [3, 8, 8], which are no images"
    second = TensorSpec(name="tokens", dtype="int64", shape=("batch", 5))
    both = manifest.model_copy(update={"inputs": (*manifest.inputs, second)})
    assert both.no_image == "takes 2 inputs (input, tokens) instead of one image"


def test_an_artifact_that_is_not_there_is_told_from_those_that_are(manifest: Manifest) -> None:
    assert manifest.artifact("model").file == "model.onnx"
    with pytest.raises(BadInputError, match="no artifact named 'x'") as caught:
        manifest.artifact("x")
    assert caught.value.hint == "It has: model."
    with pytest.raises(BadInputError) as caught:
        manifest.model_copy(update={"artifacts": {}}).artifact("x")
    assert caught.value.hint == "It has: none."


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "of the call"),
        ({"convention": "cross-map"}, "of CrossMapLRN2d"),
        ({"origin": "raised", "proven_from": "Pow"}, "proven from Pow"),
        ({"origin": "prototxt", "proven_from": "n:3"}, "read at n:3"),
    ],
)
def test_where_parameters_are_from(manifest: Manifest, changes: dict[str, Any], words: str) -> None:
    assert manifest.lrn_layers[0].model_copy(update=changes).described_origin == words


def test_a_layers_parameters_are_written_and_read_again(manifest: Manifest) -> None:
    (layer,) = manifest.lrn_layers
    written = layer.model_dump(mode="json")
    assert written["spec"] == {"size": 5, "alpha": 1e-4, "beta": 0.75, "k": 2.0}
    assert LrnLayer.model_validate(written) == layer
    for spec in ({"size": 0}, {"size": 5, "alpha": 10**400}, {"wrong": 1}, 3):
        with pytest.raises(ValidationError):
            LrnLayer.model_validate(written | {"spec": spec})


@pytest.mark.parametrize(
    ("mode", "origin", "assumed"),
    [
        ("RGB", "factory", ("colors", "resize", "interpolation", "scale", "mean", "std")),
        ("L", "factory", ("resize", "interpolation", "scale", "mean", "std")),
        ("RGB", "zoo", ()),
    ],
)
def test_manifests_from_before_anybody_said(
    manifest: Manifest, mode: str, origin: str, assumed: tuple[str, ...]
) -> None:
    content = manifest.model_dump(mode="json")
    content["model"]["origin"] = origin
    del content["preprocessing"]["assumed"]
    content["preprocessing"]["mode"] = mode
    if mode == "L":
        content["preprocessing"] |= {"mean": [0.5], "std": [0.5]}
    preprocessing = Manifest.model_validate(content).preprocessing
    assert preprocessing is not None
    assert preprocessing.assumed == assumed
    content["preprocessing"]["assumed"] = ["mean"]
    told = Manifest.model_validate(content).preprocessing
    assert told is not None
    assert told.assumed == ("mean",)
    assert Manifest.model_validate(content | {"preprocessing": None}).preprocessing is None
    for wrong in ({"preprocessing": 3}, {"model": 3}):
        with pytest.raises(ValidationError):
            Manifest.model_validate(content | wrong)


def made(source: str | None = "model", **options: Any) -> Artifact:
    return Artifact(file="v", sha256="v", size=1, format="onnx", source=source, options=options)


def test_what_was_made_from_what_was_calibrated_is_calibrated(manifest: Manifest) -> None:
    artifacts = {
        **manifest.artifacts,
        "int8": made(calibration_sha256="c"),
        "engine": made("int8"),
        "plain": made(),
        "lost": made("gone"),
        "loop": made("loop"),
    }
    whole = manifest.model_copy(update={"artifacts": artifacts})
    found = {name for name in [*artifacts, "none"] if is_calibrated(whole, name)}
    assert found == {"int8", "engine"}


def test_a_chain_of_sources_is_stale_from_its_first_stale_link_on(manifest: Manifest) -> None:
    assert manifest.preprocessing is not None
    now = manifest.preprocessing.digest
    artifacts = {
        "last": made("middle"),
        "middle": made("first"),
        "first": made(preprocessing="another"),
        "good": made(preprocessing=now),
        **manifest.artifacts,
    }
    whole = manifest.model_copy(update={"artifacts": artifacts})
    assert stale_artifacts(whole) == ("last", "middle", "first")
    assert artifact_note(whole, "good") == ""
    assert "'first' was calibrated with another preprocessing" in artifact_note(whole, "first")
    assert stale_artifacts(whole.model_copy(update={"preprocessing": None})) == ()


def test_a_report_that_is_gone_is_not_stale(bundle: Bundle) -> None:
    assert digest_of(bundle, "reports/parity.json") == ""
    gone = bundle.update(outdated={"reports/parity.json": ""})
    assert stale_reports(gone) == ()


def test_where_a_choice_runs() -> None:
    choice = Choice(artifact="int8", sha256="ab", backend="onnxruntime:cuda:1", threads=2)
    placement = choice.placement
    assert (placement.artifact, placement.backend, placement.device, placement.threads) == (
        "int8", "onnxruntime", "cuda:1", 2,
    )  # fmt: skip
    assert (placement.where, placement.kind) == ("onnxruntime:cuda:1", "cuda")
    assert Choice(artifact="a", sha256="", backend="openvino:cpu").threads == 0
