"""What a manifest says of its files, before any of them is asked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from lrn_deploy.bundle import FileRecord, sha256
from lrn_deploy.errors import DamagedError
from lrn_deploy.stores.fetch import files_of
from tests.support.image_bundles import colour_bundle


@pytest.mark.parametrize(
    ("size", "digest", "right"),
    [
        (0, sha256(b""), True),  # an empty file is a file
        (-1, sha256(b""), False),
        (1, sha256(b"a")[:-1], False),
        (1, sha256(b"a").upper(), False),
    ],
)
def test_files_have_a_digest_and_a_size(
    tmp_path: Path, size: int, digest: str, right: bool
) -> None:
    manifest = colour_bundle(tmp_path / "colours").manifest
    record = FileRecord(file="labels.txt", sha256=digest, size=size)
    manifest = manifest.model_copy(update={"labels": record})
    if right:
        assert record in files_of(manifest, "here")
        return
    with pytest.raises(DamagedError, match=r"what it says of 'labels\.txt' cannot be"):
        files_of(manifest, "here")
