"""What is asked for where nothing is said, and what cannot be asked for."""

from __future__ import annotations

import numpy as np
import pytest

from lrn_deploy.client.operations import Classify, Infer, Live, Ready, inference
from lrn_deploy.client.tensors import Tensor
from lrn_deploy.errors import BadInputError


def test_an_inference_asks_for_nothing_that_nobody_said() -> None:
    asked = inference("m", {"a": np.zeros((1, 3), np.float32)})
    assert (asked.model, asked.version, asked.outputs) == ("m", "", ())
    assert (asked.priority, asked.parameters) == (0, {})
    assert (asked.classes, asked.id, asked.binary) == (0, "", True)
    assert Infer("m", asked.inputs) == asked
    assert Classify("m", ()).top == 5
    assert Live.asks_once
    assert Ready.asks_once


def test_a_tensor_is_taken_as_it_is_and_anything_else_as_an_array() -> None:
    given = Tensor(np.zeros(2, np.float32), "BF16")
    assert inference("m", {"a": given}).inputs["a"] is given
    listed = inference("m", {"a": [[1, 2]]}).inputs["a"]  # type: ignore[dict-item]  # as numpy takes it
    assert (listed.datatype, listed.shape) == ("INT64", (1, 2))


def test_what_cannot_be_asked_for_is_told() -> None:
    array = np.zeros(1, np.float32)
    with pytest.raises(BadInputError, match="No input is given for 'm'"):
        inference("m", {})
    with pytest.raises(BadInputError, match="Classes are wanted of no output"):
        inference("m", {"a": array}, classes=1)
    assert inference("m", {"a": array}, outputs=["y"], classes=1).classes == 1
