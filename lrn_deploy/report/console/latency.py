"""The latency report as tables and sentences."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from lrn_deploy.latency.schema import Comparison, LatencyReport, Row


TOP_LAYERS = 5
"""So many layers are printed; the page has all."""


def print_latency(say: Console, report: LatencyReport) -> None:
    """The measurements, the first runs, the comparisons, and what to make of them."""
    say.width = max(say.width, 110)  # better a line that wraps than one that is cut
    say.print(_latencies(report))
    _print_layers(say, report)
    for line in (*_starts(report), *_machine(report), *_reasons(report)):
        say.print(line)
    if report.comparisons:
        say.print(_comparisons(report))
        for line in _verdict(report):
            say.print(line)
    for warning in report.warnings:
        say.print(f"Warning: {warning}")


def _latencies(report: LatencyReport) -> Table:
    table = _table(
        ("artifact", "backend"),
        ("batch", "p50 ms", "p90", "p99", "max", "items/s", "floor ms", "x floor", "runs"),
    )
    for row in sorted(report.rows, key=_order):
        if row.summary is None or row.throughput is None:
            continue
        times = (row.summary.p50, row.summary.p90, row.summary.p99, row.summary.max)
        table.add_row(
            _name(row),
            row.backend,
            str(row.batch),
            *(_ms(value) for value in times),
            f"{row.throughput:.0f}" if row.throughput >= 10 else f"{row.throughput:.2g}",
            _ms(row.bound.seconds) if row.bound else "-",
            f"{row.over_bound:.2g}" if row.over_bound else "-",
            str(row.summary.count) + ("*" if row.noise is None or row.noise.noisy else ""),
        )
    return table


def _print_layers(say: Console, report: LatencyReport) -> None:
    """The layers that take most of the time of the artifact that runs fastest."""
    if not report.layers:
        return
    batch = min(timed.batch for timed in report.layers)
    shown = min(
        (timed for timed in report.layers if timed.batch == batch), key=lambda timed: timed.whole
    )
    table = _table((f"most time in {shown.artifact} on {shown.backend}", "kind"), ("ms", "share"))
    layers = sorted(shown.layers, key=lambda layer: -layer.seconds)
    lines = [(layer.name, layer.kind, layer.seconds) for layer in layers[:TOP_LAYERS]]
    others = sum(layer.seconds for layer in layers[TOP_LAYERS:])
    lines += [("other layers", "", others), ("outside of the layers", "", shown.rest)]
    for name, kind, seconds in lines:
        table.add_row(name, kind, _ms(seconds), f"{seconds / shown.whole:.0%}")
    say.print(table)


def _starts(report: LatencyReport) -> list[str]:
    lines = []
    for start in report.starts:
        cost = start.cost
        if cost.load is None or cost.first is None:
            continue
        memory = (
            "" if cost.peak_memory is None else f", peak memory {cost.peak_memory / 1e6:.0f} MB"
        )
        if cost.peak_memory is not None and cost.base_memory is not None:
            memory += f" ({cost.base_memory / 1e6:.0f} MB of it before loading)"
        owner = "" if start.bundle == "this" else f" of the {start.bundle} bundle"
        lines.append(
            f"First answer of {start.artifact}{owner} on {start.backend}: "
            f"{_ms(cost.load)} ms to load, {_ms(cost.first)} ms to run{memory}"
        )
    return lines


def _machine(report: LatencyReport) -> list[str]:
    lines = []
    if report.preparation is not None:
        lines.append(
            f"Preparing one image ({report.preparation.image}), not included above: decoding "
            f"{_ms(report.preparation.decode.p50)} ms, preprocessing "
            f"{_ms(report.preparation.preprocess.p50)} ms"
        )
    if report.hardware is not None:
        rates = ", ".join(
            f"{rate / 1e9:.0f} G multiply-adds/s in {kind}"
            for kind, rate in sorted(report.hardware.matrix_rate.items())
        )
        bandwidth = report.hardware.memory_bandwidth / 1e9
        lines.append(f"Machine at its best: reads {bandwidth:.0f} GB/s from memory; {rates}")
    return lines


def _reasons(report: LatencyReport) -> list[str]:
    """A line for each artifact and backend that was not measured; not for absent devices."""
    ran = {(row.bundle, row.artifact) for row in report.rows if row.samples}
    return [
        f"Not measured: {_name(row)}{f' on {row.backend}' if row.backend else ''}"
        f"{f' at batch {row.batch}' if row.batch else ''}: {row.reason}"
        for row in report.rows
        if row.reason and ((row.bundle, row.artifact) not in ran or row.batch is not None)
    ]


def _comparisons(report: LatencyReport) -> Table:
    table = _table(
        ("artifact", "against", "backend"), ("batch", "ratio", "95 % interval", "answer")
    )
    for comparison in report.comparisons:
        ratio = comparison.ratio
        table.add_row(
            comparison.artifact,
            comparison.against,
            comparison.backend,
            str(comparison.batch),
            f"{ratio.estimate:.3f}" if ratio else "-",
            f"{ratio.low:.3f} to {ratio.high:.3f}" if ratio else "-",
            comparison.answer,
        )
    return table


def _verdict(report: LatencyReport) -> list[str]:
    limit = f"{100 * report.max_regression:g} %"
    lines = [
        f"Inconclusive: {_what(comparison)}: {comparison.reason}"
        for comparison in report.comparisons
        if comparison.reason
    ]
    slower = [comparison for comparison in report.comparisons if comparison.answer == "regression"]
    if slower:
        names = "; ".join(_what(comparison) for comparison in slower)
        return [*lines, f"REGRESSION: slower by more than {limit}: {names}."]
    unsure = sum(comparison.answer == "inconclusive" for comparison in report.comparisons)
    if unsure:
        total = len(report.comparisons)
        return [*lines, f"No regression over {limit} is shown; {unsure} of {total} inconclusive."]
    return [*lines, f"OK: nothing is slower by more than {limit}."]


def _what(item: Comparison) -> str:
    return f"{item.artifact} on {item.backend} at batch {item.batch}"


def _order(row: Row) -> tuple[int, str, str, str]:
    return (row.batch or 0, row.artifact, row.backend, row.bundle)


def _name(row: Row) -> str:
    return row.artifact if row.bundle == "this" else f"{row.artifact} (other bundle)"


def _table(left: tuple[str, ...], right: tuple[str, ...]) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for title in left:
        table.add_column(title, no_wrap=True)
    for title in right:
        table.add_column(title, justify="right", no_wrap=True)
    return table


def _ms(seconds: float) -> str:
    """Milliseconds to three digits."""
    value = 1e3 * seconds
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"
