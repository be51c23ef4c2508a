"""``lrn-deploy preprocess``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import click

from lrn_deploy.cli.common.fields import takes
from lrn_deploy.cli.common.output import emit, json_option, people
from lrn_deploy.cli.common.places import own_bundle
from lrn_deploy.options import option
from lrn_deploy.said import AS_WRITTEN, Said


@dataclass(frozen=True)
class _Correction:
    preprocessing: Said = option(Said(), "What is said now.", **AS_WRITTEN)


@click.command("preprocess")
@own_bundle
@takes(_Correction)
@json_option
def command(bundle: Path, options: _Correction, as_json: bool) -> None:
    """Show how images become the network's input, or correct it without exporting again.

    Without options it is shown; with some, those are changed and the rest stays. What was
    calibrated, tuned or validated with the old preprocessing is told to be so from then on.

    \b
    Example:
      lrn-deploy preprocess mynet
      lrn-deploy preprocess mynet --colors bgr --scale 1 --mean 104,117,123 --std 1
    """
    from lrn_deploy.bundle import Bundle
    from lrn_deploy.bundle.said import said_of
    from lrn_deploy.bundle.staleness import stale_notes
    from lrn_deploy.report.console.export import warn_assumed
    from lrn_deploy.workflows.preprocess import correct_preprocessing

    said = options.preprocessing
    done = correct_preprocessing(Bundle.open(bundle), said)
    notes = list(stale_notes(done.bundle))
    if done.untuned:
        notes.append("What 'lrn-deploy tune' chose no longer counts: run it again.")
    say = people(as_json)
    if as_json:
        emit(
            {
                "bundle": str(bundle),
                "preprocessing": said_of(done.preprocessing, everything=True).content,
                "assumed": list(done.preprocessing.assumed),
                "in_graph": done.preprocessing.in_graph,
                "changed": done.changed,
                "stale": notes,
            }
        )
        return
    if done.changed:
        say.print(f"Changed the preprocessing of {bundle}.")
    elif said != Said():
        say.print(f"{bundle} prepares images as before.")
    say.print(f"  {done.preprocessing.described}")
    assumed = warn_assumed(done.preprocessing, bundle)
    for note in [assumed, *notes] if assumed else notes:
        say.print(f"  {note}", style="yellow")
