"""What ``lrn-deploy size`` gives as JSON; its tables are drawn from these models.

Times are in seconds, rates in requests a second.
"""

from __future__ import annotations

from typing import Literal

from lrn_deploy.circumstances import Record

SCHEMA_VERSION = 1

Bound = Literal["processor", "GPU", "reading requests", "decoding", "network card"]


class Wire(Record):
    """A form in which images are sent.

    Attributes:
        form: ``fp32``, ``uint8``, ``jpeg``, or ``tensors`` for inputs that are no images.
        request_bytes: Of a request.
        answer_bytes: Of its answer.
        per_second: Requests that a machine's network card carries.
    """

    form: str
    request_bytes: int
    answer_bytes: int
    per_second: float


class Replica(Record):
    """One server process with its network, at its best.

    Attributes:
        max_batch_size: Images that run together at most.
        least: The objective's quantile for a lone request: no objective below can be kept.
        capacity: Rate at which the network is always busy with full batches.
        knee: Highest rate at which the objective is kept.
        bound: What keeps it from more.
    """

    max_batch_size: int
    least: float
    capacity: float
    knee: float
    bound: Bound


class Plan(Record):
    """A number of machines of one kind.

    Attributes:
        profile: File of the times it rests on.
        measured: When they were measured.
        machine: Its processor, and its GPU if that runs the network.
        device: ``cpu`` or ``cuda``.
        runs: What runs there.
        runs_timed: Number of timed runs that it rests on.
        replica: One of its replicas.
        replicas_per_machine: As many run on each at most.
        machine_rate: What a machine bears within the objective.
        bound: What keeps a machine from more.
        machines: Machines that the rate takes.
        replicas: Replicas on all of them.
        replica_rate: What each then gets.
        utilisation: Share of the time in which it runs a batch.
        mean_batch: Images in a batch on average.
        p50: Predicted median from arrival to answer.
        at_quantile: The same at the objective's quantile.
        link_share: Share of the network card that a machine then takes, by form.
        machines_for_a_million: Machines that a million requests a second take.
        cost_per_hour: Of the machines that the rate takes; None without a price.
        cost_per_million_requests: Of a million requests at that rate.
        million_cost_per_hour: Of the machines that a million requests a second take.
        warnings: Why not to trust it.
    """

    profile: str
    measured: str
    machine: str
    device: str
    runs: str
    runs_timed: int
    replica: Replica
    replicas_per_machine: int
    machine_rate: float
    bound: Bound
    machines: int
    replicas: int
    replica_rate: float
    utilisation: float
    mean_batch: float
    p50: float
    at_quantile: float
    link_share: dict[str, float]
    machines_for_a_million: int
    cost_per_hour: float | None = None
    cost_per_million_requests: float | None = None
    million_cost_per_hour: float | None = None
    warnings: tuple[str, ...] = ()


class SizeReport(Record):
    """The answer of ``size``.

    Attributes:
        model: Name of the network.
        rate: Requests a second.
        images: Images in each.
        slo: The objective.
        quantile: Per cent of the requests that must keep it.
        send: Form in which images are sent.
        link_gbps: Speed of a machine's network card in Gbit/s.
        wires: Every form.
        plans: One for each profile.
        assumptions: What is taken for granted, a sentence each.
    """

    schema_version: int = SCHEMA_VERSION
    model: str
    rate: float
    images: int
    slo: float
    quantile: float
    send: str
    link_gbps: float
    wires: tuple[Wire, ...]
    plans: tuple[Plan, ...]
    assumptions: tuple[str, ...]
