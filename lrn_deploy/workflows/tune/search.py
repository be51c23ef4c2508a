"""The quick way to the finalists: judge early, make late, race few.

One variant at a time is made and judged at once, in the order in which they are expected to win.
Before each, :mod:`lrn_deploy.tuning.foresee` says of all that are left which can be the answer no
more. What is then near the fastest is validated; if something fails, what was given up for its
sake has its chance again.
"""

from __future__ import annotations

from lrn_deploy.backends.registry import is_home
from lrn_deploy.placement import MODEL
from lrn_deploy.precision import QUANTIZERS
from lrn_deploy.tuning.foresee import Plan, Seen, hopeless, rank
from lrn_deploy.tuning.ledger import Phase
from lrn_deploy.workflows.tune.contenders import Contender
from lrn_deploy.workflows.tune.field import Field
from lrn_deploy.workflows.tune.validation import only
from lrn_deploy.workflows.tune.variants import make, possible, row, too_coarse

MAYBE = 2.0
"""A candidate that alone took this many times as long as the fastest has no place in the heat: the
speed of a machine that others share was seen to differ by 1.9 between two such moments."""
IN_HEAT = 8
"""At most so many have one."""
NEAR = 1.1
"""A candidate that took this many times as long as the fastest in the heat is not raced, unless it
is the fastest of its runtime."""
FINALISTS = 3
"""At most so many near the fastest are raced."""
UNLIKE = 1.3
"""What another number of threads does to the canonical graph it does to its variants, within so
many times."""


def promising(field: Field) -> list[Contender]:
    """Make and judge what can still be the answer, and validate those who are to be raced.

    Raises:
        MissingError: If nothing can run here.
        DamagedError: If a file of the bundle is not what the manifest says.
        CannotWriteError: If a variant or the samples cannot be written.
    """
    search = _Search(field)
    while True:
        search.explore()
        field.require_some()
        finalists = search.finalists()

        def told(what: str, done: int, total: int) -> None:
            field.tell(what, {"validating": total - done, "racing": 1})

        if field.validate(finalists, only, told):
            search.leave_out()
            return finalists


