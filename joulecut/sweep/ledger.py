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
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy import event as sa_event
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError

from joulecut.compiler.errors import ConfigError, DeviceError
from joulecut.sweep.holder import is_gone

Event = Literal["START", "DONE", "AGAIN", "FAILED", "RESET"]

LOCK_WAIT_S = 60.0  # for another process to leave the SQLite file
DRIVERS = {"sqlite": "sqlite", "postgresql": "postgresql+psycopg"}

_tables = sa.MetaData()
_run = sa.Table(
    "joulecut_run",
    _tables,
    sa.Column("key", sa.String(80), primary_key=True),
    sa.Column("state", sa.String(8), nullable=False),  # open, done or failed
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("result", sa.Text),
    sa.Column("reason", sa.Text),
)
_lease = sa.Table(
    "joulecut_lease",
    _tables,
    sa.Column("name", sa.String(200), primary_key=True),
    sa.Column("holder", sa.String(200), nullable=False),
    sa.Column("expires", sa.Float(53), nullable=False),
)
_log = sa.Table(
    "joulecut_log",
    _tables,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("key", sa.String(80), nullable=False),
    sa.Column("event", sa.String(8), nullable=False),
    sa.Column("attempt", sa.Integer, nullable=False),
    sa.Column("holder", sa.String(200), nullable=False),
    sa.Column("at", sa.Float(53), nullable=False),
    sa.Column("note", sa.Text, nullable=False),
)


@dataclass(frozen=True)
class Claimed:
    """The caller has the lease and must run it now, for the `attempt`-th time."""

    attempt: int


@dataclass(frozen=True)
class Busy:
    """Somebody else is at it; their lease ends in so many seconds unless they renew it."""

    seconds: float
    holder: str


@dataclass(frozen=True)
class Done:
    """There is a result."""


@dataclass(frozen=True)
class Failed:
    """It was given up."""

    reason: str


