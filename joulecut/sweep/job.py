"""One unit of work, named by the hash of everything that decides its result.

A job is run where a Dask worker has room for it. The worker first claims the hash in the ledger
and writes the result there before it answers, so that nothing depends on the answer arriving.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from joulecut.compiler.errors import DeviceError
from joulecut.sweep.answers import Again, Busy, Claimed, Done, Failed
from joulecut.sweep.holder import new_holder
from joulecut.sweep.ledger import Ledger

Step = Callable[[Mapping[str, Any], Sequence[Mapping[str, Any]], Sequence[str]], dict[str, Any]]

RETRIED = (
    DeviceError,
    OSError,
)  # a board that is rebooting, a full disk: next time may be well


@dataclass(frozen=True)
class Job:
    """What to run; made by `job`, which also names it.

    Attributes:
        key: content hash.
        step: called with arguments, the results of `needs` in order, and a name for each entry
            of `boards`; a function of a module that workers can import. Returns JSON values.
        arguments: JSON values.
        needs: jobs that must be done before.
        boards: for each board that it needs the names of those that will do.
    """

    key: str
    step: Step
    arguments: Mapping[str, Any]
    needs: tuple[Job, ...] = ()
    boards: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True)
class Task:
    """A job on its way to a worker, with boards that were chosen for it.

    Attributes:
        key: of the job; `step` and `arguments` likewise.
        needs: keys of the jobs it needs.
        boards: one name for each that it needs.
        attempts: so often it may be started in all.
        lease_s: seconds that a worker may be silent before others take it for dead.
    """

    key: str
    step: Step
    arguments: Mapping[str, Any]
    needs: tuple[str, ...]
    boards: tuple[str, ...]
    attempts: int
    lease_s: float


def job(
    step: Step,
    arguments: Mapping[str, Any],
    *,
    needs: Sequence[Job] = (),
    boards: Sequence[Sequence[str]] = (),
    hints: Mapping[str, Any] | None = None,
) -> Job:
    """A job under its content hash.

    Args:
        step: what is run.
        arguments: JSON values; versions, models and data that decide the result are among them.
        needs: jobs that must be done before.
        boards: for each board that it needs the names of those that will do.
        hints: where to find things: paths, addresses. The step gets them as the argument
            `hints`; unlike everything else they are no part of the hash.
    """
    places = tuple(tuple(sorted(names)) for names in boards)
    said = {
        "step": f"{step.__module__}.{step.__qualname__}",
        "arguments": dict(arguments),
        "needs": [each.key for each in needs],
        "boards": places,
    }
    given = dict(arguments) if hints is None else {**arguments, "hints": dict(hints)}
    return Job(digest(said), step, given, tuple(needs), places)


def digest(value: object) -> str:
    """SHA-256 of a JSON value in its one canonical form."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def board_resource(name: str) -> str:
    """What the Dask worker beside a board offers, and what the ledger leases."""
    return f"board:{name}"


def run_task(ledger: Ledger, task: Task) -> Done | Failed | Busy | Again:
    """Run a task unless it is done, given up, or another's; on the worker.

    What a step raises on purpose is final, as it would be raised again; see RETRIED for the rest.
    """
    holder = new_holder()
    boards = [board_resource(name) for name in task.boards]
    claim = ledger.claim(
        task.key, holder, leases=boards, seconds=task.lease_s, attempts=task.attempts
    )
    if not isinstance(claim, Claimed):
        return claim
    with renewed(ledger, (task.key, *boards), holder, task.lease_s):
        try:
            results = [ledger.result(key) for key in task.needs]
            made = task.step(task.arguments, results, task.boards)
            result = json.dumps(made, allow_nan=False)
        except RETRIED as error:
            ledger.again(task.key, holder, _reason(error))
            return Again(_reason(error))
        except Exception as error:  # a trial must not end the sweep
            return _given_up(ledger, task.key, holder, _reason(error))
        if ledger.finish(task.key, holder, result):
            return Done()
    return _LOST


_LOST = Again("its lease ran out, and another worker took it")


def _given_up(ledger: Ledger, key: str, holder: str, reason: str) -> Failed | Again:
    return Failed(reason) if ledger.fail(key, holder, reason) else _LOST


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


@contextmanager
def renewed(
    ledger: Ledger, names: Sequence[str], holder: str, lease_s: float
) -> Generator[None]:
    """Renew the leases in the block, three times in their life; it ends as soon as one is lost."""
    ended = threading.Event()

    def renew() -> None:
        while not ended.wait(lease_s / 3):
            try:
                if not ledger.renew(names, holder, lease_s):
                    return
            except Exception:  # the database may be back in time
                continue

    thread = threading.Thread(target=renew, name="joulecut-lease", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