class _Search:
    """What was tried so far, and what is left."""

    def __init__(self, field: Field) -> None:
        self.field = field
        self.plans = possible(field.options.devices)
        self.made: dict[Plan, str] = {}
        """The artifact of each plan that was tried."""
        self.failed: dict[Plan, str] = {}
        """Why a plan could not be made."""
        self.tried: set[str] = set()
        """The artifacts that were judged."""
        self.timed_again: set[str] = set()
        """The targets whose fp32 was timed twice."""

    def explore(self) -> None:
        """Try plans until none that is left can be the answer."""
        if not self.tried:
            known = {plan.name for plan in self.plans} - {MODEL}
            for name in self.field.bundle.manifest.artifacts:
                if name not in known:
                    self._judge(name)
        while (plan := self._next()) is not None:
            self._try(plan)

    def finalists(self) -> list[Contender]:
        """The nearest to the fastest, the fastest of each runtime, and the canonical graph."""
        able = self.field.within
        maybe = [contender for contender in able if contender.alone <= MAYBE * able[0].alone]
        if len(maybe) > 1:
            self.field.tell("a first race", {"judging": 1, "validating": 3, "racing": 1})
            maybe = self.field.heat(maybe[:IN_HEAT])
        near = [contender for contender in maybe if contender.typical <= NEAR * maybe[0].typical]
        del near[FINALISTS:]
        runtimes = {contender.candidate.backend for contender in near}
        names = {contender.candidate.name for contender in maybe}
        rest = [
            contender for contender in self.field.within if contender.candidate.name not in names
        ]
        for contender in (*maybe, *rest):
            if contender.candidate.backend not in runtimes or contender is self.field.baseline:
                runtimes.add(contender.candidate.backend)
                if contender not in near:
                    near.append(contender)
        return near

    def leave_out(self) -> None:
        """Say of each plan that was not tried why not."""
        for plan, reason in self._hopeless().items():
            self.field.left_out.append(row(self.field.bundle, plan, reason))

    def _left(self) -> list[Plan]:
        return [plan for plan in self.plans if plan not in self.made and plan not in self.failed]

    def _hopeless(self) -> dict[Plan, str]:
        seen, demand, quiet = self._seen(), self.field.demand, self.field.quiet
        reasons = {
            plan: too_coarse(plan.precision, demand) or hopeless(plan, seen, demand, timed=quiet)
            for plan in self._left()
        }
        return {plan: reason for plan, reason in reasons.items() if reason}

    def _next(self) -> Plan | None:
        """The plan that is expected to be the fastest of those that are not hopeless."""
        exact = [plan for plan in self._left() if plan.precision == "fp32"]
        if exact:
            return exact[0]
        out, seen = self._hopeless(), self._seen()
        able = [plan for plan in self._left() if plan not in out]
        if not able and self._time_again():
            return self._next()
        return min(able, key=lambda plan: rank(plan, seen), default=None)

    def _time_again(self) -> bool:
        """Time fp32 once more for the targets that have lost variants to its time alone.

        What else the machine did in that one second would cost a runtime all its variants.

        Returns:
            Whether there was something to time.
        """
        seen, demand = self._seen(), self.field.demand
        late = {
            plan.target
            for plan in self._hopeless()
            if not hopeless(plan, seen, demand, timed=False)
        }
        again = [
            contender
            for contender in self.field.within
            for plan, name in self.made.items()
            if plan.precision == "fp32"
            and plan.target in late - self.timed_again
            and contender.candidate.artifact in (name, MODEL)
            and is_home(contender.candidate.placement, plan.target)
        ]
        self.timed_again |= late
        for contender in again:
            self.field.tell(f"timing {contender.candidate.name} again", self._todo())
            self.field.time_again(contender)
        return bool(again)

    def _try(self, plan: Plan) -> None:
        field = self.field
        field.tell(f"making {plan.name}", self._todo())
        with field.ledger.step("making"):
            made = make(field.bundle, plan, field.options.calibration, field.memory)
        if isinstance(made, str):
            self.failed[plan] = made
            field.left_out.append(row(field.bundle, plan, made))
            return
        field.bundle = made.bundle
        self.made[plan] = made.name
        if made.name not in self.tried:
            self._judge(made.name)

    def _judge(self, name: str) -> None:
        """Judge an artifact on each backend, with the numbers of threads that could be the best."""
        self.tried.add(name)
        field = self.field
        found = field.contenders([name])
        for backend in dict.fromkeys(contender.candidate.backend for contender in found):
            same = [contender for contender in found if contender.candidate.backend == backend]
            paces = self._paces(backend)
            same.sort(key=lambda contender: paces.get(contender.candidate.threads, float("inf")))
            first = self._tell_and_judge(same[0])
            pace = paces.get(first.candidate.threads)
            for contender in same[1:]:
                if not first.candidate.within:  # neither is it with another number of threads
                    reason = first.candidate.reason
                    field.left_out.append(contender.changed(reason=reason).candidate)
                    continue
                threads = contender.candidate.threads
                times = paces[threads] / pace if pace and threads in paces else 0.0
                fastest = field.within[0].alone if field.within else float("inf")
                if times * first.alone <= UNLIKE * fastest or not field.quiet:
                    self._tell_and_judge(contender)
                    continue
                reason = (
                    f"not tried: expected to take {times * first.alone / fastest:.3g} times as "
                    f"long as the fastest, as {MODEL} takes {times:.3g} times as long with "
                    f"{threads} as with {first.candidate.threads}"
                )
                field.left_out.append(contender.changed(reason=reason).candidate)

    def _tell_and_judge(self, item: Contender) -> Contender:
        todo = self._todo()
        self.field.tell(f"judging {item.candidate.name}", todo | {"judging": todo["judging"] + 1})
        return self.field.judge(item)

    def _todo(self) -> dict[Phase, int]:
        """Steps that are likely left: the own variants of one runtime, and one of each other."""
        out, seen = self._hopeless(), self._seen()
        left = sorted(
            (plan for plan in self._left() if plan not in out and plan.quantizer == QUANTIZERS[0]),
            key=lambda plan: rank(plan, seen),
        )
        targets = [plan.target for plan in left]
        count = targets.count(targets[0]) + len(set(targets)) - 1 if targets else 0
        return {"making": count, "judging": count, "validating": 3, "racing": 1}

    def _paces(self, backend: str) -> dict[int, float]:
        """Seconds of the canonical graph by number of threads."""
        return {
            contender.candidate.threads: contender.alone
            for contender in self.field.able
            if (contender.candidate.artifact, contender.candidate.backend) == (MODEL, backend)
        }

    def _seen(self) -> dict[Plan, Seen]:
        seen = {plan: Seen(None, None, False, why) for plan, why in self.failed.items()}
        for plan, name in self.made.items():
            names = {name, MODEL} if plan.precision == "fp32" else {name}
            rows = [
                contender
                for contender in self.field.judged
                if contender.candidate.artifact in names
                and is_home(contender.candidate.placement, plan.target)
            ]
            if not rows:
                continue
            best = min(rows, key=lambda contender: contender.alone)
            seen[plan] = Seen(
                best.candidate.metrics,
                best.alone if best.candidate.points else None,
                any(contender.candidate.within for contender in rows),
                best.candidate.reason,
            )
        return seen
