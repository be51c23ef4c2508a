"""The field of tune: everybody who was looked at, how far each got, and what remains to be done."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from lrn_deploy.bundle import Bundle
from lrn_deploy.errors import MissingError
from lrn_deploy.latency.effort import Effort
from lrn_deploy.latency.machine import MAX_FOREIGN_CORES, Usage, foreign_cores, usage
from lrn_deploy.parity.metrics import Metrics
from lrn_deploy.placement import Placement, as_most_run
from lrn_deploy.progress import Progress
from lrn_deploy.tuning.demand import Demand
from lrn_deploy.tuning.ledger import Ledger, Phase, about
from lrn_deploy.tuning.schema import Candidate
from lrn_deploy.workflows.optimize.memory import Memory
from lrn_deploy.workflows.tune.contenders import Contender, Truth, contenders, screen
from lrn_deploy.workflows.tune.evaluation import Evaluation
from lrn_deploy.workflows.tune.options import TuneOptions
from lrn_deploy.workflows.tune.race import Rules, race
from lrn_deploy.workflows.tune.validation import failures
from lrn_deploy.workflows.tune.variants import too_coarse
from lrn_deploy.workflows.validate.options import ValidateOptions

HEAT = Effort(rounds=8, seconds=6.0, min_rounds=5)
"""How long those who may be the fastest are timed in turns, to tell who deserves a race."""


@dataclass
class Field:
    """One run's candidates.

    Attributes:
        bundle: The bundle; it gains variants and samples.
        options: What is asked for, and how to measure.
        threads: Numbers of threads to try on the CPU.
        batches: Batch sizes to race at.
        inputs: What to judge on.
        truth: What the fp32 graph answers, and where it ran.
        progress: Told what goes on.
        ledger: Where the time went.
        began: Processor time used when it began.
        judged: Those who were loaded, whether they could run or not.
        left_out: Those who were not, with the reason.
        warnings: Why not to trust the answer.
        memory: What the variants saw of the calibration inputs.
    """

    bundle: Bundle
    options: TuneOptions
    threads: tuple[int, ...]
    batches: tuple[int, ...]
    inputs: Evaluation
    truth: Truth
    progress: Progress
    ledger: Ledger
    began: Usage
    judged: list[Contender] = field(default_factory=list)
    left_out: list[Candidate] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    memory: Memory = field(default_factory=Memory)
    _passed: set[Placement] = field(default_factory=set)
    _errors: dict[Placement, Metrics] = field(default_factory=dict)

    @property
    def demand(self) -> Demand:
        """What is asked of a candidate."""
        return self.options.demand

    @property
    def batch(self) -> int:
        """Items in a run to time alone: those of the demand."""
        return self.batches[-1] if self.demand.objective == "throughput" else self.demand.batch

    @property
    def quiet(self) -> bool:
        """Whether the machine has had little else to do, so that times alone can be compared."""
        return (foreign_cores(self.began, usage()) or 0.0) <= MAX_FOREIGN_CORES

    @property
    def able(self) -> list[Contender]:
        """Those who were timed, the fastest alone first."""
        timed = [contender for contender in self.judged if contender.candidate.points]
        return sorted(timed, key=lambda contender: contender.alone)

    @property
    def within(self) -> list[Contender]:
        """Those of them who are within the demand and failed no check."""
        return [contender for contender in self.able if contender.candidate.within]

    @property
    def baseline(self) -> Contender | None:
        """The canonical graph as most would run it, which the choice is compared with."""
        plain = (
            contender for contender in self.within if as_most_run(contender.candidate.placement)
        )
        return next(plain, None)

    def tell(self, what: str, todo: dict[Phase, int]) -> None:
        """Say what is being done, and roughly how long the rest takes.

        Args:
            what: What is being done.
            todo: Steps of each phase that are left, this one included.
        """
        done = self.ledger.steps
        total = done + sum(todo.values())
        self.progress(f"{what}; {about(self.ledger.left(todo))}", done, total)

    def contenders(self, names: Sequence[str] | None = None) -> list[Contender]:
        """The artifacts of these names on every backend and number of threads, all if None.

        Those that cannot run here, or not within the demand, are left out with the reason.
        """
        found = []
        for contender in contenders(self.bundle, self.options.devices, self.threads, names):
            if isinstance(contender, Candidate):
                self.left_out.append(contender)
            elif reason := too_coarse(contender.candidate.precision, self.demand):
                self.left_out.append(contender.changed(reason=reason).candidate)
            else:
                found.append(contender)
        return found

    def judge(self, item: Contender) -> Contender:
        """Judge a contender's outputs and time it alone for a moment."""
        known = None if self.options.thorough else self._known(item)
        with self.ledger.step("judging"):
            candidate = screen(
                item, self.bundle, self.inputs, self.truth, self.demand, self.batch, known
            )
        if candidate.metrics is not None:
            self._errors[_where(item)] = candidate.metrics
        judged = replace(item, candidate=candidate)
        self.judged.append(judged)
        return judged

    def _known(self, item: Contender) -> Metrics | None:
        """The errors of an artifact in a runtime, if they were measured.

        What another number of threads computes differs by the order of sums only.
        """
        where = _where(item)
        if where == self.truth.placement:
            return self.truth.metrics(self.truth.outputs)
        return self._errors.get(where)

    def time_again(self, contender: Contender) -> None:
        """Time one of the judged once more, at another moment; the shorter time is kept."""
        again = self.judge(contender)
        longer = contender if again.alone < contender.alone else again
        self.judged = [judged for judged in self.judged if judged is not longer]

    def heat(self, items: Sequence[Contender]) -> list[Contender]:
        """Time some of the judged in turns for a moment.

        What each took alone was taken at another moment of the machine.

        Returns:
            They with what they took now, the fastest first; who can run no more is left out.
        """
        rules = Rules({self.batch: HEAT})
        with self.ledger.step("judging"):
            raced, complete = race(items, self.bundle, self.inputs, rules, lambda *_: None)
        if not complete:
            raise KeyboardInterrupt
        timed = {
            contender.candidate.name: contender.changed(
                points=found.points or contender.candidate.points,
                within=found.within,
                reason="" if found.within else found.reason,
            )
            for contender, found in zip(items, raced, strict=True)
        }
        self.judged = [timed.get(item.candidate.name, item) for item in self.judged]
        fit = [contender for contender in timed.values() if contender.candidate.within]
        return sorted(fit, key=lambda contender: contender.typical)

    def require_some(self) -> None:
        """Refuse to choose among none.

        Raises:
            MissingError: If nothing could run.
        """
        if any(contender.candidate.metrics for contender in self.judged):
            return
        reasons = (contender.candidate.reason for contender in self.judged)
        raise MissingError(
            f"Nothing of the bundle can run here: {next(reasons, 'there is no backend for it')}",
            "'lrn-deploy doctor' lists the backends and how to enable them.",
        )

    def validate(
        self,
        items: Sequence[Contender],
        options: Callable[[set[Placement]], ValidateOptions],
        progress: Progress,
    ) -> bool:
        """Take out of the demand what ``validate`` fails; ordinary inputs are the demand's matter.

        Args:
            items: Whom to validate; those who were already are not validated again.
            options: How, given everything that must have been checked.
            progress: Told what goes on.

        Returns:
            Whether all of them passed.
        """
        wanted = {_where(contender) for contender in items if contender.candidate.within}
        if wanted <= self._passed:
            return True
        with self.ledger.step("validating", len({placement.artifact for placement in wanted})):
            try:
                wanted |= self._passed  # so that the report has all of them
                found = failures(self.bundle, wanted, options(wanted), progress)
            except MissingError as error:
                self.warnings.append(f"Nothing was validated: {error.message}")
                self._passed |= wanted
                return True
        self.bundle, failed = found.bundle, found.report
        self._passed |= wanted - set(failed)
        self.judged = [
            contender.changed(within=False, reason=f"validate fails: {failed[_where(contender)]}")
            if contender.candidate.within and _where(contender) in failed
            else contender
            for contender in self.judged
        ]
        return not wanted & set(failed)


def _where(item: Contender) -> Placement:
    """Where a contender runs, with whatever number of threads."""
    return replace(item.candidate.placement, threads=0)