@dataclass(frozen=True)
class Again:
    """It did not come to an end and may be run again."""

    reason: str


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
        return _parsed(self.url).render_as_string(hide_password=True)

    @property
    def full_url(self) -> str:
        """The URL with its password and our driver, for Optuna alone."""
        return _parsed(self.url).render_as_string(hide_password=False)

    @property
    def is_file(self) -> bool:
        """Whether only this machine reaches it."""
        return _parsed(self.url).get_backend_name() == "sqlite"

    def __repr__(self) -> str:
        return f"Ledger({self.shown})"

    def create(self) -> None:
        """Make the tables that are not there; by the driver, before any worker looks.

        Raises:
            ConfigError: the database cannot be reached.
        """
        try:
            _tables.create_all(_engine(self.url))
        except SQLAlchemyError as error:
            # The driver's own text names host, database and user, never the password.
            cause = str(getattr(error, "orig", None) or type(error).__name__).strip()
            raise ConfigError(
                f"ledger must be a database that can be opened, not {self.shown}: {cause}"
            ) from None

    def close(self) -> None:
        """Close this process's connections; the next call opens new ones."""
        _engine(self.url).dispose()

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
            state, count, reason = _locked(connection, key)
            if state == "done":
                return Done()
            if state == "failed":
                return Failed(reason)
            blocked = _take(connection, (key, *leases), holder, seconds)
            if blocked is not None:
                connection.rollback()
                return blocked
            if count >= attempts:
                reason = reason or "its worker died without a word"
                reason = f"given up after {count} attempts; the last: {reason}"
                _close(connection, key, holder, "failed", reason=reason)
                return Failed(reason)
            # A worker that dies leaves no reason, so the one of an earlier attempt must go.
            _set(connection, key, attempts=count + 1, reason=None)
            _write(connection, key, "START", count + 1, holder)
            return Claimed(count + 1)

    def renew(self, names: Sequence[str], holder: str, seconds: float) -> bool:
        """Keep leases for so many seconds more; False if one of them is lost."""
        with self._transaction() as connection:
            held = _held(connection, holder)
            connection.execute(
                sa.update(_lease)
                .where(_lease.c.name.in_(held))
                .values(expires=_now(connection) + seconds)
            )
            return held.issuperset(names)

    def finish(self, key: str, holder: str, result: str) -> bool:
        """Write the result, JSON, if the lease is the holder's; False, and nothing, if not."""
        with self._transaction() as connection:
            return _ours(connection, key, holder) and _close(
                connection, key, holder, "done", result=result
            )

    def fail(self, key: str, holder: str, reason: str) -> bool:
        """Give it up for good; False, and nothing, if the lease is another's by now."""
        with self._transaction() as connection:
            return _ours(connection, key, holder) and _close(
                connection, key, holder, "failed", reason=reason
            )

    def abandon(self, key: str, reason: str) -> None:
        """Give up what no worker could even claim; a result, and a worker at it, stand."""
        with self._transaction() as connection:
            state, _, _ = _locked(connection, key)
            if state == "open" and _take(connection, (key,), "driver", 0.0) is None:
                _close(connection, key, "driver", "failed", reason=reason)

    def again(self, key: str, holder: str, reason: str) -> None:
        """End an attempt that came to nothing; the next `claim` may start another."""
        with self._transaction() as connection:
            if _ours(connection, key, holder):
                _, count, _ = _locked(connection, key)
                _set(connection, key, reason=reason)
                _write(connection, key, "AGAIN", count, holder, reason)
                _release(connection, holder)

    def reset(self, key: str) -> bool:
        """Let what failed be tried again from its first attempt; False if it had not failed."""
        with self._transaction() as connection:
            state, count, _ = _locked(connection, key)
            if state != "failed":
                return False
            _set(connection, key, state="open", attempts=0, reason=None)
            _write(connection, key, "RESET", count, "driver")
            return True

    def hold(self, name: str, holder: str, seconds: float) -> Busy | None:
        """Lease a name that is no content hash; None if it is ours now."""
        with self._transaction() as connection:
            return _take(connection, (name,), holder, seconds)

    def release(self, holder: str) -> None:
        """End every lease of the holder."""
        with self._transaction() as connection:
            _release(connection, holder)

    def state(self, key: str) -> Done | Failed | None:
        """What came of a hash; None if nothing did yet."""
        with self._transaction() as connection:
            row = connection.execute(
                sa.select(_run.c.state, _run.c.reason).where(_run.c.key == key)
            ).first()
        if row is None or row.state == "open":
            return None
        return Done() if row.state == "done" else Failed(row.reason)

    def result(self, key: str) -> dict[str, Any]:
        """The result of a hash that is done."""
        with self._transaction() as connection:
            text = connection.execute(
                sa.select(_run.c.result).where(_run.c.key == key, _run.c.state == "done")
            ).scalar_one()
        return json.loads(text)

    def log(self) -> list[LogLine]:
        """The execution log from its beginning."""
        columns = (
            _log.c.key,
            _log.c.event,
            _log.c.attempt,
            _log.c.holder,
            _log.c.at,
            _log.c.note,
        )
        with self._transaction() as connection:
            rows = connection.execute(sa.select(*columns).order_by(_log.c.id)).all()
        return [LogLine(*row) for row in rows]

    @contextmanager
    def _transaction(self) -> Generator[sa.Connection]:
        try:
            with _engine(self.url).begin() as connection:
                yield connection
        except DBAPIError as error:
            raise DeviceError(
                f"ledger {self.shown} must answer, and does not: {str(error.orig).strip()}; "
                "nothing is lost: call joulecut sweep again when it does"
            ) from None


def _parsed(url: str) -> sa.URL:
    """The URL with the driver that is installed for its database."""
    try:
        parsed = sa.make_url(url)
    except (ArgumentError, ValueError):
        parsed = None
    name = "" if parsed is None else parsed.get_backend_name()
    if parsed is None or name not in DRIVERS or not parsed.database:
        # The text is not shown: what does not parse may still hold a password.
        raise ConfigError(
            "ledger must be sqlite:///FILE or postgresql://USER@HOST/DATABASE, "
            f"not {'another kind of URL' if parsed is None else parsed.render_as_string()}"
        )
    return parsed.set(drivername=DRIVERS[name])


def connection_options(url: str) -> dict[str, Any]:
    """How an engine for the URL is made, ours and Optuna's."""
    if _parsed(url).get_backend_name() == "sqlite":
        return {"connect_args": {"timeout": LOCK_WAIT_S}}
    return {"pool_pre_ping": True}  # the server may have been restarted


