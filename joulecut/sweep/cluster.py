"""The Dask cluster that runs the jobs: one inside this process, or many machines.

Dask sends functions as pickles, and whoever reaches a scheduler can run code on its workers:
docs/sweep.md says how to use TLS. The cluster inside this process takes no work from outside.
"""

# distributed annotates only in part.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
from __future__ import annotations

import logging
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import Any

import dask.config
import distributed

from joulecut.compiler.errors import ConfigError, DeviceError
from joulecut.sweep.job import board_resource

SCHEMES = ("tcp://", "tls://")
CONNECT_S = 10.0  # one try to reach a scheduler
PAUSE_S = 0.5

_HERE = "127.0.0.1:0"  # Dask's HTTP servers cannot be left out, but be empty and unreachable
_NO_PAGES: dict[str, list[str]] = {
    "distributed.scheduler.http.routes": [],
    "distributed.worker.http.routes": [],
}

Connect = Callable[[], Any]


@contextmanager
def local_cluster(threads: int, boards: Sequence[str] = ()) -> Generator[Connect]:
    """A scheduler and one worker inside this process, which speak without sockets.

    Args:
        threads: jobs at once.
        boards: their names; each is a resource of the worker, once.

    Yields:
        What makes a client.
    """
    with (
        dask.config.set(_NO_PAGES),
        distributed.LocalCluster(
            n_workers=1,
            threads_per_worker=threads,
            processes=False,
            dashboard_address=_HERE,
            worker_dashboard_address=_HERE,
            scheduler_kwargs={"dashboard": False},
            silence_logs=logging.CRITICAL,
            resources={board_resource(name): 1 for name in boards},
        ) as cluster,
    ):
        yield lambda: distributed.Client(cluster, set_as_default=False)


def remote_cluster(address: str, patience_s: float) -> Connect:
    """What makes a client of a running scheduler, and waits while that is being restarted.

    Args:
        address: tcp://HOST:PORT, or tls://HOST:PORT with the certificates of Dask's settings.
        patience_s: how long to wait for the scheduler.

    Raises:
        ConfigError: the address is of another kind.
    """
    if not address.startswith(SCHEMES):
        raise ConfigError(
            f"cluster must be tcp://HOST:PORT or tls://HOST:PORT, not '{address}'"
        )

    def connect() -> Any:
        until = time.monotonic() + patience_s
        while True:
            try:
                return distributed.Client(address, timeout=CONNECT_S, set_as_default=False)
            except (OSError, TimeoutError) as error:
                if time.monotonic() >= until:
                    raise DeviceError(
                        f"scheduler must answer at {address} within {patience_s:g} s, and does "
                        f"not: {error}; start it, then call joulecut sweep again: it goes on"
                    ) from error
                time.sleep(PAUSE_S)
            except RuntimeError as error:  # no certificate, or no encryption where it must be
                raise ConfigError(
                    f"cluster must be reached as Dask's settings demand, not at {address}: {error}"
                ) from error

    return connect


def require_workers(client: Any, boards: Sequence[str], patience_s: float) -> int:
    """Wait until there is a worker, and for each board one that has it.

    Returns:
        How many jobs can run at once.

    Raises:
        DeviceError: no worker came, or none that offers a board.
    """
    until = time.monotonic() + patience_s
    while True:
        workers = client.scheduler_info(n_workers=-1)["workers"].values()
        offered = {name for worker in workers for name in worker["resources"]}
        absent = [name for name in boards if board_resource(name) not in offered]
        if workers and not absent:
            return sum(worker["nthreads"] for worker in workers)
        if time.monotonic() >= until:
            raise DeviceError(_nobody(client.scheduler.address, len(workers), absent))
        time.sleep(PAUSE_S)


def _nobody(address: str, workers: int, absent: Sequence[str]) -> str:
    start = f"dask worker {address}"
    if not workers:
        return f"scheduler {address} must have a worker, and has none; start: {start}"
    name = board_resource(absent[0])
    return (
        f"board '{absent[0]}' must be a resource of a worker, and none of {workers} offers it; "
        f"start beside the board: {start} --resources '{name}=1'"
    )
