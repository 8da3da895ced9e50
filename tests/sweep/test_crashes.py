"""Processes that are killed in the middle of a sweep: nothing is lost and nothing is run twice."""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import sweep_steps as steps
from sweep_processes import (
    PATIENCE_S,
    driver_words,
    free_port,
    kill,
    process,
    scheduler_words,
    until,
    worker_words,
)

from joulecut.sweep.job import job
from joulecut.sweep.ledger import Ledger, LogLine
from joulecut.sweep.search import Grid, Search

HERE = Path(__file__).resolve().parent
POINTS = 12
STUCK_AT = ["1", "1"]


def arguments(folder: Path) -> dict[str, Any]:
    return {
        "stuck_at": STUCK_AT,
        "mark": str(folder / "mark"),
        "calls": str(folder / "calls"),
        "seconds": 0.5,
    }


def stuck_key(folder: Path) -> str:
    point = {"x": STUCK_AT[0], "y": STUCK_AT[1]}
    return job(steps.stuck_once, {**point, **arguments(folder)}).key


def count(ledger: Ledger, event: str) -> int:
    try:
        return sum(line.event == event for line in ledger.log())
    except Exception:
        return 0  # the driver has not made the tables yet


def require_exactly_once(ledger: Ledger, folder: Path, interrupted: set[str]) -> list[LogLine]:
    """Every hash is done once, and after that never started; only what died was started again."""
    log = ledger.log()
    done = Counter(line.key for line in log if line.event == "DONE")
    assert len(done) == POINTS
    assert set(done.values()) == {1}
    ended: set[str] = set()
    for line in log:
        assert not (line.event == "START" and line.key in ended), f"{line} after its DONE"
        ended |= {line.key} if line.event == "DONE" else set()
    starts = Counter(line.key for line in log if line.event == "START")
    assert {key for key, times in starts.items() if times > 1} <= interrupted
    assert max(starts.values()) <= 3
    with contextlib.closing(Search(steps.GRID, Grid(), ledger)) as search:
        rows = search.rows()
    assert [row.state for row in rows] == ["complete"] * POINTS
    assert {row.key for row in rows} == set(done)
    calls = Counter((folder / "calls").read_text().split())
    for row in rows:
        assert calls[f"{row.point['x']},{row.point['y']}"] == 1 or row.key in interrupted
        assert row.quantities["a"].value == int(row.point["x"]) + int(row.point["y"])
    return log


def started_and_not_done(ledger: Ledger) -> set[str]:
    log = ledger.log()
    return {line.key for line in log if line.event == "START"} - {
        line.key for line in log if line.event == "DONE"
    }


def test_a_killed_driver_goes_on_where_it_was(tmp_path: Path):
    ledger = Ledger(f"sqlite:///{tmp_path / 'ledger.db'}")
    words = driver_words(ledger, None, arguments(tmp_path))
    log = tmp_path / "driver.log"
    with process(*words, log=log) as driver:
        until(lambda: (tmp_path / "mark").exists(), "a trial is stuck", log)
        until(lambda: count(ledger, "DONE") >= 4, "four trials are done", log)
        kill(driver)
    interrupted = started_and_not_done(ledger)
    assert stuck_key(tmp_path) in interrupted
    before = count(ledger, "DONE")
    assert before < POINTS
    with process(*words, log=log) as driver:
        assert driver.wait(PATIENCE_S) == 0, log.read_text()[-3000:]
    assert log.read_text().split()[-1] == str(POINTS)
    lines = require_exactly_once(ledger, tmp_path, interrupted)
    starts = sum(line.event == "START" for line in lines)
    print(
        f"\n{before} of {POINTS} done when the driver was killed with {len(interrupted)} under "
        f"way; in all {starts} STARTs, {POINTS} DONEs"
    )


@pytest.mark.tool
def test_a_worker_and_the_scheduler_are_killed(postgres: str, tmp_path: Path):
    ledger = Ledger(postgres)
    address = f"tcp://127.0.0.1:{(port := free_port())}"
    log = tmp_path / "sweep.log"
    began = time.monotonic()
    with contextlib.ExitStack() as stack:

        def start(*words: str) -> subprocess.Popen[Any]:
            return stack.enter_context(process(*words, log=log))

        scheduler = start(*scheduler_words(port))
        workers = [start(*worker_words(address, tmp_path)) for _ in range(2)]
        driver = start(*driver_words(ledger, address, arguments(tmp_path)))

        until(lambda: (tmp_path / "mark").exists(), "a trial is stuck", log)
        until(lambda: (tmp_path / "mark").read_text() != "", "it says where", log)
        stuck_in = int((tmp_path / "mark").read_text())
        (victim,) = (each for each in workers if each.pid == stuck_in)
        kill(victim)
        interrupted = {stuck_key(tmp_path)}

        at_kill = count(ledger, "DONE")
        until(
            lambda: count(ledger, "DONE") > at_kill and started_and_not_done(ledger) != set(),
            "the sweep goes on without it, and a trial is under way",
            log,
        )
        interrupted |= started_and_not_done(ledger)
        kill(scheduler)
        interrupted |= started_and_not_done(ledger)
        without = count(ledger, "DONE")
        assert without < POINTS
        start(*scheduler_words(port))
        for _ in range(2):  # as whatever looks after them would
            start(*worker_words(address, tmp_path))

        assert driver.wait(PATIENCE_S) == 0, log.read_text()[-5000:]
    lines = require_exactly_once(ledger, tmp_path, interrupted)
    starts = Counter(line.key for line in lines if line.event == "START")
    assert starts[stuck_key(tmp_path)] == 2
    print(
        f"\nworker killed at {at_kill} DONEs, scheduler at {without} of {POINTS}; in all "
        f"{sum(starts.values())} STARTs, {POINTS} DONEs in {time.monotonic() - began:.1f} s"
    )
