"""A process that drives a sweep over the grid of `sweep_steps`: python sweep_driver.py OPTIONS.

OPTIONS is JSON: ledger (URL), cluster (an address, or null), step (its name) and arguments,
side (points along an axis; null: as in `GRID`), lease_s and attempts. The last line that it prints is the number of trials that are complete.
"""

from __future__ import annotations

import contextlib
import json
import sys
from dataclasses import replace
from typing import Any

import sweep_steps as steps

from joulecut.sweep.cluster import local_cluster, remote_cluster, require_workers
from joulecut.sweep.engine import Engine
from joulecut.sweep.job import Job, Step, job
from joulecut.sweep.ledger import Ledger
from joulecut.sweep.search import Grid, Point, Problem, Search


def problem(side: int | None) -> Problem:
    """A grid of `side` points along both axes."""
    if side is None:
        return steps.GRID
    labels = [str(at) for at in range(side)]
    return replace(steps.GRID, name="square", dimensions={"x": labels, "y": labels})


def main(options: dict[str, Any]) -> None:
    """Drive the grid to its end."""
    ledger = Ledger(options["ledger"])
    ledger.create()
    search = Search(problem(options["side"]), Grid(), ledger)
    step: Step = getattr(steps, options["step"])

    def job_of(point: Point) -> Job:
        return job(step, {**point, **options["arguments"]})

    with contextlib.ExitStack() as stack:
        if options["cluster"] is None:
            connect = stack.enter_context(local_cluster(2))
        else:
            connect = remote_cluster(options["cluster"], patience_s=60.0)
        engine = Engine(
            ledger, connect, attempts=options["attempts"], lease_s=options["lease_s"]
        )
        stack.callback(engine.close)
        require_workers(engine.client, (), patience_s=60.0)
        search.run(engine, job_of, parallel=4)
    print(sum(row.state == "complete" for row in search.rows()))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
