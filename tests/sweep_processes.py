"""Processes of the sweep's tests: started, waited for, killed; PostgreSQL among them."""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Mapping
from pathlib import Path
from typing import Any

import pytest

from joulecut.sweep.ledger import Ledger

HERE = Path(__file__).resolve().parent
POSTGRES = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
PATIENCE_S = 180.0


@contextlib.contextmanager
def process(*words: str, log: Path, **options: Any) -> Generator[subprocess.Popen[Any]]:
    """A process of ours in a session of its own, which is killed at the end if it still runs."""
    paths = [str(HERE), str(HERE.parent), os.environ.get("PYTHONPATH", "")]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    with log.open("ab") as file:
        running: subprocess.Popen[Any] = subprocess.Popen(
            words, stdout=file, stderr=file, env=env, start_new_session=True, **options
        )
    try:
        yield running
    finally:
        kill(running)


def kill(running: subprocess.Popen[Any]) -> None:
    """SIGKILL to a process and what it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(running.pid, signal.SIGKILL)
    running.wait()


def until(holds: Callable[[], bool], what: str, *logs: Path) -> None:
    """Wait for something that other processes do."""
    end = time.monotonic() + PATIENCE_S
    while not holds():
        said = "\n".join(log.read_text()[-3000:] for log in logs if log.exists())
        assert time.monotonic() < end, f"{what}: not within {PATIENCE_S:g} s\n{said}"
        time.sleep(0.1)


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


@contextlib.contextmanager
def postgres_in(tmp_path: Path) -> Generator[str]:
    """A PostgreSQL server of our own on a free port; its URL. Skips where there is none."""
    if not POSTGRES:
        pytest.skip("PostgreSQL must be installed: Debian's package postgresql-15")
    folder = tmp_path / "postgres"
    folder.mkdir()
    user = pwd.getpwuid(os.getuid()).pw_name
    options: dict[str, Any] = {}
    if os.getuid() == 0:  # initdb refuses root
        user = "postgres"
        try:
            account = pwd.getpwnam(user)
        except KeyError:
            pytest.skip(
                "as root, the user postgres of Debian's package postgresql-15 must exist"
            )
        options = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
        for parent in [tmp_path, *tmp_path.parents[:3]]:
            if parent.owner() == "root" and parent.name.startswith(("pytest-", "test_")):
                parent.chmod(0o755)  # for that user to pass through
        shutil.chown(folder, account.pw_uid, account.pw_gid)
    data, port, log = folder / "data", free_port(), tmp_path / "postgres.log"
    initdb = [str(POSTGRES[0] / "initdb"), "-D", str(data), "-A", "trust", "-N", "-E", "UTF8"]
    subprocess.run(initdb, check=True, capture_output=True, cwd=folder, **options)
    words = [
        str(POSTGRES[0] / "postgres"), "-D", str(data), "-p", str(port), "-k", str(folder),
        "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off",
    ]  # fmt: skip
    url = f"postgresql://{user}@127.0.0.1:{port}/postgres"
    with process(*words, log=log, cwd=folder, **options):
        until(lambda: answers(port), "PostgreSQL answers", log)
        yield url


def answers(port: int) -> bool:
    ready = [str(POSTGRES[0] / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(port)]
    return subprocess.run(ready, check=False).returncode == 0


def scheduler_words(port: int) -> list[str]:
    """The command of a scheduler that only this machine reaches."""
    return [
        sys.executable, "-P", "-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1",
        "--port", str(port), "--no-dashboard", "--dashboard-address", "127.0.0.1:0",
    ]  # fmt: skip


def worker_words(address: str, folder: Path) -> list[str]:
    """The command of a worker with one thread and its files in a folder."""
    return [
        sys.executable, "-P", "-m", "distributed.cli.dask_worker", address, "--no-nanny",
        "--nthreads", "1", "--no-dashboard", "--local-directory", str(folder),
        "--host", "127.0.0.1", "--dashboard-address", "127.0.0.1:0",
    ]  # fmt: skip


def driver_words(
    ledger: Ledger,
    cluster: str | None,
    arguments: Mapping[str, Any],
    *,
    step: str = "stuck_once",
    side: int | None = None,
    lease_s: float = 30.0,
    attempts: int = 3,
) -> list[str]:
    """The command that drives a sweep over a grid; see sweep_driver.py."""
    options = {
        "ledger": ledger.url,
        "cluster": cluster,
        "arguments": dict(arguments),
        "step": step,
        "side": side,
        "lease_s": lease_s,
        "attempts": attempts,
    }
    return [sys.executable, "-P", str(HERE / "sweep_driver.py"), json.dumps(options)]