@cache
def _engine(url: str) -> sa.Engine:
    """One engine for each database and process."""
    engine = sa.create_engine(_parsed(url), **connection_options(url))
    tune(engine)
    if engine.dialect.name == "sqlite":
        # The module would begin only before the first write, too late for what is read before.
        sa_event.listen(engine, "connect", _leave_transactions_to_us)
        sa_event.listen(engine, "begin", _begin_immediate)
    return engine


def tune(engine: sa.Engine) -> None:
    """Let a file's readers not wait for its writer, and commits survive any process's death.

    What a power cut takes from the end of a file, results and log alike, is run again.
    """
    if engine.dialect.name == "sqlite":
        sa_event.listen(engine, "connect", _use_write_ahead_log)


def _use_write_ahead_log(connection: Any, _record: object) -> None:
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")


def _leave_transactions_to_us(connection: Any, _record: object) -> None:
    connection.isolation_level = None


def _begin_immediate(connection: sa.Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _now(connection: sa.Connection) -> float:
    """Seconds of the one clock that everybody shares: the server's, or this machine's."""
    if connection.dialect.name == "sqlite":
        return time.time()
    return float(
        connection.execute(sa.text("SELECT extract(epoch FROM clock_timestamp())")).scalar_one()
    )


def _add(connection: sa.Connection, table: sa.Table, **values: object) -> None:
    """Insert a row unless one with its key is there."""
    insert = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
    connection.execute(insert(table).values(**values).on_conflict_do_nothing())


def _locked(connection: sa.Connection, key: str) -> tuple[str, int, str]:
    """State, attempts and reason of a hash, which nobody else changes until we commit."""
    _add(connection, _run, key=key, state="open", attempts=0)
    row = connection.execute(
        sa.select(_run.c.state, _run.c.attempts, _run.c.reason)
        .where(_run.c.key == key)
        .with_for_update()
    ).one()
    return row.state, row.attempts, row.reason or ""


def _take(
    connection: sa.Connection, names: Sequence[str], holder: str, seconds: float
) -> Busy | None:
    """Lease all names, in an order in which two takers cannot wait for each other."""
    for name in sorted(set(names)):
        _add(connection, _lease, name=name, holder="", expires=0.0)
        row = connection.execute(
            sa.select(_lease.c.holder, _lease.c.expires)
            .where(_lease.c.name == name)
            .with_for_update()
        ).one()
        now = _now(connection)
        if row.expires > now and row.holder != holder and not is_gone(row.holder):
            return Busy(row.expires - now, row.holder)
        connection.execute(
            sa.update(_lease)
            .where(_lease.c.name == name)
            .values(holder=holder, expires=now + seconds)
        )
    return None


def _ours(connection: sa.Connection, key: str, holder: str) -> bool:
    """Whether the lease of a hash is the holder's, with the hash locked."""
    _locked(connection, key)
    found = connection.execute(
        sa.select(_lease.c.holder).where(_lease.c.name == key).with_for_update()
    ).scalar_one_or_none()
    return found == holder


def _close(
    connection: sa.Connection,
    key: str,
    holder: str,
    state: Literal["done", "failed"],
    *,
    result: str | None = None,
    reason: str | None = None,
) -> Literal[True]:
    """The last word on a hash, and the end of its holder's leases."""
    _, count, _ = _locked(connection, key)
    _set(connection, key, state=state, result=result, reason=reason)
    event: Event = "DONE" if state == "done" else "FAILED"
    _write(connection, key, event, count, holder, reason or "")
    _release(connection, holder)
    return True


def _set(connection: sa.Connection, key: str, **values: object) -> None:
    connection.execute(sa.update(_run).where(_run.c.key == key).values(**values))


def _held(connection: sa.Connection, holder: str) -> set[str]:
    """The names that the holder leases, locked in the order in which `_take` locks them."""
    rows = connection.execute(
        sa.select(_lease.c.name)
        .where(_lease.c.holder == holder)
        .order_by(_lease.c.name)
        .with_for_update()
    )
    return set(rows.scalars())


def _release(connection: sa.Connection, holder: str) -> None:
    held = _held(connection, holder)
    connection.execute(
        sa.update(_lease).where(_lease.c.name.in_(held)).values(holder="", expires=0.0)
    )


def _write(
    connection: sa.Connection, key: str, event: Event, attempt: int, holder: str, note: str = ""
) -> None:
    connection.execute(
        sa.insert(_log).values(
            key=key, event=event, attempt=attempt, holder=holder, at=_now(connection), note=note
        )
    )
