"""``lrn-deploy models``: the networks of the zoo."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from lrn_deploy.cli.common.output import emit, json_option, people

if TYPE_CHECKING:
    from lrn_deploy.models import ZooEntry

_WIDTH = 160  # a row is one line, also in a pipe or a narrow terminal


@click.command()
@json_option
def command(as_json: bool) -> None:
    """List the networks that can be exported by name.

    'trained' weights are shipped with this package; the other networks get random ones until you
    give --weights. --json adds each LRN layer's parameters and the preprocessing.

    \b
    Example:
      lrn-deploy models
      lrn-deploy models --json
      lrn-deploy export digits -o digits-bundle
    """
    from rich.table import Table

    from lrn_deploy.models import ZOO

    if as_json:
        emit([_record(entry) for entry in ZOO.values()])
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("name", "input", "parameters", "LRN layers", "weights", "what it is"):
        right = column in ("parameters", "LRN layers")
        table.add_column(column, justify="right" if right else "left", no_wrap=True)
    for entry in ZOO.values():
        table.add_row(
            entry.name,
            "x".join(str(axis) for axis in entry.input_shape),
            f"{entry.parameters:,}",
            str(len(entry.lrn)),
            _weights(entry),
            entry.summary,
        )
    console = people(as_json)
    console.width = max(console.width, _WIDTH)
    console.print(table)


def _record(entry: ZooEntry) -> dict[str, Any]:
    return {
        "name": entry.name,
        "summary": entry.summary,
        "input_shape": list(entry.input_shape),
        "parameters": entry.parameters,
        "lrn_layers": [
            {"size": spec.size, "alpha": spec.alpha, "beta": spec.beta, "k": spec.k}
            for spec in entry.lrn
        ],
        "weights": _weights(entry),
        "labels": entry.labels is not None,
        "preprocessing": entry.preprocessing.model_dump(),
    }


def _weights(entry: ZooEntry) -> str:
    return "random" if entry.weights is None else "trained"
