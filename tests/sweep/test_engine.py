"""The engine on cheap steps: every job once, boards one at a time, failures bounded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import partial
from itertools import pairwise
from pathlib import Path

import sweep_steps as steps

from joulecut.sweep.answers import Done, Failed
from joulecut.sweep.cluster import local_cluster
from joulecut.sweep.engine import Engine
from joulecut.sweep.job import Job, job
from joulecut.sweep.ledger import Ledger
from joulecut.sweep.search import Grid, Nsga2, Point, Problem, Search


def ledger_in(folder: Path) -> Ledger:
    ledger = Ledger(f"sqlite:///{folder / 'ledger.db'}")
    ledger.create()
    return ledger


@contextmanager
def engine_on(
    ledger: Ledger, threads: int = 2, boards: tuple[str, ...] = (), attempts: int = 3
) -> Generator[Engine]:
    with local_cluster(threads, boards) as connect:
        engine = Engine(ledger, connect, attempts=attempts, lease_s=5.0)
        try:
            yield engine
        finally:
            engine.close()


def events(ledger: Ledger) -> Counter[str]:
    return Counter(line.event for line in ledger.log())


def settle(engine: Engine, *jobs: Job) -> None:
    for each in jobs:
        engine.add(each)
    while any(engine.settled(each) is None for each in jobs):
        engine.wait()


def swept(
    ledger: Ledger,
    problem: Problem,
    job_of: Callable[[Point], Job],
    method: Grid | Nsga2 | None = None,
) -> Search:
    search = Search(problem, method or Grid(), ledger)
    with engine_on(ledger) as engine:
        search.run(engine, job_of, parallel=4)
    return search


def test_a_grid_is_exhaustive_and_its_front_exact(tmp_path: Path):
    ledger = ledger_in(tmp_path)
    calls = tmp_path / "calls"
    rows = swept(ledger, steps.GRID, partial(steps.plane_job, calls=str(calls))).rows()
    assert sorted(calls.read_text().split()) == sorted(
        f"{x},{y}" for x in range(4) for y in range(3)
    )
    assert {(row.point["x"], row.point["y"]) for row in rows if row.best} == {
        ("0", "0"), ("1", "0"), ("2", "0"), ("3", "0"),
    }  # fmt: skip
    assert all(row.quantities["b"].provenance == "measured" for row in rows)
    assert events(ledger) == {"START": 12, "DONE": 12}


def test_a_second_sweep_runs_nothing_not_even_in_another_study(tmp_path: Path):
    ledger = ledger_in(tmp_path)
    first = swept(ledger, steps.GRID, steps.plane_job).rows()
    again = swept(ledger, steps.GRID, steps.plane_job).rows()
    other = Problem("other", steps.GRID.dimensions, {"b": "maximize", "a": "minimize"})
    elsewhere = swept(ledger, other, steps.plane_job).rows()
    assert again == first
    assert {row.key for row in elsewhere} == {row.key for row in first}
    assert events(ledger) == {"START": 12, "DONE": 12}


def test_equal_suggestions_run_once_and_are_told_the_same(tmp_path: Path):
    ledger = ledger_in(tmp_path)
    rows = swept(ledger, steps.GRID, steps.plane_job, Nsga2(24, seed=1, population=8)).rows()
    assert len(rows) == 24
    keys = Counter(row.key for row in rows)
    assert len(keys) <= 12 < len(rows)
    assert events(ledger) == {"START": len(keys), "DONE": len(keys)}
    for row in rows:
        x, y = int(row.point["x"]), int(row.point["y"])
        assert (row.quantities["a"].value, row.quantities["b"].value) == (x + y, x * (3 - y))


def test_nsga2_goes_on_to_its_number_of_trials(tmp_path: Path):
    ledger = ledger_in(tmp_path)
    swept(ledger, steps.GRID, steps.plane_job, Nsga2(6, population=4))
    rows = swept(ledger, steps.GRID, steps.plane_job, Nsga2(10, population=4)).rows()
    assert [row.number for row in rows] == list(range(10))
    assert all(row.state == "complete" for row in rows)


def test_a_board_is_used_by_one_trial_at_a_time(tmp_path: Path):
    ledger = ledger_in(tmp_path)
    problem = Problem("boards", {"x": [str(x) for x in range(8)]}, {"a": "minimize"})

    def on_either(point: Point) -> Job:
        arguments = {**point, "y": 0, "seconds": 0.1}
        return job(steps.on_board, arguments, boards=[("one", "two")])

    search = Search(problem, Grid(), ledger)
    with engine_on(ledger, threads=8, boards=("one", "two")) as engine:
        search.run(engine, on_either, parallel=8)
    used: dict[str, list[tuple[float, float]]] = {}
    for row in search.rows():
        used.setdefault(row.notes["board"], []).append(
            (row.notes["started"], row.notes["ended"])
        )
    assert sum(map(len, used.values())) == 8
    assert set(used) == {"one", "two"}
    for intervals in used.values():
        assert all(before[1] <= after[0] for before, after in pairwise(sorted(intervals)))


def test_a_device_that_fails_is_tried_again(tmp_path: Path):
    ledger = ledger_in(tmp_path)
    (tmp_path / "failures").mkdir()
    shaky = job(steps.flaky, {"folder": str(tmp_path / "failures"), "failures": 2})
    with engine_on(ledger) as engine:
        settle(engine, shaky)
        assert engine.settled(shaky) == Done()
    assert [line.event for line in ledger.log()] == [
        "START",
        "AGAIN",
        "START",
        "AGAIN",
        "START",
        "DONE",
    ]


def test_a_device_that_fails_always_is_given_up(tmp_path: Path):
    ledger = ledger_in(tmp_path)
    (tmp_path / "failures").mkdir()
    shaky = job(steps.flaky, {"folder": str(tmp_path / "failures"), "failures": 9})
    with engine_on(ledger) as engine:
        settle(engine, shaky)
        assert engine.settled(shaky) == Failed(
            "given up after 3 attempts; the last: DeviceError: board is rebooting (2)"
        )
    assert events(ledger) == {"START": 3, "AGAIN": 3, "FAILED": 1}


def test_what_is_refused_fails_at_once_and_the_sweep_goes_on(tmp_path: Path):
    ledger = ledger_in(tmp_path)

    def refusing(point: Point) -> Job:
        return job(steps.refusing, {**point, "refused_x": "2"})

    search = swept(ledger, steps.GRID, refusing)
    failed = [row for row in search.rows() if row.state == "failed"]
    assert [row.reason for row in failed] == ["ConfigError: x must not be 2"] * 3
    assert sum(row.state == "complete" for row in search.rows()) == 9
    assert events(ledger) == {"START": 12, "DONE": 9, "FAILED": 3}
    assert not any(row.best for row in failed)


def test_failures_can_be_tried_again_on_demand(tmp_path: Path):
    ledger = ledger_in(tmp_path)
    folder = tmp_path / "failures"
    folder.mkdir()
    problem = Problem("one", {"x": ["1"]}, {"a": "minimize"})

    def shaky(point: Point) -> Job:
        need = job(steps.flaky, {"folder": str(folder), "failures": 3})
        return job(steps.summing, dict(point), needs=[need])

    search = swept(ledger, problem, shaky)
    (row,) = search.rows()
    assert row.reason.startswith("what it needs was given up: given up after 3 attempts")
    assert search.forget_failures(shaky) == 1
    assert [row.state for row in swept(ledger, problem, shaky).rows()] == ["failed", "complete"]


def test_a_job_waits_for_what_it_needs(tmp_path: Path):
    ledger = ledger_in(tmp_path)
    shards = [steps.plane_job({"x": str(x), "y": "1"}) for x in range(3)]
    whole = job(steps.summing, {}, needs=shards)
    with engine_on(ledger) as engine:
        settle(engine, whole)
    assert ledger.result(whole.key)["quantities"]["a"][0] == 1 + 2 + 3
    done = [line.key for line in ledger.log() if line.event == "DONE"]
    assert done[-1] == whole.key
    assert len(done) == 4


def test_the_hash_is_of_all_that_decides():
    one = steps.plane_job({"x": "1", "y": "2"})
    assert one.key == steps.plane_job({"y": "2", "x": "1"}).key
    others = [
        steps.plane_job({"x": "1", "y": "1"}),
        job(steps.summing, {"x": "1", "y": "2"}),
        job(steps.plane, {"x": "1", "y": "2"}, needs=[one]),
        job(steps.plane, {"x": "1", "y": "2"}, boards=[["pi"]]),
    ]
    assert len({one.key, *(each.key for each in others)}) == 5
