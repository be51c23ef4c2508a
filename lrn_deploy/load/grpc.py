"""Sends gRPC requests that are ready as bytes, by grpcio's futures."""

from __future__ import annotations

import queue
import time
from collections.abc import Iterable, Sequence
from typing import Any

import grpc

from lrn_deploy.client.address import Address, Credentials
from lrn_deploy.client.errors import ClientError, LostError, UnreachableError
from lrn_deploy.client.grpc import language
from lrn_deploy.client.grpc.channels import OPTIONS, credentials_of
from lrn_deploy.load.drive import ANSWERED, LOST, NO_ANSWER, NO_CONNECTION, Ended

_CHANNELS = 4  # connections, which share the requests
_PATH = f"/{language.SERVICE}/ModelInfer"


class GrpcSender:
    """Channels to one server, which carry any number of requests each.

    Args:
        address: Where it is.
        credentials: How to be let in.
        requests: What is asked, as messages, in turn: the ticket says which.
        most: Requests under way at most.
        timeout: Seconds for each, which is told to the server.
    """

    def __init__(
        self,
        address: Address,
        credentials: Credentials,
        requests: Sequence[Any],
        most: int,
        timeout: float,
    ) -> None:
        self.most = most
        self._address = address
        self._requests = [request.SerializeToString() for request in requests]
        self._timeout = timeout
        self._metadata = tuple(credentials.sent().items())
        self._channels = []
        for _ in range(min(_CHANNELS, most)):
            if address.secure:
                tls = credentials_of(credentials)
                self._channels.append(grpc.secure_channel(address.authority, tls, OPTIONS))
            else:
                self._channels.append(grpc.insecure_channel(address.authority, OPTIONS))
        self._calls = [channel.unary_unary(_PATH) for channel in self._channels]
        self._futures: dict[int, Any] = {}
        self._ended: queue.SimpleQueue[Ended] = queue.SimpleQueue()

    def send(self, ticket: int) -> None:
        """Send the request of this ticket."""
        call = self._calls[ticket % len(self._calls)]
        request = self._requests[ticket % len(self._requests)]
        future = call.future(request, timeout=self._timeout, metadata=self._metadata)
        self._futures[ticket] = future

        def done(future: Any) -> None:
            self._ended.put((ticket, time.perf_counter(), self._outcome(future)))

        future.add_done_callback(done)

    def wait(self, seconds: float) -> Iterable[Ended]:
        """What has ended; waits so long if nothing has."""
        ended = []
        try:
            ended.append(self._ended.get(timeout=seconds) if seconds else self._ended.get_nowait())
            while True:
                ended.append(self._ended.get_nowait())
        except queue.Empty:
            pass
        for ticket, _, _ in ended:
            self._futures.pop(ticket, None)
        return ended

    def abandon(self, ticket: int) -> None:
        """Nobody waits for this one any more."""
        future = self._futures.pop(ticket, None)
        if future is not None:
            future.cancel()

    def close(self) -> None:
        """Close the channels."""
        for channel in self._channels:
            channel.close()

    def _outcome(self, future: Any) -> str:
        code = future.code()
        if code == grpc.StatusCode.OK:
            return ANSWERED
        if code == grpc.StatusCode.DEADLINE_EXCEEDED:
            return NO_ANSWER
        error: ClientError = language.failure(future, self._address)
        if isinstance(error, UnreachableError):
            return NO_CONNECTION
        return LOST if isinstance(error, LostError) else str(code.name)
