"""Caffe's network as the reference: what it computes, what it shows, and from which files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from lrn_deploy.backends.caffe import CaffeSession, reopen
from lrn_deploy.bundle import Manifest
from lrn_deploy.errors import BadInputError
from lrn_deploy.lrn import LrnSpec, reference
from lrn_deploy.workflows.import_network.import_network import import_network
from lrn_deploy.workflows.import_network.options import ImportOptions
from tests.support.caffe_files import caffemodel, deploy, write

TEXT = deploy(
    (3, 4, 4),
    """\
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 3 kernel_size: 1 } }
layer { name: "norm" type: "LRN" bottom: "conv" top: "norm"
  lrn_param { local_size: 3 alpha: 0.5 k: 2 } }
layer { name: "within" type: "LRN" bottom: "norm" top: "within"
  lrn_param { local_size: 3 norm_region: WITHIN_CHANNEL alpha: 0.3 } }
""",
)
DOUBLES = 2 * np.eye(3, dtype=np.float32).reshape(3, 3, 1, 1)
X = np.random.default_rng(0).normal(0, 3, (2, 3, 4, 4)).astype(np.float32)
NORMED = reference(2 * X, LrnSpec(3, 0.5, 0.75, 2.0))


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    blobs = {"conv": [DOUBLES, np.zeros(3, np.float32)]}
    return write(tmp_path, TEXT, caffemodel(blobs))


@pytest.fixture
def manifest(files: tuple[Path, Path], tmp_path: Path) -> Manifest:
    return import_network(ImportOptions(files), tmp_path / "bundle").bundle.manifest


def test_it_computes_and_shows_what_was_asked_for(manifest: Manifest) -> None:
    with reopen(manifest) as session:
        trace = session.trace({"data": X}, lrn_inputs=True, modules=("norm", "conv"))
        again = session.trace({"data": X})
        (output,) = session.run({"data": X}).values()
    (entered,) = trace.lrn_inputs  # of the LRN across channels; the other one is none
    np.testing.assert_array_equal(entered, 2 * X)
    assert list(trace.modules) == ["norm", "conv"]
    np.testing.assert_allclose(trace.modules["norm"], NORMED, rtol=1e-6)
    np.testing.assert_array_equal(trace.modules["conv"], 2 * X)
    assert (again.lrn_inputs, again.modules) == ((), {})
    np.testing.assert_array_equal(again.outputs["within"], output)
    assert {values.dtype for values in (entered, output, *trace.modules.values())} == {
        np.dtype(np.float32)
    }
    # Within a channel, a window of 3 x 3: at a corner four pixels count, divided by 9.
    corner = NORMED[:, :, :2, :2]
    energy = 1 + 0.3 * np.square(corner).sum(axis=(2, 3)) / 9
    np.testing.assert_allclose(output[:, :, 0, 0], corner[:, :, 0, 0] / energy**0.75, rtol=1e-6)


def test_it_says_what_computes(manifest: Manifest) -> None:
    session = reopen(manifest)
    assert isinstance(session, CaffeSession)
    assert (session.device, session.label) == ("cpu", "numpy:cpu")
    assert session.described == f"Caffe's rules in NumPy {np.__version__}, float64 on the CPU"
    assert [spec.name for spec in (*session.inputs, *session.outputs)] == ["data", "within"]


def test_what_does_not_fit_or_is_not_there_is_refused(manifest: Manifest) -> None:
    with reopen(manifest) as session:
        with pytest.raises(BadInputError, match="takes shape"):
            session.run({"data": X[:, :2]})
        with pytest.raises(BadInputError, match="no layer 'nrom'"):
            session.trace({"data": X}, modules=("norm", "nrom"))


def change(file: Path) -> None:
    file.write_bytes(file.read_bytes() + b"\n")


@pytest.mark.parametrize("at", [0, 1])
@pytest.mark.parametrize(
    ("spoil", "sentence"), [(change, "is no longer what"), (Path.unlink, "cannot be read: No such")]
)
def test_a_file_that_changed_or_is_gone_is_no_reference(
    files: tuple[Path, Path],
    manifest: Manifest,
    at: int,
    spoil: Callable[[Path], None],
    sentence: str,
) -> None:
    spoil(files[at])
    with pytest.raises(BadInputError, match=sentence) as caught:
        reopen(manifest)
    assert files[at].name in caught.value.message
