"""The formats of weights other than one PyTorch checkpoint: NumPy's, and shards with an index."""

from __future__ import annotations

import io
import json
import os
import pickle
import warnings
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save, save_file

from lrn_deploy.errors import BadInputError
from lrn_deploy.export import ExportOptions
from lrn_deploy.export.bundle import key_of
from lrn_deploy.network import load_network, reload_network
from lrn_deploy.network.files import WeightsFile, parse_index
from lrn_deploy.network.formats import parse

WEIGHT = np.arange(108, dtype=np.float32).reshape(4, 3, 3, 3)
BIAS = np.arange(4, dtype=np.float32)


@pytest.mark.parametrize("writer", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("dtype", ["<f4", ">f4", "<f8", ">f2", "<i4"])
def test_npz_loads_whatever_its_types(
    tmp_path: Path, factory: str, writer: Any, dtype: str
) -> None:
    weight = np.asfortranarray(WEIGHT.astype(dtype))
    names = np.array(["a", "b"])  # text beside the weights is none of them
    content = {"conv.weight": weight, "conv.bias": BIAS.astype(dtype), "names": names}
    writer(tmp_path / "weights.npz", **content)
    loaded = load_network(factory, weights=tmp_path / "weights.npz")
    assert np.array_equal(loaded.module.conv.weight.detach().numpy(), WEIGHT)
    assert loaded.source.weights.note == "from weights.npz"
    assert reload_network(loaded.source).source == loaded.source


def test_npz_keys_may_stand_behind_a_prefix(tmp_path: Path, factory: str) -> None:
    np.savez(tmp_path / "w.npz", **{"module.conv.weight": WEIGHT, "module.conv.bias": BIAS})
    assert load_network(factory, weights=tmp_path / "w.npz").source.weights.stripped == ("module.",)


def test_npz_never_unpickles(tmp_path: Path, factory: str) -> None:
    trace = tmp_path / "owned"

    class Payload:
        def __reduce__(self) -> tuple[Any, tuple[str]]:
            return os.mkdir, (str(trace),)

    np.savez(tmp_path / "w.npz", a=np.array([Payload()], dtype=object))
    with pytest.raises(BadInputError, match="it holds Python objects") as caught:
        load_network(factory, weights=tmp_path / "w.npz")
    assert "never loaded" in caught.value.hint
    assert not trace.exists()


@pytest.mark.parametrize("keep", [0, 10, 0.5, 0.9])
def test_truncated_npz_is_refused(tmp_path: Path, factory: str, keep: float) -> None:
    np.savez(tmp_path / "w.npz", **{"conv.weight": WEIGHT, "conv.bias": BIAS})
    data = (tmp_path / "w.npz").read_bytes()
    (tmp_path / "w.npz").write_bytes(data[: int(keep * len(data)) if keep < 1 else int(keep)])
    with pytest.raises(BadInputError, match=r"'w\.npz' is no \.npz archive"):
        load_network(factory, weights=tmp_path / "w.npz")


def _as_bytes(writer: Any) -> bytes:
    stream = io.BytesIO()
    writer(stream)
    return stream.getvalue()


STATE = {"conv.weight": torch.from_numpy(WEIGHT), "conv.bias": torch.from_numpy(BIAS)}
ARRAYS = {key: value.numpy() for key, value in STATE.items()}
SEEDS = {
    "w.npz": _as_bytes(lambda stream: np.savez(stream, **ARRAYS)),
    "w.pt": _as_bytes(lambda stream: torch.save(STATE, stream)),
    "w.safetensors": save(STATE),
}


@given(
    st.sampled_from(sorted(SEEDS)),
    st.lists(st.tuples(st.integers(0, 10**6), st.binary(max_size=3))),
)
def test_damaged_weights_are_read_or_refused(name: str, changes: list[tuple[int, bytes]]) -> None:
    """Whatever bytes were overwritten, nothing but an error of ours comes out."""
    data = bytearray(SEEDS[name])
    for position, new in changes:
        at = position % len(data)
        data[at : at + len(new)] = new
    with suppress(BadInputError):
        parse(bytes(data), name)


@given(st.binary(max_size=200), st.sampled_from(["w.npz", "w.pt", "w.safetensors", "w.bin"]))
def test_bytes_that_are_no_weights_hold_no_weights(data: bytes, name: str) -> None:
    with suppress(BadInputError):  # a pickle of so few bytes can be one plain value
        assert not isinstance(parse(data, name), torch.Tensor)


def test_a_pickle_cannot_reach_what_the_stand_ins_stand_for() -> None:
    """numpy.dtype and its kin would hand the file's bytes to C code; ours drop them."""
    content = {"w": torch.ones(1), "scalar": np.float64(3), "array": np.arange(3), "n": 4}
    before = torch.serialization.get_safe_globals()
    loaded = parse(_as_bytes(lambda stream: torch.save(content, stream)), "w.pt")
    assert torch.equal(loaded["w"], torch.ones(1))
    assert loaded["n"] == 4
    assert type(loaded["scalar"]).__name__ == type(loaded["array"]).__name__ == "Ignored"
    assert set(torch.serialization.get_safe_globals()) == set(before)
    with pytest.raises(BadInputError, match=r"it needs 'numpy\.random\._pickle"):
        parse(pickle.dumps({"w": np.random.default_rng(0)}, protocol=2), "w.pt")


def sharded(folder: Path, suffix: str = "safetensors") -> Path:
    """The factory's weights, one in each shard; returns the index."""
    places = {}
    for number, (key, value) in enumerate(STATE.items(), 1):
        name = f"model-0000{number}-of-00002.{suffix}"
        if suffix == "safetensors":
            save_file({key: value}, folder / name)
        else:
            torch.save({key: value}, folder / name)
        places[key] = name
    index = folder / f"model.{suffix}.index.json"
    index.write_text(json.dumps({"metadata": {"total_size": 448}, "weight_map": places}))
    return index


@pytest.mark.parametrize("suffix", ["safetensors", "bin"])
def test_shards_load_through_their_index(tmp_path: Path, factory: str, suffix: str) -> None:
    index = sharded(tmp_path, suffix)
    loaded = load_network(factory, weights=index)
    assert np.array_equal(loaded.module.conv.weight.detach().numpy(), WEIGHT)
    assert np.array_equal(loaded.module.conv.bias.detach().numpy(), BIAS)
    assert loaded.source.weights.file == str(index)
    assert reload_network(loaded.source).source == loaded.source


def test_a_changed_shard_is_found(tmp_path: Path, factory: str) -> None:
    index = sharded(tmp_path)
    source = load_network(factory, weights=index).source
    save_file({"conv.bias": torch.zeros(4)}, tmp_path / "model-00002-of-00002.safetensors")
    with pytest.raises(BadInputError, match="no longer those that were exported"):
        reload_network(source)


def test_a_changed_shard_changes_the_key_of_an_export(tmp_path: Path) -> None:
    index = sharded(tmp_path)
    first = key_of(ExportOptions("digits", weights=index))
    assert first == key_of(ExportOptions("digits", weights=index))
    assert first != key_of(ExportOptions("digits", weights=Path(f"{index}#ema")))
    save_file({"conv.bias": torch.zeros(4)}, tmp_path / "model-00002-of-00002.safetensors")
    assert first != key_of(ExportOptions("digits", weights=index))


def test_one_shard_alone_asks_for_its_index(tmp_path: Path, factory: str) -> None:
    sharded(tmp_path)
    with pytest.raises(BadInputError, match=r"missing: conv\.bias") as caught:
        load_network(factory, weights=tmp_path / "model-00001-of-00002.safetensors")
    assert "give the index" in caught.value.hint


def test_a_shard_that_is_gone_is_named(tmp_path: Path, factory: str) -> None:
    index = sharded(tmp_path)
    (tmp_path / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(
        BadInputError, match=r"model-00002-of-00002\.safetensors': No such"
    ) as caught:
        load_network(factory, weights=index)
    assert "'model.safetensors.index.json' names it" in caught.value.hint


def test_a_shard_without_what_the_index_says_is_refused(tmp_path: Path, factory: str) -> None:
    index = sharded(tmp_path)
    save_file({"other": torch.zeros(4)}, tmp_path / "model-00002-of-00002.safetensors")
    with pytest.raises(BadInputError, match=r"holds no 'conv\.bias', which 'model\.safetensors"):
        load_network(factory, weights=index)


@pytest.mark.parametrize(
    "place", ["../w.safetensors", "/etc/passwd", "a/b", "..", ".", "", "a\n", "a\0b", "\ud800"]
)
def test_an_index_names_nothing_outside_its_folder(place: str) -> None:
    with pytest.raises(BadInputError, match="no file beside it"):
        parse_index(json.dumps({"weight_map": {"k": place}}).encode(), "i.json")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"{}",
        b'{"weight_map": []}',
        b'{"weight_map": {}}',
        b'{"weight_map": {"a": 1}}',
        b"[" * 10**5,
        b"\xff",
    ],
    ids=range(8),
)
def test_json_that_is_no_index_is_refused(data: bytes) -> None:
    with pytest.raises(BadInputError, match=r"'i\.json' is no index"):
        parse_index(data, "i.json")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@settings(max_examples=40)
