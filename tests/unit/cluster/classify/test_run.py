"""What determines the rows of a run."""

from __future__ import annotations

from pathlib import Path

from lrn_deploy.cluster.classify.run import _told
from lrn_deploy.images.decode import ImageLimits
from tests.support.image_bundles import colour_bundle


def test_a_row_tells_what_made_it(tmp_path: Path) -> None:
    bundle = colour_bundle(tmp_path / "colours")
    limits = ImageLimits(max_bytes=1000, max_pixels=100)
    told = _told(bundle, "model", 2, limits)
    assert told["model"] == bundle.manifest.model.name
    assert told["artifact"] == "model"
    assert told["artifact_sha256"] == bundle.manifest.artifact("model").sha256
    others = [
        _told(bundle, "model", 3, limits),
        _told(bundle, "model", 2, ImageLimits(max_bytes=1000, max_pixels=99)),
    ]
    assert all(other["rules_sha256"] != told["rules_sha256"] for other in others)
    assert _told(bundle, "model", 2, limits) == told
