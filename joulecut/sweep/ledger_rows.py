"""The ledger's tables and what is done to their rows inside one transaction.

Whoever calls `locked` first, then `take`, then changes anything, cannot wait for another that
does the same: rows are always locked in this order, leases by their names.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import cache
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy import event as sa_event
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import ArgumentError

from joulecut.compiler.errors import ConfigError
from joulecut.sweep.answers import Busy
from joulecut.sweep.holder import is_gone

Event = Literal["START", "DONE", "AGAIN", "FAILED", "RESET"]

LOCK_WAIT_S = 60.0  # for another process to leave the SQLite file
DRIVERS = {"sqlite": "sqlite", "postgresql": "postgresql+psycopg"}

TABLES = sa.MetaData()
RUN = sa.Table(
    "joulecut_run",
    TABLES,
    sa.Column("key", sa.String(80), primary_key=True),
    sa.Column("state", sa.String(8), nullable=False),  # open, done or failed
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("result", sa.Text),
    sa.Column("reason", sa.Text),
)
LEASE = sa.Table(
    "joulecut_lease",
    TABLES,
    sa.Column("name", sa.String(200), primary_key=True),
    sa.Column("holder", sa.String(200), nullable=False),
    sa.Column("expires", sa.Float(53), nullable=False),
)
LOG = sa.Table(
    "joulecut_log",
    TABLES,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("key", sa.String(80), nullable=False),
    sa.Column("event", sa.String(8), nullable=False),
    sa.Column("attempt", sa.Integer, nullable=False),
    sa.Column("holder", sa.String(200), nullable=False),
    sa.Column("at", sa.Float(53), nullable=False),
    sa.Column("note", sa.Text, nullable=False),
)


def parsed(url: str) -> sa.URL:
    """The URL with the driver that is installed for its database."""
    try:
        found = sa.make_url(url)
    except (ArgumentError, ValueError):
        found = None
    name = "" if found is None else found.get_backend_name()
    if found is None or name not in DRIVERS or not found.database:
        # The text is not shown: what does not parse may still hold a password.
        raise ConfigError(
            "ledger must be sqlite:///FILE or postgresql://USER@HOST/DATABASE, "
            f"not {'another kind of URL' if found is None else found.render_as_string()}"
        )
    return found.set(drivername=DRIVERS[name])


def connection_options(url: str) -> dict[str, Any]:
    """How an engine for the URL is made, ours and Optuna's."""
    if parsed(url).get_backend_name() == "sqlite":
        return {"connect_args": {"timeout": LOCK_WAIT_S}}
    return {"pool_pre_ping": True}  # the server may have been restarted


@cache
def engine_of(url: str) -> sa.Engine:
    """One engine for each database and process."""
    engine = sa.create_engine(parsed(url), **connection_options(url))
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


def clock(connection: sa.Connection) -> float:
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


def locked(connection: sa.Connection, key: str) -> tuple[str, int, str]:
    """State, attempts and reason of a hash, which nobody else changes until we commit."""
    _add(connection, RUN, key=key, state="open", attempts=0)
    row = connection.execute(
        sa.select(RUN.c.state, RUN.c.attempts, RUN.c.reason)
        .where(RUN.c.key == key)
        .with_for_update()
    ).one()
    return row.state, row.attempts, row.reason or ""


def take(
    connection: sa.Connection, names: Sequence[str], holder: str, seconds: float
) -> Busy | None:
    """Lease all names, in an order in which two takers cannot wait for each other."""
    for name in sorted(set(names)):
        _add(connection, LEASE, name=name, holder="", expires=0.0)
        row = connection.execute(
            sa.select(LEASE.c.holder, LEASE.c.expires)
            .where(LEASE.c.name == name)
            .with_for_update()
        ).one()
        now = clock(connection)
        if row.expires > now and row.holder != holder and not is_gone(row.holder):
            return Busy(row.expires - now, row.holder)
        connection.execute(
            sa.update(LEASE)
            .where(LEASE.c.name == name)
            .values(holder=holder, expires=now + seconds)
        )
    return None


def ours(connection: sa.Connection, key: str, holder: str) -> bool:
    """Whether the lease of a hash is the holder's, with the hash locked."""
    locked(connection, key)
    found = connection.execute(
        sa.select(LEASE.c.holder).where(LEASE.c.name == key).with_for_update()
    ).scalar_one_or_none()
    return found == holder


def close(
    connection: sa.Connection,
    key: str,
    holder: str,
    state: Literal["done", "failed"],
    *,
    result: str | None = None,
    reason: str | None = None,
) -> Literal[True]:
    """The last word on a hash, and the end of its holder's leases."""
    _, count, _ = locked(connection, key)
    change(connection, key, state=state, result=result, reason=reason)
    event: Event = "DONE" if state == "done" else "FAILED"
    write(connection, key, event, count, holder, reason or "")
    release(connection, holder)
    return True


def change(connection: sa.Connection, key: str, **values: object) -> None:
    """Set columns of a hash's row."""
    connection.execute(sa.update(RUN).where(RUN.c.key == key).values(**values))


def held(connection: sa.Connection, holder: str) -> set[str]:
    """The names that the holder leases, locked in the order in which `take` locks them."""
    rows = connection.execute(
        sa.select(LEASE.c.name)
        .where(LEASE.c.holder == holder)
        .order_by(LEASE.c.name)
        .with_for_update()
    )
    return set(rows.scalars())


def release(connection: sa.Connection, holder: str) -> None:
    """End every lease of the holder."""
    names = held(connection, holder)
    connection.execute(
        sa.update(LEASE).where(LEASE.c.name.in_(names)).values(holder="", expires=0.0)
    )


def write(
    connection: sa.Connection, key: str, event: Event, attempt: int, holder: str, note: str = ""
) -> None:
    """Add a line to the execution log."""
    connection.execute(
        sa.insert(LOG).values(
            key=key,
            event=event,
            attempt=attempt,
            holder=holder,
            at=clock(connection),
            note=note,
        )
    )