@given(json_values | st.fixed_dictionaries({"weight_map": json_values}))
def test_any_json_is_an_index_or_refused(value: Any) -> None:
    try:
        places = parse_index(json.dumps(value).encode(), "i.json")
    except BadInputError:
        return
    assert places == value["weight_map"]
    assert not any("/" in place.rstrip("/") for place in places.values())


@pytest.mark.parametrize(
    ("text", "name", "mapping"),
    [
        ("a.pt", "a.pt", ""),
        ("a.pt#ema", "a.pt", "ema"),
        ("a.pt#state_dict/model", "a.pt", "state_dict/model"),
        ("a.pt#", "a.pt", ""),
        ("a.pt#x#y", "a.pt", "x#y"),
        ("b#1.pt", "b#1.pt", ""),
        ("b#1.pt#ema", "b#1.pt", "ema"),
        ("gone.pt#ema", "gone.pt#ema", ""),
        ("#ema", "#ema", ""),
        ("a.pt#" + "k" * 300, "a.pt", "k" * 300),
        ("a.pt#\0", "a.pt", "\0"),
    ],
)
def test_file_and_mapping_are_told_apart(
    tmp_path: Path, text: str, name: str, mapping: str
) -> None:
    for file in ("a.pt", "b#1.pt"):
        (tmp_path / file).touch()
    assert WeightsFile.parse(tmp_path / text) == WeightsFile(tmp_path / name, mapping)


