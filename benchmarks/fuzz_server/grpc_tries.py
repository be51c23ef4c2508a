"""Messages by gRPC, changed at random: their bytes, their members, their methods."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tritonclient.grpc import service_pb2

from benchmarks.fuzz_server.known import MODEL, OTHER, message
from benchmarks.fuzz_server.pieces import KEYS, NUMBERS, TYPES, WORDS, bytes_changed

SERVICE = "inference.GRPCInferenceService"
_METHODS = tuple(
    method.name
    for method in service_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"].methods
)
_CONTROL = ("RepositoryModelLoad", "RepositoryModelUnload")
"""What a message for another method must not reach by chance: it could name the known model."""
_OTHERS = (
    "/grpc.health.v1.Health/Check",
    *(f"/{SERVICE}/{name}" for name in _METHODS if name not in _CONTROL),
)
_WHOLE = tuple(number for number in NUMBERS if isinstance(number, int) and abs(number) < 2**63)


@dataclass(frozen=True)
class Call:
    """What is sent.

    Attributes:
        kind: What was changed.
        path: The method's.
        data: The message.
        infers: Whether it is an inference, so that its answer can be checked.
    """

    kind: str
    path: str
    data: bytes
    infers: bool = False


def grpc_try(seed: int, number: int) -> Call:
    """The call of this number."""
    rng = random.Random(f"{seed} gRPC {number}")
    return rng.choices((_bytes, _members, _other, _control, _unknown), (30, 45, 15, 5, 5))[0](rng)


def _bytes(rng: random.Random) -> Call:
    data = message().SerializeToString()
    while True:
        data = bytes_changed(data, rng)
        if rng.random() < 0.5:
            return Call("bytes", f"/{SERVICE}/ModelInfer", data, infers=True)


def _members(rng: random.Random) -> Call:
    request = message()
    if rng.random() < 0.3:
        del request.raw_input_contents[:]
        request.inputs[0].contents.fp32_contents.extend([rng.random() for _ in range(192)])
    for _ in range(rng.randint(1, 3)):
        if request.inputs:
            _change(request, rng)
    return Call("members", f"/{SERVICE}/ModelInfer", request.SerializeToString(), infers=True)


def _change(request: Any, rng: random.Random) -> None:
    tensor = rng.choice(request.inputs)
    word = rng.choice(WORDS)
    changes: list[Callable[[], object]] = [
        lambda: setattr(request, "model_name", rng.choice((MODEL, OTHER, word))),
        lambda: setattr(request, "model_version", rng.choice(("1", "2", word))),
        lambda: setattr(request, "id", word),
        lambda: setattr(tensor, "name", rng.choice(("image", word))),
        lambda: setattr(tensor, "datatype", rng.choice(TYPES)),
        lambda: tensor.shape.append(rng.choice(_WHOLE)),
        lambda: tensor.shape and tensor.shape.pop(),
        lambda: _put(tensor.shape, rng),
        lambda: request.raw_input_contents.append(rng.randbytes(rng.choice((0, 1, 768)))),
        lambda: request.raw_input_contents and request.raw_input_contents.pop(),
        lambda: request.inputs.append(tensor),
        lambda: request.inputs.pop(),
        lambda: tensor.contents.fp32_contents.extend([rng.choice((0.5, 3e38, float("nan")))] * 192),
        lambda: tensor.contents.int_contents.append(1),
        lambda: tensor.contents.bytes_contents.append(word.encode()),
        lambda: _parameter(request.parameters, rng),
        lambda: _parameter(tensor.parameters, rng),
        lambda: _output(request, rng),
    ]
    rng.choice(changes)()


def _put(shape: Any, rng: random.Random) -> None:
    if shape:
        shape[rng.randrange(len(shape))] = rng.choice(_WHOLE)


def _parameter(parameters: Any, rng: random.Random) -> None:
    one = parameters[rng.choice(KEYS)]
    way = rng.randrange(4)
    if way == 0:
        one.bool_param = rng.random() < 0.5
    elif way == 1:
        one.int64_param = rng.choice(_WHOLE)
    elif way == 2:
        one.string_param = rng.choice(WORDS)
    else:
        one.double_param = rng.random()


def _output(request: Any, rng: random.Random) -> None:
    output = request.outputs.add(name=rng.choice(("scores", "scores", "", "nothing")))
    if rng.random() < 0.7:
        output.parameters["classification"].int64_param = rng.choice(_WHOLE)


def _other(rng: random.Random) -> Call:
    path = rng.choice(_OTHERS)
    data = rng.choice((b"", message().SerializeToString(), b"\x0a\x07" + MODEL.encode()))
    if rng.random() < 0.6:
        data = bytes_changed(data, rng)
    return Call("other methods", path, data)


def _control(rng: random.Random) -> Call:
    method = rng.choice(_CONTROL)
    request = getattr(service_pb2, f"{method}Request")(model_name=OTHER)
    if rng.random() < 0.5:
        _parameter_of_a_model(request, rng)
    data = request.SerializeToString()
    return Call(
        "control", f"/{SERVICE}/{method}", data if rng.random() < 0.4 else bytes_changed(data, rng)
    )


def _parameter_of_a_model(request: Any, rng: random.Random) -> None:
    request.parameters[rng.choice(("unload_dependents", *KEYS))].string_param = rng.choice(WORDS)


def _unknown(rng: random.Random) -> Call:
    path = rng.choice(
        (f"/{SERVICE}/", f"/{SERVICE}/Nothing", "/x.Y/Z", "/", f"/{SERVICE}/modelinfer")
    )
    return Call("unknown methods", path, rng.randbytes(rng.choice((0, 5, 500))))
