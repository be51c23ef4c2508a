"""Validation without a PyTorch of its own: where its inputs come from, and what they can show."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
from safetensors.numpy import save

from lrn_deploy.backends.onnxruntime import OnnxRuntimeBackend
from lrn_deploy.backends.protocol import Probe
from lrn_deploy.bundle import Bundle, SampleSet
from lrn_deploy.errors import BadInputError, MissingError
from lrn_deploy.workflows.validate import validate as module
from lrn_deploy.workflows.validate.options import ValidateOptions
from lrn_deploy.workflows.validate.validate import validate
from tests.support.engine_graphs import make_bundle

OPTIONS = ValidateOptions(batches=(1, 3), devices=("cpu",))


class Torch:
    """Is there, as far as it knows; its import takes seconds."""

    def probe(self) -> Probe:
        return Probe(available=True, version="1", detail="")


@pytest.fixture(autouse=True)
def backends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TorchBackend", Torch)
    monkeypatch.setattr(module, "artifact_backends", lambda *_, **__: [OnnxRuntimeBackend()])


def no_reference(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def refuse(*_arguments: Any) -> Any:
        raise error

    monkeypatch.setattr(module, "open_reference", refuse)


def with_samples(bundle: Bundle, **activity: float) -> Bundle:
    """The bundle with stored sets of inputs, and LRN's activity on each."""
    session = ort.InferenceSession(bundle.load("model").data, providers=["CPUExecutionProvider"])
    records = {}
    for name, value in activity.items():
        x = np.random.default_rng(0).normal(size=(3, 3, 6, 6)).astype(np.float32)
        (y,) = session.run(None, {"input": x})
        record = bundle.add_file(
            f"samples/{name}.safetensors", save({"input.input": x, "output.logits": y})
        )
        records[name] = SampleSet(
            **record.model_dump(), reference="PyTorch", activity={"net.2": value}
        )
    return bundle.update(samples=records)


def test_as_many_inputs_are_made_as_the_largest_batch_takes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Else its rows would repeat, and a network that mixes them up could go unnoticed."""
    asked: list[int] = []

    def ensure(*_arguments: Any, rows: int, **_options: Any) -> Any:
        asked.append(rows)
        raise MissingError("enough")

    monkeypatch.setattr(module, "open_reference", lambda *_: None)
    monkeypatch.setattr(module, "ensure_samples", ensure)
    with pytest.raises(MissingError, match="enough"):
        validate(make_bundle(tmp_path), ValidateOptions(batches=(1, 8, 3)))
    assert asked == [8]


def test_a_network_that_is_gone_is_told_of_unless_samples_take_its_place(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    gone = BadInputError("There is no module 'tiny'.", "Run it where the network's code is.")
    no_reference(monkeypatch, gone)
    bundle = make_bundle(tmp_path)
    with pytest.raises(BadInputError) as caught:
        validate(bundle, OPTIONS)
    assert caught.value is gone
    report = validate(with_samples(bundle, random=1.0), OPTIONS).report
    assert report.verdict == "pass"
    (told,) = [text for text in report.warnings if "stored outputs did" in text]
    assert told.endswith("There is no module 'tiny'.")


@pytest.mark.parametrize(
    ("activity", "warned"),
    [
        ({"random": 1e-5}, True),  # a network without pictures has no more ordinary inputs
        ({"random": 0.5}, False),
        ({"random": 0.5, "photographs": 1e-5}, False),
        ({"random": 1e-5, "extremes": 0.5}, True),  # which no user sends
    ],
)
def test_inputs_on_which_lrn_does_nothing_are_told_of(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, activity: dict[str, float], warned: bool
) -> None:
    no_reference(monkeypatch, MissingError("There is no torch."))
    report = validate(with_samples(make_bundle(tmp_path), **activity), OPTIONS).report
    noticed = [text for text in report.warnings if "would not have noticed" in text]
    assert bool(noticed) == warned
    assert all("net.2" in text for text in noticed)
