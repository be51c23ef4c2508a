"""The fuzzer of the server: what it takes for wrong, and that its tries are what they say."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tritonclient.grpc import service_pb2

from benchmarks.fuzz_server import known, verdict
from benchmarks.fuzz_server.grpc_tries import grpc_try
from benchmarks.fuzz_server.http_tries import http_try
from benchmarks.fuzz_server.known import INFER, LENGTH, Asked
from benchmarks.fuzz_server.run import GROWTH, POOLS, Tally, checks
from benchmarks.fuzz_server.wire import Answer, answers_in
from benchmarks.usage import Usage


def answer(values: Any = (10, 0, 0), **changes: Any) -> Answer:
    output = {"name": "scores", "datatype": "FP32", "shape": [1, 3], "data": list(values)}
    body = json.dumps({"outputs": [output | changes]}).encode()
    return Answer(200, {"x-request-id": "i"}, body)


def refusal(status: int = 400, **changes: Any) -> Answer:
    body = {"error": "No.", "request_id": "i"} | changes
    return Answer(status, {"x-request-id": "i"}, json.dumps(body).encode())


def test_a_number_always_makes_the_same_request() -> None:
    assert http_try(1, 7) == http_try(1, 7) != http_try(2, 7)
    assert grpc_try(1, 7) == grpc_try(1, 7) != grpc_try(2, 7)


def test_every_kind_is_tried_and_sound_ones_say_what_is_asked() -> None:
    tries = [http_try(1, number) for number in range(400)]
    kinds = Counter(one.kind for one in tries)
    assert set(kinds) == {
        *("bytes", "head", "lengths", "chunks", "json", "tensor", "packed", "images", "path")
    }
    assert min(kinds.values()) > 10
    for one in tries:
        if one.asked is not None and one.kind != "chunks":
            assert one.data.endswith(b"\r\n\r\n" + one.asked.body)
            assert b"\r\nContent-Length: %d\r\n" % len(one.asked.body) in one.data
    calls = [grpc_try(1, number) for number in range(300)]
    assert len(Counter(one.kind for one in calls)) == 5
    for one in calls:  # which could unload the model whose answers are known
        if "RepositoryModel" in one.path:
            assert b"colours" not in one.data


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (refusal(500), "status 500"),
        (refusal(502), "status 502"),
        (refusal(504), "status 504"),
        (replace(refusal(), headers={}), "no request id"),
        (replace(refusal(), body=b"<html>"), "no JSON"),
        (refusal(error="no"), "without a sentence"),
        (refusal(error=""), "without a sentence"),
        (refusal(error=7), "without a sentence"),
        (refusal(error="Traceback (most recent call last):."), "too much"),
        (refusal(error="x" * 5000 + "."), "too much"),
        (refusal(request_id="j"), "another id"),
    ],
)
def test_what_no_server_should_say(found: Answer, said: str) -> None:
    assert said in verdict.fault(found)


def test_what_it_may() -> None:
    for found in (refusal(), refusal(501), refusal(503), refusal(505), answer()):
        assert verdict.fault(found) == ""


def test_a_result_must_be_the_networks_for_what_was_asked() -> None:
    picture = np.random.default_rng(0).normal(size=(2, 3, 8, 8)).astype("<f4")
    right = (10 * picture.astype(float).mean(axis=(2, 3))).ravel().tolist()
    tensor = {"name": "image", "datatype": "FP32", "shape": [2, 3, 8, 8]}
    nested = Asked(INFER, json.dumps({"inputs": [tensor | {"data": picture.tolist()}]}).encode())
    sized = tensor | {"parameters": {"binary_data_size": picture.nbytes}}
    binary = known.binary({"inputs": [sized]}, picture.tobytes())
    for asked in (nested, binary):
        assert verdict.wrong(asked, answer(right)) == ""
        assert "in place of" in verdict.wrong(asked, answer([*right[:5], right[5] + 1e-3]))
        assert "3 scores for 6" in verdict.wrong(asked, answer(right[:3]))
        assert verdict.wrong(asked, answer([b"x".decode()], datatype="BYTES")) == ""
    assert "cannot be read" in verdict.wrong(Asked(INFER, b"{"), answer())
    assert "cannot be read" in verdict.wrong(replace(nested, headers={LENGTH: "9"}), answer())
    assert verdict.wrong(Asked(INFER, b"{"), refusal()) == ""


def test_known_requests_have_one_right_answer() -> None:
    for asked in known.known():
        if asked.path == INFER:
            assert verdict.right(asked, answer())
            assert not verdict.right(asked, answer((0, 10, 0)))
        else:
            for label in ("red", "green"):
                body = json.dumps({"results": [{"predictions": [{"label": label}]}]}).encode()
                assert verdict.right(asked, Answer(200, {}, body)) == (label == "red")
        assert not verdict.right(asked, refusal(503))


def test_messages_are_held_to_the_same() -> None:
    asked = known.message().SerializeToString()
    for scores, right in (((10, 0, 0), True), ((10, 0, 1), False)):
        given = service_pb2.ModelInferResponse()
        given.outputs.add(name="scores", datatype="FP32", shape=[1, 3])
        given.raw_output_contents.append(np.array(scores, "<f4").tobytes())
        data = given.SerializeToString()
        assert verdict.right_message(data) == right
        assert (verdict.wrong_message(asked, data) == "") == right


def test_answers_are_told_from_what_is_none() -> None:
    one = b"HTTP/1.1 404 Not Found\r\nx-request-id: a\r\ncontent-length: 2\r\n\r\n{}"
    go_on = b"HTTP/1.1 100 Continue\r\n\r\n"
    answers, rest = answers_in(go_on + one + one + b"junk")
    assert [(found.status, found.body) for found in answers] == [(404, b"{}")] * 2
    assert rest == b"junk"
    assert answers_in(one[:-1]) == ([], one[:-1])
    stream = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\n"
    assert [found.body for found in answers_in(stream)[0]] == [None]


def test_what_must_hold() -> None:
    held = Usage(10**8, 10, 10)

    def failing(tally: Tally, after: Usage) -> list[str]:
        return [name for name, (kept, _) in checks(tally, held, after).items() if not kept]

    good = Tally()
    good.add(-1, "known", "right", [], 0.1)
    good.known = 1
    assert failing(good, held) == []
    assert failing(good, replace(held, resident=held.resident + GROWTH)) == []
    more = replace(held, resident=held.resident + GROWTH + 1)
    assert failing(good, more) == ["no more memory than 20 MiB"]
    assert failing(good, replace(held, files=11)) == ["no file left open"]
    assert failing(good, replace(held, threads=10 + POOLS)) == []
    assert failing(good, replace(held, threads=11 + POOLS)) == ["no thread left"]
    good.add(3, "json", "200", ["", "late"], 0.1)
    assert good.wrong == [{"number": 3, "kind": "json", "what": "late"}]
    assert failing(good, held) == ["nothing wrong"]
    late = Tally(known=1)
    late.add(-1, "known", "wrong", [], 9.0)
    late.add(-1, "known", "right", [], 0.1)
    assert failing(late, held) == ["nothing wrong", "every known answer right"]
