"""``lrn-deploy load``."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import click

from lrn_deploy.cli.common.fields import takes
from lrn_deploy.cli.common.output import emit, json_option, people, progress
from lrn_deploy.errors import CHECK_FAILED, DONE, INTERRUPTED
from lrn_deploy.load.options import LoadOptions


@click.command("load")
@click.argument("url")
@takes(LoadOptions)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write the report with each request's times as JSON; 'lrn-deploy report FILE' draws it.",
)
@json_option
def command(url: str, options: LoadOptions, output: Path | None, as_json: bool) -> int:
    """Load a server and measure what it makes of it: throughput, latencies, errors, the knee.

    URL is http://HOST:PORT or grpc://HOST:PORT of lrn-server, Triton, or any other server of the
    Open Inference Protocol. With --rate each request has its time and its latency counts from
    then, so that no stall hides a request. Ctrl-C keeps what was measured.

    \b
    Example:
      lrn-deploy load http://127.0.0.1:8000 --ramp -o load.json
      lrn-deploy load http://127.0.0.1:8000 --rate 50 --images photos --duration 30
      lrn-deploy load grpc://127.0.0.1:8001 --concurrency 4 --model alexnet
    """
    from lrn_deploy.bundle import write_atomic
    from lrn_deploy.load.load import load
    from lrn_deploy.load.schema import INTERRUPTED as CTRL_C
    from lrn_deploy.report.load.console import print_load

    options = replace(options, api_key=options.api_key or os.environ.get("LRN_API_KEY", ""))
    with progress(f"asking {url}") as told:
        report = load(url, options, told)
    say = people(as_json)
    print_load(say, report)
    if output is not None:
        write_atomic(output, report.model_dump_json().encode())
        say.print(f"Report: {output}; 'lrn-deploy report {output}' draws it.")
    if as_json:
        emit(report)
    if report.stopped == CTRL_C:
        return INTERRUPTED
    return CHECK_FAILED if report.failed else DONE
