"""What a server is asked under load: random tensors of a model's own shape, or image files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lrn_deploy.client.address import Address, Credentials
from lrn_deploy.client.answers import ModelMetadata, TensorMetadata
from lrn_deploy.client.client import Client
from lrn_deploy.client.errors import NotFoundError, ProtocolError
from lrn_deploy.client.operations import Classify, Infer, Operation, inference
from lrn_deploy.client.tensors import BF16, BYTES, Array, Tensor
from lrn_deploy.datatypes import NUMPY
from lrn_deploy.errors import BadInputError
from lrn_deploy.images.collect import collect
from lrn_deploy.load.drive import Sender
from lrn_deploy.load.options import LoadOptions

_DIFFERENT = 4  # requests with other numbers, so that nothing can be remembered
_MOST_IMAGES = 256
_FREE_AXIS = 224
"""Length of an axis that a model leaves open beside the batch."""


@dataclass(frozen=True)
class Workload:
    """What is asked.

    Attributes:
        model: The model's name.
        server: The server's name and version.
        asked: What is asked, in words.
        nbytes: Size of a request's body on average.
        sender: Makes what sends it.
    """

    model: str
    server: str
    asked: str
    nbytes: int
    sender: Callable[[], Sender]


def address_of(url: str, options: LoadOptions) -> Address:
    """The server that a URL and ``--protocol`` mean.

    Raises:
        BadInputError: If they contradict each other, or the URL is none.
    """
    if "://" not in url:
        url = f"{options.protocol or 'http'}://{url}"
    address = Address.of(url)
    if options.protocol not in (None, address.protocol):
        raise BadInputError(
            f"--protocol {options.protocol} contradicts '{url}'.",
            "Write the port that speaks it: grpc://HOST:8001, http://HOST:8000.",
        )
    return address


def prepare(url: str, options: LoadOptions) -> Workload:
    """Ask the server what it has, and make the requests.

    Raises:
        BadInputError: If it cannot be asked so.
        ClientError: If it does not answer, or has no such model.
    """
    address = address_of(url, options)
    credentials = Credentials.of(options.api_key, options.ca, options.cert, options.key)
    if options.images is not None and address.protocol == "grpc":
        raise BadInputError(
            "Images are classified over HTTP only.", "Use the server's http:// address."
        )
    contents = [] if options.images is None else _images(options.images)
    with Client(
        str(address),
        api_key=options.api_key,
        ca=options.ca,
        cert=options.cert,
        key=options.key,
        timeout=options.timeout,
    ) as client:
        name = options.model or _only_model(client)
        about = _about(client, name)
        server = client.server_metadata()
        operations: list[Operation[Any]]
        if contents:
            operations = [Classify(name, (("image", image),)) for image in contents]
            asked = f"{len(contents)} images of '{options.images}' in turn, by /v1/classify"
        else:
            inferences = _inferences(about, options)
            operations = list(inferences)
            asked = ", ".join(
                f"'{key}' {list(tensor.shape)} {tensor.datatype}"
                for key, tensor in inferences[0].inputs.items()
            )
        client.ask(operations[0])  # what is wrong with it is told before the load
    kind = f"{server.name} {server.version}".strip()
    if address.protocol == "grpc":
        return _over_grpc(address, credentials, operations, options, (name, kind, asked))
    return _over_http(address, credentials, operations, options, (name, kind, asked))


def _over_http(
    address: Address,
    credentials: Credentials,
    operations: list[Operation[Any]],
    options: LoadOptions,
    told: tuple[str, str, str],
) -> Workload:
    from lrn_deploy.client.http.language import encode
    from lrn_deploy.load.http import HttpSender

    messages = [encode(operation, options.timeout, address.prefix) for operation in operations]
    size = sum(message.nbytes for message in messages) // len(messages)
    headers = {"user-agent": "lrn-deploy"} | credentials.sent()
    requests = [message.whole(address.authority, headers) for message in messages]

    def sender() -> Sender:
        return HttpSender(address, credentials, requests, options.connections)

    return Workload(*told, size, sender)


def _over_grpc(
    address: Address,
    credentials: Credentials,
    operations: list[Operation[Any]],
    options: LoadOptions,
    told: tuple[str, str, str],
) -> Workload:
    from lrn_deploy.client.grpc.language import encode
    from lrn_deploy.load.grpc import GrpcSender

    messages = [encode(operation)[1] for operation in operations]
    size = sum(message.ByteSize() for message in messages) // len(messages)

    def sender() -> Sender:
        return GrpcSender(address, credentials, messages, options.connections, options.timeout)

    return Workload(*told, size, sender)


def _about(client: Client, name: str) -> ModelMetadata:
    try:
        return client.model_metadata(name)
    except NotFoundError as error:
        others = ", ".join(_models(client)) or "none"
        raise BadInputError(error.message, f"Say which: --model NAME; it has {others}.") from error


def _models(client: Client) -> list[str]:
    return sorted({state.name for state in client.models() if state.state in ("", "READY")})


def _only_model(client: Client) -> str:
    names = _models(client)
    if len(names) != 1:
        raise BadInputError(
            f"The server has {len(names) or 'no'} models{': ' * bool(names)}{', '.join(names)}.",
            "Say which: --model NAME.",
        )
    return names[0]


def _images(folder: Path) -> list[bytes]:
    """The contents of a folder's images, of some if there are very many."""
    sources = collect([str(folder)])[:_MOST_IMAGES]
    contents = []
    for source in sources:
        try:
            contents.append(Path(source.name).read_bytes())
        except OSError as error:
            raise BadInputError(
                f"'{source.name}' cannot be read: {error.strerror}.", "Check its permissions."
            ) from error
    if not all(contents):
        raise BadInputError(f"An image of '{folder}' is empty.", "Remove it.")
    return contents


def _inferences(about: ModelMetadata, options: LoadOptions) -> list[Infer]:
    rng = np.random.default_rng(options.seed)
    asked = []
    for _ in range(_DIFFERENT):
        inputs = {tensor.name: _numbers(tensor, options.batch, rng) for tensor in about.inputs}
        asked.append(inference(about.name, inputs))
    return asked


def _numbers(about: TensorMetadata, batch: int, rng: np.random.Generator) -> Tensor:
    """A tensor of an input's type and shape, with numbers that suit it."""
    first, *rest = about.shape or (-1,)
    if first not in (-1, batch):
        raise BadInputError(
            f"Input '{about.name}' takes batches of {first}, not of {batch}.",
            f"Say --batch {first}.",
        )
    shape = (batch, *(_FREE_AXIS if axis < 0 else axis for axis in rest))
    if about.datatype == BYTES:
        values: Array = np.full(shape, b"lrn-deploy", object)
        return Tensor(values)
    if about.datatype == BF16:
        return Tensor(rng.standard_normal(shape, np.float32), BF16)
    dtype = NUMPY.get(about.datatype)
    if dtype is None:
        raise ProtocolError(
            f"Input '{about.name}' is of type '{about.datatype}', which is not known."
        )
    if dtype.kind == "f":
        return Tensor(rng.standard_normal(shape, np.float32).astype(dtype))
    # Whole numbers may be indices of a table: 0 and 1 are in any.
    most = 256 if about.datatype == "UINT8" else 2
    return Tensor(rng.integers(0, most, shape).astype(dtype))
