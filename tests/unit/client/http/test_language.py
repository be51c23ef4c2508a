"""Operations as HTTP requests, read back by the server's own codec and by tritonclient."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from tritonclient.http import InferResult

from lrn_deploy.bundle import TensorSpec
from lrn_deploy.client import errors
from lrn_deploy.client.answers import (
    Classified,
    Label,
    ModelMetadata,
    ModelState,
    ServerMetadata,
    TensorMetadata,
)
from lrn_deploy.client.http.language import LENGTH, decode, encode
from lrn_deploy.client.http.wire import HttpAnswer, HttpRequest
from lrn_deploy.client.operations import (
    AboutModel,
    AboutServer,
    Classify,
    Config,
    Control,
    Index,
    Live,
    Operation,
    Ready,
    Stats,
    inference,
)
from lrn_deploy.serving.rest import codec, multipart

A = np.arange(6, dtype=np.float32).reshape(2, 3)
B = np.array([[1], [2]], np.int64)
SPECS = (TensorSpec(name="a", dtype="float32", shape=("batch", 3)),)


def body(request: HttpRequest) -> bytes:
    return b"".join(request.parts)


def header(request: HttpRequest, name: str) -> str | None:
    return dict(request.headers).get(name)


def answer(status: int = 200, content: Any = None, **headers: str) -> HttpAnswer:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return HttpAnswer(status, names, b"" if content is None else json.dumps(content).encode())


@pytest.mark.parametrize(
    ("operation", "method", "target"),
    [
        (Live(), "GET", "/v2/health/live"),
        (Ready(), "GET", "/v2/health/ready"),
        (Ready("m", "2"), "GET", "/v2/models/m/versions/2/ready"),
        (AboutServer(), "GET", "/v2"),
        (AboutModel("a/b"), "GET", "/v2/models/a%2Fb"),
        (Config("m"), "GET", "/v2/models/m/config"),
        (Stats(), "GET", "/v2/models/stats"),
        (Stats("m"), "GET", "/v2/models/m/stats"),
        (Index(), "POST", "/v2/repository/index"),
        (Control("m", load=True), "POST", "/v2/repository/models/m/load"),
        (Control("m", load=False), "POST", "/v2/repository/models/m/unload"),
        (Classify("é", (("x", b"1"),), 3), "POST", "/v1/classify?model=%C3%A9&top=3"),
        (inference("m", {"a": A}, version="1"), "POST", "/v2/models/m/versions/1/infer"),
    ],
)
def test_each_operation_has_its_path(operation: Operation[Any], method: str, target: str) -> None:
    request = encode(operation, None)
    assert (request.method, request.target) == (method, target)
    assert encode(operation, None, "/team").target == "/team" + target
    if isinstance(operation, Index | Control):
        assert (body(request), header(request, "content-type")) == (b"{}", "application/json")


def test_an_operation_that_http_does_not_know_is_a_mistake() -> None:
    with pytest.raises(TypeError, match="no HTTP request"):
        encode(Operation(), None)
    with pytest.raises(TypeError, match="no HTTP answer"):
        decode(Operation(), answer(200, {}))


def test_the_server_reads_what_the_client_writes() -> None:
    request = encode(
        inference(
            "m", {"a": A, "b": B}, outputs=["y"], priority=1, id="seven", parameters={"p": 2}
        ),
        1.5,
    )
    asked = codec.decode(body(request), header(request, LENGTH), SPECS)
    np.testing.assert_array_equal(asked.inputs["a"], A)
    np.testing.assert_array_equal(asked.inputs["b"], B)
    assert (asked.timeout_us, asked.priority, asked.id) == (1_500_000, 1, "seven")
    assert [(form.name, form.binary) for form in asked.outputs] == [("y", True)]
    head = json.loads(body(request)[: int(header(request, LENGTH) or 0)])
    assert head["parameters"]["p"] == 2


def test_all_outputs_are_wanted_binary_unless_said_otherwise() -> None:
    request = encode(inference("m", {"a": A}), None)
    asked = codec.decode(body(request), header(request, LENGTH), SPECS)
    assert asked.binary
    assert asked.timeout_us == 0
    plain = encode(inference("m", {"a": A}, binary=False), None)
    assert header(plain, LENGTH) is None
    asked = codec.decode(body(plain), None, SPECS)
    assert not asked.binary
    np.testing.assert_array_equal(asked.inputs["a"], A)


def test_what_is_said_of_an_inference_is_sent_and_nothing_else() -> None:
    def head(seconds: float | None = None, **more: Any) -> Any:
        request = encode(inference("m", {"a": A}, **more), seconds)
        return json.loads(request.parts[0])

    plain = head()
    assert set(plain) == {"inputs", "parameters"}
    assert plain["parameters"] == {"binary_data_output": True}
    assert head(1e-9)["parameters"]["timeout"] == 1
    assert head(2.5e-6)["parameters"]["timeout"] == 2
    named = head(outputs=["y"])
    assert named["parameters"] == {}
    assert named["outputs"] == [{"name": "y", "parameters": {"binary_data": True}}]
    text = head(outputs=["y"], binary=False)
    assert text["outputs"] == [{"name": "y", "parameters": {}}]
    kinds = [
        dict(encode(inference("m", {"a": A}, binary=binary), None).headers)["content-type"]
        for binary in (True, False)
    ]
    assert kinds == ["application/octet-stream", "application/json"]


def test_the_same_question_has_the_same_head_each_time() -> None:
    """The server then need not parse it again."""
    first, second = (encode(inference("m", {"a": A + at}), 60.0).parts[0] for at in range(2))
    assert first == second


def test_classes_are_asked_for_by_triton_s_extension() -> None:
    request = encode(inference("m", {"a": A}, outputs=["y"], classes=3), None)
    asked = codec.decode(body(request), header(request, LENGTH), SPECS)
    assert asked.outputs[0].classes == 3


def test_outputs_are_read_as_tritonclient_reads_them() -> None:
    head = {
        "model_name": "m",
        "outputs": [
            {"name": "p", "datatype": "INT64", "shape": [1, 2], "data": [7, 8]},
            {"name": "x", "datatype": "FP32", "shape": [2], "parameters": {"binary_data_size": 8}},
            {"name": "s", "datatype": "BYTES", "shape": [1], "parameters": {"binary_data_size": 6}},
        ],
    }
    text = json.dumps(head).encode()
    tail = np.array([0.5, -2], "<f4").tobytes() + b"\2\0\0\0ok"
    found = decode(inference("m", {"a": A}), HttpAnswer(200, {LENGTH: str(len(text))}, text + tail))
    theirs = InferResult.from_response_body(text + tail, header_length=len(text))
    assert set(found) == {"p", "x", "s"}
    for name, array in found.items():
        np.testing.assert_array_equal(array, theirs.as_numpy(name))
        assert array.shape == theirs.as_numpy(name).shape


def test_several_images_are_a_form_and_one_is_a_file() -> None:
    one = encode(Classify("", (("x.jpg", b"abc"),)), None)
    assert body(one) == b"abc"
    assert multipart.files(header(one, "content-type") or "", body(one), 9) == [("image", b"abc")]
    sent = (("a/b.jpg", b"\r\n--x"), ('q"\n.png', b"\0"))
    several = encode(Classify("", sent), None)
    found = multipart.files(header(several, "content-type") or "", body(several), 9)
    assert found == [("b.jpg", b"\r\n--x"), ("q__.png", b"\0")]


def test_what_a_server_and_a_model_are_is_read() -> None:
    said: dict[str, Any] = {"name": "it", "version": "1", "extensions": ["x", "y"]}
    assert decode(AboutServer(), answer(200, said)) == ServerMetadata("it", "1", ("x", "y"))
    said.pop("version")
    assert decode(AboutServer(), answer(200, said)) == ServerMetadata("it", "", ("x", "y"))
    model: dict[str, Any] = {
        "name": "m",
        "versions": ["1", "2"],
        "platform": "p",
        "inputs": [{"name": "a", "datatype": "FP32", "shape": [-1, "3"]}],
        "outputs": [{"name": "y", "datatype": "INT64", "shape": [-1]}],
    }
    tensors = (TensorMetadata("a", "FP32", (-1, 3)),), (TensorMetadata("y", "INT64", (-1,)),)
    assert decode(AboutModel("m"), answer(200, model)) == ModelMetadata(
        "m", ("1", "2"), "p", *tensors
    )
    del model["platform"], model["versions"]
    assert decode(AboutModel("m"), answer(200, model)) == ModelMetadata("m", (), "", *tensors)
    assert decode(Config("m"), answer(200, {"name": "m"})) == {"name": "m"}
    assert decode(Stats(), answer(200, {"model_stats": [{"name": "m"}]})) == [{"name": "m"}]


def test_the_states_of_models_are_read() -> None:
    rows = [
        {"name": "a", "version": "1", "state": "READY", "reason": ""},
        {"name": "b", "state": "UNAVAILABLE", "reason": "unloaded"},
        {"name": "c"},
    ]
    assert decode(Index(), answer(200, rows)) == (
        ModelState("a", "1", "READY", ""),
        ModelState("b", "", "UNAVAILABLE", "unloaded"),
        ModelState("c", "", "", ""),
    )


def test_labels_are_read() -> None:
    said = {
        "results": [
            {"image": "a", "error": None,
             "predictions": [{"index": 1, "label": "cat", "probability": 0.75}]},
            {"image": "b", "error": "It is empty.", "predictions": []},
        ]
    }  # fmt: skip
    found = decode(Classify("", ()), answer(200, said))
    assert found == (
        Classified("a", (Label(1, "cat", 0.75),)),
        Classified("b", (), "It is empty."),
    )


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, errors.InvalidRequestError),
        (401, errors.UnauthenticatedError),
        (403, errors.ForbiddenError),
        (404, errors.NotFoundError),
        (405, errors.RefusedError),
        (413, errors.TooLargeError),
        (429, errors.TooManyRequestsError),
        (500, errors.ServerError),
        (501, errors.UnsupportedError),
        (503, errors.UnavailableError),
        (302, errors.RefusedError),
        (300, errors.RefusedError),
        (499, errors.RefusedError),
    ],
)
def test_a_refusal_is_of_its_kind_with_the_servers_words(
    status: int, kind: type[errors.RefusedError]
) -> None:
    said = answer(status, {"error": "So it is.", "request_id": "r-1"}, retry_after="3")
    with pytest.raises(errors.RefusedError) as caught:
        decode(AboutModel("m"), said)
    error = caught.value
    assert type(error) is kind
    assert (error.status, error.message, error.request_id) == (status, "So it is.", "r-1")
    assert error.retry_after == 3.0


def test_retry_after_may_be_a_date() -> None:
    past = answer(503, {"error": "Full."}, retry_after="Fri, 31 Dec 1999 23:59:59 GMT")
    with pytest.raises(errors.UnavailableError) as caught:
        decode(AboutModel("m"), past)
    assert caught.value.retry_after == 0.0
    with pytest.raises(errors.UnavailableError) as caught:
        decode(AboutModel("m"), answer(503, {"error": "Full."}, retry_after="soon"))
    assert caught.value.retry_after is None


def test_a_proxy_s_page_is_quoted() -> None:
    with pytest.raises(errors.ServerError, match="The server answered 502: Bad Gateway") as caught:
        decode(AboutModel("m"), HttpAnswer(502, {"x-request-id": "p-9"}, b"Bad Gateway"))
    assert (caught.value.request_id, caught.value.status) == ("p-9", 502)
    with pytest.raises(errors.ServerError) as caught:
        decode(AboutModel("m"), HttpAnswer(502, {}, b"x" * 300))
    assert caught.value.message == "The server answered 502: " + "x" * 200
    with pytest.raises(errors.ServerError) as caught:
        decode(AboutModel("m"), HttpAnswer(502, {}, b"\0"))
    assert caught.value.message == "The server answered 502 and did not say why."


@pytest.mark.parametrize(
    ("status", "hint"), [(401, "api_key="), (413, "Send less"), (404, ""), (500, "")]
)
def test_what_can_be_done_about_a_refusal_is_hinted(status: int, hint: str) -> None:
    found = errors.refusal(status, "So.")
    assert found.message == "So."
    assert hint in found.hint
    assert bool(found.hint) == bool(hint)


@pytest.mark.parametrize(
    ("operation", "said"),
    [
        (AboutServer(), HttpAnswer(200, {}, b"<html>")),
        (AboutModel("m"), answer(200, {"name": "m"})),
        (Stats(), answer(200, [])),
        (inference("m", {"a": A}), answer(200, {"outputs": [{"name": "x"}]})),
        (inference("m", {"a": A}), HttpAnswer(200, {LENGTH: "9"}, b"{}")),
    ],
)
def test_an_answer_that_is_not_the_protocols_is_refused(
    operation: Operation[Any], said: HttpAnswer
) -> None:
    with pytest.raises(errors.ProtocolError, match=r"The answer is n"):
        decode(operation, said)


def test_health_is_yes_or_no() -> None:
    assert decode(Live(), answer(200)) is True
    assert decode(Ready(), answer(503)) is False
    assert decode(Ready("m"), answer(400)) is False  # Triton's
    for operation in (Ready(), Live(), AboutModel("m")):
        with pytest.raises(errors.InvalidRequestError):
            decode(operation, answer(400))
    with pytest.raises(errors.UnavailableError):
        decode(AboutModel("m"), answer(503))
    assert decode(Live(), answer(299)) is True
    assert decode(Control("m", load=True), answer(204)) is None
    with pytest.raises(errors.NotFoundError):
        decode(Ready("m"), answer(404, {"error": "No."}))
