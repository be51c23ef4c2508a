"""How many machines a bundle needs for a rate and an objective."""

from __future__ import annotations

from lrn_deploy.bundle import Bundle
from lrn_deploy.errors import BadInputError
from lrn_deploy.sizing.options import SizeOptions
from lrn_deploy.sizing.plan import plan
from lrn_deploy.sizing.profiles import Profile, read, read_own
from lrn_deploy.sizing.schema import Plan, SizeReport, Wire
from lrn_deploy.sizing.service import MEASURED
from lrn_deploy.sizing.wire import forms, sent


def size(bundle: Bundle, options: SizeOptions) -> SizeReport:
    """Plan machines, one plan for each profile; nothing is run or measured.

    Args:
        bundle: The bundle.
        options: The rate, the objective, and the machines.

    Raises:
        BadInputError: If the bundle has no profile, nothing can keep the objective, or what is
            asked for was not measured.
        DamagedError: If a profile cannot be read.
    """
    manifest = bundle.manifest
    profiles = [read(file) for file in options.profile] or [read_own(bundle)]
    wires = forms(manifest, options.images)
    send = options.send or sent(manifest)
    if send not in wires:
        raise BadInputError(
            f"The network {manifest.no_image}, so nothing can be sent as {send}.",
            "Leave --send out.",
        )
    prices = options.price or (None,) * len(profiles)
    plans = tuple(
        plan(profile, manifest, options, wires, send, price)
        for profile, price in zip(profiles, prices, strict=True)
    )
    return SizeReport(
        model=manifest.model.name,
        rate=options.rate,
        images=options.images,
        slo=options.slo_ms / 1e3,
        quantile=options.quantile,
        send=send,
        link_gbps=options.link_gbps,
        wires=tuple(
            Wire(
                form=form.name,
                request_bytes=form.request,
                answer_bytes=form.answer,
                per_second=form.per_second(options.link_gbps),
            )
            for form in wires.values()
        ),
        plans=plans,
        assumptions=tuple(_assumptions(options, profiles, plans, send)),
    )


def _assumptions(
    options: SizeOptions, profiles: list[Profile], plans: tuple[Plan, ...], send: str
) -> list[str]:
    """What is taken for granted, the most daring first."""
    own = MEASURED
    found = [
        "Requests come at random and independently of each other (Poisson), at the rate given all "
        "the time: size for the busiest minute.",
        "Each replica gets its share of them at random; a balancer that knows which is free does "
        "no worse.",
        "Each replica is one lrn-server with one instance, and batches by its adaptive rule up to "
        "the --max-batch-size told.",
        "Batches take as long as the profile says, between two measured sizes on the line between "
        f"them; the server adds {1e6 * own.per_request:.0f} us and {1e9 * own.per_byte:.1f} ns a "
        f"byte for each request and {1e6 * own.per_batch:.0f} us for each batch, as measured on an "
        "AMD EPYC.",
    ]
    if any(one.device == "cpu" for one in plans):
        found.append(
            "On a processor, reading requests takes time of the network's; replicas of one machine "
            "do not slow each other down."
        )
    if any(one.device != "cpu" for one in plans):
        found.append(
            "On a GPU, requests are read beside the network, by one thread of each replica, which "
            "is kept at 80 % at most."
        )
    if send == "jpeg":
        images = ", ".join(dict.fromkeys(one.image for one in profiles if one.image))
        found.append(f"Decoding an image takes as long as that of the profile ({images}).")
    return [
        *found,
        f"A machine's network card carries {options.link_gbps:g} Gbit/s each way and nothing else, "
        "94 % of it as payload, without TLS.",
        "Latency is counted from arrival at the server to the end of its answer: the way there and "
        "back comes to it.",
        "No machine is spare: add those whose failure must not be felt.",
    ]
