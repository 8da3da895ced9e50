"""What was run, what came of it, and who is at it now: three tables beside those of Optuna.

`joulecut_run` has one row for each content hash and holds the result, `joulecut_lease` says who
works on it (or on a board), `joulecut_log` only grows. Whatever is claimed, finished or given up
changes all of them in one transaction, so no moment of a crash leaves them apart:

    claim    no result and no live lease  =>  lease, START
    finish   lease still ours             =>  result, DONE, no lease

A hash with a result is therefore never started again, whoever asks, in whichever study.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from joulecut.compiler.errors import ConfigError, DeviceError
from joulecut.sweep import ledger_rows as rows
from joulecut.sweep.answers import Busy, Claimed, Done, Failed
from joulecut.sweep.ledger_rows import LEASE, LOG, RUN, TABLES, Event


@dataclass(frozen=True)
class LogLine:
    """One line of the execution log; `at` is in seconds of the ledger's clock."""

    key: str
    event: Event
    attempt: int
    holder: str
    at: float
    note: str


@dataclass(frozen=True, repr=False)
class Ledger:
    """A database, by its URL; can be sent to other machines.

    Attributes:
        url: sqlite:///FILE, or postgresql://USER@HOST/DATABASE. It may hold a password, so
            neither `repr` nor an error shows it; `shown` is for people.
    """

    url: str

    @property
    def shown(self) -> str:
        """The URL without its password."""
        return rows.parsed(self.url).render_as_string(hide_password=True)

    @property
    def full_url(self) -> str:
        """The URL with its password and our driver, for Optuna alone."""
        return rows.parsed(self.url).render_as_string(hide_password=False)

    @property
    def is_file(self) -> bool:
        """Whether only this machine reaches it."""
        return rows.parsed(self.url).get_backend_name() == "sqlite"

    def __repr__(self) -> str:
        return f"Ledger({self.shown})"

    def create(self) -> None:
        """Make the tables that are not there; by the driver, before any worker looks.

        Raises:
            ConfigError: the database cannot be reached.
        """
        try:
            TABLES.create_all(rows.engine_of(self.url))
        except SQLAlchemyError as error:
            # The driver's own text names host, database and user, never the password.
            cause = str(getattr(error, "orig", None) or type(error).__name__).strip()
            raise ConfigError(
                f"ledger must be a database that can be opened, not {self.shown}: {cause}"
            ) from None

    def close(self) -> None:
        """Close this process's connections; the next call opens new ones."""
        rows.engine_of(self.url).dispose()

    def claim(
        self,
        key: str,
        holder: str,
        *,
        leases: Sequence[str] = (),
        seconds: float,
        attempts: int,
    ) -> Claimed | Busy | Done | Failed:
        """Ask to run a content hash.

        Args:
            key: the hash.
            holder: who asks, from `new_holder`.
            leases: what else must be free and is then leased with it: boards.
            seconds: how long the leases last unless they are renewed.
            attempts: so often it may be started; then it is given up.
        """
        with self._transaction() as connection:
            state, count, reason = rows.locked(connection, key)
            if state == "done":
                return Done()
            if state == "failed":
                return Failed(reason)
            blocked = rows.take(connection, (key, *leases), holder, seconds)
            if blocked is not None:
                connection.rollback()
                return blocked
            if count >= attempts:
                reason = reason or "its worker died without a word"
                reason = f"given up after {count} attempts; the last: {reason}"
                rows.close(connection, key, holder, "failed", reason=reason)
                return Failed(reason)
            # A worker that dies leaves no reason, so the one of an earlier attempt must go.
            rows.change(connection, key, attempts=count + 1, reason=None)
            rows.write(connection, key, "START", count + 1, holder)
            return Claimed(count + 1)

    def renew(self, names: Sequence[str], holder: str, seconds: float) -> bool:
        """Keep leases for so many seconds more; False if one of them is lost."""
        with self._transaction() as connection:
            held = rows.held(connection, holder)
            connection.execute(
                sa.update(LEASE)
                .where(LEASE.c.name.in_(held))
                .values(expires=rows.clock(connection) + seconds)
            )
            return held.issuperset(names)

    def finish(self, key: str, holder: str, result: str) -> bool:
        """Write the result, JSON, if the lease is the holder's; False, and nothing, if not."""
        with self._transaction() as connection:
            return rows.ours(connection, key, holder) and rows.close(
                connection, key, holder, "done", result=result
            )

    def fail(self, key: str, holder: str, reason: str) -> bool:
        """Give it up for good; False, and nothing, if the lease is another's by now."""
        with self._transaction() as connection:
            return rows.ours(connection, key, holder) and rows.close(
                connection, key, holder, "failed", reason=reason
            )

    def abandon(self, key: str, reason: str) -> None:
        """Give up what no worker could even claim; a result, and a worker at it, stand."""
        with self._transaction() as connection:
            state, _, _ = rows.locked(connection, key)
            if state == "open" and rows.take(connection, (key,), "driver", 0.0) is None:
                rows.close(connection, key, "driver", "failed", reason=reason)

    def again(self, key: str, holder: str, reason: str) -> None:
        """End an attempt that came to nothing; the next `claim` may start another."""
        with self._transaction() as connection:
            if rows.ours(connection, key, holder):
                _, count, _ = rows.locked(connection, key)
                rows.change(connection, key, reason=reason)
                rows.write(connection, key, "AGAIN", count, holder, reason)
                rows.release(connection, holder)

    def reset(self, key: str) -> bool:
        """Let what failed be tried again from its first attempt; False if it had not failed."""
        with self._transaction() as connection:
            state, count, _ = rows.locked(connection, key)
            if state != "failed":
                return False
            rows.change(connection, key, state="open", attempts=0, reason=None)
            rows.write(connection, key, "RESET", count, "driver")
            return True

    def hold(self, name: str, holder: str, seconds: float) -> Busy | None:
        """Lease a name that is no content hash; None if it is ours now."""
        with self._transaction() as connection:
            return rows.take(connection, (name,), holder, seconds)

    def release(self, holder: str) -> None:
        """End every lease of the holder."""
        with self._transaction() as connection:
            rows.release(connection, holder)

    def state(self, key: str) -> Done | Failed | None:
        """What came of a hash; None if nothing did yet."""
        with self._transaction() as connection:
            row = connection.execute(
                sa.select(RUN.c.state, RUN.c.reason).where(RUN.c.key == key)
            ).first()
        if row is None or row.state == "open":
            return None
        return Done() if row.state == "done" else Failed(row.reason)

    def result(self, key: str) -> dict[str, Any]:
        """The result of a hash that is done."""
        with self._transaction() as connection:
            text = connection.execute(
                sa.select(RUN.c.result).where(RUN.c.key == key, RUN.c.state == "done")
            ).scalar_one()
        return json.loads(text)

    def log(self) -> list[LogLine]:
        """The execution log from its beginning."""
        columns = (
            LOG.c.key,
            LOG.c.event,
            LOG.c.attempt,
            LOG.c.holder,
            LOG.c.at,
            LOG.c.note,
        )
        with self._transaction() as connection:
            lines = connection.execute(sa.select(*columns).order_by(LOG.c.id)).all()
        return [LogLine(*line) for line in lines]

    @contextmanager
    def _transaction(self) -> Generator[sa.Connection]:
        try:
            with rows.engine_of(self.url).begin() as connection:
                yield connection
        except DBAPIError as error:
            raise DeviceError(
                f"ledger {self.shown} must answer, and does not: {str(error.orig).strip()}; "
                "nothing is lost: call joulecut sweep again when it does"
            ) from None
