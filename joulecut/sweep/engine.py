"""Bring jobs to an end, whatever dies on the way: workers, the scheduler, or this process.

The engine keeps nothing that matters. What is done stands in the ledger, written by the worker;
what Dask loses is sent again, and the ledger lets nobody run what is done or being run.
"""

# distributed annotates only in part.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
from __future__ import annotations

import contextlib
import itertools
import time
from dataclasses import dataclass, field
from typing import Any

import distributed
from distributed.comm.core import CommClosedError

from joulecut.sweep.answers import Again, Busy, Done, Failed
from joulecut.sweep.cluster import Connect
from joulecut.sweep.job import Job, Task, board_resource, run_task
from joulecut.sweep.ledger import Ledger

POLL_S = 0.5  # between looks at what has no signal: a lost scheduler, a lease that ends
BUSY_S = 1.0  # between looks at what another holds: it may die long before its lease ends

Settled = Done | Failed

_INTERRUPTIONS = (TimeoutError, distributed.CancelledError, CommClosedError)
_LOST = ("cancelled", "lost")  # states of a future whose scheduler is gone


@dataclass
class _Sent:
    """A job that a scheduler has."""

    job: Job
    future: Any
    boards: tuple[str, ...]


@dataclass
class Engine:
    """Jobs on their way; call `add`, then `wait` until what was added is settled.

    Attributes:
        ledger: where results are.
        connect: makes a Dask client, again and again if it must.
        attempts: so often a job may be started before it is given up.
        lease_s: seconds that a worker may be silent before others take it for dead.
    """

    ledger: Ledger
    connect: Connect
    attempts: int = 3
    lease_s: float = 60.0
    _client: Any = None
    _open: dict[str, Job] = field(default_factory=dict[str, Job])
    _not_before: dict[str, float] = field(default_factory=dict[str, float])
    _errors: dict[str, int] = field(default_factory=dict[str, int])
    _sent: dict[str, _Sent] = field(default_factory=dict[str, _Sent])
    _settled: dict[str, Settled] = field(default_factory=dict[str, Settled])
    _news: list[str] = field(default_factory=list[str])
    _count: int = 0

    @property
    def client(self) -> Any:
        """The Dask client, connected now if it was not."""
        if self._client is None:
            self._client = self.connect()
        return self._client

    def add(self, job: Job) -> None:
        """Take a job and what it needs; one that is known, by its hash, is taken once."""
        if job.key in self._open or job.key in self._settled:
            return
        known = self.ledger.state(job.key)
        if known is not None:
            self._settle(job.key, known)
            return
        for need in job.needs:
            self.add(need)
        self._open[job.key] = job

    def settled(self, job: Job) -> Settled | None:
        """What came of a job that was added; None while it is open."""
        return self._settled.get(job.key)

    def wait(self) -> list[str]:
        """Work until something is settled, or nothing is open; keys since the last call."""
        while self._open and not self._news:
            self._send_ready()
            self._collect()
        news, self._news = self._news, []
        return news

    def close(self) -> None:
        """Leave the cluster; what runs there goes on and writes its result."""
        client, self._client = self._client, None
        if client is not None:
            with contextlib.suppress(Exception):  # a lost scheduler cannot be told
                client.close(timeout=5)

    def _settle(self, key: str, end: Settled) -> None:
        self._open.pop(key, None)
        self._settled[key] = end
        self._news.append(key)

    def _send_ready(self) -> None:
        for job in [each for key, each in self._open.items() if key not in self._sent]:
            lost = [
                need for need in job.needs if isinstance(self._settled.get(need.key), Failed)
            ]
            if lost:
                end = self._settled[lost[0].key]
                assert isinstance(end, Failed)
                self._settle(job.key, Failed(f"what it needs was given up: {end.reason}"))
            elif self._is_ready(job) and (boards := self._free_boards(job)) is not None:
                self._send(job, boards)

    def _is_ready(self, job: Job) -> bool:
        return time.monotonic() >= self._not_before.get(job.key, 0.0) and all(
            isinstance(self._settled.get(need.key), Done) for need in job.needs
        )

    def _free_boards(self, job: Job) -> tuple[str, ...] | None:
        """A board for each that the job needs, none of them in use; None if there is none."""
        taken = {name for sent in self._sent.values() for name in sent.boards}
        free = ([name for name in names if name not in taken] for names in job.boards)
        found = itertools.product(*free)
        return next((chosen for chosen in found if len(set(chosen)) == len(chosen)), None)

    def _send(self, job: Job, boards: tuple[str, ...]) -> None:
        self._count += 1
        needs = tuple(need.key for need in job.needs)
        task = Task(
            job.key, job.step, job.arguments, needs, boards, self.attempts, self.lease_s
        )
        try:
            future = self.client.submit(
                run_task,
                self.ledger,
                task,
                key=f"{job.key[:16]}-{self._count}",  # never an answer that Dask remembers
                pure=False,
                resources={board_resource(name): 1 for name in boards},
            )
        except (CommClosedError, OSError, RuntimeError):
            self._reconnect()
            return
        self._not_before.pop(job.key, None)
        self._sent[job.key] = _Sent(job, future, boards)

    def _collect(self) -> None:
        """Wait a little for an answer, and take all that came."""
        futures = [sent.future for sent in self._sent.values()]
        if not futures:
            time.sleep(min(POLL_S, self._pause()))
            return
        with self.client.as_current(), contextlib.suppress(*_INTERRUPTIONS):
            distributed.wait(futures, timeout=POLL_S, return_when="FIRST_COMPLETED")
        if self.client.status != "running" or any(f.status in _LOST for f in futures):
            self._take_finished()
            self._reconnect()
        else:
            self._take_finished()

    def _pause(self) -> float:
        """Seconds until the first job that was put off may be sent."""
        now = time.monotonic()
        return max(0.01, min((at - now for at in self._not_before.values()), default=0.01))

    def _take_finished(self) -> None:
        for key, sent in list(self._sent.items()):
            if sent.future.status in ("finished", "error"):
                del self._sent[key]
                self._answered(key, _answer(sent.future))

    def _answered(self, key: str, answer: Done | Failed | Busy | Again) -> None:
        match answer:
            case Done() | Failed():
                self._settle(key, answer)
            case Busy(seconds):
                self._put_off(key, min(seconds, BUSY_S))
            case Again(reason):
                self._put_off(key, POLL_S)
                self._bound_errors(key, reason)

    def _put_off(self, key: str, seconds: float) -> None:
        self._not_before[key] = time.monotonic() + seconds

    def _bound_errors(self, key: str, reason: str) -> None:
        """Attempts are counted where they start; here those that could not even start."""
        self._errors[key] = self._errors.get(key, 0) + 1
        if self._errors[key] > 2 * self.attempts:
            self.ledger.abandon(key, f"given up after {self._errors[key]} errors: {reason}")
            known = self.ledger.state(key)
            if known is not None:
                self._settle(key, known)

    def _reconnect(self) -> None:
        """Forget what a lost scheduler had; all of it is sent again to the next."""
        self._sent.clear()
        self.close()
        self._client = self.connect()


def _answer(future: Any) -> Done | Failed | Busy | Again:
    """What the worker answered; its death, or a fault on the way, is a reason to try again."""
    error = future.exception() if future.status == "error" else None
    if error is not None:
        return Again(f"{type(error).__name__}: {error}")
    answer = future.result()
    assert isinstance(answer, Done | Failed | Busy | Again)
    return answer
