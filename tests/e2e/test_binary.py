"""The single executable file, in an environment that has nothing else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tritonclient.grpc
import tritonclient.http

from tests.support.image_bundles import colour_bundle, picture
from tests.support.servers import serving

BINARY = Path(__file__).resolve().parents[2] / "dist" / "lrn-server"

pytestmark = pytest.mark.skipif(not BINARY.exists(), reason="'make binary' has not been run")


def test_it_serves_without_python_or_any_environment(tmp_path: Path) -> None:
    colour_bundle(tmp_path / "colours")
    nothing = {"TMPDIR": str(tmp_path)}
    with serving(tmp_path / "colours", start=[str(BINARY)], env=nothing) as running:
        for module, url in (
            (tritonclient.http, running.http),
            (tritonclient.grpc, running.grpc),
        ):
            tensor = module.InferInput("image", [2, 3, 8, 8], "FP32")
            tensor.set_data_from_numpy(np.full((2, 3, 8, 8), 0.5, np.float32))
            with module.InferenceServerClient(url) as client:
                scores = client.infer("colours", [tensor]).as_numpy("scores")
            assert scores.tolist() == [[5, 5, 5]] * 2
        reply = running.call("POST", "/v1/classify?top=1", picture("red"))
        assert reply.content["results"][0]["predictions"][0]["label"] == "red"
        running.process.terminate()
        assert running.finish() == 0
    assert not list(tmp_path.glob("_MEI*"))  # what it unpacked is gone
