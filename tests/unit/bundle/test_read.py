"""What opening and reading a bundle accepts, and what it refuses."""

from __future__ import annotations

import hashlib
import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lrn_deploy.bundle import (
    ArtifactData,
    Bundle,
    FileRecord,
    Manifest,
    SampleSet,
    TensorSpec,
    sha256,
    write_atomic,
)
from lrn_deploy.bundle.contents import named_files
from lrn_deploy.errors import BadInputError, DamagedError, LrnDeployError
from lrn_deploy.lrn import LrnSpec


def rewrite(bundle: Bundle, place: tuple[str | int, ...], value: Any) -> None:
    """Set one value of manifest.json, whatever it is."""
    file = bundle.path / "manifest.json"
    content = json.loads(file.read_text())
    target = content
    for step in place[:-1]:
        target = target[step]
    target[place[-1]] = value
    file.write_text(json.dumps(content))


def test_manifest_survives_the_round_trip(bundle: Bundle, manifest: Manifest) -> None:
    assert bundle.manifest == manifest
    assert bundle.manifest.lrn_layers[0].spec == LrnSpec(5, 1e-4, 0.75, 2.0)


def test_a_bundle_is_opened_by_a_string_too(bundle: Bundle, manifest: Manifest) -> None:
    opened = Bundle.open(str(bundle.path))
    assert (opened.path, opened.manifest) == (bundle.path, manifest)
    with pytest.raises(BadInputError, match="'nowhere' is not a bundle"):
        Bundle.open("nowhere")


def test_manifest_is_readable_json_with_the_spec_spelled_out(bundle: Bundle) -> None:
    content = json.loads((bundle.path / "manifest.json").read_text())
    assert content["schema_version"] == 1
    assert content["lrn_layers"][0]["spec"] == {"size": 5, "alpha": 1e-4, "beta": 0.75, "k": 2.0}


def test_load_gives_the_verified_bytes(bundle: Bundle) -> None:
    loaded = bundle.load("model")
    assert (loaded.name, loaded.format, loaded.data) == ("model", "onnx", b"the bytes of a graph")


def test_load_gives_companions_by_name(bundle: Bundle) -> None:
    record = bundle.add_file("variants/weights.bin", b"12345")
    model = bundle.manifest.artifact("model").model_copy(update={"companions": (record,)})
    assert bundle.add_artifact("model", model).load("model").companions == {
        "variants/weights.bin": b"12345"
    }


def test_a_file_that_others_read_is_checked_meanwhile(bundle: Bundle) -> None:
    def content(artifact: ArtifactData) -> bytes:
        assert artifact.file is not None
        assert artifact.data == b""
        return artifact.file.read_bytes()

    assert bundle.use("model", content) == b"the bytes of a graph"


def test_damage_is_told_whatever_the_reader_made_of_it(bundle: Bundle) -> None:
    def refuse(_artifact: ArtifactData) -> None:
        raise ValueError("no graph")

    with pytest.raises(ValueError, match="no graph"):
        bundle.use("model", refuse)
    (bundle.path / "model.onnx").write_bytes(b"the bytes of a trap!")
    for make in (refuse, lambda _artifact: None):
        with pytest.raises(DamagedError, match="is damaged: its SHA-256"):
            bundle.use("model", make)
    (bundle.path / "model.onnx").unlink()
    with pytest.raises(DamagedError, match="cannot be read"):
        bundle.use("model", lambda _artifact: None)


def test_a_file_that_is_replaced_while_it_is_read_is_refused(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = hashlib.file_digest

    def slowly(stream: Any, name: str) -> Any:
        write_atomic(bundle.path / "model.onnx", b"the bytes of a graph")  # the same, elsewhere
        return digest(stream, name)

    monkeypatch.setattr(hashlib, "file_digest", slowly)
    with pytest.raises(DamagedError, match="was replaced while it was read"):
        bundle.use("model", lambda _artifact: None)


def test_labels_are_lines(bundle: Bundle) -> None:
    assert bundle.labels() == ("cat", "dog")
    assert bundle.update(labels=None).labels() is None


def test_every_file_that_a_manifest_names(manifest: Manifest) -> None:
    weights = FileRecord(file="weights.bin", sha256="w", size=1)
    model = manifest.artifact("model").model_copy(update={"companions": (weights,)})
    sample = SampleSet(file="samples/s", sha256="s", size=1, reference="PyTorch")
    whole = manifest.model_copy(
        update={"artifacts": {"model": model}, "samples": {"random": sample}}
    )
    names = ["model.onnx", "weights.bin", "labels.txt", "samples/s"]
    assert [record.file for record in named_files(whole)] == names
    names.remove("labels.txt")
    without = whole.model_copy(update={"labels": None})
    assert [record.file for record in named_files(without)] == names


def test_unknown_artifact_is_refused_with_those_there_are(bundle: Bundle) -> None:
    with pytest.raises(BadInputError, match="no artifact named 'fast'") as caught:
        bundle.load("fast")
    assert caught.value.hint == "It has: model."


def test_dynamic_axes_take_the_batch() -> None:
    spec = TensorSpec(name="input", dtype="float32", shape=("batch", 3, 8, 8))
    assert spec.at_batch(5) == (5, 3, 8, 8)


@pytest.mark.parametrize("bit", [0, 7])
@pytest.mark.parametrize("position", [0, 10, 19])
def test_one_flipped_bit_is_found(bundle: Bundle, position: int, bit: int) -> None:
    file = bundle.path / "model.onnx"
    data = bytearray(file.read_bytes())
    data[position] ^= 1 << bit
    file.write_bytes(data)
    with pytest.raises(DamagedError, match=r"'model.onnx' .* is damaged: its SHA-256"):
        bundle.load("model")


def test_flipped_bit_in_a_companion_is_found(bundle: Bundle) -> None:
    record = bundle.add_file("weights.bin", b"12345")
    model = bundle.manifest.artifact("model").model_copy(update={"companions": (record,)})
    bundle = bundle.add_artifact("model", model)
    (bundle.path / "weights.bin").write_bytes(b"12344")
    with pytest.raises(DamagedError, match=r"weights\.bin"):
        bundle.load("model")


def test_missing_file_is_damage(bundle: Bundle) -> None:
    (bundle.path / "model.onnx").unlink()
    with pytest.raises(DamagedError, match="cannot be read: No such file"):
        bundle.load("model")


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "variants/../../secret", "a\0b"])
def test_path_outside_the_bundle_is_refused(bundle: Bundle, name: str) -> None:
    (bundle.path.parent / "secret").write_bytes(b"secret")
    record = FileRecord(file=name, sha256=sha256(b"secret"), size=6)
    with pytest.raises(DamagedError, match="outside the bundle"):
        bundle.read(record)


