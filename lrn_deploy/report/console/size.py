"""The sizing report as tables and sentences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from lrn_deploy.report.console.layout import Column, print_facts, print_list

if TYPE_CHECKING:
    from rich.console import Console

    from lrn_deploy.sizing.schema import Plan, SizeReport


def print_size(say: Console, report: SizeReport) -> None:
    """The machines, what bounds them, what the wire carries, and what is taken for granted."""
    for one in report.plans:
        say.print(one.machine, style="bold")
        print_facts(say, _facts(report, one))
    print_list(say, "What a network card carries", _columns(report), _wires(report))
    print_facts(say, _listed("assumed", report.assumptions))


def _facts(report: SizeReport, one: Plan) -> list[tuple[str, str]]:
    replica = one.replica
    costs = ""
    if one.cost_per_hour is not None and one.cost_per_million_requests is not None:
        each = f"{one.cost_per_million_requests:,.4g} for a million requests"
        costs = f"{one.cost_per_hour:,.4g} an hour, {each}"
    million = f"{one.machines_for_a_million:,} machines"
    if one.million_cost_per_hour is not None:
        million += f", {one.million_cost_per_hour:,.4g} an hour"
    the = "the " if one.bound in ("processor", "GPU", "network card") else ""
    return [
        ("needs", _needs(report, one)),
        *([("costs", costs)] if costs else []),
        ("runs", f"{one.runs}, --max-batch-size {replica.max_batch_size}"),
        (
            "each replica",
            f"{_rate(one.replica_rate)}/s, busy {one.utilisation:.0%} of the time with batches of "
            f"{one.mean_batch:.1f}",
        ),
        (
            "latency",
            f"p50 {_ms(one.p50)} ms, p{report.quantile:g} {_ms(one.at_quantile)} of "
            f"{_ms(report.slo)} ms; of a lone request {_ms(replica.least)} ms",
        ),
        (
            "its knee",
            f"{_rate(replica.knee)}/s within the objective, {_rate(replica.capacity)}/s saturated",
        ),
        (
            "a machine",
            f"{_rate(one.machine_rate)}/s with {one.replicas_per_machine} at most, bounded by "
            f"{the}{one.bound}",
        ),
        ("a million/s", million),
        ("rests on", f"{one.profile}: {one.runs_timed:,} runs, {one.measured[:10]}"),
        *_listed("warning", one.warnings),
    ]


def _listed(name: str, sentences: Sequence[str]) -> list[tuple[str, str]]:
    """Sentences below each other, the name before the first."""
    return [("" if at else name, f"- {sentence}") for at, sentence in enumerate(sentences)]


def _needs(report: SizeReport, one: Plan) -> str:
    machines = "1 machine" if one.machines == 1 else f"{one.machines:,} machines"
    replicas = "1 replica" if one.replicas == 1 else f"{one.replicas:,} replicas"
    images = "" if report.images == 1 else f" of {report.images} images"
    return f"{machines}, {replicas}, for {_rate(report.rate)} requests/s{images}"


def _columns(report: SizeReport) -> list[Column]:
    link = f"{report.link_gbps:g} Gbit/s carries"
    return [
        Column("sent as"),
        Column("bytes a request", "bytes="),
        Column(link, f"{link} "),
        *(Column(f"machine {at}", f"of it machine {at} takes ") for at in _numbers(report)),
    ]


def _numbers(report: SizeReport) -> range:
    return range(1, len(report.plans) + 1)


def _wires(report: SizeReport) -> list[list[str]]:
    return [
        [
            f"{wire.form} (planned)" if wire.form == report.send else wire.form,
            f"{wire.request_bytes:,}",
            f"{_rate(wire.per_second)}/s",
            *(f"{one.link_share[wire.form]:.1%}" for one in report.plans),
        ]
        for wire in report.wires
    ]


def _rate(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _ms(seconds: float) -> str:
    """Milliseconds to three digits."""
    value = 1e3 * seconds
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"
