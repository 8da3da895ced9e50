"""A long sweep on PostgreSQL while workers, the scheduler and the driver are killed at random."""

from __future__ import annotations

import contextlib
import random
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
    worker_words,
)

from joulecut.sweep.answers import Done, Failed
from joulecut.sweep.cluster import remote_cluster, require_workers
from joulecut.sweep.engine import Engine
from joulecut.sweep.job import job
from joulecut.sweep.ledger import Ledger

SOAK_S = 90.0
KILL_EVERY_S = 6.0
SIDE = 12  # points along an axis of the grid


@pytest.mark.slow
@pytest.mark.tool
def test_random_kills_lose_nothing_and_repeat_nothing(postgres: str, tmp_path: Path):
    ledger = Ledger(postgres)
    address = f"tcp://127.0.0.1:{(port := free_port())}"
    log, said = tmp_path / "sweep.log", tmp_path / "driver.log"
    arguments = {"calls": str(tmp_path / "calls"), "seconds": 0.5}
    driver = driver_words(
        ledger, address, arguments, step="plane", side=SIDE, lease_s=10.0, attempts=50
    )
    words = {
        "scheduler": scheduler_words(port),
        "worker 0": worker_words(address, tmp_path),
        "worker 1": worker_words(address, tmp_path),
        "driver": driver,
    }
    chance = random.Random(0)
    killed: Counter[str] = Counter()
    with contextlib.ExitStack() as stack:
        running: dict[str, subprocess.Popen[Any]] = {}
        end, next_kill = time.monotonic() + SOAK_S, time.monotonic() + 2 * KILL_EVERY_S
        while True:
            for name, command in words.items():
                if name not in running or (
                    running[name].poll() is not None and name != "driver"
                ):
                    own = said if name == "driver" else log
                    running[name] = stack.enter_context(process(*command, log=own))
            now = time.monotonic()
            if running["driver"].poll() is not None:
                if running["driver"].returncode == 0:
                    break
                running.pop("driver")
            elif next_kill <= now < end:
                victim = chance.choice(list(words))
                kill(running.pop(victim))
                killed[victim.split()[0]] += 1
                next_kill = now + KILL_EVERY_S * chance.uniform(0.5, 1.5)
            assert now < end + PATIENCE_S, log.read_text()[-5000:]
            time.sleep(0.1)
    lines = ledger.log()
    done = Counter(line.key for line in lines if line.event == "DONE")
    assert len(done) == SIDE * SIDE
    assert set(done.values()) == {1}
    ended: set[str] = set()
    for line in lines:
        assert not (line.event == "START" and line.key in ended)
        ended |= {line.key} if line.event == "DONE" else set()
    assert killed.total() >= 3
    assert said.read_text().split()[-1] == str(SIDE * SIDE)  # complete, says the last driver
    starts = sum(line.event == "START" for line in lines)
    print(f"\nkilled {dict(killed)}; {starts} STARTs, {len(done)} DONEs of {SIDE * SIDE}")


@pytest.mark.slow
@pytest.mark.tool
def test_a_step_that_kills_its_workers_is_given_up(postgres: str, tmp_path: Path):
    ledger = Ledger(postgres)
    ledger.create()
    address = f"tcp://127.0.0.1:{(port := free_port())}"
    log = tmp_path / "sweep.log"
    deadly = job(steps.deadly, {"x": "1", "y": "1", "deadly_x": "1"})
    harmless = job(steps.deadly, {"x": "0", "y": "1", "deadly_x": "1"})
    with contextlib.ExitStack() as stack:
        stack.enter_context(process(*scheduler_words(port), log=log))
        nanny = [word for word in worker_words(address, tmp_path) if word != "--no-nanny"]
        stack.enter_context(process(*nanny, log=log))  # starts its worker again each time
        engine = Engine(ledger, remote_cluster(address, 60.0), attempts=2, lease_s=5.0)
        stack.callback(engine.close)
        require_workers(engine.client, (), 60.0)
        engine.add(deadly)
        engine.add(harmless)
        while engine.settled(deadly) is None or engine.settled(harmless) is None:
            engine.wait()
        end = engine.settled(deadly)
        assert engine.settled(harmless) == Done()
    assert end == Failed("given up after 2 attempts; the last: its worker died without a word")
    assert [line.event for line in ledger.log()].count("START") == 3
