"""What of a bundle goes along into a package."""

from __future__ import annotations

from pathlib import Path

from lrn_deploy.bundle import Bundle
from lrn_deploy.package.carry import carry
from tests.support.packages import colours


def test_what_a_server_reads_goes_along_and_is_counted(tmp_path: Path) -> None:
    subject = colours(tmp_path / "colours", "binary")
    told: list[tuple[str, int, int]] = []
    out = tmp_path / "out"
    size = carry(subject, out, lambda what, done, total: told.append((what, done, total)))
    files = sorted(path for path in out.rglob("*") if path.is_file())
    names = {str(path.relative_to(out)) for path in files}
    labels = subject.bundle.manifest.labels
    assert names == {"manifest.json", "model.onnx"} | ({labels.file} if labels else set())
    assert size == sum(len(path.read_bytes()) for path in files)
    copied = len(files) - 1  # the manifest is written anew
    assert told == [("copying", done, copied) for done in range(copied)]
    carried = Bundle.open(out)
    carried.load("model")
    assert carried.manifest.samples == {}
