"""Optuna suggests the trials and remembers them; the engine brings each to its end.

A trial that was RUNNING when its driver died is taken up again under its own number. Equal
suggestions are one job: it is run once, and all of them are told the same values.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Literal

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.trial import FrozenTrial, Trial, TrialState

from joulecut.compiler.errors import ConfigError
from joulecut.compiler.profile import Quantity
from joulecut.sweep.answers import Done, Failed
from joulecut.sweep.engine import Engine
from joulecut.sweep.front import front
from joulecut.sweep.holder import new_holder
from joulecut.sweep.job import Job, renewed
from joulecut.sweep.ledger import Ledger
from joulecut.sweep.ledger_rows import connection_options, tune

Direction = Literal["minimize", "maximize"]
Point = Mapping[str, str]  # for each dimension the label of a choice

_SAID = "joulecut"  # attribute of a trial: what came of it, beside the values
_OPEN = (TrialState.RUNNING, TrialState.WAITING)


@dataclass(frozen=True)
class Bound:
    """A quantity that must not be below, or not above, a value."""

    name: str
    at_least: float | None = None
    at_most: float | None = None

    def violation(self, value: float) -> float:
        """How far a value is outside; 0 or less inside."""
        low = -float("inf") if self.at_least is None else self.at_least - value
        high = -float("inf") if self.at_most is None else value - self.at_most
        return max(low, high)


@dataclass(frozen=True)
class Problem:
    """What is searched, and for what.

    Attributes:
        name: of the study in Optuna's ledger; another problem must have another.
        dimensions: labels to choose from, by the name of the dimension.
        objectives: directions by the name of a quantity.
        bounds: of those quantities or of others.
    """

    name: str
    dimensions: Mapping[str, Sequence[str]]
    objectives: Mapping[str, Direction]
    bounds: Sequence[Bound] = ()

    def points(self) -> Iterator[dict[str, str]]:
        """Every point of the grid, the last dimension fastest."""
        for labels in itertools.product(*self.dimensions.values()):
            yield dict(zip(self.dimensions, labels, strict=True))

    @property
    def maximize(self) -> list[bool]:
        """For each objective whether more is better."""
        return [direction == "maximize" for direction in self.objectives.values()]


@dataclass(frozen=True)
class Grid:
    """Every point once."""


@dataclass(frozen=True)
class Nsga2:
    """The genetic search NSGA-II, of Deb and others, 2002.

    Attributes:
        trials: how many in all, those of earlier calls included.
        seed: of the sampler. Where trials run at once the order in which they end plays in.
        population: trials of a generation.
    """

    trials: int
    seed: int = 0
    population: int = 20


@dataclass(frozen=True)
class TrialRow:
    """One trial of the ledger.

    Attributes:
        number: of the trial in its study.
        point: what was tried.
        state: "complete", "failed" or "open".
        key: content hash of its job; "" if there was none.
        quantities: what was found, by name, each with its unit and provenance.
        notes: what else its job said: machine, boards.
        reason: why it failed.
        feasible: whether it keeps every bound.
        best: whether no other feasible trial dominates it.
    """

    number: int
    point: Point
    state: Literal["complete", "failed", "open"]
    key: str
    quantities: Mapping[str, Quantity]
    notes: Mapping[str, Any]
    reason: str = ""
    feasible: bool = False
    best: bool = False


class Search:
    """A problem, its ledger, and the trials so far.

    Args:
        problem: what is searched.
        method: how.
        ledger: the database; its tables are there.

    Raises:
        ConfigError: there is no objective, or a dimension without a choice.
    """

    def __init__(self, problem: Problem, method: Grid | Nsga2, ledger: Ledger) -> None:
        if not problem.objectives:
            raise ConfigError("objectives must name a quantity or more, not none")
        for name, labels in problem.dimensions.items():
            if not labels or len(set(labels)) != len(labels):
                raise ConfigError(
                    f"dimension '{name}' must have distinct choices, not {labels}"
                )
        self._problem, self._method, self._ledger = problem, method, ledger
        with _quietly():
            self._storage = optuna.storages.RDBStorage(
                ledger.full_url, engine_kwargs=connection_options(ledger.url)
            )
            tune(self._storage.engine)
            self._study = optuna.create_study(
                storage=self._storage,
                study_name=problem.name,
                directions=list(problem.objectives.values()),
                load_if_exists=True,
            )
        self._study.sampler = self._sampler()

    def close(self) -> None:
        """Close Optuna's connections."""
        self._storage.engine.dispose()

    def run(
        self,
        engine: Engine,
        job_of: Callable[[Point], Job],
        *,
        parallel: int,
        progress: Callable[[int, int], None] = lambda _done, _all: None,
    ) -> None:
        """Run what the ledger does not have yet.

        Args:
            engine: runs the jobs.
            job_of: the job of a point; raises ConfigError for a point that cannot be.
            parallel: trials under way at once.
            progress: told trials done and trials in all.

        Raises:
            ConfigError: another process drives this study.
            DeviceError: the scheduler or the ledger stays away.
        """
        with _driving(self._ledger, self._problem.name, engine.lease_s) as still_ours:
            waiting: dict[int, tuple[Trial, Job]] = {}
            trials = self._taken_up()
            total = self._total()
            while True:
                still_ours()
                while len(waiting) < parallel and (trial := next(trials, None)) is not None:
                    self._begin(trial, job_of, engine, waiting)
                    self._tell(engine, waiting)
                progress(self._ended(), total)
                if not waiting:
                    return
                engine.wait()
                self._tell(engine, waiting)

    def rows(self) -> list[TrialRow]:
        """Every trial, with the front over those that are complete and keep the bounds."""
        rows = [self._row(trial) for trial in self._study.get_trials(deepcopy=False)]
        feasible = [at for at, row in enumerate(rows) if row.feasible]
        points = [
            [rows[at].quantities[name].value for name in self._problem.objectives]
            for at in feasible
        ]
        for number in front(points, self._problem.maximize):
            at = feasible[number]
            rows[at] = replace(rows[at], best=True)
        return rows

    def forget_failures(self, job_of: Callable[[Point], Job]) -> int:
        """Let failed jobs be run again, each in a new trial; returns how many trials that makes.

        Args:
            job_of: as for `run`.
        """
        failed = [row for row in self.rows() if row.state == "failed" and row.key]
        count = 0
        for point in {row.key: row.point for row in failed}.values():
            if self._reset(job_of(point)):
                self._study.enqueue_trial(dict(point))
                count += 1
        return count

    def _reset(self, job: Job) -> bool:
        """Whether the job, or one that it needs, had failed; they have not any more."""
        return any([self._ledger.reset(job.key), *map(self._reset, job.needs)])

    def _sampler(self) -> optuna.samplers.BaseSampler:
        if isinstance(self._method, Grid):
            return optuna.samplers.RandomSampler(seed=0)  # never asked: every point is given
        # A sampler that starts again with the same seed would suggest the same points again.
        seed = self._method.seed + len(self._study.get_trials(deepcopy=False))
        return optuna.samplers.NSGAIISampler(population_size=self._method.population, seed=seed)

    def _taken_up(self) -> Iterator[Trial]:
        """Trials to run: first those that an earlier driver left, then new ones."""
        for left in self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            yield self._suggested(self._resumed(left))
        while self._study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
            yield self._suggested(self._study.ask())
        if isinstance(self._method, Nsga2):
            while len(self._study.get_trials(deepcopy=False)) < self._method.trials:
                yield self._suggested(self._study.ask())
            return
        known = {_label(_point(trial)) for trial in self._study.get_trials(deepcopy=False)}
        for point in self._problem.points():
            if _label(point) not in known:
                self._study.enqueue_trial(point)
                yield self._suggested(self._study.ask())

    def _resumed(self, left: FrozenTrial) -> Trial:
        """A trial of the ledger, to be written to again."""
        study = self._storage.get_study_id_from_name(self._problem.name)
        found = self._storage.get_trial_id_from_study_id_trial_number(study, left.number)
        return Trial(self._study, found)

    def _suggested(self, trial: Trial) -> Trial:
        """The trial with a choice for every dimension, those that it has already included."""
        for name, labels in self._problem.dimensions.items():
            trial.suggest_categorical(name, list(labels))
        return trial

    def _total(self) -> int:
        if isinstance(self._method, Nsga2):
            return max(self._method.trials, len(self._study.get_trials(deepcopy=False)))
        labels = {_label(point) for point in self._problem.points()}
        trials = self._study.get_trials(deepcopy=False)
        return len(trials) + len(labels - {_label(_point(trial)) for trial in trials})

    def _ended(self) -> int:
        trials = self._study.get_trials(deepcopy=False)
        return sum(trial.state not in _OPEN for trial in trials)

    def _begin(
        self,
        trial: Trial,
        job_of: Callable[[Point], Job],
        engine: Engine,
        waiting: dict[int, tuple[Trial, Job]],
    ) -> None:
        try:
            job = job_of(trial.params)
        except ConfigError as error:
            self._fail(trial, "", str(error))
            return
        waiting[trial.number] = (trial, job)
        engine.add(job)

    def _tell(self, engine: Engine, waiting: dict[int, tuple[Trial, Job]]) -> None:
        """Tell Optuna what came of the jobs that are settled."""
        for number, (trial, job) in list(waiting.items()):
            match engine.settled(job):
                case Done():
                    self._complete(trial, job.key, self._ledger.result(job.key))
                case Failed(reason):
                    self._fail(trial, job.key, reason)
                case None:
                    continue
            del waiting[number]

    def _complete(self, trial: Trial, key: str, result: Mapping[str, Any]) -> None:
        quantities: dict[str, list[Any]] = result["quantities"]
        wanted = [*self._problem.objectives, *(bound.name for bound in self._problem.bounds)]
        absent = [name for name in wanted if name not in quantities]
        if absent:
            has = ", ".join(quantities)
            self._fail(trial, key, f"result must have {absent[0]}, and has {has}")
            return
        said = {"key": key, "quantities": quantities, "notes": result.get("notes", {})}
        trial.set_user_attr(_SAID, said)
        for bound in self._problem.bounds:
            if bound.name not in trial.constraints:
                violation = bound.violation(quantities[bound.name][0])
                trial.set_constraint(bound.name, violation)
        self._study.tell(trial, [quantities[name][0] for name in self._problem.objectives])

    def _fail(self, trial: Trial, key: str, reason: str) -> None:
        trial.set_user_attr(_SAID, {"key": key, "reason": reason})
        self._study.tell(trial, state=TrialState.FAIL)

    def _row(self, trial: FrozenTrial) -> TrialRow:
        said = trial.user_attrs.get(_SAID, {})
        complete = trial.state == TrialState.COMPLETE
        found = {name: Quantity(*q) for name, q in said.get("quantities", {}).items()}
        return TrialRow(
            number=trial.number,
            point=_point(trial),
            state="complete" if complete else "open" if trial.state in _OPEN else "failed",
            key=said.get("key", ""),
            quantities=found,
            notes=said.get("notes", {}),
            reason=said.get("reason", ""),
            feasible=complete
            and all(
                bound.violation(found[bound.name].value) <= 0 for bound in self._problem.bounds
            ),
        )


def _point(trial: FrozenTrial) -> dict[str, str]:
    """What a trial tries; one that waits was only told so far."""
    return {**trial.system_attrs.get("fixed_params", {}), **trial.params}


def _label(point: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(point.items()))


@contextmanager
def _quietly() -> Generator[None]:
    """Without Optuna's own lines, which would mix with the progress bar."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        yield


@contextmanager
def _driving(ledger: Ledger, name: str, lease_s: float) -> Generator[Callable[[], None]]:
    """Be the one process that asks and tells in a study; yields a check that we still are."""
    holder, lease = new_holder(), f"study:{name}"
    busy = ledger.hold(lease, holder, lease_s)
    if busy is not None:
        raise ConfigError(
            f"study '{name}' must be driven by one process, and another is at it; wait for it, "
            f"or {busy.seconds:.0f} s after it died on another machine"
        )

    def still_ours() -> None:
        if not ledger.renew((lease,), holder, lease_s):
            raise ConfigError(f"study '{name}' must be driven by one process; another took it")

    try:
        with renewed(ledger, (lease,), holder, lease_s):
            yield still_ours
    finally:
        ledger.release(holder)
