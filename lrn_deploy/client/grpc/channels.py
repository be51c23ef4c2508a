"""gRPC channels, blocking and on an event loop; grpcio's own, which many threads may use."""

from __future__ import annotations

from typing import Any

from lrn_deploy.client.address import Address, Credentials
from lrn_deploy.client.operations import Operation
from lrn_deploy.errors import MissingError
from lrn_deploy.extras import install

try:
    import grpc
    import grpc.aio

    from lrn_deploy.client.grpc import language
except ImportError as missing:
    raise MissingError(
        f"The client over gRPC needs {missing.name}, which is not installed.",
        f"Install it with: {install('client')}",
    ) from missing

OPTIONS: tuple[tuple[str, int], ...] = (
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.use_local_subchannel_pool", 1),  # a closed client leaves nothing behind
    ("grpc.enable_retries", 0),  # ours have a budget and know what is safe
    # A server that comes back is to be found by a retry, not a second or a minute later.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
)


class Channel:
    """A channel to one server. Thread-safe.

    Args:
        address: Where it is.
        credentials: How to be let in.
    """

    def __init__(self, address: Address, credentials: Credentials) -> None:
        self.address = address
        self._metadata = tuple(credentials.sent().items())
        if address.secure:
            self._channel = grpc.secure_channel(
                address.authority, credentials_of(credentials), OPTIONS
            )
        else:
            self._channel = grpc.insecure_channel(address.authority, OPTIONS)

    def ask(self, operation: Operation[Any], seconds: float | None) -> Any:
        """Ask once; see :mod:`.language` for what may go wrong.

        Raises:
            TimeoutError: If there is no answer in time.
        """
        method, message = language.encode(operation)
        call = _call(self._channel, method)
        try:
            answer = call(message, timeout=seconds, metadata=self._metadata)
        except grpc.RpcError as error:
            raise _failed(error, self.address) from error
        return language.decode(operation, answer)

    def close(self) -> None:
        """Close it."""
        self._channel.close()


class AsyncChannel:
    """A channel to one server, for the tasks of one event loop.

    Args:
        address: Where it is.
        credentials: How to be let in.
    """

    def __init__(self, address: Address, credentials: Credentials) -> None:
        self.address = address
        self._metadata = tuple(credentials.sent().items())
        if address.secure:
            self._channel = grpc.aio.secure_channel(
                address.authority, credentials_of(credentials), OPTIONS
            )
        else:
            self._channel = grpc.aio.insecure_channel(address.authority, OPTIONS)

    async def ask(self, operation: Operation[Any], seconds: float | None) -> Any:
        """Ask once; as :meth:`Channel.ask`."""
        method, message = language.encode(operation)
        call = _call(self._channel, method)
        try:
            answer = await call(message, timeout=seconds, metadata=self._metadata)
        except grpc.RpcError as error:
            raise _failed(error, self.address) from error
        return language.decode(operation, answer)

    async def close(self) -> None:
        """Close it."""
        await self._channel.close()


def credentials_of(credentials: Credentials) -> Any:
    """TLS as grpcio takes it."""
    ca, key, cert = credentials.pem()
    return grpc.ssl_channel_credentials(ca, key, cert)


def _call(channel: Any, method: str) -> Any:
    kind = language.answer_class(method)
    path = f"/{language.SERVICE}/{method}"
    return channel.unary_unary(
        path,
        request_serializer=lambda message: message.SerializeToString(),
        response_deserializer=kind.FromString,
    )


def _failed(error: Any, address: Address) -> Exception:
    if error.code() == grpc.StatusCode.DEADLINE_EXCEEDED:
        return TimeoutError()
    return language.failure(error, address)
