"""The table of calls: for each its name, its transports, and what is made of its answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from tritonclient.utils import InferenceServerException

from benchmarks.conformance.client import Client, Transport, connected, refusal
from benchmarks.peers.processes import Server

Ask = Callable[[Client], Any]
BOTH: tuple[Transport, ...] = ("http", "grpc")


@dataclass(frozen=True)
class Call:
    """One row for each transport.

    Attributes:
        name: What is asked.
        ask: Asks, and returns plain values that can be compared.
        says: What a refusal must say; see :func:`benchmarks.conformance.client.told`.
        transports: By which it is asked.
    """

    name: str
    ask: Ask
    says: tuple[str, ...] = ()
    transports: tuple[Transport, ...] = BOTH


CALLS: list[Call] = []
"""All calls, in the order in which they are asked."""


def call(name: str, *says: str, transports: tuple[Transport, ...] = BOTH) -> Callable[[Ask], Ask]:
    """Put a function into the table."""

    def add(ask: Ask) -> Ask:
        CALLS.append(Call(name, ask, says, transports))
        return ask

    return add


def http_only(name: str, *says: str) -> Callable[[Ask], Ask]:
    """Put a function into the table that only HTTP has."""
    return call(name, *says, transports=("http",))


def ask_all(server: Server, calls: Sequence[Call]) -> Iterator[tuple[str, Any]]:
    """Ask a server everything; gives the name of each row, with its transport, and the answer."""
    for transport in BOTH:
        with connected(server, transport) as client:
            for one in calls:
                if transport in one.transports:
                    yield f"{transport}: {one.name}", _asked(one, client)


def _asked(one: Call, client: Client) -> Any:
    try:
        return one.ask(client)
    except InferenceServerException as error:
        return refusal(error, one.says)