def test_long_doubles_of_an_npz_which_torch_has_not_are_left_out() -> None:
    file = io.BytesIO()
    np.savez(
        file, weight=np.ones(2, np.float32), loss=np.longdouble(1), z=np.ones(2, np.clongdouble)
    )
    assert set(parse(file.getvalue(), "weights.npz")) == {"weight"}


def test_nothing_that_torch_says_of_a_pickle_reaches_the_terminal() -> None:
    data = _as_bytes(lambda stream: torch.save({"w": torch.ones(2)}, stream, pickle_protocol=3))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert torch.equal(parse(data, "w.pt")["w"], torch.ones(2))


def test_safetensors_are_known_by_their_first_bytes_whatever_the_file_is_called() -> None:
    found = parse(save(STATE), "weights")
    assert {key: value.tolist() for key, value in found.items()} == {
        key: value.tolist() for key, value in STATE.items()
    }
    header_alone = save({}, metadata={"format": "pt"})  # as long as its first eight bytes say
    assert parse(header_alone, "weights") == {}
    with pytest.raises(BadInputError, match="'weights' is no checkpoint"):
        parse(header_alone[:-1], "weights")
    with pytest.raises(BadInputError, match=r"'w\.safetensors' is no safetensors file"):
        parse(header_alone[:-1], "w.safetensors")


def test_of_a_pickle_that_unpacks_to_any_size_64_mebibytes_are_looked_at(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = []
    read = zipfile.ZipExtFile.read

    def noting(entry: zipfile.ZipExtFile, count: int | None = -1) -> bytes:
        asked.append(count)
        return read(entry, count)

    monkeypatch.setattr(zipfile.ZipExtFile, "read", noting)
    data = _as_bytes(lambda stream: torch.save({"net": torch.nn.ReLU()}, stream))
    with pytest.raises(BadInputError, match="is a whole network that was pickled"):
        parse(data, "w.pt")
    assert asked == [64 * 2**20]
