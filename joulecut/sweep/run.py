"""A sweep from its configuration to its table and page."""

from __future__ import annotations

import contextlib
import csv
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from joulecut.compiler.errors import ConfigError
from joulecut.sweep.answers import Failed
from joulecut.sweep.cluster import local_cluster, remote_cluster, require_workers
from joulecut.sweep.config import SweepConfig, ledger_url, require_shared
from joulecut.sweep.engine import Engine
from joulecut.sweep.job import Job
from joulecut.sweep.ledger import Ledger
from joulecut.sweep.page import page
from joulecut.sweep.plan import Plan, first_training, planned
from joulecut.sweep.search import Grid, Nsga2, Search, TrialRow

WORKERS_S = 60.0  # to wait for workers, and for those beside the boards
SCHEDULER_S = 300.0  # to wait for a scheduler that is being restarted

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class SweepResult:
    """What a sweep found.

    Attributes:
        study: its name in the ledger.
        ledger: its URL without the password.
        objectives: directions by name.
        rows: every trial, in its order.
        page: the HTML page; `trials.csv` and `trials.json` lie beside it.
    """

    study: str
    ledger: str
    objectives: Mapping[str, str]
    rows: tuple[TrialRow, ...]
    page: Path

    @property
    def front(self) -> list[TrialRow]:
        """What nothing dominates; trials of one hash are one."""
        return list({row.key: row for row in reversed(self.rows) if row.best}.values())[::-1]

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "study": self.study,
            "ledger": self.ledger,
            "objectives": dict(self.objectives),
            "page": str(self.page),
            "front": [row_fields(row) for row in self.front],
            "trials": [row_fields(row) for row in self.rows],
        }


def sweep(
    config: SweepConfig,
    *,
    cluster: str | None = None,
    threads: int = 1,
    retry_failed: bool = False,
    progress: Progress = lambda _done, _all: None,
    say: Callable[[str], None] = lambda _line: None,
) -> SweepResult:
    """Run what the ledger does not hold yet, and report all of it.

    Args:
        config: what is asked for.
        cluster: tcp://HOST:PORT or tls://HOST:PORT of a Dask scheduler; None: this process.
        threads: of the cluster inside this process: trials at once.
        retry_failed: run again what was given up in an earlier call.
        progress: told trials done and trials in all.
        say: told each step as it begins.

    Raises:
        ConfigError: the configuration does not fit the model, or another process drives it.
        UnsupportedError: the model holds what joulecut cannot build.
        DeviceError: the cluster or the ledger stays away.
    """
    ledger = Ledger(ledger_url(config))
    require_shared(config, ledger.is_file, cluster)
    config.out.mkdir(parents=True, exist_ok=True)
    ledger.create()
    with contextlib.ExitStack() as stack:
        stack.callback(ledger.close)
        if cluster is None:
            connect = stack.enter_context(local_cluster(threads, tuple(config.boards)))
        else:
            connect = remote_cluster(cluster, SCHEDULER_S)
        engine = Engine(ledger, connect, attempts=config.attempts, lease_s=config.lease_s)
        stack.callback(engine.close)
        slots = require_workers(engine.client, tuple(config.boards), WORKERS_S)
        plan = _planned(config, engine, say)
        search = stack.enter_context(
            contextlib.closing(Search(plan.problem, _method(config), ledger))
        )
        if retry_failed:
            say(f"{search.forget_failures(plan.job_of)} failed trials are run again")
        say(f"study {plan.problem.name}, ledger {ledger.shown}")
        search.run(engine, plan.job_of, parallel=slots, progress=progress)
        rows = tuple(search.rows())
    return written(config, plan.problem.name, ledger.shown, rows)


def written(
    config: SweepConfig, study: str, ledger: str, rows: tuple[TrialRow, ...]
) -> SweepResult:
    """The result, with its files in `config.out`."""
    path = config.out / "index.html"
    result = SweepResult(study, ledger, {**config.objectives}, rows, path)
    path.write_text(page(study, result.objectives, rows, result.front), encoding="utf-8")
    text = json.dumps(result.to_dict(), indent=1)
    (config.out / "trials.json").write_text(text + "\n", encoding="utf-8")
    with (config.out / "trials.csv").open("w", encoding="utf-8", newline="") as file:
        flat = [flat_fields(row) for row in rows]
        columns = list(dict.fromkeys(name for fields in flat for name in fields))
        table = csv.DictWriter(file, columns)
        table.writeheader()
        table.writerows(flat)
    return result


def row_fields(row: TrialRow) -> dict[str, Any]:
    """A trial as plain values."""
    return {
        "number": row.number,
        "state": row.state,
        "best": row.best,
        "feasible": row.feasible,
        "key": row.key,
        **({"reason": row.reason} if row.reason else {}),
        "point": dict(row.point),
        "quantities": {
            name: {"value": q.value, "unit": q.unit, "provenance": q.provenance}
            for name, q in row.quantities.items()
        },
        "notes": dict(row.notes),
    }


def flat_fields(row: TrialRow) -> dict[str, Any]:
    """A trial as one line; the heading of a quantity says its unit and provenance."""
    return {
        "trial": row.number,
        "state": row.state,
        "best": row.best,
        **row.point,
        **{f"{name} [{q.unit}, {q.provenance}]": q.value for name, q in row.quantities.items()},
        "reason": row.reason,
        "key": row.key,
    }


def _planned(config: SweepConfig, engine: Engine, say: Callable[[str], None]) -> Plan:
    training = first_training(config)
    if training is None:
        return planned(config, None)
    say("train the first network, whose cuts are those of all")
    return planned(config, _result(engine, training))


def _result(engine: Engine, job: Job) -> dict[str, Any]:
    engine.add(job)
    while (end := engine.settled(job)) is None:
        engine.wait()
    if isinstance(end, Failed):
        raise ConfigError(
            f"first training must succeed, and does not: {end.reason}; "
            "see to it, then call joulecut sweep --retry-failed"
        )
    return engine.ledger.result(job.key)


def _method(config: SweepConfig) -> Grid | Nsga2:
    wanted = config.search
    if wanted.trials is None:
        return Grid()
    return Nsga2(wanted.trials, wanted.seed, wanted.population)
