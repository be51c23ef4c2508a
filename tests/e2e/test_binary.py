"""The single executable file, in an environment that has nothing else."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import tritonclient.grpc
import tritonclient.http

from lrn_deploy.package.options import PackageOptions
from lrn_deploy.package.package import package
from lrn_deploy.progress import silent
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


def test_it_serves_the_bundle_that_it_carries(tmp_path: Path) -> None:
    bundle = colour_bundle(tmp_path / "colours")
    made, unpacked = tmp_path / "colours-server", tmp_path / "unpacked"
    unpacked.mkdir()
    options = PackageOptions(to="binary", server=str(BINARY), instances=2, max_batch_size=9)
    package(bundle, made, options, silent, force=False)
    shutil.rmtree(bundle.path)
    # Only a setting stands in the environment, and an option on the command line.
    nothing = {"TMPDIR": str(unpacked), "LRN_SERVER_MAX_BATCH_SIZE": "3"}
    with serving("--embed", start=[str(made)], env=nothing) as running:
        assert running.ports["models"] == ["colours"]
        reply = running.call("POST", "/v1/classify?top=1", picture("blue"))
        assert reply.content["results"][0]["predictions"][0]["label"] == "blue"
        config = running.call("GET", "/v2/models/colours/config").content
        assert config["max_batch_size"] == 3
        assert config["instance_group"][0]["count"] == 2  # as it was packaged
        running.process.terminate()
        assert running.finish() == 0
    assert not list(unpacked.glob("_MEI*"))


def test_a_bundle_that_was_changed_inside_it_is_not_served(tmp_path: Path) -> None:
    bundle = colour_bundle(tmp_path / "colours")
    made = tmp_path / "colours-server"
    options = PackageOptions(to="binary", server=str(BINARY))
    package(bundle, made, options, silent, force=False)
    graph = (bundle.path / "model.onnx").read_bytes()
    content = made.read_bytes()
    at = content.index(graph)
    made.write_bytes(
        content[:at] + graph.replace(b"scores", b"scorns") + content[at + len(graph) :]
    )
    done = subprocess.run(
        [str(made)], env={"TMPDIR": str(tmp_path)}, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 2
    assert "SHA-256" in done.stderr
