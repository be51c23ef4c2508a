"""What the page is drawn from: the manifest, and those reports that are there."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from lrn_deploy.bundle import Bundle, Choice, Manifest
from lrn_deploy.bundle.staleness import stale_notes
from lrn_deploy.errors import BadInputError, DamagedError
from lrn_deploy.latency.schema import Comparison, LatencyReport, Layers, Row, Start
from lrn_deploy.parity.schema import ParityReport
from lrn_deploy.tuning.schema import TuneReport

PARITY = "reports/parity.json"
LATENCY = "reports/latency.json"
TUNE = "reports/tune.json"
PAGE = "reports/report.html"

Report = TypeVar("Report", bound=BaseModel)
Named = TypeVar("Named", Row, Start, Layers, Comparison)


@dataclass(frozen=True)
class Source:
    """All that the page shows.

    Attributes:
        manifest: The bundle's manifest.
        parity: What ``validate`` found; None if it has not run.
        latency: What ``profile`` found; None if it has not run.
        tune: What ``tune`` found; None if it has not run.
        stale: What was made with another preprocessing, one sentence for each.
    """

    manifest: Manifest
    parity: ParityReport | None
    latency: LatencyReport | None
    tune: TuneReport | None = None
    stale: tuple[str, ...] = ()

    @property
    def unchecked(self) -> tuple[str, ...]:
        """Artifacts that are not those that ``validate`` saw: made or changed since."""
        seen = self.parity.artifacts if self.parity else {}
        artifacts = self.manifest.artifacts
        return tuple(
            name for name, artifact in artifacts.items() if seen.get(name) != artifact.sha256
        )

    @property
    def outdated(self) -> tuple[str, ...]:
        """Artifacts whose times are those of other bytes: changed or removed since ``profile``."""
        rows = self.latency.rows if self.latency else ()
        known = {name: artifact.sha256 for name, artifact in self.manifest.artifacts.items()}
        old = (r.artifact for r in rows if r.bundle == "this" and known.get(r.artifact) != r.sha256)
        return tuple(dict.fromkeys(old))

    @property
    def times(self) -> LatencyReport | None:
        """What ``profile`` found, where what is :attr:`outdated` is called stale by its name."""
        if self.latency is None or not self.outdated:
            return self.latency
        old = set(self.outdated)

        def marked(items: tuple[Named, ...]) -> tuple[Named, ...]:
            return tuple(
                row.model_copy(update={"artifact": f"{row.artifact} (stale)"})
                if row.artifact in old and getattr(row, "bundle", "this") == "this"
                else row
                for row in items
            )

        return self.latency.model_copy(
            update={
                "rows": marked(self.latency.rows),
                "starts": marked(self.latency.starts),
                "layers": marked(self.latency.layers),
                "comparisons": marked(self.latency.comparisons),
            }
        )

    @property
    def run_with(self) -> Choice | None:
        """What the bundle is run with where that is possible: the first choice of bytes it holds.

        None if it was not tuned, or no choice is left; then it is the graph as it was exported.
        """
        known = {name: artifact.sha256 for name, artifact in self.manifest.artifacts.items()}
        kept = (
            choice
            for choice in self.manifest.choices
            if known.get(choice.artifact) == choice.sha256
        )
        return next(kept, None)

    @property
    def retuned(self) -> bool:
        """Whether the choice of ``tune`` is one of other bytes: changed or removed since."""
        choice = self.tune.choice if self.tune else None
        if choice is None:
            return False
        artifact = self.manifest.artifacts.get(choice.artifact)
        return artifact is None or artifact.sha256 != choice.sha256


def read_source(bundle: Bundle) -> Source:
    """Read a bundle's reports.

    Raises:
        BadInputError: If there is none.
        DamagedError: If one is there that cannot be read.
    """
    parity = _read(bundle.path, PARITY, ParityReport, "validate")
    latency = _read(bundle.path, LATENCY, LatencyReport, "profile")
    tune = _read(bundle.path, TUNE, TuneReport, "tune")
    if parity is None and latency is None and tune is None:
        raise BadInputError(
            f"Bundle '{bundle.path}' has no reports to draw a page from.",
            f"Make one with 'lrn-deploy validate {bundle.path}' "
            f"or 'lrn-deploy profile {bundle.path}'.",
        )
    return Source(bundle.manifest, parity, latency, tune, stale_notes(bundle, without=PAGE))


def _read(folder: Path, file: str, model: type[Report], command: str) -> Report | None:
    hint = f"Make it again with 'lrn-deploy {command} {folder}'."
    try:
        return model.model_validate_json((folder / file).read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise DamagedError(f"'{folder / file}' cannot be read: {error.strerror}.", hint) from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        place = f" at '{where}'" if where else ""
        raise DamagedError(
            f"'{folder / file}' cannot be used: {first['msg']}{place}.", hint
        ) from error
