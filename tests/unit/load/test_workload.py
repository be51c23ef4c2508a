"""What a model is asked: numbers that suit its inputs, a few requests in turn, images."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from lrn_deploy.client.address import Address, Credentials
from lrn_deploy.client.answers import ModelMetadata, TensorMetadata
from lrn_deploy.client.errors import ProtocolError
from lrn_deploy.client.http.language import encode
from lrn_deploy.errors import BadInputError
from lrn_deploy.load import workload
from lrn_deploy.load.options import LoadOptions
from lrn_deploy.load.workload import _images, _inferences, _numbers


def numbers(datatype: str, *shape: int, batch: int = 2) -> Any:
    about = TensorMetadata("a", datatype, shape)
    return _numbers(about, batch, np.random.default_rng(0))


@pytest.mark.parametrize(
    ("datatype", "dtype", "least", "most"),
    [("INT64", "int64", 0, 1), ("INT32", "int32", 0, 1), ("UINT8", "uint8", 0, 255)],
)
def test_whole_numbers_are_pixels_or_indices_of_any_table(
    datatype: str, dtype: str, least: int, most: int
) -> None:
    values = numbers(datatype, -1, 5000).array
    assert (values.dtype, values.shape) == (dtype, (2, 5000))
    assert (values.min(), values.max()) == (least, most)


@pytest.mark.parametrize(("datatype", "dtype"), [("FP16", "float16"), ("FP32", "float32")])
def test_fractions_are_distributed_normally(datatype: str, dtype: str) -> None:
    values = numbers(datatype, -1, 5000).array
    assert values.dtype == dtype
    assert abs(values.astype(float).mean()) < 0.05  # of 10,000: five standard errors
    assert values.astype(float).std() == pytest.approx(1, abs=0.05)


def test_open_axes_and_inputs_without_any_have_a_length() -> None:
    assert numbers("FP32", -1, 3, -1, -1).shape == (2, 3, 224, 224)
    assert numbers("FP32").shape == (2,)
    assert numbers("FP32", 2, 3).shape == (2, 3)  # as many as it takes
    assert numbers("BF16", -1, 3).datatype == "BF16"
    assert numbers("BYTES", -1, 3).array.tolist() == [[b"lrn-deploy"] * 3] * 2
    with pytest.raises(ProtocolError, match="of type 'FP8', which is not known"):
        numbers("FP8", -1)


def test_four_requests_differ_so_that_nothing_can_be_remembered() -> None:
    about = ModelMetadata("m", ("1",), "p", (TensorMetadata("a", "FP32", (-1, 3)),), ())

    def asked(seed: int) -> list[bytes]:
        made = _inferences(about, LoadOptions(ramp=True, batch=2, seed=seed))
        return [one.inputs["a"].array.tobytes() for one in made]

    assert len(set(asked(0))) == 4
    assert asked(0) == asked(0) != asked(1)


def test_of_very_many_images_some_are_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.png").write_bytes(b"content")
    many = [SimpleNamespace(name=str(tmp_path / "a.png"))] * 300
    monkeypatch.setattr(workload, "collect", lambda _: many)
    assert _images(tmp_path) == [b"content"] * 256
    many[1:] = [SimpleNamespace(name=str(tmp_path / "b.png"))]
    with pytest.raises(BadInputError, match=r"b\.png' cannot be read: No such file") as caught:
        _images(tmp_path)
    assert caught.value.hint == "Check its permissions."


def test_over_http_a_request_says_who_asks_and_has_its_size_on_average() -> None:
    about = ModelMetadata("m", ("1",), "p", (TensorMetadata("a", "FP32", (-1, 3)),), ())
    options = LoadOptions(ramp=True, timeout=7.0, connections=3)
    asked: Any = [*_inferences(about, options)[:1]]
    address = Address("http", "127.0.0.1", 1)
    known: Any = address, Credentials("k"), asked, options
    made: list[Any] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lrn_deploy.load.http.HttpSender", lambda *given: made.append(given))
        told = workload._over_http(*known, ("m", "s", "it"))
        told.sender()
    assert (told.model, told.server, told.asked) == ("m", "s", "it")
    assert told.nbytes == encode(asked[0], 7.0, "").nbytes
    ((at, credentials, (request,), most),) = made
    assert (at, credentials, most) == (address, Credentials("k"), 3)
    head = bytes(request).partition(b"\r\n\r\n")[0].lower()
    assert b"\r\nuser-agent: lrn-deploy" in head
    assert b"\r\nauthorization: bearer k" in head
