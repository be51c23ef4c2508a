"""From one replica to machines: how many a rate takes, what they cost, and what bounds them."""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil

from lrn_deploy.bundle import Manifest
from lrn_deploy.errors import BadInputError
from lrn_deploy.sizing.options import SizeOptions
from lrn_deploy.sizing.profiles import Profile, chosen
from lrn_deploy.sizing.replica import MOST_READING, Server, best
from lrn_deploy.sizing.schema import Bound, Plan
from lrn_deploy.sizing.service import MEASURED, Curve, Overhead, service_times
from lrn_deploy.sizing.wire import Form

MILLION = 1_000_000
OF_THE_SERVER = 10.0
"""A network that takes fewer times the server's own part of a request is a hasty one."""


def plan(
    profile: Profile,
    manifest: Manifest,
    options: SizeOptions,
    wires: Mapping[str, Form],
    send: str,
    price: float | None = None,
    overhead: Overhead = MEASURED,
) -> Plan:
    """Machines of one kind.

    Args:
        profile: What was measured on one.
        manifest: Of the bundle.
        options: What is asked.
        wires: The forms in which images can be sent.
        send: That in which they are.
        price: Of a machine for an hour.
        overhead: The server's own time.

    Raises:
        BadInputError: If no request at all can keep the objective, or larger batches are asked for
            than were measured.
    """
    curve = chosen(profile, manifest, options.run)
    servers = [
        _server(curve, options, wires[send], most, overhead, _preparing(profile, options, send))
        for most in _sizes(curve, options, profile)
    ]
    objective, percent = options.slo_ms / 1e3, options.quantile
    server, replica = best(servers, objective, percent)
    if not replica.knee:
        least = 1e3 * min(one.least(percent) for one in servers)
        raise BadInputError(
            f"No objective of {options.slo_ms:g} ms can be kept: a lone request takes "
            f"{least:.3g} ms at p{percent:g} ({curve.name}, '{profile.file}').",
            f"Ask for more than {least:.3g} ms, or find something faster with 'lrn-deploy tune'.",
        )
    each = options.replicas or _replicas(profile, curve)
    machine_rate, bound = _bears(profile, curve, options, wires[send], each * replica.knee)
    bound = bound or replica.bound
    machines = ceil(options.rate / machine_rate)
    replicas = ceil(options.rate / replica.knee)
    if bound != replica.bound:  # each machine then has what its own share takes
        replicas = machines * ceil(options.rate / machines / replica.knee)
    rate = options.rate / replicas
    stay, (p50, at_quantile) = server.quantiles(rate, (50, percent))
    million = ceil(MILLION / machine_rate)
    return Plan(
        profile=str(profile.file),
        measured=profile.created,
        machine=profile.machine if curve.device != "cpu" else _processor(profile),
        device=curve.device,
        runs=curve.name,
        runs_timed=sum(len(samples) for samples in curve.samples.values()),
        replica=replica,
        replicas_per_machine=each,
        machine_rate=machine_rate,
        bound=bound,
        machines=machines,
        replicas=replicas,
        replica_rate=rate,
        utilisation=stay.utilisation,
        mean_batch=stay.mean_batch * options.images,
        p50=p50,
        at_quantile=at_quantile,
        link_share={
            name: options.rate / machines / form.per_second(options.link_gbps)
            for name, form in wires.items()
        },
        machines_for_a_million=million,
        cost_per_hour=None if price is None else price * machines,
        cost_per_million_requests=(
            None if price is None else price * machines * MILLION / options.rate / 3600
        ),
        million_cost_per_hour=None if price is None else price * million,
        warnings=(
            *profile.warnings,
            *_hasty(curve, options, overhead.of_request(wires[send].request)),
        ),
    )


def _hasty(curve: Curve, options: SizeOptions, reading: float) -> tuple[str, ...]:
    """Why not to trust the latency of a network that takes hardly longer than serving it."""
    took = float(curve.times(options.images).mean())
    if curve.device != "cpu" or took >= OF_THE_SERVER * reading:
        return ()
    return (
        f"A run takes {1e3 * took:.2g} ms and the server's own part {1e3 * reading:.2g} ms of each "
        "request: the model foresees latencies too low where networks are that quick, by up to 5 "
        "times at a high load; measure them with 'lrn-deploy load --ramp'.",
    )


def _sizes(curve: Curve, options: SizeOptions, profile: Profile) -> list[int]:
    """The largest batches to choose from."""
    wanted = max(options.images, options.max_batch_size or 1)
    if wanted > curve.largest:
        raise BadInputError(
            f"Batches of {wanted} images were not measured in '{profile.file}', of {curve.largest} "
            "at most.",
            f"Measure them with 'lrn-deploy profile BUNDLE --max-batch {wanted}'.",
        )
    if options.max_batch_size is not None:
        return [options.max_batch_size]
    return sorted(size for size in curve.samples if size >= options.images)


def _server(
    curve: Curve, options: SizeOptions, form: Form, most: int, overhead: Overhead, prepare: float
) -> Server:
    """A replica; on a processor all of whose cores run the network, the rest takes time of its."""
    reading = overhead.of_request(form.request)
    if curve.device == "cpu":
        times = service_times(curve, options.images, most, reading + prepare, overhead.per_batch)
        return Server(times, most)
    times = service_times(curve, options.images, most, 0.0, overhead.per_batch)
    return Server(times, most, beside=reading, on_gpu=True)


def _preparing(profile: Profile, options: SizeOptions, send: str) -> float:
    """Seconds of decoding and preprocessing a request's images, where the server does that."""
    if send != "jpeg":
        return 0.0
    if profile.prepare is None:
        raise BadInputError(
            f"'{profile.file}' does not say how long decoding an image takes.",
            "Plan with --send fp32 or uint8, or with a profile of 'lrn-deploy profile'.",
        )
    return profile.prepare * options.images


def _replicas(profile: Profile, curve: Curve) -> int:
    if curve.device != "cpu":
        return max(1, profile.gpus)
    return max(1, profile.cores // (curve.threads or profile.cores))


def _bears(
    profile: Profile, curve: Curve, options: SizeOptions, form: Form, computed: float
) -> tuple[float, Bound | None]:
    """What a machine bears, and what bounds it if it is not its replicas."""
    found: list[tuple[float, Bound | None]] = [
        (computed, None),
        (form.per_second(options.link_gbps), "network card"),
    ]
    if curve.device != "cpu" and form.name == "jpeg":
        decoding = _preparing(profile, options, form.name)
        found.append((MOST_READING * profile.cores / decoding, "decoding"))
    return min(found, key=lambda pair: pair[0])


def _processor(profile: Profile) -> str:
    return f"{profile.machine}, {profile.cores} cores"