def test_link_out_of_the_bundle_is_refused(bundle: Bundle) -> None:
    (bundle.path.parent / "secret").write_bytes(b"secret")
    (bundle.path / "link").symlink_to(bundle.path.parent / "secret")
    with pytest.raises(DamagedError, match="outside the bundle"):
        bundle.read(FileRecord(file="link", sha256=sha256(b"secret"), size=6))


def test_link_to_itself_is_refused(bundle: Bundle) -> None:
    (bundle.path / "loop").symlink_to("loop")
    with pytest.raises(DamagedError):
        bundle.read(FileRecord(file="loop", sha256=sha256(b""), size=0))


@pytest.mark.parametrize("make", ["nothing", "folder", "file"])
def test_what_is_no_bundle_is_refused(tmp_path: Path, make: str) -> None:
    path = tmp_path / "thing"
    if make == "folder":
        path.mkdir()
    elif make == "file":
        path.write_text("hello")
    with pytest.raises(BadInputError, match="is not a bundle") as caught:
        Bundle.open(path)
    assert "lrn-deploy export" in caught.value.hint


def test_manifest_that_is_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").mkdir()
    with pytest.raises(BadInputError, match="Cannot read"):
        Bundle.open(tmp_path)


def test_newer_schema_asks_for_an_upgrade(bundle: Bundle) -> None:
    rewrite(bundle, ("schema_version",), 2)
    rewrite(bundle, ("field_of_the_future",), [])
    with pytest.raises(BadInputError, match="schema version 2; this lrn-deploy reads") as caught:
        Bundle.open(bundle.path)
    assert "Upgrade lrn-deploy" in caught.value.hint


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", '"manifest"', "{}", '{"schema_version": "2"}', "[" * 100_000, "\udcff"],
)
def test_manifest_that_is_no_manifest_is_damage(bundle: Bundle, text: str) -> None:
    (bundle.path / "manifest.json").write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(DamagedError, match="no JSON object with a schema_version"):
        Bundle.open(bundle.path)


@pytest.mark.parametrize(
    ("place", "value", "named"),
    [
        (("inputs", 0, "shape"), "wide", "inputs.0.shape"),
        (("model", "weights", "kind"), "stolen", "model.weights.kind"),
        (("unknown",), 1, "unknown"),
        (("artifacts", "model", "size"), "big", "artifacts.model.size"),
        (("lrn_layers", 0, "spec", "size"), 0, "lrn_layers.0.spec': .* at least 1, got 0"),
        (("lrn_layers", 0, "spec", "alpha"), "small", "lrn_layers.0.spec"),
        (("lrn_layers", 0, "spec", "alpha"), 10**400, "lrn_layers.0.spec"),
        (("lrn_layers", 0, "spec", "gamma"), 1.0, "lrn_layers.0.spec"),
        (("lrn_layers", 0, "spec"), [5], "lrn_layers.0.spec"),
    ],
)
def test_wrong_value_in_the_manifest_is_named(
    bundle: Bundle, place: tuple[str | int, ...], value: Any, named: str
) -> None:
    rewrite(bundle, place, value)
    with pytest.raises(DamagedError, match=f"is damaged at '{named}"):
        Bundle.open(bundle.path)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["schema_version", "model", "inputs", "lrn_layers", "spec", "size"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=10,
)


@given(
    data=st.binary(max_size=200)
    | json_values.map(lambda value: json.dumps(value).encode())
    | json_values.map(lambda value: json.dumps({"schema_version": 1, "model": value}).encode())
)
@example(data=b'{"schema_version": 1e999}')
@example(data=b'{"schema_version": true}')
@example(data=b"9" * 5000)
def test_any_bytes_as_manifest_give_an_error_of_ours(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "manifest.json").write_bytes(data)
        with pytest.raises(LrnDeployError):
            Bundle.open(Path(folder))


def test_a_boolean_is_no_schema_version(bundle: Bundle) -> None:
    """To Python true is the number 1, and so it would be to pydantic."""
    rewrite(bundle, ("schema_version",), True)
    with pytest.raises(DamagedError, match="no JSON object with a schema_version"):
        Bundle.open(bundle.path)


def test_a_bundle_holds_what_has_the_key_and_is_undamaged(bundle: Bundle) -> None:
    artifact = bundle.manifest.artifact("model").model_copy(update={"key": "abc"})
    bundle = bundle.add_artifact("model", artifact)
    assert bundle.holds("model", "abc")
    assert not bundle.holds("model", "abd")
    assert not bundle.holds("other", "abc")
    (bundle.path / artifact.file).write_bytes(b"damaged")
    assert not bundle.holds("model", "abc")
