"""What an inference asks for where nothing is said."""

from __future__ import annotations

import numpy as np

from lrn_deploy.client.operations import inference


def test_an_inference_asks_for_nothing_that_nobody_said() -> None:
    asked = inference("m", {"a": np.zeros((1, 3), np.float32)})
    assert (asked.model, asked.version, asked.outputs) == ("m", "", ())
    assert (asked.priority, asked.parameters) == (0, {})
