"""The client for programs on an event loop: :class:`.client.Client`, awaited."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar

from lrn_deploy.client.address import Address, Credentials
from lrn_deploy.client.answers import Classified, ModelMetadata, ModelState, ServerMetadata
from lrn_deploy.client.client import TIMEOUT
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


class AsyncTransport(Protocol):
    """How requests reach the server and answers come back."""

    async def ask(self, operation: Operation[Any], seconds: float | None) -> Any:
        """Ask once; raises TimeoutError if there is no answer in time."""

    async def close(self) -> None:
        """Let go of the connections."""


class AsyncClient:
    """Asks one server, by the Open Inference Protocol, from the tasks of one event loop.

    Args:
        url: As for :class:`Client`, and so are the others.
        api_key: See there.
        ca: See there.
        cert: See there.
        key: See there.
        headers: See there.
        timeout: See there.
        retry: See there.

    Raises:
        BadInputError: If the URL or the files cannot be used.
        MissingError: If the packages that the client needs are not installed.
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
        self._sleep: Callable[[float], Awaitable[None]] = asyncio.sleep

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close its connections."""
        await self._transport.close()

    async def infer(
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
        """Run a model; see :meth:`Client.infer`."""
        asked = inference(
            model, inputs, version, outputs, classes, parameters, priority, id, binary=binary
        )
        return await self.ask(asked, timeout)

    async def classify(
        self, model: str, image: Image, *, top: int = 5, timeout: float | None = None
    ) -> Classified:
        """Classify an image; see :meth:`Client.classify`."""
        return (await self.classify_all(model, [image], top=top, timeout=timeout))[0]

    async def classify_all(
        self, model: str, images: Iterable[Image], *, top: int = 5, timeout: float | None = None
    ) -> tuple[Classified, ...]:
        """Classify several images in one request; one that cannot be read has an ``error``."""
        asked = Classify(model, image_files(images), top)
        return await self.ask(asked, timeout) if asked.images else ()

    async def live(self) -> bool:
        """Whether the server is alive; False also if nobody answers."""
        try:
            return await self.ask(Live())
        except ClientError:
            return False

    async def ready(self, model: str = "", version: str = "") -> bool:
        """Whether the server, or one of its models, takes requests; False if nobody answers.

        Raises:
            NotFoundError: If there is no such model.
        """
        try:
            return await self.ask(Ready(model, version))
        except RefusedError:
            raise
        except ClientError:
            return False

    async def server_metadata(self) -> ServerMetadata:
        """What the server is."""
        return await self.ask(AboutServer())

    async def model_metadata(self, model: str, version: str = "") -> ModelMetadata:
        """What a model takes and gives."""
        return await self.ask(AboutModel(model, version))

    async def config(self, model: str, version: str = "") -> dict[str, Any]:
        """A model's configuration, in Triton's form."""
        return await self.ask(Config(model, version))

    async def models(self) -> tuple[ModelState, ...]:
        """Every model that the server knows, loaded or not."""
        return await self.ask(Index())

    async def stats(self, model: str = "", version: str = "") -> list[dict[str, Any]]:
        """What the models have done, in Triton's form; of one model, or of all."""
        return await self.ask(Stats(model, version))

    async def load(self, model: str, *, timeout: float | None = None) -> None:
        """Load a model, or load it anew; comes back when it is loaded."""
        await self.ask(Control(model, load=True), timeout)

    async def unload(self, model: str, *, timeout: float | None = None) -> None:
        """Unload a model; comes back when it has finished what it had."""
        await self.ask(Control(model, load=False), timeout)

    async def ask(self, operation: Operation[Answer], timeout: float | None = None) -> Answer:
        """Ask for an operation; what the others do, and for those that have no method here."""
        attempts = self._retry.begin(
            self._timeout if timeout is None else timeout, repeatable=operation.repeatable
        )
        while True:
            try:
                answer: Answer = await self._transport.ask(operation, attempts.remaining())
                attempts.answered()
                return answer
            except TimeoutError as error:
                raise attempts.late() from error
            except ClientError as error:
                if operation.asks_once:
                    raise
                seconds = attempts.wait(error)
            await self._sleep(seconds)


def _transport(address: Address, credentials: Credentials) -> AsyncTransport:
    if address.protocol == "grpc":
        from lrn_deploy.client.grpc.channels import AsyncChannel

        return AsyncChannel(address, credentials)
    from lrn_deploy.client.http.streams import Streams

    return Streams(address, credentials)
