"""The ledger alone: who may start what, and what a dead or late worker can still do."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Generator
from pathlib import Path

import pytest

from joulecut.sweep.answers import Busy, Claimed, Done, Failed
from joulecut.sweep.holder import is_gone, new_holder
from joulecut.sweep.ledger import Ledger

KEY, OTHER = "a" * 64, "b" * 64
RESULT = '{"x": 1}'


@pytest.fixture
def ledger(tmp_path: Path) -> Generator[Ledger]:
    made = Ledger(f"sqlite:///{tmp_path / 'ledger.db'}")
    made.create()
    yield made
    made.close()


def claim(
    ledger: Ledger, holder: str, key: str = KEY, seconds: float = 60.0, *leases: str
) -> Claimed | Busy | Done | Failed:
    return ledger.claim(key, holder, leases=leases, seconds=seconds, attempts=3)


def dead_holder() -> str:
    """The name of a process of this machine that has ended."""
    code = "from joulecut.sweep.holder import new_holder; print(new_holder())"
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, check=True)
    return done.stdout.decode().strip()


def told(ledger: Ledger) -> list[str]:
    return [f"{line.event} {line.attempt}" for line in ledger.log()]


def test_one_at_a_time_and_never_again_after_its_result(ledger: Ledger):
    first, second = new_holder(), new_holder()
    assert claim(ledger, first) == Claimed(1)
    busy = claim(ledger, second)
    assert isinstance(busy, Busy)
    assert busy.holder == first
    assert 0 < busy.seconds <= 60
    assert not ledger.finish(KEY, second, "{}")
    assert ledger.finish(KEY, first, RESULT)
    assert claim(ledger, second) == Done()
    assert ledger.result(KEY) == {"x": 1}
    assert told(ledger) == ["START 1", "DONE 1"]


def test_the_dead_of_this_machine_are_not_waited_for(ledger: Ledger):
    dead = dead_holder()
    assert is_gone(dead)
    assert not is_gone(new_holder())
    assert not is_gone("another-machine/1/1/00")
    assert claim(ledger, dead) == Claimed(1)
    assert claim(ledger, new_holder()) == Claimed(2)


def test_a_lease_ends_by_itself_and_its_late_holder_cannot_write(ledger: Ledger):
    late, next_one = "another-machine/1/1/00", new_holder()
    assert claim(ledger, late, KEY, 0.0) == Claimed(1)
    assert claim(ledger, next_one) == Claimed(2)
    assert not ledger.renew((KEY,), late, 60.0)
    assert not ledger.finish(KEY, late, '{"x": 0}')
    assert not ledger.fail(KEY, late, "late")
    ledger.again(KEY, late, "late")
    assert ledger.finish(KEY, next_one, RESULT)
    assert told(ledger) == ["START 1", "START 2", "DONE 2"]


def test_a_lease_that_nobody_took_can_still_be_written(ledger: Ledger):
    late = new_holder()
    claim(ledger, late, KEY, 0.0)
    assert ledger.finish(KEY, late, RESULT)


def test_what_kills_its_workers_is_given_up(ledger: Ledger):
    for attempt in (1, 2, 3):
        assert claim(ledger, "another-machine/1/1/00", KEY, 0.0) == Claimed(attempt)
    failed = Failed("given up after 3 attempts; the last: its worker died without a word")
    assert claim(ledger, new_holder()) == failed
    assert claim(ledger, new_holder()) == failed == ledger.state(KEY)
    assert told(ledger)[-1] == "FAILED 3"


def test_the_reason_of_an_earlier_attempt_is_not_that_of_a_death(ledger: Ledger):
    first = new_holder()
    claim(ledger, first)
    ledger.again(KEY, first, "DeviceError: no answer")
    for _ in range(2):
        claim(ledger, "another-machine/1/1/00", KEY, 0.0)
    end = claim(ledger, new_holder())
    assert isinstance(end, Failed)
    assert "died without a word" in end.reason


def test_boards_are_leased_with_the_trial(ledger: Ledger):
    first, second = new_holder(), new_holder()
    assert claim(ledger, first, KEY, 60.0, "board:pi") == Claimed(1)
    assert isinstance(claim(ledger, second, OTHER, 60.0, "board:pi"), Busy)
    assert claim(ledger, second, OTHER, 60.0, "board:other") == Claimed(1)
    ledger.finish(KEY, first, RESULT)
    assert claim(ledger, first, "c" * 64, 60.0, "board:pi") == Claimed(1)
    assert ledger.renew(("board:pi",), first, 60.0)


def test_a_busy_board_leaves_no_lease_behind(ledger: Ledger):
    first, second = new_holder(), new_holder()
    claim(ledger, first, KEY, 60.0, "board:b")
    assert isinstance(claim(ledger, second, OTHER, 60.0, "board:a", "board:b"), Busy)
    assert claim(ledger, new_holder(), OTHER, 60.0, "board:a") == Claimed(1)


def test_abandoning_spares_results_and_whoever_is_at_it(ledger: Ledger):
    holder = new_holder()
    claim(ledger, holder)
    ledger.abandon(KEY, "no worker can import it")
    assert ledger.state(KEY) is None
    ledger.finish(KEY, holder, RESULT)
    ledger.abandon(KEY, "no worker can import it")
    assert ledger.state(KEY) == Done()
    ledger.abandon(OTHER, "no worker can import it")
    assert ledger.state(OTHER) == Failed("no worker can import it")


def test_only_failures_can_be_reset(ledger: Ledger):
    assert not ledger.reset(KEY)
    holder = new_holder()
    claim(ledger, holder)
    ledger.fail(KEY, holder, "wrong")
    assert ledger.reset(KEY)
    assert claim(ledger, holder) == Claimed(1)
    ledger.finish(KEY, holder, RESULT)
    assert not ledger.reset(KEY)


def run_all(ledger: Ledger, keys: list[str]) -> None:
    """A worker that takes whatever it gets."""
    for key in keys:
        holder = new_holder()
        if isinstance(claim(ledger, holder, key), Claimed):
            ledger.finish(key, holder, RESULT)


def hammer(ledger: Ledger) -> None:
    """Eight workers at once on the same sixteen keys: each is started once."""
    keys = [f"{number:064d}" for number in range(16)]
    workers = [threading.Thread(target=run_all, args=(ledger, keys)) for _ in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    events = Counter((line.key, line.event) for line in ledger.log())
    assert events == {(key, event): 1 for key in keys for event in ("START", "DONE")}


def test_workers_that_race_start_each_key_once(ledger: Ledger):
    hammer(ledger)


@pytest.mark.tool
def test_workers_that_race_on_postgresql_start_each_key_once(postgres: str):
    shared = Ledger(postgres)
    shared.create()
    hammer(shared)
    first, second = new_holder(), new_holder()
    assert claim(shared, first, KEY, 60.0, "board:pi") == Claimed(1)
    assert isinstance(claim(shared, second, OTHER, 60.0, "board:pi"), Busy)
    assert shared.finish(KEY, first, RESULT)
    assert claim(shared, second, OTHER, 60.0, "board:pi") == Claimed(1)
