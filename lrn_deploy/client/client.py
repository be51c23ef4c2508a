"""The client for programs that wait for their answers."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar

from lrn_deploy.client.address import Address, Credentials
from lrn_deploy.client.answers import Classified, ModelMetadata, ModelState, ServerMetadata
from lrn_deploy.client.errors import ClientError, RefusedError
from lrn_deploy.client.images import Image, image_files
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
    Value,
    inference,
)
from lrn_deploy.client.retry import Retry
from lrn_deploy.client.tensors import Array, Tensor

Answer = TypeVar("Answer")
TIMEOUT = 60.0
"""Seconds for a request if nothing is said."""


class Transport(Protocol):
    """How requests reach the server and answers come back."""

    def ask(self, operation: Operation[Any], seconds: float | None) -> Any:
        """Ask once; raises TimeoutError if there is no answer in time."""

    def close(self) -> None:
        """Let go of the connections."""


class Client:
    """Asks one server, by the Open Inference Protocol. Thread-safe.

    Args:
        url: ``http://HOST:PORT`` or ``grpc://HOST:PORT``; ``https`` and ``grpcs`` with TLS.
        api_key: Sent as ``Authorization: Bearer KEY``.
        ca: PEM file with the certificates that may vouch for the server; None: the system's.
        cert: PEM file with a certificate of one's own, for mTLS.
        key: PEM file with its private key.
        headers: Further headers of each request.
        timeout: Seconds for a request with all its retries, if the call says nothing else; None:
            any time. What is left of them is sent along, so that the server does not work for a
            client that has given up.
        retry: When a request is sent again; None: up to three times more where that is safe.

    Raises:
        BadInputError: If the URL or the files cannot be used.
        MissingError: If the packages that the client needs are not installed.

    Every call raises a :class:`ClientError` of its kind if there is no answer.
    """

    def __init__(
        self,
        url: str,
        *,
        api_key: str = "",
        ca: str | Path | None = None,
        cert: str | Path | None = None,
        key: str | Path | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = TIMEOUT,
        retry: Retry | None = None,
    ) -> None:
        self.address = Address.of(url)
        credentials = Credentials.of(api_key, ca, cert, key, headers)
        self._transport = _transport(self.address, credentials)
        self._timeout = timeout
        self._retry = retry or Retry()
        self._sleep: Callable[[float], None] = time.sleep

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close its connections."""
        self._transport.close()

    def infer(
        self,
        model: str,
        inputs: Mapping[str, Array | Tensor],
        *,
        version: str = "",
        outputs: Sequence[str] = (),
        classes: int = 0,
        parameters: Mapping[str, Value] | None = None,
        priority: int = 0,
        id: str = "",  # noqa: A002 - the protocol's own name for it
        binary: bool = True,
        timeout: float | None = None,
    ) -> dict[str, Array]:
        """Run a model.

        Args:
            model: Its name.
            inputs: Its inputs by name, each with the batch as first axis. Arrays of strings or
                bytes are BYTES; ``Tensor(array, "BF16")`` sends float32 as BF16.
            version: Its version; empty for any.
            outputs: Names of the outputs that are wanted; empty for all.
            classes: For ``outputs``: so many of the likeliest classes of each row, as Triton's
                classification extension writes them, instead of numbers.
            parameters: Further parameters of the request.
            priority: 1 is the highest; 0: the server's default.
            id: The caller's own id of it.
            binary: False sends and gets tensors as JSON, for servers without the binary extension.
            timeout: Seconds for it; None: the client's.

        Returns:
            The outputs by name. BF16 comes as float32, BYTES as objects that are bytes. Arrays may
            be read-only.
        """
        asked = inference(
            model, inputs, version, outputs, classes, parameters, priority, id, binary=binary
        )
        return self.ask(asked, timeout)

    def classify(
        self, model: str, image: Image, *, top: int = 5, timeout: float | None = None
    ) -> Classified:
        """Classify an image, by lrn-server over HTTP.

        Args:
            model: The model; empty if the server has one only.
            image: The path of a file, the bytes of one, or a picture of PIL.
            top: How many classes.
            timeout: Seconds for it; None: the client's.
        """
        return self.classify_all(model, [image], top=top, timeout=timeout)[0]

    def classify_all(
        self, model: str, images: Iterable[Image], *, top: int = 5, timeout: float | None = None
    ) -> tuple[Classified, ...]:
        """Classify several images in one request; one that cannot be read has an ``error``."""
        asked = Classify(model, image_files(images), top)
        return self.ask(asked, timeout) if asked.images else ()

    def live(self) -> bool:
        """Whether the server is alive; False also if nobody answers."""
        try:
            return self.ask(Live())
        except ClientError:
            return False

    def ready(self, model: str = "", version: str = "") -> bool:
        """Whether the server, or one of its models, takes requests; False if nobody answers.

        Raises:
            NotFoundError: If there is no such model.
        """
        try:
            return self.ask(Ready(model, version))
        except RefusedError:
            raise
        except ClientError:
            return False

    def server_metadata(self) -> ServerMetadata:
        """What the server is."""
        return self.ask(AboutServer())

    def model_metadata(self, model: str, version: str = "") -> ModelMetadata:
        """What a model takes and gives."""
        return self.ask(AboutModel(model, version))

    def config(self, model: str, version: str = "") -> dict[str, Any]:
        """A model's configuration, in Triton's form."""
        return self.ask(Config(model, version))

    def models(self) -> tuple[ModelState, ...]:
        """Every model that the server knows, loaded or not."""
        return self.ask(Index())

    def stats(self, model: str = "", version: str = "") -> list[dict[str, Any]]:
        """What the models have done, in Triton's form; of one model, or of all."""
        return self.ask(Stats(model, version))

    def load(self, model: str, *, timeout: float | None = None) -> None:
        """Load a model, or load it anew; comes back when it is loaded."""
        self.ask(Control(model, load=True), timeout)

    def unload(self, model: str, *, timeout: float | None = None) -> None:
        """Unload a model; comes back when it has finished what it had."""
        self.ask(Control(model, load=False), timeout)

    def ask(self, operation: Operation[Answer], timeout: float | None = None) -> Answer:
        """Ask for an operation; what the others do, and for those that have no method here."""
        attempts = self._retry.begin(
            self._timeout if timeout is None else timeout, repeatable=operation.repeatable
        )
        while True:
            try:
                answer: Answer = self._transport.ask(operation, attempts.remaining())
                attempts.answered()
                return answer
            except TimeoutError as error:
                raise attempts.late() from error
            except ClientError as error:
                if operation.asks_once:
                    raise
                seconds = attempts.wait(error)
            self._sleep(seconds)


def _transport(address: Address, credentials: Credentials) -> Transport:
    if address.protocol == "grpc":
        from lrn_deploy.client.grpc.channels import Channel

        return Channel(address, credentials)
    from lrn_deploy.client.http.sockets import Sockets

    return Sockets(address, credentials)
