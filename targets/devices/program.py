"""Runs a part's static executable, by itself or under an emulator, and never leaves it behind.

A program runs in a process group of its own, so that a timeout, an error beside it or Ctrl-C
ends it together with whatever it started.
"""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from joulecut.compiler.errors import DeviceError
from joulecut.targets.devices.protocol import Progress

STDERR_SHOWN_CHARS = 2000


@dataclass(frozen=True)
class Batch:
    """One run of the executable: what it reads and writes, and how many samples."""

    command: tuple[str, ...]
    first: int
    count: int


def model_command(
    prefix: Sequence[str], part: Path, options: Sequence[str], files: tuple[Path, Path, int]
) -> tuple[str, ...]:
    """`PREFIX model OPTIONS INPUT OUTPUT COUNT`."""
    source, result, count = files
    program = part.resolve() / "model"
    return (*prefix, str(program), *options, str(source), str(result), str(count))


def run_program(command: Sequence[str], timeout_s: float) -> None:
    """Run one program to its end.

    Raises:
        DeviceError: if it cannot start, returns non-zero, is killed, or runs past `timeout_s`.
    """
    _Crew(timeout_s).run(command)


def run_batches(
    batches: Sequence[Batch], jobs: int, timeout_s: float, progress: Progress | None = None
) -> None:
    """Run all batches, `jobs` at a time; the first that does not end well ends all.

    Args:
        batches: in any order.
        jobs: processes at a time.
        timeout_s: for each process.
        progress: called in the calling thread after each batch.

    Raises:
        DeviceError: naming the samples of the batch and showing what its program said.
    """
    total = sum(batch.count for batch in batches)
    crew = _Crew(timeout_s)
    done = 0
    with ThreadPoolExecutor(max_workers=max(1, jobs)) as pool:
        futures = {pool.submit(crew.run, batch.command): batch for batch in batches}
        try:
            for future in as_completed(futures):
                batch = futures[future]
                try:
                    future.result()
                except DeviceError as error:
                    last = batch.first + batch.count - 1
                    raise DeviceError(f"samples {batch.first}..{last}: {error}") from error
                done += batch.count
                if progress is not None:
                    progress(done, total)
        except BaseException:
            for future in futures:
                future.cancel()
            crew.stop()
            raise


@dataclass
class _Crew:
    """The processes that run now; `stop` ends them and lets no other start."""

    timeout_s: float
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _alive: set[subprocess.Popen[bytes]] = field(default_factory=set[subprocess.Popen[bytes]])
    _stopped: bool = False

    def run(self, command: Sequence[str]) -> None:
        with tempfile.TemporaryFile() as said:
            process = self._start(command, said.fileno())
            try:
                code = process.wait(self.timeout_s)
            except BaseException as error:
                _kill(process)
                process.wait()
                if not isinstance(error, subprocess.TimeoutExpired):
                    raise
                raise DeviceError(
                    f"{_shown(command)} must end within {self.timeout_s:g} s, and did not; "
                    f"give a longer timeout{_stderr(said)}"
                ) from error
            finally:
                with self._lock:
                    self._alive.discard(process)
            if code != 0:
                how = (
                    f"exit with 0, not {code}"
                    if code > 0
                    else f"end by itself, not by {_signal(-code)}"
                )
                raise DeviceError(f"{_shown(command)} must {how}{_stderr(said)}")

    def _start(self, command: Sequence[str], stderr: int) -> subprocess.Popen[bytes]:
        with self._lock:
            if self._stopped:
                raise DeviceError(f"{_shown(command)} was not started: another batch stopped")
            try:
                process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=stderr,
                    start_new_session=True,
                )
            except OSError as error:
                raise DeviceError(
                    f"{_shown(command)} must be a program that this machine can start, "
                    f"not one with: {error.strerror}"
                ) from error
            self._alive.add(process)
            return process

    def stop(self) -> None:
        with self._lock:
            self._stopped = True
            for process in self._alive:
                _kill(process)


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kill the group, unless its leader was waited for: its number may be another's now."""
    if process.returncode is not None:
        return
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _shown(command: Sequence[str]) -> str:
    program = next((word for word in command if word.endswith("/model")), command[0])
    return program if program == command[0] else f"{Path(command[0]).name} {program}"


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _stderr(file: Any) -> str:
    file.seek(0)
    text = file.read().decode(errors="replace").strip()[-STDERR_SHOWN_CHARS:]
    return f"; it said:\n{text}" if text else "; it said nothing on stderr"
